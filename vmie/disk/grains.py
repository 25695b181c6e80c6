"""The grains of a stream-optimised VMDK in the order of the file: seen through as its bytes pass by.

    tables ──► where grains begin, a stretch of the file at a time ──► GrainCheck of one part
    part's bytes, in pieces ──► GrainCheck ──► each grain is the one that the tables mean, and unpacks

Every entry of the tables is met once: an entry's grain lies in one part, and its marker must name the entry again.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from itertools import pairwise

from vmie.disk import vmdk_layout as layout
from vmie.disk.base import SECTOR
from vmie.disk.reading import damaged
from vmie.disk.vmdk_sparse import SparseExtent

#: A stretch of the file whose grains are listed at once; in a larger file a sixteenth of it.
_STRETCH = 4 << 30
_STRETCHES = 16


class GrainIndex:
    """Where the grains of one compressed extent begin; `base` is where the extent itself begins in the file."""

    def __init__(self, extent: SparseExtent, *, base: int = 0) -> None:
        self._extent = extent
        self._base = base
        self._stretch = max(_STRETCH, extent.source.size // _STRETCHES)
        self._listed = range(0)
        self._sectors: array[int] = array("I")
        #: of each grain table: the first and the last sector of its grains, and which it is
        self._spans = [span for index, offset in enumerate(extent.directory) if (span := self._span(index, offset))]

    def part(self, start: int, end: int) -> GrainCheck:
        """What to check of bytes ``[start, end)`` of the file; asked for in the file's order. Raises ImageError."""
        sectors = array("I")
        first, last = (max(0, -(-(at - self._base) // SECTOR)) for at in (start, end))
        while first < last:
            if first not in self._listed:
                self._list(first)
            stop = min(last, self._listed.stop)
            sectors += self._sectors[bisect_left(self._sectors, first) : bisect_left(self._sectors, stop)]
            first = stop
        return GrainCheck(self._extent, self._base, sectors)

    def _span(self, index: int, offset: int) -> tuple[int, int, int] | None:
        if not offset:
            return None
        used = list(self._used(index, offset))
        return (min(used), max(used), index) if used else None

    def _used(self, index: int, offset: int) -> Iterator[int]:
        """The sectors of the grains of one table; entries beyond the disk's end are never used."""
        extent = self._extent
        table = extent.entries_of(extent.load_table(offset))
        left = -(-extent.size // extent.grain) - index * len(table)
        least = layout.GTE_ZEROED if extent.zeroed else 0
        return (sector for sector in table[:left] if sector > least)

    def _list(self, first: int) -> None:
        """List the grains that begin from sector `first` on."""
        self._listed = range(first, first + self._stretch // SECTOR)
        found: list[int] = []
        for low, high, index in self._spans:
            if low < self._listed.stop and high >= first:
                found += (one for one in self._used(index, self._extent.directory[index]) if one in self._listed)
        found.sort()
        if len(set(found)) != len(found):
            twice = next(one for one, other in pairwise(found) if one == other)
            raise damaged(self._extent.source, f"two entries of its grain tables name the grain at sector {twice:,}")
        self._sectors = array("I", found)


class GrainCheck:
    """The grains that begin in one part of the file."""

    def __init__(self, extent: SparseExtent, base: int, sectors: array[int]) -> None:
        self._extent = extent
        self._base = base
        self._sectors = sectors

    def __call__(self, at: int, piece: memoryview) -> None:
        """Check those that begin in `piece`, which lies at byte `at` of the file. Raises ImageError."""
        first, last = (-(-(place - self._base) // SECTOR) for place in (at, at + len(piece)))
        for sector in self._sectors[bisect_left(self._sectors, first) : bisect_left(self._sectors, last)]:
            self._extent.check_grain(sector * SECTOR, piece[self._base + sector * SECTOR - at :])
