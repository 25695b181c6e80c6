"""Dynamic VHDX into a file: what Hyper-V's generation 2 machines have, up to 64 TiB.

    identifier · headers · region tables · log · metadata · block allocation table · { 2 MiB } …

The blocks come in the order of the disk; a block of zeros is left out. The table is written last, where room was kept
for it. Source: [MS-VHDX] v20, sections 2.2 to 2.6.
"""

from __future__ import annotations

import os
import struct
import uuid
from array import array
from collections.abc import Callable, Iterator
from functools import partial
from sys import byteorder
from typing import BinaryIO

from vmie.disk import vhdx_layout as layout
from vmie.disk.base import SECTOR, Disk
from vmie.disk.crc32c import crc32c
from vmie.disk.stream import spans
from vmie.disk.stream.parallel import ordered
from vmie.errors import ImageError

BLOCK = 2 * 1024**2
LARGEST = 64 * 1024**4

_MIB = 1 << 20
_LOG_AT, _METADATA_AT, _BAT_AT = _MIB, 2 * _MIB, 3 * _MIB
#: blocks between two entries of the table that stand for sector bitmaps, which only a differencing disk has
_CHUNK = (1 << 23) * SECTOR // BLOCK
_PRESENT = 6
_PIECE = 64 * 1024
_ZERO_PIECE = bytes(_PIECE)
_TABLE = 64 * 1024
_ITEMS_AT = 64 * 1024
_VIRTUAL, _REQUIRED = 2, 4


def check(disk: Disk) -> None:
    """Raise ImageError when no VHDX can hold the disk."""
    spans.refuse_empty(disk)
    if disk.size > LARGEST:
        raise ImageError(
            f"{disk.source.name} is too large for a VHDX: {disk.size} bytes",
            cause=f"the format ends at {LARGEST} bytes (64 TiB)",
            cure="convert to raw, or shrink the disk first",
        )


def upper_bound(disk: Disk) -> int:
    """No file of this disk takes more bytes; reads the extents, not the data."""
    blocks = sum(stop - first for first, stop in spans.touched(disk.extents(), unit=BLOCK))
    return _data_at(disk.size) + blocks * BLOCK


def save(
    disk: Disk, file: BinaryIO, *, workers: int | None = None, progress: Callable[[int], None] = lambda _: None
) -> int:
    """Write `disk` to a new, empty `file`, zeros within a block as holes; the bytes written, holes not counted.

    `progress` gets the bytes of data read so far. Raises ImageError when the source is damaged.
    """
    check(disk)
    size = spans.sectors(disk.size) * SECTOR
    table = array("Q", bytes(8 * _entries(size)))
    place = _data_at(size)
    written = done = 0
    tasks = _blocks(disk)
    for block, data in ordered(partial(_read, disk), tasks, workers=spans.hands(disk, workers)):
        done += len(data)
        if any_data := _pieces(data):
            table[block + block // _CHUNK] = place | _PRESENT  # megabytes in the bits from 20 on: bytes, that is
            for at, piece in any_data:
                file.seek(place + at, os.SEEK_SET)
                written += file.write(piece)
            place += BLOCK
        progress(done)
    file.truncate(place)
    if byteorder == "big":
        table.byteswap()
    for at, piece in (*_fixed(disk, size), (_BAT_AT, table.tobytes())):
        file.seek(at, os.SEEK_SET)
        written += file.write(piece)
    return written


def _blocks(disk: Disk) -> Iterator[int]:
    return (block for first, stop in spans.touched(disk.extents(), unit=BLOCK) for block in range(first, stop))


def _read(disk: Disk, block: int) -> tuple[int, bytes]:
    return block, disk.read(block * BLOCK, BLOCK)


def _pieces(data: bytes) -> list[tuple[int, bytes]]:
    """Where in a block there is something but zeros."""
    found = ((at, data[at : at + _PIECE]) for at in range(0, len(data), _PIECE))
    return [(at, piece) for at, piece in found if piece != _ZERO_PIECE[: len(piece)]]


def _entries(size: int) -> int:
    blocks = -(-size // BLOCK)
    return blocks + (blocks - 1) // _CHUNK


def _data_at(size: int) -> int:
    return _BAT_AT + _bat_length(size)


def _bat_length(size: int) -> int:
    return -(-_entries(size) * 8 // _MIB) * _MIB


def _fixed(disk: Disk, size: int) -> Iterator[tuple[int, bytes]]:
    """Place and bytes of all that is before the table. The same disk gets the same identifiers."""
    creator = "vmie".encode("utf-16-le")
    yield 0, layout.SIGNATURE + creator
    identity = spans.identity(disk)
    first, second = (uuid.UUID(bytes=identity[at : at + 16], version=4) for at in (0, 16))
    for number, at in enumerate(layout.HEADERS):
        head = struct.pack("<4sIQ", b"head", 0, number) + first.bytes_le + second.bytes_le + bytes(16)
        yield at, _summed(head + struct.pack("<HHIQ", 0, 1, _MIB, _LOG_AT), 4096)
    regions = struct.pack("<4sIII", b"regi", 0, 2, 0)
    regions += layout.BAT.bytes_le + struct.pack("<QII", _BAT_AT, _bat_length(size), 1)
    regions += layout.METADATA.bytes_le + struct.pack("<QII", _METADATA_AT, _MIB, 1)
    for at in layout.REGION_TABLES:
        yield at, _summed(regions, _TABLE)
    yield _METADATA_AT, _metadata(size, second)


def _metadata(size: int, identifier: uuid.UUID) -> bytes:
    items = (
        (layout.FILE_PARAMETERS, struct.pack("<II", BLOCK, 0), _REQUIRED),
        (layout.DISK_SIZE, struct.pack("<Q", size), _VIRTUAL | _REQUIRED),
        (layout.PAGE83, identifier.bytes_le, _VIRTUAL | _REQUIRED),
        (layout.LOGICAL_SECTOR, struct.pack("<I", SECTOR), _VIRTUAL | _REQUIRED),
        (layout.PHYSICAL_SECTOR, struct.pack("<I", 4096), _VIRTUAL | _REQUIRED),
    )
    table, values = struct.pack("<8sHH20x", b"metadata", 0, len(items)), b""
    for name, value, flags in items:
        table += name.bytes_le + struct.pack("<IIII", _ITEMS_AT + len(values), len(value), flags, 0)
        values += value
    return table.ljust(_ITEMS_AT, b"\0") + values


def _summed(body: bytes, length: int) -> bytes:
    """`body` padded to `length`, with its CRC-32C at byte 4."""
    padded = body.ljust(length, b"\0")
    return padded[:4] + crc32c(padded).to_bytes(4, "little") + padded[8:]
