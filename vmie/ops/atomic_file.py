"""A file that is whole or not there: written under a temporary name beside the target, then renamed."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

from vmie.errors import Set, UsageError, VmieError

_NO_SPACE = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
#: Known before a byte is written: the user named a place where no file can be made.
_NO_PLACE = frozenset((errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENAMETOOLONG))


def check(target: Path, *, source: Path, force: bool) -> None:
    """Raise UsageError when `target` cannot be a new file, is `source`, or exists without `force`."""
    try:
        folder, exists = target.parent.is_dir(), target.exists()
    except OSError as error:  # too long, or a folder on the way that may not be searched
        raise UsageError(
            f"{target} cannot be written", cause=str(error.strerror), cure="give another name or folder"
        ) from error
    if not folder:
        raise UsageError(f"{target} cannot be written", cause="its folder does not exist", cure="create the folder")
    if not exists:
        return
    if not target.is_file():
        raise UsageError(f"{target} is not a file", cause="a conversion ends in a new file", cure="name a file")
    if source.exists() and source.samefile(target):
        raise UsageError(
            f"{source} cannot be converted into itself",
            cause=f"{target} is the same file",
            cure="give the target another name",
        )
    if not force:
        raise UsageError(
            f"{target} exists",
            cause="nothing is replaced unless that is asked for",
            cure=("remove it, or give another name", Set("force", note="replaces it")),
            fields=("force",),
        )


@contextmanager
def written(target: Path, *, source: Path, replace: bool, needed: int) -> Iterator[BinaryIO]:
    """A new file that becomes `target` when the block ends well, and vanishes when it does not.

    `needed` is the most bytes that it may take, for the message when there is no room. Raises UsageError
    as `check` does and where no file can be made, VmieError when it cannot be written to its end.
    """
    check(target, source=source, force=replace)
    place = target.resolve()  # a link goes on pointing to what it points to
    # In the target's folder: only within one file system is a rename atomic. A name that nobody else has, known before
    # the file is made: an interruption between the two then finds what to remove.
    temporary = place.with_name(f".vmie-convert-{token_hex(8)}.partial")
    begun = False
    try:
        with temporary.open("xb", buffering=1 << 20) as file:
            begun = True
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(place)
        _sync_folder(place.parent)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise _unwritable(target, error, begun=begun, needed=needed) from error
        raise


def _sync_folder(folder: Path) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # Windows opens no folder, and one may be written to without being readable
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems sync no folders
            raise
    finally:
        os.close(descriptor)


def _unwritable(target: Path, error: OSError, *, begun: bool, needed: int) -> VmieError:
    why = str(error.strerror or error)
    if error.errno in _NO_SPACE:
        return VmieError(
            f"no space left for {target}",
            cause=f"{why}; at most {needed:,} bytes are needed",
            cure="free that much, or name a target on another file system; the unfinished file was removed",
            code="NoSpace",
        )
    if not begun and error.errno in _NO_PLACE:
        return UsageError(f"cannot write {target}", cause=why, cure="name a folder in which you may make files")
    return VmieError(
        f"cannot write {target}",
        cause=why,
        cure="check the folder's permissions and its file system; the unfinished file was removed",
        code="Unwritable",
    )
