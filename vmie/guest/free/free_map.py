"""The free granules of one disk as bits: as much memory for a disk full of fragments as for an empty one.

The larger the disk, the larger a granule: 32 MiB of bits hold 1 TiB in 4 KiB, or 16 TiB in 64 KiB.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from vmie.guest.free.ranges import Range, joined

#: bytes of a granule, and the largest disk that is told apart by it: a small /boot has blocks of 1 KiB
_FINE = ((1 << 10, 128 << 30), (4 << 10, 1 << 40))
COARSE = 64 << 10

_RUN = re.compile(rb"\xff+|[^\x00\xff]")


@dataclass(frozen=True, slots=True)
class FreeSpace:
    """Of one disk. Bit n of `granules`, lowest first, is set where `granule` bytes from ``n * granule`` are free.

    `unknown`: (where, why) of what counts as in use because it cannot be told.
    """

    granules: bytes = b""
    unknown: tuple[tuple[str, str], ...] = ()
    granule: int = COARSE

    @property
    def size(self) -> int:
        """Bytes that are free."""
        return int.from_bytes(self.granules, "little").bit_count() * self.granule

    def ranges(self) -> Iterator[Range]:
        """The free ranges in bytes: sorted, none touches another."""
        return joined(self._runs(0, len(self.granules)))

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
        """Runs of set bits in bytes `first` to `stop` as ranges of the disk; those of neighbouring bytes may touch."""
        for run in _RUN.finditer(self.granules, first, stop):
            at, byte = run.start() * 8, self.granules[run.start()]
            if byte == 0xFF:
                yield at * self.granule, run.end() * 8 * self.granule
                continue
            for bit in range(8):
                if byte >> bit & 1:
                    yield (at + bit) * self.granule, (at + bit + 1) * self.granule


class FreeMap:
    """A `FreeSpace` while it is made; `size` is the disk's in bytes."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.granule = next((granule for granule, most in _FINE if size <= most), COARSE)
        self._bits = bytearray(-(-size // (8 * self.granule)))
        self.unknown: list[tuple[str, str]] = []

    def add(self, start: int, end: int) -> None:
        """``[start, end)`` is free: each granule that lies in it whole."""
        first, stop = -(-start // self.granule), min(end, self.size) // self.granule
        if first < stop:
            self._fill(first, stop, free=True)

    def remove(self, start: int, end: int) -> None:
        """``[start, end)`` is in use: each granule that it touches."""
        first, stop = max(0, start) // self.granule, -(-min(end, self.size) // self.granule)
        if first < stop:
            self._fill(first, stop, free=False)

    def done(self) -> FreeSpace:
        """What was found."""
        return FreeSpace(bytes(self._bits), tuple(self.unknown), self.granule)

    def _fill(self, first: int, stop: int, *, free: bool) -> None:
        head, tail = first >> 3, stop >> 3
        if head == tail:
            self._mask(head, ((1 << (stop - first)) - 1) << (first & 7), free=free)
            return
        self._mask(head, 0xFF & (0xFF << (first & 7)), free=free)
        self._bits[head + 1 : tail] = (b"\xff" if free else b"\0") * (tail - head - 1)
        if stop & 7:
            self._mask(tail, (1 << (stop & 7)) - 1, free=free)

    def _mask(self, at: int, mask: int, *, free: bool) -> None:
        self._bits[at] = self._bits[at] | mask if free else self._bits[at] & ~mask
