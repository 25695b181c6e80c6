"""A file of XFS: its inode, and the extents it names.

"XFS Algorithms & Data Structures", chapters "On-disk Inode" and "Data Extents"
(https://git.kernel.org/pub/scm/fs/xfs/xfs-documentation.git).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from vmie.disk.crc32c import crc32c
from vmie.guest.free.xfs import XfsSuperblock, superblock
from vmie.guest.in_place.file_map import MOST, MOST_PIECES, FileMap, NotWritable, Patch, Piece, contiguous, least_of
from vmie.guest.state import state
from vmie.guest.stream import Blocks

_LOCAL, _EXTENTS, _TREE = 1, 2, 3
_REALTIME, _REFLINK, _MANY = 0x1, 0x2, 0x10
_MAX_LEVELS = 9


def file_map(blocks: Blocks, number: int) -> FileMap:
    """See `in_place.file_map`: the file of inode `number`. Raises NotWritable, NotKnown, ImageError, OverBudget."""
    sb = superblock(blocks)
    if state(blocks, "xfs").clean is not True:
        raise NotWritable("its log is to be replayed, or is not in the volume")
    raw = blocks.read(0, 512)
    shift = raw[124]
    place, inode = _inode(blocks, sb, raw, number)
    size = int.from_bytes(inode[56:64], "big")
    if inode[2] & 0xF0 != 0x80 or size > MOST:
        raise NotWritable(f"it is no file of up to {MOST >> 20} MiB")
    if int.from_bytes(inode[90:92], "big") & _REALTIME:
        raise NotWritable("its data lies on a real-time device")
    if sb.version == 5 and int.from_bytes(inode[120:128], "big") & _REFLINK:
        raise NotWritable("its blocks may be shared with another file (reflink)")
    runs: list[Piece] = []
    for start, first, count in _listed(blocks, sb, inode, shift):
        group, within = first >> shift, first & ((1 << shift) - 1)
        at = group * sb.per_group + within
        if within + count > sb.per_group or at + count > sb.blocks or len(runs) >= MOST_PIECES:
            raise NotWritable("its blocks lie outside the volume, or are in too many pieces")
        runs.append((start * sb.block, at * sb.block, count * sb.block))
    pieces = contiguous(runs, size, sb.block)
    room = sum(length for _, _, length in pieces)

    def resized(length: int) -> list[Patch]:
        changed = bytearray(inode)
        changed[56:64] = length.to_bytes(8, "big")
        if sb.version == 5:
            changed[100:104] = bytes(4)
            changed[100:104] = crc32c(bytes(changed)).to_bytes(4, "little")
        return [(place, bytes(changed))]

    return FileMap(size, min(size, least_of(room, sb.block)), room, pieces, resized)


def _inode(blocks: Blocks, sb: XfsSuperblock, raw: bytes, number: int) -> tuple[int, bytes]:
    """(offset in the volume, bytes) of an inode: its number is the group, the block in it and the slot in that."""
    size, per_log, shift = int.from_bytes(raw[104:106], "big"), raw[123], raw[124]
    if not 256 <= size <= 2048 or size << per_log != sb.block or not 0 < shift < 32:
        raise NotWritable("its super block does not say where inodes lie")
    slot = number & ((1 << per_log) - 1)
    block = (number >> per_log) & ((1 << shift) - 1)
    place = ((number >> (per_log + shift)) * sb.per_group + block) * sb.block + slot * size
    inode = blocks.read(place, size)
    if len(inode) < size or inode[:2] != b"IN" or inode[4] != (3 if sb.version == 5 else inode[4]):
        raise NotWritable("there is no such inode")
    if sb.version == 5 and crc32c(inode[:100] + bytes(4) + inode[104:]) != int.from_bytes(inode[100:104], "little"):
        raise NotWritable("the checksum of its inode is wrong")
    return place, inode


def _listed(blocks: Blocks, sb: XfsSuperblock, inode: bytes, shift: int) -> Iterator[Piece]:
    """(first block in the file, first block as XFS numbers it, count) of the data of `inode`."""
    core = 176 if inode[4] == 3 else 100
    fork = inode[core : core + inode[82] * 8] if inode[82] else inode[core:]
    many = inode[4] == 3 and bool(int.from_bytes(inode[120:128], "big") & _MANY)
    count = int.from_bytes(inode[24:32], "big") if many else int.from_bytes(inode[76:80], "big")
    if inode[5] == _LOCAL:
        raise NotWritable("its data lies in the inode")
    if inode[5] == _EXTENTS:
        if count * 16 > len(fork):
            raise NotWritable("its inode is damaged")
        yield from _records(fork[: count * 16])
    elif inode[5] == _TREE and len(fork) > 4:
        yield from _tree(blocks, sb, fork, shift)
    else:
        raise NotWritable("its inode is damaged")


def _tree(blocks: Blocks, sb: XfsSuperblock, fork: bytes, shift: int) -> Iterator[Piece]:
    """The records of a B+tree of extents: its root is the fork of the inode."""
    head, magic = (72, b"BMA3") if sb.version == 5 else (24, b"BMAP")
    most = (sb.block - head) // 16
    level, count = struct.unpack_from(">HH", fork)
    todo = _pointers(fork, 4, (len(fork) - 4) // 16, count, level)
    seen = 0
    while todo:
        number, above = todo.pop()
        at = (number >> shift) * sb.per_group + (number & ((1 << shift) - 1))
        node = blocks.read(at * sb.block, sb.block)
        seen += 1
        if len(node) < sb.block or node[:4] != magic or seen > MOST_PIECES:
            raise NotWritable("the tree of its extents is damaged")
        level, count = struct.unpack_from(">HH", node, 4)
        if level != above - 1 or count > most:
            raise NotWritable("the tree of its extents is damaged")
        if level:
            todo += _pointers(node, head, most, count, level)
        else:
            yield from _records(node[head : head + 16 * count])


def _pointers(node: bytes, head: int, most: int, count: int, level: int) -> list[tuple[int, int]]:
    """(block, level of the node that points there)."""
    if not 0 < level <= _MAX_LEVELS or count > most or head + most * 16 > len(node):
        raise NotWritable("the tree of its extents is damaged")
    start = head + most * 8
    return [(one, level) for (one,) in struct.iter_unpack(">Q", node[start : start + 8 * count])]


def _records(raw: bytes) -> Iterator[Piece]:
    """Those written: a bit for blocks that never were, 54 of the place, 52 of the first block, 21 of the count."""
    for high, low in struct.iter_unpack(">QQ", raw):
        whole = high << 64 | low
        if not whole >> 127:
            yield whole >> 73 & ((1 << 54) - 1), whole >> 21 & ((1 << 52) - 1), whole & ((1 << 21) - 1)
