"""Where the sandbox keeps bytes: in memory while small, in an unnamed file when large.

moto keeps every part of an upload in a file of its own, joins them in memory to complete it, and
reads a whole object to answer a range of it. A gigabyte disk then costs gigabytes of memory and a
download is quadratic. Here the parts of an upload share one file, the object *is* their list of
ranges, and reads are positional: one writing, no copying, no lock.
"""

from __future__ import annotations

import hashlib
import os
import struct
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from vmie.disk.base import SECTOR, Disk
from vmie.model import Extent, ExtentKind

IN_MEMORY = 1 << 20
_COPY = 8 << 20


class BlobFile:
    """An unnamed, append-only temporary file, closed with its last reference."""

    def __init__(self) -> None:
        self._fd, path = tempfile.mkstemp(prefix="vmie-sandbox-")
        Path(path).unlink()
        self._end = 0
        self._lock = threading.Lock()

    def append(self, data: bytes | memoryview) -> tuple[int, int]:
        """Write `data` at the end; returns its offset and length."""
        with self._lock:
            offset, self._end = self._end, self._end + len(data)
        self.write_at(offset, data)
        return offset, len(data)

    def write_at(self, offset: int, data: bytes | memoryview) -> None:
        """Write all of `data` at `offset`; a gap before it reads as zeros and takes no space."""
        view = memoryview(data)
        while view:
            done = os.pwrite(self._fd, view, offset)
            view, offset = view[done:], offset + done
        with self._lock:
            self._end = max(self._end, offset)

    def extend(self, size: int) -> None:
        """Make the file at least `size` bytes long."""
        with self._lock:
            if size > self._end:
                os.ftruncate(self._fd, size)
                self._end = size

    def read_at(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`, fewer at the end."""
        parts = []
        while length > 0 and (data := os.pread(self._fd, min(length, 1 << 30), offset)):
            parts.append(data)
            offset, length = offset + len(data), length - len(data)
        return b"".join(parts)

    def all(self) -> Blob:
        """The whole file as an object's bytes."""
        return Blob([(self, 0, self._end)])

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) >= 0:
            os.close(self._fd)
            self._fd = -1


class ZeroFile(BlobFile):
    """Zeros of any length, without a file."""

    def __init__(self) -> None:
        self._fd, self._end, self._lock = -1, 0, threading.Lock()

    def read_at(self, offset: int, length: int) -> bytes:
        """See `BlobFile.read_at`."""
        return bytes(length)


class Blob:
    """An object's bytes, immutable: a list of ranges of files and of byte strings.

    Also a `vmie.disk.base.Source`: positional, thread-safe. `close` does nothing, for the bytes live
    as long as a reference does, even when the S3 object is deleted.
    """

    def __init__(self, pieces: Iterable[tuple[BlobFile | bytes, int, int]], *, name: str = "") -> None:
        self._pieces = list(pieces)
        self.size = sum(length for _, _, length in self._pieces)
        self.name = name
        self.path: Path | None = None

    @classmethod
    def of(cls, data: bytes, *, file: BlobFile | None = None) -> Blob:
        """Keep `data`: in `file` where one is given, else in memory or in a file of its own."""
        if file is None and len(data) <= IN_MEMORY:
            return cls([(bytes(data), 0, len(data))])
        file = file or BlobFile()
        return cls([(file, *file.append(data))])

    @classmethod
    def joined(cls, parts: Iterable[Blob]) -> Blob:
        """The parts one after the other, without copying."""
        return cls(piece for part in parts for piece in part._pieces)  # noqa: SLF001

    def named(self, name: str) -> Blob:
        """The same bytes under another `name` for messages."""
        return Blob(self._pieces, name=name)

    def pread(self, offset: int, length: int) -> bytes:
        """See `vmie.disk.base.Source.pread`."""
        out = []
        for holder, start, size in self._pieces:
            if length <= 0:
                break
            if offset < size:
                take = min(length, size - offset)
                at = start + offset
                out.append(holder[at : at + take] if isinstance(holder, bytes) else holder.read_at(at, take))
                offset, length = 0, length - take
            else:
                offset -= size
        return out[0] if len(out) == 1 else b"".join(out)

    def chunks(self) -> Iterator[bytes]:
        """All bytes, a few MiB at a time."""
        for offset in range(0, self.size, _COPY):
            yield self.pread(offset, _COPY)

    def md5(self) -> str:
        """The ETag of an object uploaded in one piece, without quotes."""
        digest = hashlib.md5(usedforsecurity=False)
        for chunk in self.chunks():
            digest.update(chunk)
        return digest.hexdigest()

    def close(self) -> None:
        """Nothing: see the class."""


class LazyBytes(bytes):
    """Stands for an object's whole bytes, and reads only the slice that is taken."""

    stored: Blob

    @classmethod
    def of(cls, stored: Blob) -> LazyBytes:
        """Stand for `stored`."""
        lazy = cls()
        lazy.stored = stored
        return lazy

    def __len__(self) -> int:
        return self.stored.size

    def __bool__(self) -> bool:
        return self.stored.size > 0

    def __getitem__(self, key: object) -> bytes:  # type: ignore[override]
        if not isinstance(key, slice):
            raise TypeError("only slices are read")
        start, stop, step = key.indices(self.stored.size)
        if step != 1:
            raise TypeError("only whole slices are read")
        return self.stored.pread(start, stop - start)

    def whole(self) -> bytes:
        """All of it, in memory."""
        return self.stored.pread(0, self.stored.size)


class SparseDisk(Disk):
    """A disk of `size` bytes that is all zeros but for `head`; `allocated_size` bytes of it count as allocated."""

    format, variant = "raw", "sparse"

    def __init__(self, size: int, *, head: bytes = b"", allocated_size: int = 0) -> None:
        super().__init__(Blob([]))
        self.size, self.allocated_size = size, allocated_size
        self._head = head

    def read(self, offset: int, length: int) -> bytes:
        """See `Disk.read`."""
        length = max(0, min(length, self.size - offset))
        return self._head[offset : offset + length].ljust(length, b"\0")

    def extents(self) -> Iterator[Extent]:
        """See `Disk.extents`."""
        if self.allocated_size:
            yield Extent(0, self.allocated_size, ExtentKind.ALLOCATED)
        yield Extent(self.allocated_size, self.size - self.allocated_size, ExtentKind.HOLE)


def boot_sector(size: int, *, code: bytes = b"") -> bytes:
    """The first sector of a disk of `size` bytes: an MBR with one Linux partition from 1 MiB on."""
    count = min(size // SECTOR - 2048, 0xFFFFFFFF)
    entry = struct.pack("<B3sB3sII", 0x80, b"\xfe\xff\xff", 0x83, b"\xfe\xff\xff", 2048, count)
    return code.ljust(446, b"\0") + entry + bytes(48) + b"\x55\xaa"
