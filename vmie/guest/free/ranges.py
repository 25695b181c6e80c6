"""Ranges of free bytes, out of bitmaps and lists."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

#: ``(start, end)`` in bytes
Range = tuple[int, int]

_ZERO_BYTES = re.compile(rb"\x00+")
#: a whole byte of a bitmap in which no bit is set
_UNITS = 8


class NotKnown(Exception):  # noqa: N818 - the volume is as good as any, only its free space is not to be relied on
    """What is free cannot be told; `str` says why."""


def of_bitmap(bitmap: bytes, *, count: int, unit: int, at: int) -> Iterator[Range]:
    """Runs of at least eight free units: bit n of `bitmap`, 0 when free, stands for ``[at + n*unit, at + (n+1)*unit)``.

    Only the first `count` bits say anything. Whole bytes are looked at: a gigabyte has its answer in milliseconds.
    """
    for run in _ZERO_BYTES.finditer(bitmap, 0, count // _UNITS):
        yield at + run.start() * _UNITS * unit, at + run.end() * _UNITS * unit


def set_bits(bitmap: bytes, count: int) -> int:
    """How many of the first `count` bits are set."""
    whole, rest = divmod(count, 8)
    used = int.from_bytes(bitmap[:whole], "little").bit_count()
    return used + (bitmap[whole] & ((1 << rest) - 1)).bit_count() if rest else used


def merged(ranges: Iterable[Range], *, least: int = 1) -> list[Range]:
    """Sorted, those that touch joined, those shorter than `least` bytes left out."""
    out: list[Range] = []
    for start, end in sorted(ranges):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(end, out[-1][1]))
        else:
            out.append((start, end))
    return [one for one in out if one[1] - one[0] >= least]


def without(free: Range, used: Iterable[Range]) -> Iterator[Range]:
    """What of `free` is left beside the sorted ranges `used`."""
    start, end = free
    for first, last in used:
        if first >= end:
            break
        if last <= start:
            continue
        if first > start:
            yield start, first
        start = max(start, last)
    if start < end:
        yield start, end
