"""Runs into extents: what every format's `extents()` ends with, and the zeros that holes read as."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from vmie.model import Extent, ExtentKind

#: One block of zeros to slice from.
_ZEROS = bytes(1 << 20)


def coalesced(runs: Iterable[tuple[int, ExtentKind]], size: int) -> Iterator[Extent]:
    """Extents of a disk of `size` bytes from (length, kind) runs that follow each other from byte 0.

    Equal neighbours become one, empty runs vanish, what passes `size` is cut off, and what the runs leave
    uncovered is a hole. Holds one extent at a time, so the whole is as lazy as `runs`.
    """
    start = position = 0
    current: ExtentKind | None = None
    for length, kind in runs:
        if length <= 0:
            continue
        if kind is not current:
            if current is not None and position > start:
                yield Extent(start, position - start, current)
            start, current = position, kind
        position = min(position + length, size)
        if position == size:
            break
    if position < size and current is not ExtentKind.HOLE:
        if current is not None and position > start:
            yield Extent(start, position - start, current)
        start, current = position, ExtentKind.HOLE
    if current is not None and size > start:
        yield Extent(start, size - start, current)


def zeros(length: int) -> bytes:
    """`length` zero bytes; small ones without a new allocation of pages to clear."""
    return _ZEROS[:length] if length <= len(_ZEROS) else bytes(length)
