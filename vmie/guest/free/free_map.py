"""The free granules of one disk as bits: as much memory for a disk full of fragments as for an empty one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from vmie.guest.free.ranges import GRANULE, Range, joined

_RUN = re.compile(rb"\xff+|[^\x00\xff]")


@dataclass(frozen=True, slots=True)
class FreeSpace:
    """Of one disk. Bit n of `granules`, lowest first, is set where the 64 KiB from ``n * GRANULE`` on are free.

    `unknown`: (where, why) of what counts as in use because it cannot be told.
    """

    granules: bytes = b""
    unknown: tuple[tuple[str, str], ...] = ()

    @property
    def size(self) -> int:
        """Bytes that are free."""
        return int.from_bytes(self.granules, "little").bit_count() * GRANULE

    def ranges(self) -> Iterator[Range]:
        """The free ranges in bytes: sorted, none touches another."""
        return joined(_runs(self.granules))

    def within(self, start: int, end: int) -> Iterator[Range]:
        """What of ``[start, end)`` is free, in bytes: sorted, none touches another."""
        first = start // GRANULE // 8
        base = first * 8 * GRANULE
        for one, other in joined(_runs(self.granules[first : -(-end // (8 * GRANULE))])):
            found = max(start, base + one), min(end, base + other)
            if found[0] < found[1]:
                yield found

    def covers(self, start: int, end: int) -> bool:
        """Whether all of ``[start, end)`` is free."""
        return next(self.within(start, end), None) == (start, end)


class FreeMap:
    """A `FreeSpace` while it is made; `size` is the disk's in bytes."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._bits = bytearray(-(-size // (8 * GRANULE)))
        self.unknown: list[tuple[str, str]] = []

    def add(self, start: int, end: int) -> None:
        """``[start, end)`` is free: each granule that lies in it whole."""
        first, stop = -(-start // GRANULE), min(end, self.size) // GRANULE
        if first < stop:
            self._fill(first, stop, free=True)

    def remove(self, start: int, end: int) -> None:
        """``[start, end)`` is in use: each granule that it touches."""
        first, stop = max(0, start) // GRANULE, -(-min(end, self.size) // GRANULE)
        if first < stop:
            self._fill(first, stop, free=False)

    def done(self) -> FreeSpace:
        """What was found."""
        return FreeSpace(bytes(self._bits), tuple(self.unknown))

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


def _runs(bits: bytes) -> Iterator[Range]:
    """Runs of set bits as ranges of bytes of the disk; those of neighbouring bytes may touch."""
    for run in _RUN.finditer(bits):
        at = run.start() * 8
        if bits[run.start()] == 0xFF:
            yield at * GRANULE, run.end() * 8 * GRANULE
            continue
        byte = bits[run.start()]
        for bit in range(8):
            if byte >> bit & 1:
                yield (at + bit) * GRANULE, (at + bit + 1) * GRANULE
