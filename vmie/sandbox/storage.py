"""Where the sandbox keeps bytes: in memory while small, in unnamed files when large.

moto keeps every part of an upload in a file of its own, joins them in memory to complete it, and
reads a whole object to answer a range of it. A gigabyte disk then costs gigabytes of memory and a
download is quadratic. Here large bytes lie in a few files that all objects share, an object *is* a
list of ranges of them, and reads are positional: one writing, no copying, no lock. A range whose last
object goes gives its space back at once.
"""

from __future__ import annotations

import hashlib
import io
import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

from vmie.disk.base import SECTOR, Disk
from vmie.model import Extent, ExtentKind
from vmie.sandbox.files import BlobFile, FileRange, SharedFiles, ZeroFile

__all__ = [
    "IN_MEMORY",
    "Blob",
    "BlobFile",
    "BlobReader",
    "BlobWriter",
    "LazyBytes",
    "SparseDisk",
    "ZeroFile",
    "boot_sector",
]

IN_MEMORY = 1 << 20
#: bytes that are read or written at once
CHUNK = 8 << 20

_shared = SharedFiles()


class Blob:
    """An object's bytes, immutable: a list of ranges of files and of byte strings.

    Also a `vmie.disk.base.Source`: positional, thread-safe. `close` does nothing, for the bytes live
    as long as a reference does, even when the S3 object is deleted. A copy of it is itself.
    """

    def __init__(self, pieces: Iterable[tuple[BlobFile | FileRange | bytes, int, int]], *, name: str = "") -> None:
        self._pieces = list(pieces)
        self._ends = list(accumulate(length for _, _, length in self._pieces))
        self.size = self._ends[-1] if self._ends else 0
        self.name = name
        self.path: Path | None = None
        self._md5 = ""

    @classmethod
    def of(cls, data: bytes | memoryview, *, file: BlobFile | None = None) -> Blob:
        """Keep `data`: in `file` where one is given, else in memory or in a file that large bytes share."""
        if file is not None:
            return cls([(file, *file.append(data))])
        if len(data) <= IN_MEMORY:
            return cls([(bytes(data), 0, len(data))])
        return cls([(_shared.keep(data), 0, len(data))])

    @classmethod
    def of_file(cls, file: BlobFile) -> Blob:
        """All that was written to `file`."""
        return cls([(file, 0, file.size)])

    @classmethod
    def joined(cls, parts: Iterable[Blob]) -> Blob:
        """The parts one after the other, without copying."""
        return cls(piece for part in parts for piece in part._pieces)  # noqa: SLF001

    def named(self, name: str) -> Blob:
        """The same bytes under another `name` for messages."""
        same = Blob(self._pieces, name=name)
        same._md5 = self._md5
        return same

    def slice(self, offset: int, length: int) -> Blob:
        """The bytes from `offset` on, `length` or fewer of them, without copying."""
        return Blob(self._cut(offset, length))

    def pread(self, offset: int, length: int) -> bytes:
        """See `vmie.disk.base.Source.pread`."""
        out = [
            bytes(holder[at : at + size]) if isinstance(holder, bytes) else holder.read_at(at, size)
            for holder, at, size in self._cut(offset, length)
        ]
        return out[0] if len(out) == 1 else b"".join(out)

    def _cut(self, offset: int, length: int) -> Iterator[tuple[BlobFile | FileRange | bytes, int, int]]:
        offset, end = max(0, offset), min(self.size, max(0, offset) + length)
        for index in range(bisect_right(self._ends, offset), len(self._pieces)):
            if offset >= end:
                return
            holder, start, size = self._pieces[index]
            begin = self._ends[index] - size
            take = min(end, self._ends[index]) - offset
            if take > 0:
                yield holder, start + offset - begin, take
                offset += take

    def ranges(self) -> Iterator[tuple[int, int]]:
        """(offset, length) of all but the pieces that are zeros by their kind."""
        for (holder, _, size), end in zip(self._pieces, self._ends, strict=True):
            if size and not isinstance(holder, ZeroFile):
                yield end - size, size

    def chunks(self) -> Iterator[bytes]:
        """All bytes, a few MiB at a time."""
        for offset in range(0, self.size, CHUNK):
            yield self.pread(offset, CHUNK)

    def md5(self) -> str:
        """The ETag of an object uploaded in one piece, without quotes."""
        if not self._md5:
            digest = hashlib.md5(usedforsecurity=False)
            for chunk in self.chunks():
                digest.update(chunk)
            self._md5 = digest.hexdigest()
        return self._md5

    def close(self) -> None:
        """Nothing: see the class."""

    def __copy__(self) -> Blob:
        return self

    def __deepcopy__(self, memo: object) -> Blob:
        return self

    def __reduce__(self) -> tuple[Any, tuple[bytes]]:
        return Blob.of, (self.pread(0, self.size),)


class BlobWriter:
    """Takes bytes as they come and keeps them as `Blob.of` would; `md5` is fed with them on the way."""

    def __init__(self) -> None:
        self._pieces: list[tuple[BlobFile | FileRange | bytes, int, int]] = []
        self._buffer = bytearray()
        self.md5 = hashlib.md5(usedforsecurity=False)
        self.size = 0

    def write(self, data: bytes) -> None:
        """More bytes at the end."""
        self.md5.update(data)
        self.size += len(data)
        self._buffer += data
        if len(self._buffer) >= CHUNK:
            self._flush()

    def blob(self) -> Blob:
        """What was written."""
        if self.size <= IN_MEMORY:
            made = Blob.of(bytes(self._buffer))
        else:
            self._flush()
            made = Blob(self._pieces)
        made._md5 = self.md5.hexdigest()  # noqa: SLF001
        return made

    def _flush(self) -> None:
        if self._buffer:
            with memoryview(self._buffer) as view:
                self._pieces.append((_shared.keep(view), 0, len(view)))
            self._buffer = bytearray()


class LazyBytes(bytes):
    """Stands for an object's whole bytes, and reads only what is taken.

    It is empty for whatever looks at its memory (hashing, joining, writing to a socket): only code that is known to
    take its length, slices or `stored` may be given one.
    """

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

    def __getitem__(self, key: object) -> LazyBytes:  # type: ignore[override]
        if not isinstance(key, slice):
            raise TypeError("only slices are read")
        start, stop, step = key.indices(self.stored.size)
        if step != 1:
            raise TypeError("only whole slices are read")
        return LazyBytes.of(self.stored.slice(start, stop - start))

    def whole(self) -> bytes:
        """All of it, in memory."""
        return self.stored.pread(0, self.stored.size)

    def __reduce__(self) -> tuple[Any, tuple[bytes]]:
        return bytes, (self.whole(),)


class BlobReader(io.RawIOBase):
    """A `Blob` as a file to be read once, and as botocore reads an HTTP response."""

    def __init__(self, stored: Blob) -> None:
        super().__init__()
        self._stored = stored
        self._at = 0

    def readable(self) -> bool:
        """See `io.RawIOBase`."""
        return True

    def read(self, size: int | None = -1) -> bytes:
        """The next `size` bytes, or all that are left."""
        data = self._stored.pread(self._at, self._stored.size if size is None or size < 0 else size)
        self._at += len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        """See `io.RawIOBase`."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def stream(self, amt: int | None = CHUNK, **_: Any) -> Iterator[bytes]:
        """See `urllib3.HTTPResponse`."""
        while data := self.read(amt):
            yield data


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
