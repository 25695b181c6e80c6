"""Free clusters of NTFS ($Bitmap) and of FAT (zeros in its table).

NTFS: https://flatcap.github.io/linux-ntfs/ntfs/files/bitmap.html; FAT: Microsoft's specification 1.03.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from vmie.guest.filesystem import FileSystem, FileSystemError
from vmie.guest.free.ranges import NotKnown, Range, of_bitmap
from vmie.guest.state import state
from vmie.guest.stream import Blocks

_PIECE = 1 << 20
_NO_CLIENT, _CLEAN = 0xFFFF, 2
_FREE_32, _FREE_16 = re.compile(rb"(?:\x00{4})+"), re.compile(rb"(?:\x00{2})+")


def ntfs(blocks: Blocks, files: FileSystem) -> Iterator[Range]:
    """Free ranges, in bytes of the volume. Raises NotKnown, FileSystemError, ImageError, OverBudget."""
    raw = blocks.read(0, 512)
    if files.clean is not True or not _log_is_clean(files):
        raise NotKnown("its log is to be replayed, or it is to be checked")
    if files.lstat("/hiberfil.sys") and files.read("/hiberfil.sys", 4).lower() not in (b"", b"\0\0\0\0", b"wake"):
        raise NotKnown("Windows is hibernated, or went down with Fast Startup")
    sector, per = struct.unpack_from("<HB", raw, 11)
    unit = sector * (per if per <= 128 else 1 << (256 - per))
    clusters = int.from_bytes(raw[40:48], "little") * sector // unit if unit else 0
    if not clusters or clusters * unit > blocks.size:
        raise NotKnown("its boot sector does not fit the volume")
    for at in range(0, -(-clusters // 8), _PIECE):
        piece = files.read("/$Bitmap", _PIECE, at)
        count = min(len(piece) * 8, clusters - at * 8)
        yield from of_bitmap(piece, count=count, unit=unit, at=at * 8 * unit)
        if len(piece) < _PIECE:
            break


def _log_is_clean(files: FileSystem) -> bool:
    """As ntfs-3g's ntfs_is_logfile_clean: a restart area without a client, or one that says so (0xFF: never used)."""
    try:
        head = files.read("/$LogFile", 4096)
    except FileSystemError:
        return False
    if head.strip(b"\xff") == b"":
        return bool(head)
    at = int.from_bytes(head[24:26], "little")
    if head[:4] != b"RSTR" or not 32 <= at <= len(head) - 16:
        return False
    in_use, flags = int.from_bytes(head[at + 12 : at + 14], "little"), int.from_bytes(head[at + 14 : at + 16], "little")
    return in_use == _NO_CLIENT or bool(flags & _CLEAN)


def fat(blocks: Blocks) -> Iterator[Range]:
    """Free ranges of FAT16 and FAT32, in bytes of the volume. Raises NotKnown, ImageError, OverBudget."""
    raw = blocks.read(0, 512)
    sector, per, reserved, tables, roots, small = struct.unpack_from("<HBHBHH", raw, 11)
    length = int.from_bytes(raw[22:24], "little") or int.from_bytes(raw[36:40], "little")
    total = small or int.from_bytes(raw[32:36], "little")
    if sector not in (512, 1024, 2048, 4096) or not per or total * sector > blocks.size:
        raise NotKnown("its boot sector does not fit the volume")
    data = reserved + tables * length + -(-roots * 32 // sector)
    clusters = (total - data) // per
    if clusters < 4085:
        raise NotKnown("it is FAT12")  # the size of a floppy disk
    if state(blocks, "fat").clean is not True:
        raise NotKnown("it is to be checked")
    width, pattern = (2, _FREE_16) if clusters < 65525 else (4, _FREE_32)
    unit, base = per * sector, data * sector
    for at in range(0, (clusters + 2) * width, _PIECE):
        piece = blocks.read(reserved * sector + at, min(_PIECE, (clusters + 2) * width - at))
        for run in pattern.finditer(piece):
            # a run may begin in the middle of an entry
            first, last = -(-run.start() // width), run.end() // width
            start = at // width + first - 2
            if last > first:
                yield base + max(0, start) * unit, base + (start + last - first) * unit
