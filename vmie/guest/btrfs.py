"""How many subvolumes a Btrfs has: VM Import takes none (aws-facts 3.5). No file is read.

On-disk format: https://btrfs.readthedocs.io/en/latest/dev/On-disk-format.html. Followed are only the
chunk tree (logical to physical) and the tree of roots; whatever is odd ends in None.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from vmie.guest.stream import Blocks

_SUPER = 65536
_MAX_NODES = 512
_KEY = struct.Struct("<QBQ")
_CHUNK_ITEM, _ROOT_ITEM = 228, 132
_FIRST_FREE, _LAST_FREE = 256, (1 << 64) - 256
#: RAID0, RAID10, RAID5 and RAID6 spread a node over devices
_STRIPED = 0x8 | 0x40 | 0x80 | 0x100


class _OddError(Exception):
    """Something that is not followed."""


class _Map:
    """Logical addresses → offsets on this device."""

    def __init__(self, device: int) -> None:
        self._device = device
        self._chunks: dict[int, tuple[int, int]] = {}

    def add(self, start: int, item: bytes) -> int:
        """Note a chunk item; its length in bytes."""
        if len(item) < 80:
            raise _OddError
        length, _, _, kind = struct.unpack_from("<QQQQ", item)
        stripes = int.from_bytes(item[44:46], "little")
        size = 48 + 32 * stripes
        for at in range(48, min(size, len(item) - 31), 32):
            device, offset = struct.unpack_from("<QQ", item, at)
            if device == self._device and not kind & _STRIPED:
                self._chunks.setdefault(start, (length, offset))
        return size

    def physical(self, address: int) -> int:
        for start, (length, offset) in self._chunks.items():
            if start <= address < start + length:
                return offset + address - start
        raise _OddError


def subvolumes(blocks: Blocks) -> int | None:
    """The number of subvolumes and snapshots besides the top level; None when it cannot be determined."""
    head = blocks.read(_SUPER, 4096)
    if len(head) < 4096:
        return None
    root, chunk_root = struct.unpack_from("<QQ", head, 0x50)
    node_size = int.from_bytes(head[0x94:0x98], "little")
    if not 4096 <= node_size <= 65536:
        return None
    try:
        known = _Map(int.from_bytes(head[0xC9:0xD1], "little"))
        _system_chunks(known, head[0x32B:][: int.from_bytes(head[0xA0:0xA4], "little")])
        for key, item in _items(blocks, known, chunk_root, node_size):
            if key[1] == _CHUNK_ITEM:
                known.add(key[2], item)
        keys = [key for key, _ in _items(blocks, known, root, node_size)]
    except _OddError:
        return None
    return len({key[0] for key in keys if key[1] == _ROOT_ITEM and _FIRST_FREE <= key[0] <= _LAST_FREE})


def _system_chunks(known: _Map, raw: bytes) -> None:
    at = 0
    while at + _KEY.size < len(raw):
        _, kind, start = _KEY.unpack_from(raw, at)
        if kind != _CHUNK_ITEM:
            raise _OddError
        at += _KEY.size
        at += known.add(start, raw[at:])


def _items(blocks: Blocks, known: _Map, root: int, size: int) -> Iterator[tuple[tuple[int, int, int], bytes]]:
    """All (key, data) of the tree at `root`, each node once."""
    todo, seen = [root], set[int]()
    while todo:
        address = todo.pop()
        if address in seen or len(seen) >= _MAX_NODES:
            raise _OddError
        seen.add(address)
        node = blocks.read(known.physical(address), size)
        if len(node) < size or int.from_bytes(node[48:56], "little") != address:
            raise _OddError
        count, level = int.from_bytes(node[96:100], "little"), node[100]
        width = 33 if level else 25
        if 101 + count * width > size:
            raise _OddError
        for at in range(101, 101 + count * width, width):
            if level:
                todo.append(int.from_bytes(node[at + 17 : at + 25], "little"))
            else:
                begin, length = struct.unpack_from("<II", node, at + 17)
                yield _KEY.unpack_from(node, at), node[101 + begin : 101 + begin + length]
