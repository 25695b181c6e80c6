"""A guest's files as mends see them: with what was changed before, and nothing written yet."""

from __future__ import annotations

from dataclasses import dataclass, field

from vmie.guest import OpenGuest
from vmie.guest.filesystem import FileSystem
from vmie.guest.free import lvm
from vmie.guest.free.space import sealed
from vmie.guest.in_place import MOST, FileMap, NotWritable, Patch, file_map
from vmie.guest.linux_facts import LinuxFacts
from vmie.guest.machine import Volume
from vmie.guest.tree import ResolvedPath, Tree
from vmie.guest.windows_facts import WindowsFacts
from vmie.repair.model import Edit, FileChange, Reason


@dataclass(slots=True)
class _Changed:
    place: ResolvedPath
    volume: Volume
    map: FileMap
    before: bytes
    after: bytes
    reasons: list[Reason] = field(default_factory=list)


class GuestFiles:
    """The files of one system of an open guest. `facts` are what was found before anything was changed."""

    def __init__(self, guest: OpenGuest, facts: LinuxFacts | WindowsFacts, tree: Tree) -> None:
        self.guest = guest
        self.facts = facts
        self.tree = tree
        self._maps: dict[tuple[int, str], FileMap] = {}
        self._changed: dict[tuple[int, str], _Changed] = {}

    def real(self, path: str) -> str:
        """`path` without links, "" when there is no such file."""
        place = self.tree.file(path)
        return place.path if place is not None else ""

    def read(self, path: str, *, limit: int = MOST) -> bytes | None:
        """The bytes of the file at `path` as changed so far; None when it is not there or larger than `limit`."""
        place = self.tree.file(path)
        if place is None:
            return None
        changed = self._changed.get(_key(place))
        if changed is not None:
            return changed.after
        return self.tree.read(path, limit=limit) if place.entry.size <= limit else None

    def text(self, path: str) -> str | None:
        """The same as text, for files of up to 4 MiB: bytes that are no UTF-8 come back as they were by `encoded`."""
        raw = self.read(path, limit=4 << 20)
        return None if raw is None else raw.decode("utf-8", "surrogateescape")

    def room(self, path: str) -> tuple[int, int]:
        """The fewest and the most bytes that the file at `path` can be given; raises NotWritable."""
        _, found = self._map(path)
        return found.least, found.room

    def edit(self, edit: Edit, *, rules: tuple[str, ...] = ()) -> bool:
        """Take `edit` up; False when it changes nothing. Raises NotWritable."""
        now = self.read(edit.path)
        if now is None:
            raise NotWritable("there is no such file")
        if now == edit.after:
            return False
        changed = self._of(edit.path)
        after = fitted(edit, changed.map.least, changed.map.room)
        if after == now:
            return False
        changed.after = after
        reason = Reason(edit.why, rules)
        changed.reasons += [reason] if reason not in changed.reasons else []
        self._changed[_key(changed.place)] = changed
        return True

    def _of(self, path: str) -> _Changed:
        place = self.tree.file(path)
        if place is not None and _key(place) in self._changed:
            return self._changed[_key(place)]
        place, found = self._map(path)
        before = place.filesystem.read(place.inner, found.size)
        return _Changed(place, self._volume(place.filesystem), found, before, before)

    def _map(self, path: str) -> tuple[ResolvedPath, FileMap]:
        place = self.tree.file(path)
        if place is None:
            raise NotWritable("there is no such file")
        if _key(place) not in self._maps:
            volume = self._volume(place.filesystem)
            found = file_map(place.filesystem, place.inner)
            self._alone(volume, found)
            self._maps[_key(place)] = found
        return place, self._maps[_key(place)]

    def _volume(self, filesystem: FileSystem) -> Volume:
        for volume in self.guest.machine.volumes:
            if volume.filesystem is filesystem:
                return volume
        raise NotWritable("it is not known on which volume it lies")

    def _alone(self, volume: Volume, found: FileMap) -> None:
        """Raise NotWritable where more than this volume hangs on the bytes of the file."""
        machine = self.guest.machine
        if volume.where in lvm.origins(machine.physical):
            raise NotWritable("a snapshot of its logical volume needs its bytes as they are")
        if any(sealed(one) for one in machine.volumes):
            raise NotWritable("dm-verity seals it")
        mirrored = [one.partition for one in machine.volumes if one.partition and one.where in machine.mirrored]
        for _, at, length in found.pieces if volume.blocks is not None else ():
            for disk, start, size in machine.places(volume.blocks, at, length):  # type: ignore[arg-type]
                for one in mirrored:
                    if one.disk == disk and one.start < start + size and start < one.start + one.length:
                        raise NotWritable("a software RAID keeps a second copy of it")

    def changes(self) -> list[FileChange]:
        """What was changed, in the order in which it was begun."""
        return [
            FileChange(one.place.path, one.volume.where, one.before, one.after, tuple(one.reasons))
            for one in self._changed.values()
            if one.before != one.after
        ]

    def patches(self) -> list[tuple[Volume, Patch]]:
        """What is to be written into each volume."""
        return [
            (one.volume, patch)
            for one in self._changed.values()
            if one.before != one.after
            for patch in one.map.patches(one.after)
        ]


def _key(place: ResolvedPath) -> tuple[int, str]:
    return id(place.filesystem), place.inner


def encoded(text: str) -> bytes:
    """The bytes of a text that `GuestFiles.text` gave."""
    return text.encode("utf-8", "surrogateescape")


def fitted(edit: Edit, least: int, most: int) -> bytes:
    """What `edit` wants, filled up to `least` bytes, and without comments as far as `most` asks for it.

    Raises NotWritable.
    """
    after = edit.after
    if len(after) > most and edit.comment:
        after = _without_comments(after, edit.comment.encode(), len(after) - most)
    if len(after) > most:
        raise NotWritable(f"{len(edit.after)} bytes do not fit where it lies: there is room for {most}")
    if len(after) < least and len(edit.fill) != 1:
        raise NotWritable(f"{len(after)} bytes are too few where it lies: it needs {least}")
    return after.ljust(least, edit.fill) if len(after) < least else after


def _without_comments(text: bytes, mark: bytes, surplus: int) -> bytes:
    """`text` with as many comments left out, the last first, as make up for `surplus` bytes; the first line stays."""
    lines = text.splitlines(keepends=True)
    for index in range(len(lines) - 1, 0, -1):
        if surplus <= 0:
            break
        if lines[index].lstrip().startswith(mark):
            surplus -= len(lines[index])
            lines[index] = b""
    return b"".join(lines)


__all__ = ["GuestFiles", "NotWritable", "encoded", "fitted"]
