"""The free granules of one disk as bits: as much memory for a disk full of fragments as for an empty one.

The larger the disk, the larger a granule: 32 MiB of bits hold 1 TiB in 4 KiB, or 16 TiB in 64 KiB.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from vmie.guest.free.bits import Bits
from vmie.guest.free.ranges import Range, joined

#: bytes of a granule, and the largest disk that is told apart by it: a small /boot has blocks of 1 KiB
_FINE = ((1 << 10, 128 << 30), (4 << 10, 1 << 40))
COARSE = 64 << 10


@dataclass(frozen=True, slots=True)
class FreeSpace:
    """Of one disk. Bit n of `granules` is set where `granule` bytes from ``n * granule`` are free.

    `unknown`: (where, why) of what counts as in use because it cannot be told.
    """

    granules: Bits = field(default_factory=lambda: Bits(0))
    unknown: tuple[tuple[str, str], ...] = ()
    granule: int = COARSE

    @property
    def size(self) -> int:
        """Bytes that are free."""
        return self.granules.count() * self.granule

    def ranges(self) -> Iterator[Range]:
        """The free ranges in bytes: sorted, none touches another."""
        return joined(self._runs(0, len(self.granules.raw)))

    def within(self, start: int, end: int) -> Iterator[Range]:
        """What of ``[start, end)`` is free, in bytes: sorted, none touches another."""
        step = 8 * self.granule
        for one, other in joined(self._runs(start // step, -(-end // step))):
            found = max(start, one), min(end, other)
            if found[0] < found[1]:
                yield found

    def covers(self, start: int, end: int) -> bool:
        """Whether all of ``[start, end)`` is free."""
        return next(self.within(start, end), None) == (start, end)

    def _runs(self, first: int, stop: int) -> Iterator[Range]:
        return ((one * self.granule, other * self.granule) for one, other in self.granules.runs(first, stop))


class FreeMap:
    """A `FreeSpace` while it is made; `size` is the disk's in bytes."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.granule = next((granule for granule, most in _FINE if size <= most), COARSE)
        self._bits = Bits(-(-size // self.granule))
        self.unknown: list[tuple[str, str]] = []

    def add(self, start: int, end: int) -> None:
        """``[start, end)`` is free: each granule that lies in it whole."""
        self._bits.fill(-(-start // self.granule), min(end, self.size) // self.granule, value=True)

    def remove(self, start: int, end: int) -> None:
        """``[start, end)`` is in use: each granule that it touches."""
        self._bits.fill(max(0, start) // self.granule, -(-min(end, self.size) // self.granule), value=False)

    def done(self) -> FreeSpace:
        """What was found; nothing is added any more."""
        return FreeSpace(self._bits, tuple(self.unknown), self.granule)
