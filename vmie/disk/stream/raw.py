"""Raw: the disk's bytes as they stand, as a stream with its zeros or as a file with holes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import BinaryIO

from vmie.disk.base import Disk
from vmie.disk.stream import spans
from vmie.disk.stream.parallel import ordered

CHUNK = 1 << 20

_HOLE = 64 * 1024
_ZERO_HOLE = bytes(_HOLE)


def check(disk: Disk) -> None:
    """Raise ImageError for a disk of no bytes; raw holds every other."""
    spans.refuse_empty(disk)


def upper_bound(disk: Disk) -> int:
    """The exact length of the stream."""
    return disk.size


def stream(
    disk: Disk, *, workers: int | None = None, progress: Callable[[int], None] = lambda _: None
) -> Iterator[bytes]:
    """The disk in pieces of at most 1 MiB, zeros included. `progress` gets the bytes of data read so far."""
    check(disk)
    zeros = bytes(CHUNK)
    position = done = 0
    for offset, data in _pieces(disk, workers):
        yield from _gap(zeros, offset - position)
        yield data
        position = offset + len(data)
        done += len(data)
        progress(done)
    yield from _gap(zeros, disk.size - position)


def save(
    disk: Disk, file: BinaryIO, *, workers: int | None = None, progress: Callable[[int], None] = lambda _: None
) -> int:
    """The disk into a new, empty `file`, zeros as holes; the bytes written, holes not counted."""
    check(disk)
    file.truncate(disk.size)
    done = written = 0
    for offset, data in _pieces(disk, workers):
        for at in range(0, len(data), _HOLE):
            part = data[at : at + _HOLE]
            if part != _ZERO_HOLE[: len(part)]:
                file.seek(offset + at, os.SEEK_SET)
                written += file.write(part)
        done += len(data)
        progress(done)
    return written


def _pieces(disk: Disk, workers: int | None) -> Iterator[tuple[int, bytes]]:
    """(offset, data) of what the disk holds, in order, without the holes between."""
    tasks = spans.batches(spans.touched(disk.extents(), unit=_HOLE), most=CHUNK // _HOLE, fence=CHUNK // _HOLE)
    for pieces in ordered(partial(_read, disk), tasks, workers=spans.hands(disk, workers)):
        yield from pieces


def _read(disk: Disk, batch: list[spans.Span]) -> list[tuple[int, bytes]]:
    return [(first * _HOLE, disk.read(first * _HOLE, (stop - first) * _HOLE)) for first, stop in batch]


def _gap(zeros: bytes, length: int) -> Iterator[bytes]:
    while length > 0:
        yield zeros if length >= CHUNK else zeros[:length]
        length -= CHUNK
