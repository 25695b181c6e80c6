"""Free clusters of NTFS ($Bitmap) and of FAT (zeros in its table).

NTFS: https://flatcap.github.io/linux-ntfs/ntfs/files/bitmap.html; FAT: Microsoft's specification 1.03; shadow copies:
https://github.com/libyal/libvshadow/blob/main/documentation/Volume%20Shadow%20Snapshot%20(VSS)%20format.asciidoc.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from vmie.guest.filesystem import FileSystem, FileSystemError
from vmie.guest.free.ranges import NotKnown, Range, of_bitmap
from vmie.guest.state import state
from vmie.guest.stream import Blocks

_PIECE = 1 << 20
_NO_CLIENT, _CLEAN = 0xFFFF, 2
_LOG_PAGES = (4096, 8192, 16384, 32768, 65536)
_VSS = bytes.fromhex("6b87083876c1484eb7ae04046e6cc752")
_VSS_AT, _VSS_BLOCK, _VSS_ENTRY, _VSS_MOST = 0x1E00, 0x4000, 128, 256


def ntfs(blocks: Blocks, files: FileSystem, *, least: int) -> Iterator[Range]:
    """Free ranges, at least those of `least` bytes, in bytes of the volume.

    Raises NotKnown, FileSystemError, ImageError, OverBudget.
    """
    raw = blocks.read(0, 512)
    at_rest(files)
    if _has_shadow_copies(blocks):
        raise NotKnown("shadow copies of it may need what is free by now")
    sector, per = struct.unpack_from("<HB", raw, 11)
    unit = sector * (per if per <= 128 else 1 << (256 - per))
    clusters = int.from_bytes(raw[40:48], "little") * sector // unit if unit else 0
    if not clusters or clusters * unit > blocks.size:
        raise NotKnown("its boot sector does not fit the volume")
    for at in range(0, -(-clusters // 8), _PIECE):
        piece = files.read("/$Bitmap", _PIECE, at)
        count = min(len(piece) * 8, clusters - at * 8)
        yield from of_bitmap(piece, count=count, unit=unit, at=at * 8 * unit, least=least)
        if len(piece) < _PIECE:
            break


def at_rest(files: FileSystem) -> None:
    """Raise NotKnown unless the NTFS was unmounted by a Windows that does not mean to go on; also FileSystemError."""
    if files.clean is not True or not _log_is_clean(files):
        raise NotKnown("its log is to be replayed, or it is to be checked")
    if files.lstat("/hiberfil.sys") and files.read("/hiberfil.sys", 4).lower() not in (b"", b"\0\0\0\0", b"wake"):
        raise NotKnown("Windows is hibernated, or went down with Fast Startup")


def _log_is_clean(files: FileSystem) -> bool:
    """As ntfs-3g's ntfs_is_logfile_clean: the newer restart area has no client, or says so (0xFF: never used)."""
    try:
        head = files.read("/$LogFile", 2 * _LOG_PAGES[-1])
    except FileSystemError:
        return False
    if head.strip(b"\xff") == b"":
        return bool(head)
    newest: tuple[int, bool] = (-1, False)
    for at in (0, *_LOG_PAGES):
        page = head[at : at + _LOG_PAGES[0]]
        place = int.from_bytes(page[24:26], "little")
        if page[:4] == b"RSTR" and 32 <= place <= len(page) - 16:
            number, in_use, flags = struct.unpack_from("<Q4xHH", page, place)
            newest = max(newest, (number, in_use == _NO_CLIENT or bool(flags & _CLEAN)))
        elif page[:4] == b"CHKD" or not at:
            return False
    return newest[1]


def _has_shadow_copies(blocks: Blocks) -> bool:
    """Whether the catalogue of the volume's shadow copies lists one, or cannot be read."""
    head = blocks.read(_VSS_AT, 128)
    if head[:16] != _VSS:
        return False
    at = int.from_bytes(head[48:56], "little")
    for _ in range(_VSS_MOST):
        if not at:
            return False
        data = blocks.read(at, _VSS_BLOCK)
        if len(data) < _VSS_BLOCK or data[:16] != _VSS:
            return True
        kinds = (int.from_bytes(data[one : one + 8], "little") for one in range(_VSS_ENTRY, _VSS_BLOCK, _VSS_ENTRY))
        if any(kind > 1 for kind in kinds):  # 0 empty, 1 not used, 2 and 3 of a shadow copy
            return True
        at = int.from_bytes(data[40:48], "little")
    return True


@dataclass(frozen=True, slots=True)
class FatLayout:
    """Sizes and places in bytes.

    The table begins at `begin`, has entries of `width` and is there `tables` times, each of `length`; the first of
    `clusters`, each of `unit`, is at `base`.
    """

    width: int
    begin: int
    unit: int
    base: int
    clusters: int
    tables: int
    length: int


def fat_layout(blocks: Blocks) -> FatLayout:
    """Of a clean FAT16 or FAT32. Raises NotKnown, ImageError, OverBudget."""
    raw = blocks.read(0, 512).ljust(512, b"\0")
    sector, per, reserved, tables, roots, small = struct.unpack_from("<HBHBHH", raw, 11)
    length = int.from_bytes(raw[22:24], "little") or int.from_bytes(raw[36:40], "little")
    total = small or int.from_bytes(raw[32:36], "little")
    if sector not in (512, 1024, 2048, 4096) or not per or total * sector > blocks.size:
        raise NotKnown("its boot sector does not fit the volume")
    data = reserved + tables * length + -(-roots * 32 // sector)
    clusters = (total - data) // per
    if clusters < 4085:
        raise NotKnown("it is FAT12")  # the size of a floppy disk
    width = 2 if clusters < 65525 else 4
    # Windows notes in the table that it is mounted, Linux in the boot sector (fat_set_state in fs/fat/inode.c)
    if state(blocks, "fat").clean is not True or raw[0x25 if width == 2 else 0x41] & 1:
        raise NotKnown("it is to be checked")
    if (clusters + 2) * width > length * sector:
        raise NotKnown("its table does not fit its clusters")
    return FatLayout(width, reserved * sector, per * sector, data * sector, clusters, tables, length * sector)


def fat(blocks: Blocks, *, least: int) -> Iterator[Range]:
    """Free ranges of FAT16 and FAT32 of `least` bytes, in bytes of the volume.

    Raises NotKnown, ImageError, OverBudget.
    """
    found = fat_layout(blocks)
    width, unit, base, end = found.width, found.unit, found.base, (found.clusters + 2) * found.width
    free = re.compile(rb"(?:\x00{%d}){%d,}" % (width, max(1, least // unit)))
    for at in range(0, end, _PIECE):
        size = min(_PIECE, end - at)
        piece = blocks.read(found.begin + at, size)
        copies = range(1, found.tables)
        if any(blocks.read(found.begin + copy * found.length + at, size) != piece for copy in copies):
            continue
        for run in free.finditer(piece):
            # a run may begin in the middle of an entry
            first, last = -(-run.start() // width), run.end() // width
            start = at // width + first - 2
            if last > first:
                yield base + max(0, start) * unit, base + (start + last - first) * unit
