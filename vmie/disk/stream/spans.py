"""Which units of a disk (grains, blocks) hold data, from its extents: the rest is never read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from vmie.disk.base import SECTOR, Disk
from vmie.errors import ImageError
from vmie.model import Extent, ExtentKind

_FORWARD_HANDS = 4

Span = tuple[int, int]
"""Units ``[first, stop)``."""


def touched(extents: Iterable[Extent], *, unit: int) -> Iterator[Span]:
    """Spans of units of `unit` bytes that data touches: in order, disjoint, never adjacent."""
    first = stop = 0
    for extent in extents:
        if extent.kind is not ExtentKind.ALLOCATED or extent.length <= 0:
            continue
        begin, end = extent.offset // unit, -(-extent.end // unit)
        if begin <= stop:
            stop = max(stop, end)
            continue
        if stop > first:
            yield first, stop
        first, stop = begin, end
    if stop > first:
        yield first, stop


def batches(spans: Iterable[Span], *, most: int, fence: int) -> Iterator[list[Span]]:
    """The same units in lists of at most `most`, none of which crosses a multiple of `fence`."""
    batch: list[Span] = []
    room = most
    for span_first, stop in spans:
        first = span_first
        while first < stop:
            if batch and (room == 0 or batch[0][0] // fence != first // fence):
                yield batch
                batch, room = [], most
            end = min(stop, first + room, (first // fence + 1) * fence)
            batch.append((first, end))
            room -= end - first
            first = end
    if batch:
        yield batch


def sectors(size: int) -> int:
    """`size` bytes in sectors, rounded up: VMDK and VHD know no other size, the rest reads as zeros."""
    return -(-size // SECTOR)


def identity(disk: Disk) -> bytes:
    """32 bytes that stand for the disk's content and are known before it is streamed.

    Of the size and the first MiB only: the boot code, the partition table with its disk signature and
    mostly the first superblock. Equal disks get equal identifiers whatever format held them.
    """
    digest = hashlib.sha256(b"vmie-stream-1:%d:" % disk.size)
    digest.update(disk.read(0, min(disk.size, 1 << 20)))
    return digest.digest()


def hands(disk: Disk, workers: int | None) -> int | None:
    """How many threads may read `disk` at once: few, where it can be read forward only and forgets what lies behind.

    The threads of a stream are at most ``2 * workers + 2`` tasks out of step, of 2 MiB or less each;
    `vmie.disk.wrapper` keeps 32 MiB.
    """
    if not disk.facts.get("forward_only"):
        return workers
    return min(_FORWARD_HANDS, workers or _FORWARD_HANDS)


def refuse_empty(disk: Disk) -> None:
    """Raise ImageError for a disk without a single byte: no format here can say that."""
    if disk.size <= 0:
        raise ImageError(
            f"{disk.source.name} is a disk of 0 bytes",
            cause="there is nothing to convert",
            cure="check that the file was copied whole",
        )
