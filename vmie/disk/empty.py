"""A disk that is all zeros and lies in no file: what an appliance's descriptor asks to be created."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vmie.disk.base import Disk
from vmie.disk.extents import zeros
from vmie.disk.reading import within
from vmie.model import Extent, ExtentKind


class _Nothing:
    """The source of such a disk: no bytes, only a name for messages."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.path: Path | None = None
        self.size = 0

    def pread(self, offset: int, length: int) -> bytes:
        """Nothing."""
        del offset, length
        return b""

    def close(self) -> None:
        """Nothing to close."""


class EmptyDisk(Disk):
    """`size` bytes of zeros."""

    format = "raw"
    variant = "empty"

    def __init__(self, size: int, *, name: str) -> None:
        super().__init__(_Nothing(name))
        self.size = size
        self.allocated_size = 0

    def read(self, offset: int, length: int) -> bytes:
        """See `Disk.read`."""
        return zeros(within(offset, length, self.size))

    def extents(self) -> Iterator[Extent]:
        """One hole."""
        if self.size:
            yield Extent(0, self.size, ExtentKind.HOLE)
