"""From the superblock to the trees of files: chunks, the tree of roots, subvolumes, which of them is the default."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from vmie.disk.crc32c import register
from vmie.errors import ImageError
from vmie.guest.btrfs.btree import BTree, Nodes, Root
from vmie.guest.btrfs.chunks import DATA, ChunkMap
from vmie.guest.btrfs.ondisk import (
    BLOCK_GROUP_ITEM,
    BLOCK_GROUP_TREE,
    CHUNK_ITEM,
    DIR_ITEM,
    EXTENT_TREE,
    FIRST_FREE,
    KEY,
    LAST_FREE,
    MAX_OFFSET,
    ROOT_BACKREF,
    ROOT_ITEM,
    ROOT_REF,
    TOP_LEVEL,
    BtrfsError,
    Key,
)
from vmie.guest.btrfs.superblock import Superblock, superblock
from vmie.guest.stream import Blocks

#: bytes of nodes that opening may visit: the tree of chunks of 100 TiB are 30 MiB
OPENING = 64 << 20
_MAX_SUBVOLUMES = 10_000
_READ_ONLY = 1


@dataclass(frozen=True, slots=True)
class Subvolume:
    """A tree of files. `snapshot` when it was made from another one; the top level is one too (identifier 5)."""

    id: int
    root: Root
    directory: int
    read_only: bool
    snapshot: bool


@dataclass(frozen=True, slots=True)
class DirectoryEntry:
    """A name in a directory: `kind` of `location` is that of an inode of this tree, or of another subvolume."""

    name: bytes
    location: Key


def directory_entries(item: bytes) -> Iterator[DirectoryEntry]:
    """What a DIR_ITEM (names with one hash) or a DIR_INDEX holds."""
    at = 0
    while at < len(item):
        if at + 30 > len(item):
            raise BtrfsError("a directory entry is cut off")
        more, length = struct.unpack_from("<HH", item, at + 25)
        name = item[at + 30 : at + 30 + length]
        if len(name) < length:
            raise BtrfsError("a directory entry is cut off")
        yield DirectoryEntry(name, KEY.unpack_from(item, at))
        at += 30 + length + more


def name_key(directory: int, name: bytes) -> Key:
    """Where `directory` has the entry `name`: below a hash of it."""
    return directory, DIR_ITEM, register(name, 0xFFFFFFFE)


class BtrfsVolume:
    """A whole file system, over the devices of it that are at hand. Raises BtrfsError, ImageError, OverBudget."""

    def __init__(self, members: Mapping[int, Blocks], head: Superblock, check: Callable[[], None]) -> None:
        self.superblock = head
        self.chunks = ChunkMap(members)
        self.nodes = Nodes(self.chunks, head, check)
        self.nodes.allow(OPENING)
        self.chunks.add_system(head.system_chunks)
        chunk_root = Root(head.chunk_root, head.chunk_root_level, head.chunk_root_generation)
        first, last = (FIRST_FREE, CHUNK_ITEM, 0), (FIRST_FREE, CHUNK_ITEM, MAX_OFFSET)
        for key, item in BTree(self.nodes, chunk_root).items(first, last):
            self.chunks.add(key[2], item)
        self._roots = BTree(self.nodes, Root(head.root, head.root_level, head.generation))
        self._subvolumes: dict[int, Subvolume | None] = {}

    def tree(self, number: int) -> BTree | None:
        """The tree with the identifier `number`."""
        found = self.subvolume(number)
        return BTree(self.nodes, found.root) if found else None

    def subvolume(self, number: int) -> Subvolume | None:
        """The subvolume `number`; None when there is none or it is being deleted."""
        if number not in self._subvolumes:
            items = self._roots.items((number, ROOT_ITEM, 0), (number, ROOT_ITEM, MAX_OFFSET))
            self._subvolumes[number] = next((_subvolume(number, item) for _, item in items), None)
        return self._subvolumes[number]

    def subvolumes(self) -> list[Subvolume]:
        """All but the top level, in the order of their identifiers."""
        found: list[Subvolume] = []
        for key, item in self._roots.items((FIRST_FREE, 0, 0), (LAST_FREE, 255, MAX_OFFSET)):
            if key[1] == ROOT_ITEM and len(found) < _MAX_SUBVOLUMES:
                one = _subvolume(key[0], item)
                found += [one] if one else []
        return found

    def default(self) -> int:
        """The subvolume that is mounted when none is named: `btrfs subvolume set-default` writes it."""
        item = self._roots.get(name_key(self.superblock.root_directory, b"default"))
        for entry in directory_entries(item or b""):
            if entry.name == b"default" and entry.location[1] == ROOT_ITEM:
                return entry.location[0]
        return TOP_LEVEL

    def child(self, parent: int, directory: int, name: bytes, number: int) -> Subvolume | None:
        """The subvolume `number` if its own place is `name` there: in a snapshot those of the original are empty."""
        item = self._roots.get((parent, ROOT_REF, number)) or b""
        if item[:8] != directory.to_bytes(8, "little") or item[18 : 18 + int.from_bytes(item[16:18], "little")] != name:
            return None
        return self.subvolume(number)

    def parent(self, number: int) -> tuple[int, int, bytes] | None:
        """(parent, directory in it, name) of the subvolume `number`."""
        for key, item in self._roots.items((number, ROOT_BACKREF, 0), (number, ROOT_BACKREF, MAX_OFFSET)):
            length = int.from_bytes(item[16:18], "little")
            return key[2], int.from_bytes(item[:8], "little"), item[18 : 18 + length]
        return None

    def free_bytes(self) -> int:
        """Bytes that files can still take: the room in chunks of data, and what no chunk has taken yet."""
        number = BLOCK_GROUP_TREE if self.superblock.block_group_tree else EXTENT_TREE
        groups, free, copies, left = self.tree(number), 0, 1, self.superblock.total_bytes
        for chunk in self.chunks:
            left -= chunk.taken
            if not chunk.kind & DATA:
                continue
            item = groups.get((chunk.start, BLOCK_GROUP_ITEM, chunk.length)) if groups else None
            if item is None or len(item) < 8:
                raise BtrfsError("a block group is missing")
            free += max(0, chunk.length - int.from_bytes(item[:8], "little"))
            copies = max(copies, chunk.copies)
        return free + max(0, left) // copies


def _subvolume(number: int, item: bytes) -> Subvolume | None:
    """A root item: 239 bytes in old file systems, 439 today."""
    if len(item) < 239:
        raise BtrfsError("a root item is cut off")
    generation, directory, address = struct.unpack_from("<QQQ", item, 160)
    flags, references = struct.unpack_from("<QI", item, 208)
    if not references:
        return None
    return Subvolume(
        id=number,
        root=Root(address, item[238], generation),
        directory=directory,
        read_only=bool(flags & _READ_ONLY),
        snapshot=any(item[263:279]),
    )


def count(blocks: Blocks) -> int | None:
    """The number of subvolumes and snapshots besides the top level; None when it cannot be determined.

    VM Import takes a Btrfs only without them.
    """
    try:
        head = superblock(blocks)
        return len(BtrfsVolume({head.device: blocks}, head, lambda: None).subvolumes())
    except (BtrfsError, ImageError):
        return None
