"""A row of bits: as much memory for one that is full of runs as for an empty one, an eighth of a byte for each."""

from __future__ import annotations

import re
from collections.abc import Iterator

_RUN = re.compile(rb"\xff+|[^\x00\xff]")
#: bytes that are set, and counted, at once: temporary memory
_PIECE = 1 << 20
_ONES, _ZEROS = b"\xff" * _PIECE, bytes(_PIECE)


class Bits:
    """`count` bits, all 0. Bit n is bit ``n % 8``, the lowest first, of byte ``n // 8`` of `raw`."""

    __slots__ = ("raw",)

    def __init__(self, count: int) -> None:
        self.raw = bytearray(-(-count // 8))

    def __getitem__(self, index: int) -> bool:
        return bool(self.raw[index >> 3] & 1 << (index & 7))

    def fill(self, first: int, stop: int, *, value: bool) -> None:
        """Set bits `first` up to `stop`."""
        if first >= stop:
            return
        head, tail = first >> 3, stop >> 3
        if head == tail:
            self._mask(head, ((1 << (stop - first)) - 1) << (first & 7), value=value)
            return
        self._mask(head, 0xFF & (0xFF << (first & 7)), value=value)
        piece = memoryview(_ONES if value else _ZEROS)
        for at in range(head + 1, tail, _PIECE):
            end = min(tail, at + _PIECE)
            self.raw[at:end] = piece[: end - at]
        if stop & 7:
            self._mask(tail, (1 << (stop & 7)) - 1, value=value)

    def count(self) -> int:
        """How many are set."""
        pieces = (self.raw[at : at + _PIECE] for at in range(0, len(self.raw), _PIECE))
        return sum(int.from_bytes(piece, "little").bit_count() for piece in pieces)

    def runs(self, first: int, stop: int) -> Iterator[tuple[int, int]]:
        """Runs of set bits in bytes `first` to `stop`, as (first bit, bit after); those of neighbouring bytes touch."""
        for run in _RUN.finditer(self.raw, first, stop):
            at, byte = run.start() * 8, self.raw[run.start()]
            if byte == 0xFF:
                yield at, run.end() * 8
                continue
            for bit in range(8):
                if byte >> bit & 1:
                    yield at + bit, at + bit + 1

    def _mask(self, at: int, mask: int, *, value: bool) -> None:
        self.raw[at] = self.raw[at] | mask if value else self.raw[at] & ~mask
