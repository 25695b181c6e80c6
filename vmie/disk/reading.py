"""Reads that get what they ask for or say why not: every structure of every format comes through here."""

from __future__ import annotations

import sys
from array import array
from typing import Literal

from vmie.disk.base import Source
from vmie.errors import ImageError

#: No table that a reader keeps in memory is larger than this: four million entries of four bytes map
#: 128 TiB of a VMDK with its usual grain, and 2 TiB, the most a VHD can be, in blocks of 512 KiB.
TABLE_LIMIT = 16 << 20

#: the code of an error over bytes that contradict the format: no later attempt reads them otherwise
DAMAGED = "DamagedImage"
#: the code of an error over an image that holds only what differs from another one
NEEDS_PARENT = "NeedsParent"
#: the code of an error over a disk whose bytes are a device, or in a form that nobody has published
DEVICE = "PointsToDevice"

_TRUNCATED_CURE = "copy or export the image again, and compare its size and checksum with the original's"


def within(offset: int, length: int, size: int) -> int:
    """How many of `length` bytes from `offset` lie within `size`. Raises ValueError for negative numbers."""
    if offset < 0 or length < 0:
        raise ValueError(f"a disk has no bytes at {offset} (+{length})")
    return max(0, min(length, size - offset))


def read_exact(source: Source, offset: int, length: int, *, what: str) -> bytes:
    """`length` bytes from `offset`, or ImageError that names `what` (a structure: "grain directory")."""
    if offset < 0 or length < 0 or offset + length > source.size:
        raise truncated(source, offset + length, what=what)
    data = source.pread(offset, length)
    if len(data) != length:
        raise truncated(source, offset + length, what=what)
    return data


def read_table(source: Source, offset: int, entries: int, *, what: str, order: Literal["little", "big"]) -> array[int]:
    """`entries` unsigned 32-bit numbers from `offset`. Raises ImageError beyond the file or `TABLE_LIMIT`."""
    if entries * 4 > TABLE_LIMIT:
        raise damaged(source, f"its {what} would have {entries:,} entries, more than any real disk needs")
    return as_table(read_exact(source, offset, entries * 4, what=what), order=order)


def as_table(data: bytes, *, order: Literal["little", "big"]) -> array[int]:
    """Unsigned 32-bit numbers that are stored in this order of bytes."""
    table = array("I", data)
    if sys.byteorder != order:
        table.byteswap()
    return table


def truncated(source: Source, end: int, *, what: str) -> ImageError:
    """`what` would end at byte `end`, past the end of the source."""
    return ImageError(
        f"{source.name} is truncated or damaged: its {what} lies outside the file",
        cause=f"the {what} ends at byte {end:,}, the file has {source.size:,} bytes",
        cure=_TRUNCATED_CURE,
        code=DAMAGED,
    )


def damaged(source: Source, cause: str, *, cure: str = _TRUNCATED_CURE) -> ImageError:
    """A structure contradicts the format."""
    return ImageError(f"{source.name} is damaged", cause=cause, cure=cure, code=DAMAGED)
