"""Who else could write what vmie keeps: checked as ssh checks a key, for who writes a job says what is done next."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vmie.errors import Run, VmieError

UNTRUSTED, UNAVAILABLE = "UntrustedState", "NoState"

_NO_ROOM = frozenset((errno.ENOSPC, errno.EDQUOT))


@contextmanager
def usable(place: Path) -> Iterator[None]:
    """Raises VmieError (NoState) for the OSErrors of reading and writing state at `place`: no fault of vmie."""
    try:
        yield
    except TimeoutError:  # of a lock: somebody has it
        raise
    except OSError as error:
        named = error.filename if isinstance(error.filename, str) else str(place)
        full = error.errno in _NO_ROOM
        raise VmieError(
            "what is done cannot be recorded, so nothing more is done",
            cause=f"{named}: {error.strerror or error}",
            cure=(
                "free space there" if full else "see that it is a folder of yours that can be written",
                "or name another state folder in VMIE_STATE",
            ),
            code=UNAVAILABLE,
        ) from error


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for this user alone (XDG Base Directory 0.8).

    Raises VmieError (NoState).
    """
    with usable(folder):
        _make(folder)


def _make(folder: Path) -> None:
    if not folder.parent.exists():
        _make(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)


def make_file(path: Path) -> None:
    """Make an empty file for this user alone; one that is there stays as it is."""
    os.close(private(str(path), os.O_CREAT | os.O_RDWR))


def private(path: str, flags: int) -> int:
    """An opener for `open`: what it makes is for this user alone."""
    return os.open(path, flags, 0o600)


def check(*paths: Path) -> None:
    """Raises VmieError (UntrustedState) for the first that another user owns, other than root, or can write."""
    for path in paths:
        with usable(path):
            if not path.exists():
                continue
            found = path.stat()
        if found.st_uid not in (0, os.geteuid()):
            raise _untrusted(path, f"it belongs to user {found.st_uid}, and vmie runs as user {os.geteuid()}", "chown")
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise _untrusted(path, f"its mode is {stat.S_IMODE(found.st_mode):04o}: others can write it", "chmod")


def _untrusted(path: Path, why: str, command: str) -> VmieError:
    asked = str(os.geteuid()) if command == "chown" else "go-w"
    return VmieError(
        f"{path} is not used: other users could change what vmie does",
        cause=why,
        cure=(
            Run((command, asked, str(path)), "once you know that nobody has changed what is in it"),
            "or name another state folder in VMIE_STATE",
        ),
        code=UNTRUSTED,
    )
