"""Dynamic VHD, written forward only: what Hyper-V and ImportInstance call a dynamically expanding disk.

    footer copy · dynamic header · block allocation table · { bitmap + 2 MiB } … · footer

Format: Microsoft, "Virtual Hard Disk Image Format Specification" 1.0. The table comes before the
data, so the disk is gone through twice: first each block is looked at until its first byte that is
not zero, then the blocks that hold data are copied. The bytes depend on the disk's content alone.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Iterator
from functools import partial
from sys import byteorder

from vmie.disk.base import SECTOR, Disk
from vmie.disk.stream import spans
from vmie.disk.stream.parallel import ordered
from vmie.errors import ImageError

BLOCK = 2 * 1024**2
LARGEST = 2040 * 1024**3
"""Hyper-V's and the specification's largest dynamic disk."""

_BITMAP = SECTOR
_UNUSED = 0xFFFF_FFFF
_FIXED_PART = 512 + 1024
_LOOK = 64 * 1024
_ZERO_LOOK = bytes(_LOOK)
_PIECE = 1 << 20
_DYNAMIC = 3
_NOTHING = 0xFFFF_FFFF_FFFF_FFFF

# Readers take a VHD's size either from "Current Size" or from its geometry, which cannot express every size.
# qemu (block/vpc.c) trusts Current Size when the creator is "win ": so does everything that reads Hyper-V's disks.
_CREATOR = b"win "
_CREATOR_VERSION = 0x0006_0003
_CREATOR_OS = b"Wi2k"


def check(disk: Disk) -> None:
    """Raise ImageError when no dynamic VHD can hold the disk."""
    spans.refuse_empty(disk)
    if disk.size > LARGEST:
        raise ImageError(
            f"{disk.source.name} is too large for a VHD: {disk.size} bytes",
            cause=f"the format ends at {LARGEST} bytes (2040 GiB)",
            cure="convert to stream-optimised VMDK or raw instead",
        )


def upper_bound(disk: Disk) -> int:
    """No stream of this disk is longer than this many bytes; reads the extents, not the data."""
    blocks = sum(stop - first for first, stop in spans.touched(disk.extents(), unit=BLOCK))
    return _FIXED_PART + _table_size(disk.size) + blocks * (_BITMAP + BLOCK) + SECTOR


def stream(
    disk: Disk, *, workers: int | None = None, progress: Callable[[int], None] = lambda _: None
) -> Iterator[bytes]:
    """The VHD in pieces of about 1 MiB. `progress` gets the bytes of data read so far.

    Raises ImageError as `check` does, or when the source is damaged.
    """
    check(disk)
    used = _used_blocks(disk, workers)
    footer = _footer(disk)
    yield footer + _dynamic_header(disk.size) + _allocation_table(disk.size, used)
    bitmap = b"\xff" * _BITMAP
    pieces = ((block * BLOCK + at) for block in used for at in range(0, BLOCK, _PIECE))
    done = 0
    for offset, data in ordered(partial(_read, disk), pieces, workers=spans.hands(disk, workers)):
        yield bitmap + data if offset % BLOCK == 0 else data
        done += max(0, min(len(data), disk.size - offset))
        progress(done)
    yield footer


def _used_blocks(disk: Disk, workers: int | None) -> array[int]:
    """The numbers of the blocks that are not all zero."""
    candidates = (block for first, stop in spans.touched(disk.extents(), unit=BLOCK) for block in range(first, stop))
    return array(
        "I",
        (
            block
            for block in ordered(partial(_probe, disk), candidates, workers=spans.hands(disk, workers))
            if block >= 0
        ),
    )


def _probe(disk: Disk, block: int) -> int:
    """The block's number, -1 when it is all zero; reads no further than the first byte that is not."""
    for offset in range(block * BLOCK, min((block + 1) * BLOCK, disk.size), _LOOK):
        data = disk.read(offset, _LOOK)
        if data != _ZERO_LOOK[: len(data)]:
            return block
    return -1


def _read(disk: Disk, offset: int) -> tuple[int, bytes]:
    data = disk.read(offset, _PIECE)
    return offset, data + bytes(_PIECE - len(data))


def _table_size(size: int) -> int:
    return -(-_blocks(size) * 4 // SECTOR) * SECTOR


def _blocks(size: int) -> int:
    return -(-size // BLOCK)


def _allocation_table(size: int, used: array[int]) -> bytes:
    table = array("I", b"\xff" * _table_size(size))
    first = (_FIXED_PART + len(table) * 4) // SECTOR
    for index, block in enumerate(used):
        table[block] = first + index * (_BITMAP + BLOCK) // SECTOR
    if byteorder == "little":
        table.byteswap()
    return table.tobytes()


def _footer(disk: Disk) -> bytes:
    size = spans.sectors(disk.size) * SECTOR
    identity = bytearray(spans.identity(disk)[:16])
    identity[6] = identity[6] & 0x0F | 0x80  # RFC 9562, version 8: a UUID of one's own making
    identity[8] = identity[8] & 0x3F | 0x80
    body = struct.pack(
        ">8sIIQI4sI4sQQHBBII16sB",
        *(b"conectix", 2, 0x0001_0000, SECTOR, 0),  # the time of making is not known: the same input, the same bytes
        *(_CREATOR, _CREATOR_VERSION, _CREATOR_OS),
        *(size, size, *geometry(size // SECTOR), _DYNAMIC),
        *(0, bytes(identity), 0),
    )
    return _summed(body, at=64, size=SECTOR)


def _dynamic_header(size: int) -> bytes:
    body = struct.pack(">8sQQIIII", b"cxsparse", _NOTHING, _FIXED_PART, 0x0001_0000, _blocks(size), BLOCK, 0)
    return _summed(body, at=36, size=1024)


def _summed(body: bytes, *, at: int, size: int) -> bytes:
    """`body` padded to `size` with its checksum, the ones' complement of the bytes' sum, put in at `at`."""
    padded = bytearray(body + bytes(size - len(body)))
    struct.pack_into(">I", padded, at, ~sum(padded) & 0xFFFF_FFFF)
    return bytes(padded)


def geometry(sectors: int) -> tuple[int, int, int]:
    """Cylinders, heads, sectors per track, as the specification's appendix computes them."""
    sectors = min(sectors, 65535 * 16 * 255)
    if sectors >= 65535 * 16 * 63:
        return sectors // (16 * 255), 16, 255
    per_track = 17
    heads = max(4, -(-(sectors // per_track) // 1024))
    if sectors // per_track >= heads * 1024 or heads > 16:
        per_track, heads = 31, 16
    if sectors // per_track >= heads * 1024:
        per_track, heads = 63, 16
    return sectors // per_track // heads, heads, per_track
