"""A lock file that one live process holds and names itself beside; the system releases it when that process dies."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout

from vmie.ops.ownership import usable

#: whoever asks whether a lock is held may hold it for a moment
_TIMEOUT = 0.25


class ProcessLock:
    """The lock of `path`. Its holder is named in a file beside it: what a lock file holds is the library's business."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # Opened by one thread and closed by another.
        self._lock = FileLock(path, timeout=_TIMEOUT, mode=0o600, thread_local=False)
        self._holder = path.with_name(f"{path.name}.holder")

    def acquire(self) -> bool:
        """Take the lock; False when another has it. Raises VmieError (NoState) where no lock can be made."""
        with usable(self._path):
            try:
                self._lock.acquire()
            except Timeout:
                return False
            self._holder.write_text(f"process {os.getpid()}", encoding="utf-8")
        return True

    def release(self) -> None:
        """Let go of it; nothing happens when it is not ours."""
        if self._lock.is_locked:
            self._holder.unlink(missing_ok=True)
            self._lock.release()

    def remove(self) -> None:
        """Take the files of a lock away that nobody will ask for again."""
        self._holder.unlink(missing_ok=True)
        self._path.unlink(missing_ok=True)

    @property
    def holder(self) -> str:
        """Who has it, in words."""
        try:
            return self._holder.read_text(encoding="utf-8").strip() or "another process"
        except OSError:
            return "another process"

    def held(self) -> bool:
        """Whether a live process has it; nothing is made by asking."""
        if self._lock.is_locked:
            return True
        if not self._holder.exists():
            return False
        # Named, so alive or killed: only the system knows which.
        try:
            with self._lock:
                return False
        except Timeout:
            return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
