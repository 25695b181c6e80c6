"""Extents of a VMDK that need no tables: a range of a file, and a range of zeros."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from vmie.disk.base import Source
from vmie.disk.extents import zeros
from vmie.disk.holes import file_allocated, file_runs
from vmie.disk.reading import read_exact, truncated
from vmie.model import ExtentKind


class VmdkPart(Protocol):
    """A stretch of a disk: what the kinds of extent have in common; `size` in bytes."""

    size: int

    def allocated(self, *, counted: bool) -> int:
        """Bytes stored, counted exactly if asked."""

    def read(self, offset: int, length: int) -> bytes:
        """See `SparseExtent.read`."""

    def runs(self) -> Iterator[tuple[int, ExtentKind]]:
        """Length and kind of each run, in order."""


class FlatExtent:
    """A range of a file, as it stands."""

    def __init__(self, source: Source, *, offset: int, size: int) -> None:
        if offset + size > source.size:
            raise truncated(source, offset + size, what="flat extent")
        self._source = source
        self._offset = offset
        self.size = size

    def allocated(self, *, counted: bool) -> int:
        """At most what the file system stores of the file."""
        del counted
        return min(self.size, file_allocated(self._source))

    def read(self, offset: int, length: int) -> bytes:
        """See `SparseExtent.read`."""
        return read_exact(self._source, self._offset + offset, length, what="flat extent")

    def runs(self) -> Iterator[tuple[int, ExtentKind]]:
        """The file's own holes."""
        return file_runs(self._source, self._offset, self.size)


class ZeroExtent:
    """A range that no file backs."""

    def __init__(self, size: int) -> None:
        self.size = size

    def allocated(self, *, counted: bool) -> int:
        """Nothing."""
        del counted
        return 0

    def read(self, offset: int, length: int) -> bytes:
        """Zeros."""
        del offset
        return zeros(length)

    def runs(self) -> Iterator[tuple[int, ExtentKind]]:
        """One hole."""
        yield self.size, ExtentKind.HOLE
