"""A file of FAT16 and FAT32: its directory entry, and the chain of clusters that the table has.

Microsoft's FAT specification 1.03, https://download.microsoft.com/download/1/6/1/161ba512-40e2-4cc9-843a-923143f3456c/
fatgen103.doc.
"""

from __future__ import annotations

import struct

from vmie.guest.free import windows
from vmie.guest.in_place.file_map import MOST, MOST_PIECES, FileMap, NotWritable, Patch, contiguous, least_of
from vmie.guest.stream import Blocks

_DIRECTORY, _VOLUME = 0x10, 0x08


def file_map(blocks: Blocks, number: int) -> FileMap:
    """See `in_place.file_map`: the file whose entry begins at byte `number` of the volume.

    Raises NotWritable, NotKnown, ImageError, OverBudget.
    """
    layout = windows.fat_layout(blocks)
    entry = blocks.read(number, 32)
    if len(entry) < 32 or entry[11] & (_DIRECTORY | _VOLUME) or entry[0] in (0, 0xE5):
        raise NotWritable("there is no such file")
    high, low, size = struct.unpack_from("<20xH4xHI", entry)
    if size > MOST:
        raise NotWritable(f"it is larger than {MOST >> 20} MiB")
    wide = layout.width == 4
    cluster = low | (high << 16 if wide else 0)
    runs = []
    for index in range(-(-size // layout.unit)):
        if not 2 <= cluster < layout.clusters + 2 or index >= MOST_PIECES:
            raise NotWritable("its chain of clusters is damaged, or too long")
        runs.append((index * layout.unit, layout.base + (cluster - 2) * layout.unit, layout.unit))
        raw = blocks.read(layout.begin + cluster * layout.width, layout.width)
        cluster = int.from_bytes(raw, "little") & (0x0FFFFFFF if wide else 0xFFFF)
    if size and cluster < (0x0FFFFFF8 if wide else 0xFFF8):
        raise NotWritable("its chain of clusters is longer than the file")
    pieces = contiguous(runs, size, layout.unit)
    room = len(runs) * layout.unit

    def resized(length: int) -> list[Patch]:
        return [(number + 28, length.to_bytes(4, "little"))]

    return FileMap(size, least_of(room, layout.unit), room, pieces, resized)
