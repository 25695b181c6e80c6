"""Ranges of free bytes, out of bitmaps and lists."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache

#: ``(start, end)`` in bytes
Range = tuple[int, int]

#: bytes that are told apart: a free range counts where it covers one of them whole
GRANULE = 64 << 10
_UNITS = 8


class NotKnown(Exception):  # noqa: N818 - the volume is as good as any, only its free space is not to be relied on
    """What is free cannot be told; `str` says why."""


def of_bitmap(bitmap: bytes, *, count: int, unit: int, at: int) -> Iterator[Range]:
    """Runs of free units: bit n of `bitmap`, 0 when free, stands for ``[at + n*unit, at + (n+1)*unit)``.

    Only the first `count` bits say anything. A run is found where a whole byte of it is 0, and it can hold a granule:
    a gigabyte has its answer in milliseconds.
    """
    for run in _zero_bytes(max(1, (GRANULE // unit - 7) // _UNITS)).finditer(bitmap, 0, count // _UNITS):
        first, stop = run.start() * _UNITS, run.end() * _UNITS
        if run.start():
            first -= _UNITS - bitmap[run.start() - 1].bit_length()
        if run.end() < len(bitmap):
            following = bitmap[run.end()]
            stop = min(count, stop + (following & -following).bit_length() - 1) if following else count
        yield at + first * unit, at + stop * unit


@cache
def _zero_bytes(least: int) -> re.Pattern[bytes]:
    return re.compile(rb"\x00{%d,}" % least)


def set_bits(bitmap: bytes, count: int) -> int:
    """How many of the first `count` bits are set."""
    whole, rest = divmod(count, 8)
    used = int.from_bytes(bitmap[:whole], "little").bit_count()
    return used + (bitmap[whole] & ((1 << rest) - 1)).bit_count() if rest else used


def joined(ranges: Iterable[Range]) -> Iterator[Range]:
    """The same, those that follow each other without a gap as one."""
    held: Range | None = None
    for start, end in ranges:
        if held is not None and held[1] == start:
            held = held[0], end
            continue
        if held is not None:
            yield held
        held = start, end
    if held is not None:
        yield held


def merged(ranges: Iterable[Range]) -> list[Range]:
    """Sorted, those that touch joined."""
    out: list[Range] = []
    for start, end in sorted(ranges):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(end, out[-1][1]))
        else:
            out.append((start, end))
    return out


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
