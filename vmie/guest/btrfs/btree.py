"""Nodes and trees: every node verified, every walk bounded."""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from vmie.errors import ImageError
from vmie.guest.btrfs.chunks import ChunkMap
from vmie.guest.btrfs.ondisk import KEY, BtrfsError, Key
from vmie.guest.btrfs.superblock import Superblock

_HEADER = 101
_ITEM, _POINTER = 25, 33
_MAX_LEVEL = 7
_KEPT_BYTES = 8 << 20
#: what a visit costs at least: small nodes are as much work as large ones
_VISIT = 16 << 10


@dataclass(frozen=True, slots=True)
class Root:
    """Where a tree begins."""

    address: int
    level: int
    generation: int


class Node:
    """A node's bytes: in a leaf (level 0) items, above it keys with the nodes that begin with them."""

    __slots__ = ("count", "level", "raw")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.count = int.from_bytes(raw[96:100], "little")
        self.level = raw[100]

    def key(self, index: int) -> Key:
        """The key of entry `index`."""
        return KEY.unpack_from(self.raw, _HEADER + index * (_POINTER if self.level else _ITEM))

    def child(self, index: int) -> Root:
        """The node below entry `index`."""
        address, generation = struct.unpack_from("<QQ", self.raw, _HEADER + index * _POINTER + KEY.size)
        return Root(address, self.level - 1, generation)

    def data(self, index: int) -> bytes:
        """The data of item `index`."""
        begin, length = struct.unpack_from("<II", self.raw, _HEADER + index * _ITEM + KEY.size)
        end = _HEADER + begin + length
        if end > len(self.raw):
            raise BtrfsError("an item lies outside of its node")
        return self.raw[_HEADER + begin : end]

    def from_key(self, key: Key) -> int:
        """The first entry whose key is not below `key`."""
        return bisect_left(range(self.count), key, key=self.key)

    def up_to_key(self, key: Key) -> int:
        """The last entry whose key is not above `key`, -1 for none."""
        return bisect_right(range(self.count), key, key=self.key) - 1


class Nodes:
    """Reads nodes by their address. `check` is called before each one, to raise when the time is up."""

    def __init__(self, chunks: ChunkMap, superblock: Superblock, check: Callable[[], None] = lambda: None) -> None:
        self._chunks = chunks
        self._superblock = superblock
        self._check = check
        self._kept: OrderedDict[int, Node] = OrderedDict()
        self._left = 0

    def allow(self, length: int) -> None:
        """Let `length` bytes of nodes be visited until the next call."""
        self._left = length

    def read(self, root: Root) -> Node:
        """The node at `root`, as its parent describes it; another copy where the first is damaged."""
        self._check()
        self._left -= max(self._superblock.node_size, _VISIT)
        if self._left < 0:
            raise BtrfsError("its structures are larger than any that an operating system needs")
        node = self._kept.get(root.address)
        if node is None:
            node = self._load(root)
            self._kept[root.address] = node
            if len(self._kept) * self._superblock.node_size > _KEPT_BYTES:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(root.address)
        if fault := self._fault(node, root):
            raise BtrfsError(f"a node at {root.address} {fault}")
        return node

    def _load(self, root: Root) -> Node:
        failure: BtrfsError | ImageError | None = None
        for copy in range(self._chunks.copies(root.address)):
            try:
                raw = self._chunks.read(root.address, self._superblock.node_size, copy=copy)
            except (BtrfsError, ImageError) as error:
                failure = failure or error
                continue
            node = Node(raw)
            fault = "has a wrong checksum" if not self._superblock.sound(raw) else self._fault(node, root)
            if not fault:
                return node
            failure = BtrfsError(f"a node at {root.address} {fault}")
        raise failure or BtrfsError(f"a node at {root.address} has no copy")

    def _fault(self, node: Node, root: Root) -> str:
        """What keeps `node` from being the one that is meant, "" for nothing."""
        if node.raw[32:48] != self._superblock.fsid or node.raw[48:56] != root.address.to_bytes(8, "little"):
            return "is none of this file system"
        if node.level != root.level or node.level > _MAX_LEVEL:
            return f"is of level {node.level}, not {root.level}"
        if node.raw[80:88] != root.generation.to_bytes(8, "little"):
            return f"is of generation {int.from_bytes(node.raw[80:88], 'little')}, not {root.generation}"
        if _HEADER + node.count * (_POINTER if node.level else _ITEM) > len(node.raw):
            return "claims more items than it has room for"
        return ""


class BTree:
    """The tree below `root`: items in the order of their keys."""

    def __init__(self, nodes: Nodes, root: Root) -> None:
        self._nodes = nodes
        self._root = root

    def items(self, first: Key, last: Key) -> Iterator[tuple[Key, bytes]]:
        """The items from `first` to `last`, both included. Levels fall on the way down, so no walk goes in circles."""
        before: Key | None = None
        for key, data in self._walk(self._root, first, last):
            if before is not None and key <= before:
                raise BtrfsError("the keys of a tree are out of order")
            before = key
            yield key, data

    def _walk(self, root: Root, first: Key, last: Key) -> Iterator[tuple[Key, bytes]]:
        node = self._nodes.read(root)
        begin = max(0, node.up_to_key(first)) if node.level else node.from_key(first)
        for index in range(begin, node.count):
            key = node.key(index)
            if key > last:
                break
            if node.level:
                yield from self._walk(node.child(index), first, last)
            else:
                yield key, node.data(index)

    def get(self, key: Key) -> bytes | None:
        """The item with `key`."""
        return next((data for _, data in self.items(key, key)), None)

    def floor(self, key: Key) -> tuple[Key, bytes] | None:
        """The last item that is not above `key`."""
        return self._floor(self._root, key)

    def _floor(self, root: Root, key: Key) -> tuple[Key, bytes] | None:
        node = self._nodes.read(root)
        index = node.up_to_key(key)
        if not node.level:
            return (node.key(index), node.data(index)) if index >= 0 else None
        while index >= 0:
            found = self._floor(node.child(index), key)
            if found is not None:
                return found
            index -= 1  # an empty leaf: only damage leaves one
        return None
