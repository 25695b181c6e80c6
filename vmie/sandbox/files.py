"""Unnamed temporary files that give their space back range by range."""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable
from functools import cache
from pathlib import Path

#: length from which a shared file is left for the next: where holes cannot be made, space comes back with the file
_FULL = 256 << 20


class BlobFile:
    """An unnamed temporary file, made when the first byte comes, closed with its last reference. A copy is itself."""

    def __init__(self) -> None:
        self._fd, self._end, self._lock = -1, 0, threading.Lock()

    def _open(self) -> int:
        with self._lock:
            if self._fd < 0:
                self._fd, path = tempfile.mkstemp(prefix="vmie-sandbox-")
                Path(path).unlink()
            return self._fd

    @property
    def size(self) -> int:
        """Its length in bytes, with what was discarded."""
        return self._end

    def append(self, data: bytes | memoryview) -> tuple[int, int]:
        """Write `data` at the end; returns its offset and length."""
        with self._lock:
            offset, self._end = self._end, self._end + len(data)
        self.write_at(offset, data)
        return offset, len(data)

    def write_at(self, offset: int, data: bytes | memoryview) -> None:
        """Write all of `data` at `offset`; a gap before it reads as zeros and takes no space."""
        view = memoryview(data)
        file = self._open()
        while view:
            done = os.pwrite(file, view, offset)
            view, offset = view[done:], offset + done
        with self._lock:
            self._end = max(self._end, offset)

    def extend(self, size: int) -> None:
        """Make the file at least `size` bytes long."""
        file = self._open()
        with self._lock:
            if size > self._end:
                os.ftruncate(file, size)
                self._end = size

    def read_at(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`, fewer at the end."""
        parts = []
        while self._fd >= 0 and length > 0 and (data := os.pread(self._fd, min(length, 1 << 30), offset)):
            parts.append(data)
            offset, length = offset + len(data), length - len(data)
        return b"".join(parts)

    def discard(self, offset: int, length: int) -> None:
        """Nobody reads these bytes any more: their space goes back to the file system, where that can be done."""
        if self._fd >= 0:
            _punch_hole()(self._fd, offset, length)

    def __copy__(self) -> BlobFile:
        return self

    def __deepcopy__(self, memo: object) -> BlobFile:
        return self

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) >= 0:
            os.close(self._fd)
            self._fd = -1


@cache
def _punch_hole() -> Callable[[int, int, int], None]:
    """fallocate(2) with FALLOC_FL_PUNCH_HOLE and FALLOC_FL_KEEP_SIZE; a file system without holes answers an error."""
    if not sys.platform.startswith("linux"):
        return lambda _file, _offset, _length: None
    function = ctypes.CDLL(None).fallocate
    function.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)

    def punch(file: int, offset: int, length: int) -> None:
        function(file, 0x01 | 0x02, offset, length)

    return punch


class ZeroFile(BlobFile):
    """Zeros of any length, without a file."""

    def read_at(self, offset: int, length: int) -> bytes:
        """See `BlobFile.read_at`."""
        return bytes(length)


class FileRange:
    """Bytes of a shared file that are given back when nothing refers to them any more. A copy of it is itself."""

    __slots__ = ("_file", "_length", "_offset")

    def __init__(self, file: BlobFile, offset: int, length: int) -> None:
        self._file, self._offset, self._length = file, offset, length

    def read_at(self, offset: int, length: int) -> bytes:
        """See `BlobFile.read_at`; `offset` counts from the range's begin."""
        return self._file.read_at(self._offset + offset, length)

    def __copy__(self) -> FileRange:
        return self

    def __deepcopy__(self, memo: object) -> FileRange:
        return self

    def __del__(self) -> None:
        self._file.discard(self._offset, self._length)


class SharedFiles:
    """The file that large bytes go to now: ten thousand objects must not need as many descriptors."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # the ranges in it keep it open, and nothing else
        self._now: Callable[[], BlobFile | None] = lambda: None

    def keep(self, data: bytes | memoryview) -> FileRange:
        """Write `data`."""
        with self._lock:
            file = self._now()
            if file is None or file.size >= _FULL:
                file = BlobFile()
                self._now = weakref.ref(file)
        return FileRange(file, *file.append(data))
