"""A file of ext2, ext3 and ext4: its inode, and the blocks it names.

https://docs.kernel.org/filesystems/ext4/inodes.html, …/ifork.html (extents and indirect blocks), …/checksums.html.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from vmie.disk.crc32c import register
from vmie.guest.free.ext import ExtSuperblock, descriptors_at, group_descriptor, superblock
from vmie.guest.in_place.file_map import MOST, MOST_PIECES, FileMap, NotWritable, Patch, Piece, contiguous, least_of
from vmie.guest.stream import Blocks

_CHECKSUMS, _SEED = 0x400, 0x2000
_EXTENTS = 0x80000
_REFUSED = {
    0x4: "it is compressed",
    0x800: "it is encrypted",
    0x100000: "fs-verity seals it",
    0x10000000: "its data lies in the inode",
    0x200000: "it holds an extended attribute",
}
_MAGIC, _MAX_DEPTH, _UNWRITTEN = 0xF30A, 5, 32768


def file_map(blocks: Blocks, number: int) -> FileMap:
    """See `in_place.file_map`: the file of inode `number`. Raises NotWritable, NotKnown, ImageError, OverBudget."""
    sb = superblock(blocks)
    raw = blocks.read(1024, 1024)
    place, inode = _inode(blocks, sb, raw, number)
    flags = int.from_bytes(inode[0x20:0x24], "little")
    for flag, why in _REFUSED.items():
        if flags & flag:
            raise NotWritable(why)
    size = int.from_bytes(inode[4:8], "little") | int.from_bytes(inode[0x6C:0x70], "little") << 32
    if inode[1] & 0xF0 != 0x80 or size > MOST:
        raise NotWritable(f"it is no file of up to {MOST >> 20} MiB")
    listed = _extents(blocks, sb, inode[0x28:0x64]) if flags & _EXTENTS else _indirect(blocks, sb, inode, size)
    runs: list[Piece] = []
    for start, at, count in listed:
        if (at + count) > sb.blocks or len(runs) >= MOST_PIECES:
            raise NotWritable("its blocks lie outside the volume, or are in too many pieces")
        runs.append((start * sb.block, at * sb.block, count * sb.block))
    pieces = contiguous(runs, size, sb.block)
    room = sum(length for _, _, length in pieces)
    beyond = any(start + length > room for start, _, length in runs)
    least = size if beyond else least_of(room, sb.block)
    seed = _seed(raw, sb)

    def resized(length: int) -> list[Patch]:
        changed = bytearray(inode)
        changed[4:8] = length.to_bytes(4, "little")
        if seed is not None:
            _sign(changed, seed, number)
        return [(place, bytes(changed))]

    return FileMap(size, min(least, size), room, pieces, resized)


def _inode(blocks: Blocks, sb: ExtSuperblock, raw: bytes, number: int) -> tuple[int, bytes]:
    """(offset in the volume, bytes) of an inode."""
    per_group = int.from_bytes(raw[0x28:0x2C], "little")
    size = int.from_bytes(raw[0x58:0x5A], "little") if int.from_bytes(raw[0x4C:0x50], "little") else 128
    if not per_group or number < 1 or not 128 <= size <= sb.block:
        raise NotWritable("there is no such inode")
    group, index = divmod(number - 1, per_group)
    if group >= sb.groups:
        raise NotWritable("there is no such inode")
    held, within = divmod(group, sb.per_block)
    at = descriptors_at(sb, held) * sb.block + within * sb.descriptor
    table = group_descriptor(blocks.read(at, sb.descriptor).ljust(sb.descriptor, b"\0")).inode_table
    place = table * sb.block + index * size
    inode = blocks.read(place, size)
    if len(inode) < size or not table:
        raise NotWritable("there is no such inode")
    return place, inode


def _extents(blocks: Blocks, sb: ExtSuperblock, root: bytes) -> Iterator[Piece]:
    """(first block in the file, first block in the volume, count) of what was written, from an extent tree."""
    todo, seen = [(root, _MAX_DEPTH + 1)], 0
    while todo:
        node, above = todo.pop()
        magic, entries, _, depth = struct.unpack_from("<HHHH", node)
        if magic != _MAGIC or depth >= above or 12 + 12 * entries > len(node):
            raise NotWritable("its extent tree is damaged")
        seen += 1
        for at in range(12, 12 + 12 * entries, 12):
            if depth:
                low, high = struct.unpack_from("<4xIH", node, at)
                if seen + len(todo) > MOST_PIECES:
                    raise NotWritable("its blocks are in too many pieces")
                todo.append((blocks.read((high << 32 | low) * sb.block, sb.block).ljust(12, b"\0"), depth))
                continue
            start, count, high, low = struct.unpack_from("<IHHI", node, at)
            if count <= _UNWRITTEN:
                yield start, high << 32 | low, count


def _indirect(blocks: Blocks, sb: ExtSuperblock, inode: bytes, size: int) -> Iterator[Piece]:
    """The same of a file whose inode lists its blocks: twelve, then by one, two and three steps."""
    slots = struct.unpack_from("<15I", inode, 0x28)
    count, number = -(-size // sb.block), 0
    for slot in slots[:12]:
        if number < count and slot:
            yield number, slot, 1
        number += 1
    for depth, slot in enumerate(slots[12:], 1):
        for held in _listed(blocks, sb, slot, depth, count - number):
            if held:
                yield number, held, 1
            number += 1


def _listed(blocks: Blocks, sb: ExtSuperblock, slot: int, depth: int, count: int) -> Iterator[int]:
    """The first `count` blocks of the file that the block `slot`, `depth` steps from data, leads to; 0 for holes."""
    if count <= 0:
        return
    if not slot:
        raise NotWritable("it has holes")
    each = (sb.block // 4) ** (depth - 1)
    raw = blocks.read(slot * sb.block, sb.block)
    for (held,) in struct.iter_unpack("<I", raw[: len(raw) & ~3]):
        if count <= 0:
            return
        if depth == 1:
            yield held
        else:
            yield from _listed(blocks, sb, held, depth - 1, count)
        count -= each


def _seed(raw: bytes, sb: ExtSuperblock) -> int | None:
    """What checksums begin with; None for a file system without them."""
    if not sb.ro_compat & _CHECKSUMS:
        return None
    if sb.incompat & _SEED:
        return int.from_bytes(raw[0x270:0x274], "little")
    return register(raw[0x68:0x78], 0xFFFFFFFF)


def _sign(inode: bytearray, seed: int, number: int) -> None:
    """Put the checksum of `inode` in its two halves."""
    generation = bytes(inode[0x64:0x68])
    wide = len(inode) > 128 and int.from_bytes(inode[0x80:0x82], "little") >= 4
    inode[0x7C:0x7E] = b"\0\0"
    if wide:
        inode[0x82:0x84] = b"\0\0"
    found = register(bytes(inode), register(generation, register(number.to_bytes(4, "little"), seed)))
    inode[0x7C:0x7E] = (found & 0xFFFF).to_bytes(2, "little")
    if wide:
        inode[0x82:0x84] = (found >> 16).to_bytes(2, "little")
