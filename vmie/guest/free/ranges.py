"""Ranges of free bytes, out of bitmaps and lists."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache

#: ``(start, end)`` in bytes
Range = tuple[int, int]

_UNITS = 8
#: the runs of bits that are 0, for each byte: (first, stop)
_FREE_BITS = tuple(
    tuple((run.start(), run.end()) for run in re.finditer("0+", f"{byte:08b}"[::-1])) for byte in range(256)
)
_NOT_FULL = re.compile(rb"\x00+|[^\x00\xff]")


class NotKnown(Exception):  # noqa: N818 - the volume is as good as any, only its free space is not to be relied on
    """What is free cannot be told; `str` says why."""


def of_bitmap(bitmap: bytes, *, count: int, unit: int, at: int, least: int) -> Iterator[Range]:
    """Runs of free units: bit n of `bitmap`, 0 when free, stands for ``[at + n*unit, at + (n+1)*unit)``.

    Only the first `count` bits say anything. Every range of `least` bytes is found; neighbours may touch.
    """
    whole = (least // unit - 7) // _UNITS
    if whole < 1:
        yield from _every(bitmap, count=count, unit=unit, at=at)
        return
    for run in _zero_bytes(whole).finditer(bitmap, 0, count // _UNITS):
        first, stop = run.start() * _UNITS, run.end() * _UNITS
        if run.start():
            first -= _UNITS - bitmap[run.start() - 1].bit_length()
        if run.end() < len(bitmap):
            following = bitmap[run.end()]
            stop = min(count, stop + (following & -following).bit_length() - 1) if following else count
        yield at + first * unit, at + stop * unit


def _every(bitmap: bytes, *, count: int, unit: int, at: int) -> Iterator[Range]:
    for run in _NOT_FULL.finditer(bitmap, 0, -(-count // _UNITS)):
        first = run.start() * _UNITS
        if not bitmap[run.start()]:
            yield at + first * unit, at + min(count, run.end() * _UNITS) * unit
            continue
        for begin, stop in _FREE_BITS[bitmap[run.start()]]:
            if first + begin < count:
                yield at + (first + begin) * unit, at + min(count, first + stop) * unit


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
