"""A disk that lives in a test: pieces of data in a void of any size, and a record of what was read."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator, Mapping

from vmie.disk.base import Disk, ObjectSource
from vmie.errors import ImageError
from vmie.model import Extent, ExtentKind

KIB = 1024
MIB = 1024**2
GIB = 1024**3
TIB = 1024**4


class MemoryDisk(Disk):
    """`pieces` maps offsets to data; they must not overlap. Everything else is a hole."""

    format = "memory"
    variant = "pieces"

    def __init__(self, size: int, pieces: Mapping[int, bytes], *, holes: bool = True, broken_at: int = -1) -> None:
        super().__init__(ObjectSource(io.BytesIO(b"\0"), name="a disk in memory"))
        self.size = size
        self.allocated_size = sum(map(len, pieces.values())) if holes else size
        self._pieces = sorted((offset, data[: size - offset]) for offset, data in pieces.items() if offset < size)
        self._holes = holes
        self._broken_at = broken_at
        self.reads: list[tuple[int, int]] = []

    def read(self, offset: int, length: int) -> bytes:
        end = min(offset + length, self.size)
        self.reads.append((offset, end))
        if offset <= self._broken_at < end:
            raise ImageError(f"a disk in memory is damaged at {self._broken_at}")
        out = bytearray(max(0, end - offset))
        for start, data in self._pieces:
            first, last = max(offset, start), min(end, start + len(data))
            if first < last:
                out[first - offset : last - offset] = data[first - start : last - start]
        return bytes(out)

    def extents(self) -> Iterator[Extent]:
        if not self._holes:
            yield Extent(0, self.size, ExtentKind.ALLOCATED)
            return
        position = 0
        for start, data in self._pieces:
            if start > position:
                yield Extent(position, start - position, ExtentKind.HOLE)
            if data:
                yield Extent(start, len(data), ExtentKind.ALLOCATED)
            position = max(position, start + len(data))
        if position < self.size:
            yield Extent(position, self.size - position, ExtentKind.HOLE)

    def bytes_read(self) -> int:
        """How much was asked for in all."""
        return sum(end - offset for offset, end in self.reads)


def noise(length: int, *, seed: int = 1) -> bytes:
    """Bytes that do not compress."""
    return random.Random(seed).randbytes(length)


def prose(length: int) -> bytes:
    """Bytes that compress well."""
    return (b"grain tables hold the sector of every grain that is not zero\n" * (length // 60 + 1))[:length]
