"""Inodes by their path, across subvolumes, and what directories hold."""

from __future__ import annotations

import stat
import struct
from dataclasses import dataclass

from vmie.guest.btrfs.btree import BTree
from vmie.guest.btrfs.ondisk import (
    DIR_INDEX,
    FIRST_FREE,
    INODE_ITEM,
    INODE_REF,
    MAX_OFFSET,
    ROOT_ITEM,
    TOP_LEVEL,
    BtrfsError,
)
from vmie.guest.btrfs.subvolumes import BtrfsVolume, directory_entries, name_key

_MAX_NAME = 255
_MAX_DEPTH = 64


@dataclass(frozen=True, slots=True)
class InodeAddress:
    """An inode of a subvolume; 0 for the empty directory that stands where a snapshot had another subvolume."""

    subvolume: int
    inode: int


@dataclass(frozen=True, slots=True)
class Inode:
    """`mode` with the kind of file in it, `size` in bytes."""

    mode: int
    size: int


_EMPTY = Inode(stat.S_IFDIR | 0o755, 0)


class BtrfsFiles:
    """The files of all subvolumes of `volume`. Raises BtrfsError, ImageError, OverBudget."""

    def __init__(self, volume: BtrfsVolume) -> None:
        self._volume = volume

    def tree(self, number: int) -> BTree:
        """The tree of the subvolume `number`."""
        found = self._volume.tree(number)
        if found is None:
            raise BtrfsError(f"there is no subvolume {number}")
        return found

    def top(self, number: int) -> InodeAddress:
        """The own directory of the subvolume `number`."""
        found = self._volume.subvolume(number)
        if found is None:
            raise BtrfsError(f"there is no subvolume {number}")
        return InodeAddress(number, found.directory)

    def inode(self, place: InodeAddress) -> Inode:
        """The inode at `place`."""
        if not place.inode:
            return _EMPTY
        item = self.tree(place.subvolume).get((place.inode, INODE_ITEM, 0))
        if item is None or len(item) < 160:
            raise BtrfsError(f"inode {place.inode} of subvolume {place.subvolume} is missing")
        return Inode(int.from_bytes(item[52:56], "little"), int.from_bytes(item[16:24], "little"))

    def below(self, place: InodeAddress, name: str) -> InodeAddress | None:
        """What the directory at `place` has as `name`; None for nothing."""
        raw = name.encode("utf-8", "surrogateescape")
        if not place.inode or len(raw) > _MAX_NAME:
            return None
        item = self.tree(place.subvolume).get(name_key(place.inode, raw))
        for entry in directory_entries(item or b""):
            if entry.name == raw:
                number, kind, _ = entry.location
                if kind != ROOT_ITEM:
                    return InodeAddress(place.subvolume, number)
                child = self._volume.child(place.subvolume, place.inode, raw, number)
                return InodeAddress(number, child.directory) if child else InodeAddress(place.subvolume, 0)
        return None

    def names(self, place: InodeAddress, limit: int) -> list[str]:
        """At most `limit` names of the directory at `place`."""
        found: list[str] = []
        if not place.inode or not limit:
            return found
        first, last = (place.inode, DIR_INDEX, 0), (place.inode, DIR_INDEX, MAX_OFFSET)
        for _, item in self.tree(place.subvolume).items(first, last):
            found += [entry.name.decode("utf-8", "replace") for entry in directory_entries(item)]
            if len(found) >= limit:
                break
        return found[:limit]

    def find(self, path: str) -> InodeAddress | None:
        """What is at `path`, counted from the top level, links not followed: so `subvol=` names subvolumes."""
        place: InodeAddress | None = self.top(TOP_LEVEL)
        for part in path.split("/"):
            if place is not None and part not in ("", "."):
                place = self.below(place, part)
        return place

    def path(self, number: int) -> str:
        """Where the subvolume `number` lies, from the top level and without a slash before it: "@/.snapshots/1"."""
        parts: list[bytes] = []
        while number != TOP_LEVEL:
            parent = self._volume.parent(number)
            if parent is None or len(parts) > _MAX_DEPTH:
                raise BtrfsError(f"subvolume {number} has no place")
            number, directory, name = parent
            parts.append(name)
            while directory != FIRST_FREE:
                directory, name = self._named(number, directory)
                parts.append(name)
                if len(parts) > _MAX_DEPTH:
                    raise BtrfsError(f"subvolume {number} has no place")
        return b"/".join(reversed(parts)).decode("utf-8", "replace")

    def _named(self, number: int, directory: int) -> tuple[int, bytes]:
        first, last = (directory, INODE_REF, 0), (directory, INODE_REF, MAX_OFFSET)
        for key, item in self.tree(number).items(first, last):
            if len(item) >= 10:
                length = struct.unpack_from("<H", item, 8)[0]
                return key[2], item[10 : 10 + length]
        raise BtrfsError(f"directory {directory} of subvolume {number} has no name")
