"""Btrfs images with subvolumes, snapshots, holes and compressed extents: written over an empty one of mkfs.btrfs.

mkfs.btrfs of Debian 12 makes none of these, and mounting needs root. `btrfs check` judges what is written here.
"""

from __future__ import annotations

import itertools
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import zstandard

from tests.btrfs_trees import KEY, Key, Trees
from tests.guests import MIB, Link
from tests.lzo import lzo
from tests.tools import need, run
from vmie.disk.crc32c import crc32c, register

_DIRECTORY, _FILE, _LINK = 0o40755, 0o100644, 0o120777
ZLIB, LZO, ZSTD = 1, 2, 3
_SECTOR = 4096


@dataclass(frozen=True)
class File:
    """A file's bytes and how they are stored: `holes` and `preallocated` are ranges that must be zeros in `data`."""

    data: bytes
    compression: int = 0
    holes: tuple[tuple[int, int], ...] = ()
    preallocated: tuple[tuple[int, int], ...] = ()


Files = Mapping[str, "str | bytes | Link | File | None"]


@dataclass(frozen=True)
class Sub:
    """The subvolume `id` at the path `at` from the top level, which is 5 at "". `ghosts`: others' places, copied."""

    id: int
    at: str
    files: Files
    read_only: bool = False
    snapshot_of: int = 0
    ghosts: Mapping[str, int] = field(default_factory=dict)


_PACK = {0: bytes, ZLIB: zlib.compress, LZO: lzo, ZSTD: zstandard.ZstdCompressor(write_content_size=False).compress}


@dataclass
class _Directories:
    """A tree that grows; by path: inode numbers, the next index of a directory, its size."""

    tree: dict[Key, bytes]
    numbers: dict[str, int]
    indexes: dict[str, int]
    sizes: dict[str, int]


def _with_folders(sub: Sub, children: Mapping[str, int]) -> dict[str, str | bytes | Link | File | None]:
    """The files and every directory on the way to them, outer ones first."""
    nodes: dict[str, str | bytes | Link | File | None] = {}
    for path in (*sub.files, *children, *sub.ghosts):
        parts = path.split("/")
        for end in range(2, len(parts)):
            nodes.setdefault("/".join(parts[:end]), None)
        if path in sub.files:
            nodes[path] = sub.files[path]
    return dict(sorted(nodes.items(), key=lambda item: item[0].count("/")))


def _reference(index: int, name: str) -> bytes:
    raw = name.encode()
    return struct.pack("<QH", index, len(raw)) + raw


class _Writer(Trees):
    def subvolume(self, sub: Sub, children: Mapping[str, int]) -> None:
        """The tree of `sub`, with the subvolumes `children` (path → identifier) in it."""
        made = _Directories({}, {"": 256}, {"": 2}, {"": 0})
        self.trees[sub.id] = made.tree
        for path, node in _with_folders(sub, children).items():
            kind = 2 if node is None else 7 if isinstance(node, Link) else 1
            number = 256 + len(made.numbers)
            index = self._entry(made, path, (number, 1, 0), kind)
            made.numbers[path] = number
            folder, _, name = path.rpartition("/")
            made.tree[number, 12, made.numbers[folder]] = _reference(index, name)
            if node is None:
                made.indexes[path], made.sizes[path] = 2, 0
            else:
                self._file(sub.id, made.tree, number, node)
        for path, number in (*children.items(), *sub.ghosts.items()):
            index = self._entry(made, path, (number, 132, (1 << 64) - 1), 2)
            if path in children:
                folder, _, name = path.rpartition("/")
                place = made.numbers[folder].to_bytes(8, "little") + _reference(index, name)
                self.roots[sub.id, 156, number] = self.roots[number, 144, sub.id] = place
        made.tree[256, 12, 256] = _reference(0, "..")
        for path, size in made.sizes.items():
            made.tree[made.numbers[path], 1, 0] = self._inode(size, 0, _DIRECTORY)
        self._root(sub)

    def _root(self, sub: Sub) -> None:
        item = bytearray(self.roots[5, 132, 0])
        item[208:216] = (1 if sub.read_only else 0).to_bytes(8, "little")
        item[168:176] = (256).to_bytes(8, "little")
        item[216:220] = (1).to_bytes(4, "little")
        item[247:263] = sub.id.to_bytes(16, "big")
        item[263:279] = sub.snapshot_of.to_bytes(16, "big")
        self.roots[sub.id, 132, self.generation if sub.snapshot_of else 0] = bytes(item)

    def _entry(self, made: _Directories, path: str, location: Key, kind: int) -> int:
        folder, _, text = path.rpartition("/")
        name, parent = text.encode(), made.numbers[folder]
        index = made.indexes[folder]
        made.indexes[folder] += 1
        item = KEY.pack(*location) + struct.pack("<QHHB", self.generation, 0, len(name), kind) + name
        hashed = (parent, 84, register(name, 0xFFFFFFFE))
        made.tree[hashed] = made.tree.get(hashed, b"") + item
        made.tree[parent, 96, index] = item
        made.sizes[folder] += 2 * len(name)
        return index

    def _inode(self, size: int, stored: int, mode: int) -> bytes:
        return struct.pack(
            "<QQQQQIIIIQQQ32x48x", self.generation, self.generation, size, stored, 0, 1, 0, 0, mode, 0, 0, 0
        )

    def _file(self, sub: int, tree: dict[Key, bytes], number: int, node: str | bytes | File) -> None:
        file = node if isinstance(node, File) else File(node.encode() if isinstance(node, str) else node)
        data, mode = file.data, _LINK if isinstance(node, Link) else _FILE
        if len(data) <= 2048 and not file.holes and not file.preallocated:
            if data:
                head = struct.pack("<QQBBHB", self.generation, len(data), file.compression, 0, 0, 0)
                tree[number, 108, 0] = head + _PACK[file.compression](data)
            tree[number, 1, 0] = self._inode(len(data), len(data), mode)
            return
        stored = 0
        edges = {0, len(data), *itertools.chain(*file.holes, *file.preallocated)}
        for begin, end in itertools.pairwise(sorted(edges)):
            if (begin, end) in file.holes:
                continue
            step = 131072 if file.compression else 1 << 20
            for at in range(begin, end, step):
                piece = data[at : min(at + step, end)]
                piece = piece.ljust(-(-len(piece) // _SECTOR) * _SECTOR, b"\0")
                owner = (sub, number, at)
                tree[number, 108, at] = self._extent(owner, piece, file, empty=(begin, end) in file.preallocated)
                stored += len(piece)
        tree[number, 1, 0] = self._inode(len(data), stored, mode)

    def _extent(self, owner: tuple[int, int, int], piece: bytes, file: File, *, empty: bool) -> bytes:
        packed = _PACK[file.compression](piece)
        kind = file.compression if len(packed) < len(piece) and not empty else 0
        packed = packed if kind else piece
        packed = packed.ljust(-(-len(packed) // _SECTOR) * _SECTOR, b"\0")
        address, self.data_at = self.data_at, self.data_at + len(packed)
        place = self.place(address)
        if not empty:
            self.raw[place : place + len(packed)] = packed
            for begin in range(0, len(packed), _SECTOR):
                checksum = crc32c(packed[begin : begin + _SECTOR]).to_bytes(4, "little")
                self.trees[7][(1 << 64) - 10, 128, address + begin] = checksum
        self.extents[address, 168, len(packed)] = struct.pack("<QQQBQQQI", 1, self.generation, 1, 178, *owner, 1)
        head = struct.pack("<QQBBHB", self.generation, len(piece), kind, 0, 0, 2 if empty else 1)
        return head + struct.pack("<QQQQ", address, len(packed), 0, len(piece))


def btrfs(path: Path, *subs: Sub, default: int = 5, size: int = 128 * MIB, options: tuple[str, ...] = ()) -> Path:
    """Write a Btrfs with the files of `subs` to `path`; the top level is empty when they leave it out."""
    need("mkfs.btrfs", "btrfs")
    with path.open("wb") as file:
        file.truncate(size)
    run(["mkfs.btrfs", "-q", "-m", "single", "-R", "^free-space-tree", *options, str(path)])
    writer = _Writer(path, default)
    subs = subs if any(sub.id == 5 for sub in subs) else (Sub(5, "", {}), *subs)
    places = {sub.at: sub.id for sub in subs}
    for sub in subs:
        children = {}
        for at, number in places.items():
            above = max((other for other in places if at != other and _inside(at, other)), key=len, default=None)
            if at and above == sub.at:
                children[at.removeprefix(sub.at) if sub.at else f"/{at}"] = number
        writer.subvolume(sub, children)
    writer.save(path)
    return path


def _inside(path: str, other: str) -> bool:
    return not other or path.startswith(f"{other}/")


def check(path: Path) -> None:
    """Raises AssertionError where `btrfs check` finds a fault."""
    run(["btrfs", "check", "--check-data-csum", str(path)])
