"""Free blocks of XFS: the free space B+tree by block number of every allocation group.

"XFS Algorithms & Data Structures", chapter "Allocation Groups"
(https://git.kernel.org/pub/scm/fs/xfs/xfs-documentation.git).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from vmie.guest.free.ranges import NotKnown, Range
from vmie.guest.state import state
from vmie.guest.stream import Blocks

#: ftype, sparse inodes, meta_uuid, bigtime, nrext64, exchange-range, parent pointers
_KNOWN = 0x1 | 0x2 | 0x4 | 0x8 | 0x20 | 0x40 | 0x80
#: of read-only ones: finobt, rmapbt, reflink, inobtcounts
_KNOWN_RO = 0xF
_MAX_LEVELS = 9
_MAX_GROUPS = 1 << 20
#: free extents of one group
_MAX_EXTENTS = 1 << 21


@dataclass(frozen=True, slots=True)
class XfsSuperblock:
    """Sizes of a block and a sector in bytes, of the volume and its groups in blocks."""

    block: int
    sector: int
    blocks: int
    per_group: int
    groups: int
    version: int


def free(blocks: Blocks, *, least: int) -> Iterator[Range]:
    """Free ranges of `least` bytes, in bytes of the volume. Raises NotKnown, ImageError, OverBudget."""
    sb = superblock(blocks)
    if state(blocks, "xfs").clean is not True:
        raise NotKnown("its log is to be replayed, or is not in the volume")
    for group in range(sb.groups):
        first = group * sb.per_group
        header = blocks.read(first * sb.block + sb.sector, 64)
        length = min(sb.per_group, sb.blocks - first)
        if len(header) < 64 or header[:4] != b"XAGF" or struct.unpack_from(">II", header, 8) != (group, length):
            continue
        root, levels, total = (int.from_bytes(header[at : at + 4], "big") for at in (16, 28, 52))
        try:
            found = list(islice(_records(blocks, sb, first, root, levels), _MAX_EXTENTS))
        except NotKnown:
            continue
        if sum(count for _, count in found) == total and all(start + count <= length for start, count in found):
            for start, count in (one for one in found if one[1] * sb.block >= least):
                yield (first + start) * sb.block, (first + start + count) * sb.block


def superblock(blocks: Blocks) -> XfsSuperblock:
    """That of a file system whose features are all known. Raises NotKnown, ImageError, OverBudget."""
    raw = blocks.read(0, 512)
    if len(raw) < 512 or raw[:4] != b"XFSB":
        raise NotKnown("there is no super block")
    block, count = struct.unpack_from(">IQ", raw, 4)
    per_group, groups = struct.unpack_from(">II", raw, 84)
    version, sector = struct.unpack_from(">HH", raw, 100)
    version &= 0xF
    sizes = 512 <= block <= 65536 and 512 <= sector <= block and per_group and 0 < groups <= _MAX_GROUPS
    if not sizes or count * block > blocks.size or -(-count // per_group) != groups:
        raise NotKnown("its super block does not fit the volume")
    read_only, incompat = struct.unpack_from(">II", raw, 212)
    if version not in (4, 5) or (version == 5 and (incompat & ~_KNOWN or read_only & ~_KNOWN_RO)):
        raise NotKnown("it has features that are not known here, or is to be repaired")
    return XfsSuperblock(block, sector, count, per_group, groups, version)


def _records(blocks: Blocks, sb: XfsSuperblock, first: int, root: int, levels: int) -> Iterator[tuple[int, int]]:
    """(start, count) in blocks of the group, from the leftmost leaf along the siblings."""
    if not 1 <= levels <= _MAX_LEVELS:
        raise NotKnown("a tree is damaged")
    head, magic = (56, b"AB3B") if sb.version == 5 else (16, b"ABTB")
    most = (sb.block - head) // 12
    number = root
    for level in range(levels - 1, -1, -1):
        data, _, count, _ = _node(blocks, sb, first + number, level, magic)
        if level:
            number = int.from_bytes(data[head + most * 8 : head + most * 8 + 4], "big")
    end = -1
    while True:
        data, _, count, right = _node(blocks, sb, first + number, 0, magic)
        if count > (sb.block - head) // 8:
            raise NotKnown("a tree is damaged")
        for start, length in struct.iter_unpack(">II", data[head : head + 8 * count]):
            if start <= end or not length:
                raise NotKnown("a tree is damaged")
            end = start + length - 1
            yield start, length
        if right == 0xFFFFFFFF:
            return
        if not count:
            raise NotKnown("a tree is damaged")
        number = right


def _node(blocks: Blocks, sb: XfsSuperblock, number: int, level: int, magic: bytes) -> tuple[bytes, int, int, int]:
    """(bytes, level, records, right sibling) of a block of a tree."""
    data = blocks.read(number * sb.block, sb.block)
    if len(data) < sb.block or data[:4] != magic:
        raise NotKnown("a tree is damaged")
    found, count = struct.unpack_from(">HH", data, 4)
    if found != level:
        raise NotKnown("a tree is damaged")
    return data, found, count, int.from_bytes(data[12:16], "big")
