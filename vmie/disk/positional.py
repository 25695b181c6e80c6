"""Reads and writes at a place in an open file, on every system; thread-safe.

Windows has no `pread` and `pwrite`: there a lock holds the file's own position meanwhile.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

#: flags for `os.open`, 0 where the system has no such thing. Windows would translate line ends without O_BINARY
BINARY: int = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
NONBLOCK: int = getattr(os, "O_NONBLOCK", 0)
NOFOLLOW: int = getattr(os, "O_NOFOLLOW", 0)

_POSITION = threading.Lock()


def _seek_and_read(file: int, length: int, offset: int, /) -> bytes:
    with _POSITION:
        os.lseek(file, offset, os.SEEK_SET)
        return os.read(file, length)


def _seek_and_write(file: int, data: bytes | memoryview, offset: int, /) -> int:
    with _POSITION:
        os.lseek(file, offset, os.SEEK_SET)
        return os.write(file, data)


pread: Callable[[int, int, int], bytes] = getattr(os, "pread", _seek_and_read)
pwrite: Callable[[int, bytes | memoryview, int], int] = getattr(os, "pwrite", _seek_and_write)
