"""Free blocks of ext2, ext3 and ext4: the block bitmap of every group.

https://docs.kernel.org/filesystems/ext4/globals.html (super block, group descriptors, bitmaps).
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from vmie.guest.free.ranges import NotKnown, Range, merged, of_bitmap, set_bits, without
from vmie.guest.stream import Blocks

_RECOVER, _META_BG, _64BIT = 0x4, 0x10, 0x80
#: filetype, recover, meta_bg, extents, 64bit, mmp, flex_bg, ea_inode, dirdata, csum_seed, largedir, inline_data,
#: encrypt, casefold: none of them changes what a bitmap means
_KNOWN = 0x2 | _RECOVER | _META_BG | 0x40 | _64BIT | 0x100 | 0x200 | 0x400 | 0x1000 | 0x2000 | 0x4000 | 0x38000
_SPARSE, _UNINIT, _BIGALLOC, _CHECKSUMS = 0x1, 0x10, 0x200, 0x400
#: large_file, btree_dir, huge_file, dir_nlink, extra_isize, quota, readonly, project, verity, orphan_present
_KNOWN_RO = _SPARSE | _UNINIT | _BIGALLOC | _CHECKSUMS | 0x2 | 0x4 | 0x8 | 0x60 | 0x100 | 0x1000 | 0x2000 | 0x18000
_SPARSE_2 = 0x200
_BLOCK_UNINIT = 2
#: 64 TiB in groups of 128 MiB
_MAX_GROUPS = 1 << 19


@dataclass(frozen=True, slots=True)
class ExtSuperblock:
    """Where things lie; sizes and places in blocks, but `block`, `cluster` and `descriptor` in bytes."""

    block: int
    cluster: int
    blocks: int
    first: int
    per_group: int
    groups: int
    descriptor: int
    incompat: int
    ro_compat: int
    compat: int
    reserved: int
    first_meta: int
    backups: tuple[int, int]
    inode_table: int

    @property
    def per_block(self) -> int:
        """Group descriptors in one block."""
        return self.block // self.descriptor

    def start_of(self, group: int) -> int:
        """The first block of `group`."""
        return self.first + group * self.per_group

    def has_super(self, group: int) -> bool:
        """Whether `group` begins with a copy of the super block."""
        if self.compat & _SPARSE_2:
            return group == 0 or group in self.backups
        if not self.ro_compat & _SPARSE or group <= 1:
            return True
        return any(_is_power(group, base) for base in (3, 5, 7))


@dataclass(frozen=True, slots=True)
class BlockGroup:
    """What a descriptor says; places in blocks."""

    bitmap: int
    inode_bitmap: int
    inode_table: int
    free: int
    flags: int


def free(blocks: Blocks, *, least: int) -> Iterator[Range]:
    """Free ranges, at least those of `least` bytes, in bytes of the volume.

    Raises NotKnown, ImageError, OverBudget.
    """
    sb = superblock(blocks)
    tables = _tables(blocks, sb)
    starts = [start for start, _ in tables]
    ratio = sb.cluster // sb.block
    for number, group in enumerate(_groups(blocks, sb)):
        first = sb.start_of(number)
        size = min(sb.per_group, sb.blocks - first)
        if group.flags & _BLOCK_UNINIT and sb.ro_compat & (_UNINIT | _CHECKSUMS):
            held = tables[max(0, bisect_right(starts, first) - 1) : bisect_left(starts, first + size)]
            found = list(without((first + _head(sb, number), first + size), held))
            if ratio == 1 and sum(end - start for start, end in found) == group.free:
                for start, end in found:
                    yield start * sb.block, end * sb.block
            continue
        bitmap = blocks.read(group.bitmap * sb.block, sb.block)
        count = -(-size // ratio)
        if len(bitmap) == sb.block and count <= 8 * sb.block and count - set_bits(bitmap, count) == group.free:
            yield from of_bitmap(bitmap, count=count, unit=sb.cluster, at=first * sb.block, least=least)


def _tables(blocks: Blocks, sb: ExtSuperblock) -> list[Range]:
    """Where bitmaps and inode tables lie, in blocks: a group without a bitmap may hold those of others."""
    kinds: tuple[list[Range], ...] = ([], [], [])
    for group in _groups(blocks, sb):
        tables = (group.bitmap, 1), (group.inode_bitmap, 1), (group.inode_table, sb.inode_table)
        for runs, (start, length) in zip(kinds, tables, strict=True):
            if runs and runs[-1][1] == start:
                runs[-1] = runs[-1][0], start + length
            else:
                runs.append((start, start + length))
    return merged(one for runs in kinds for one in runs)


def superblock(blocks: Blocks) -> ExtSuperblock:
    """That of a clean file system whose features are all known. Raises NotKnown, ImageError, OverBudget."""
    raw = blocks.read(1024, 1024)
    if len(raw) < 1024 or raw[56:58] != b"\x53\xef":
        raise NotKnown("there is no super block")
    count, first, log_block, log_cluster = (
        int.from_bytes(raw[at : at + 4], "little") for at in (0x4, 0x14, 0x18, 0x1C)
    )
    per_group, _, inodes = struct.unpack_from("<III", raw, 0x20)
    state = int.from_bytes(raw[0x3A:0x3C], "little")
    compat, incompat, ro_compat = struct.unpack_from("<III", raw, 0x5C)
    if incompat & ~_KNOWN or ro_compat & ~_KNOWN_RO or log_block > 6 or log_cluster > 16:
        raise NotKnown("it has features that are not known here")
    if incompat & _RECOVER or state & 7 != 1:
        raise NotKnown("its journal is to be replayed, or it is to be checked")
    wide = bool(incompat & _64BIT)
    if wide:
        count |= int.from_bytes(raw[0x150:0x154], "little") << 32
    block = 1024 << log_block
    inode_size = int.from_bytes(raw[0x58:0x5A], "little") if int.from_bytes(raw[0x4C:0x50], "little") else 128
    found = ExtSuperblock(
        block=block,
        cluster=1024 << log_cluster if ro_compat & _BIGALLOC else block,
        blocks=count,
        first=first,
        per_group=per_group,
        groups=-(-(count - first) // per_group) if per_group else 0,
        descriptor=int.from_bytes(raw[0xFE:0x100], "little") if wide else 32,
        incompat=incompat,
        ro_compat=ro_compat,
        compat=compat,
        reserved=int.from_bytes(raw[0xCE:0xD0], "little"),
        first_meta=int.from_bytes(raw[0x104:0x108], "little"),
        backups=struct.unpack_from("<II", raw, 0x24C),
        inode_table=-(-inodes * inode_size // block),
    )
    sizes = 32 <= found.descriptor <= block and block % found.descriptor == 0 and found.cluster >= block
    if not sizes or not 0 < found.groups <= _MAX_GROUPS or count * block > blocks.size:
        raise NotKnown("its super block does not fit the volume")
    return found


def _groups(blocks: Blocks, sb: ExtSuperblock) -> Iterator[BlockGroup]:
    left = sb.groups
    for number in range(-(-sb.groups // sb.per_block)):
        data = blocks.read(descriptors_at(sb, number) * sb.block, sb.block)
        if len(data) < sb.block:
            raise NotKnown("its group descriptors lie outside the volume")
        for at in range(0, min(left, sb.per_block) * sb.descriptor, sb.descriptor):
            yield group_descriptor(data[at : at + sb.descriptor])
        left -= sb.per_block


def group_descriptor(raw: bytes) -> BlockGroup:
    """The descriptor of a group, of 32 or 64 bytes."""
    bitmap, inode_bitmap, table, free_low, _, _, flags = struct.unpack_from("<IIIHHHH", raw, 0)
    if len(raw) >= 64:
        highs = struct.unpack_from("<IIIH", raw, 0x20)
        bitmap |= highs[0] << 32
        inode_bitmap |= highs[1] << 32
        table |= highs[2] << 32
        free_low |= highs[3] << 16
    return BlockGroup(bitmap, inode_bitmap, table, free_low, flags)


def descriptors_at(sb: ExtSuperblock, number: int) -> int:
    """The block that holds the descriptors of the `number`th run of groups."""
    # with blocks of 1 KiB the super block is block 1, also where bigalloc counts groups from block 0
    shifted = 1 if sb.block == 1024 and sb.first == 0 else 0
    if not sb.incompat & _META_BG or number < sb.first_meta:
        return sb.first + 1 + number + shifted
    group = number * sb.per_block
    return sb.start_of(group) + (1 if sb.has_super(group) else 0) + (0 if group else shifted)


def _head(sb: ExtSuperblock, group: int) -> int:
    """Blocks at the start of `group` that hold copies of the super block and of descriptors."""
    own = 1 if sb.has_super(group) else 0
    if sb.incompat & _META_BG and group // sb.per_block >= sb.first_meta:
        return own + (1 if group % sb.per_block in (0, 1, sb.per_block - 1) else 0)
    listed = sb.first_meta if sb.incompat & _META_BG else -(-sb.groups // sb.per_block)
    return own + listed + sb.reserved if own else 0


def _is_power(number: int, base: int) -> bool:
    while number % base == 0:
        number //= base
    return number == 1
