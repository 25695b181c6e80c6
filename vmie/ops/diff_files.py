"""The files of two disks that differ, by name: both trees are walked where a range touches their file system.

A snapshot is read only where it differs from a file: all else is the file's too, and nearer.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from vmie.disk import Disk
from vmie.errors import ImageError
from vmie.guest.budget import Budget, OverBudget
from vmie.guest.filesystem import FileKind, FileStatus, FileSystem, FileSystemError
from vmie.guest.machine import READABLE, Machine, Volume
from vmie.ops.opening import Counted

#: of a whole comparison: names of files, bytes read of each disk, seconds
_NAMES, _BYTES, _SECONDS = 2_000_000, 1 << 40, 3600.0
_PIECE = 1 << 20
#: files that are named, and places that are named as not compared
_MOST, _MOST_UNREAD = 10_000, 1000
#: names of one folder, and characters of a path (PATH_MAX of Linux)
_IN_FOLDER, _PATH = 200_000, 4096
#: of a file system's files as many bytes are read as its disk has, so many times: hard links and holes add up
_TIMES = 8


@dataclass(frozen=True, slots=True)
class FileDifference:
    """A file of one file system, `where` it lies; `change` is added, removed, content, mode, target or kind."""

    where: str
    path: str
    change: str

    def as_json(self) -> dict[str, Any]:
        """One element of ``files[]``."""
        return {"path": self.path, "change": self.change, "where": self.where}


class _Far:
    """A disk that is read only where it differs from a nearer one."""

    def __init__(self, near: Disk, far: Disk, ranges: Sequence[tuple[int, int]]) -> None:
        self._near, self._far = near, far
        self._ranges = ranges
        self._starts = [start for start, _ in ranges]
        self.size = far.size

    def read(self, offset: int, length: int) -> bytes:
        """See `guest.stream.Blocks.read`."""
        length = min(length, self.size - offset)
        if length <= 0:
            return b""
        index = bisect_right(self._starts, offset) - 1
        touched = index >= 0 and sum(self._ranges[index]) > offset
        touched = touched or (index + 1 < len(self._starts) and self._starts[index + 1] < offset + length)
        if touched or offset + length > self._near.size:
            return self._far.read(offset, length)
        return self._near.read(offset, length)


def changed_files(
    first: Disk,
    second: Disk,
    ranges: Sequence[tuple[int, int]],
    *,
    whole: bool,
    files: list[FileDifference],
    unread: list[tuple[str, str]],
) -> int:
    """Add to `files` and `unread` what lies in `ranges`; how many files more there are than are named.

    `whole` says that these are all ranges.
    """
    pair: list[Any] = [first, second]
    if whole and isinstance(first, Counted):
        pair[0] = _Far(second, first, ranges)
    elif whole:
        pair[1] = _Far(first, second, ranges)
    machines = [_machine(one) for one in pair]
    more = 0
    try:
        for machine in machines:
            machine.read()
        others = {volume.where: volume for volume in machines[1].volumes}
        for volume in machines[0].volumes:
            if _touched(volume, ranges):
                for change in _of_volume(machines, volume, others.get(volume.where), unread):
                    if len(files) < _MOST:
                        files.append(change)
                    else:
                        more += 1
        gone = {volume.where for volume in machines[0].volumes}
        for where in others.keys() - gone:
            _leave(unread, where, "it is on the second disk only")
    except (OverBudget, ImageError) as error:
        _leave(unread, "the disks", str(error))
    finally:
        for machine in machines:
            machine.close()
    return more


def _machine(disk: Any) -> Machine:
    return Machine([disk], budget=Budget(seconds=_SECONDS, read_bytes=_BYTES, entries=_IN_FOLDER))


def _leave(unread: list[tuple[str, str]], where: str, why: str) -> None:
    """Name a place that is not compared; beyond a bound only that there are more."""
    if len(unread) < _MOST_UNREAD:
        unread.append((where, why))
    elif len(unread) == _MOST_UNREAD:
        unread.append(("more places", "they are not named"))


def _touched(volume: Volume, ranges: Sequence[tuple[int, int]]) -> bool:
    """Whether a range lies in the partition; logical volumes and arrays may lie anywhere."""
    partition = volume.partition
    if partition is None:
        return True
    end = partition.start + partition.length
    return any(start < end and start + length > partition.start for start, length in ranges)


def _of_volume(
    machines: Sequence[Machine], volume: Volume, other: Volume | None, unread: list[tuple[str, str]]
) -> Iterator[FileDifference]:
    if other is None:
        _leave(unread, volume.where, "it is on the first disk only")
        return
    if volume.content.kind not in READABLE:
        if volume.content.kind not in ("lvm2", "md", "empty"):
            _leave(unread, volume.where, f"what is in it ({volume.content.kind}) is not looked into")
        return
    pair = [machine.filesystem(one) for machine, one in zip(machines, (volume, other), strict=True)]
    if pair[0] is None or pair[1] is None:
        _leave(unread, volume.where, "its file system cannot be opened on both disks")
        return
    size = max(source.size for machine in machines for source in machine.sources)
    yield from Walk(volume.where, pair[0], pair[1], unread, size=size).changes()


class Walk:
    """Two file systems side by side, on disks of `size` bytes at most."""

    def __init__(
        self, where: str, one: FileSystem, other: FileSystem, unread: list[tuple[str, str]], *, size: int
    ) -> None:
        self._where = where
        self._both = (one, other)
        self._left = _NAMES
        self._size = size
        self._bytes = _TIMES * size
        self._unread = unread

    def changes(self) -> Iterator[FileDifference]:
        """What differs, folder by folder."""
        folders = ["/"]
        while folders:
            folder = folders.pop()
            for path, before, after in self._names(folder):
                self._left -= 1
                if self._left < 0:
                    _leave(self._unread, self._where, f"more than {_NAMES:,} files")
                    return
                if len(path) > _PATH:
                    _leave(self._unread, self._where, f"a path of more than {_PATH:,} characters")
                    continue
                try:
                    change = self._change(path, before, after)
                    if before and after and self._is_folder(path):
                        folders.append(path)
                except FileSystemError as error:
                    _leave(self._unread, f"{self._where}: {path}", str(error))
                    continue
                if change:
                    yield FileDifference(self._where, path, change)

    def _names(self, folder: str) -> list[tuple[str, bool, bool]]:
        """(path, whether the first has it, whether the second has it) of all in a folder."""
        try:
            names = [set(one.listdir(folder)) - {".", ".."} for one in self._both]
        except FileSystemError as error:
            _leave(self._unread, f"{self._where}: {folder}", str(error))
            return []
        if any(len(some) >= _IN_FOLDER - 2 for some in names):
            _leave(self._unread, f"{self._where}: {folder}", f"more than {_IN_FOLDER:,} names in one folder")
        return [
            (f"{folder.rstrip('/')}/{name}", name in names[0], name in names[1]) for name in sorted(names[0] | names[1])
        ]

    def _is_folder(self, path: str) -> bool:
        both = [files.lstat(path) for files in self._both]
        return all(one is not None and one.kind is FileKind.DIRECTORY for one in both)

    def _change(self, path: str, before: bool, after: bool) -> str:
        """How the file at `path` changed, "" not at all."""
        if before != after:
            return "removed" if before else "added"
        one, other = (files.lstat(path) for files in self._both)
        if one is None or other is None or one.kind is not other.kind:
            return "" if one is other else "kind"
        if one.kind is FileKind.LINK and len({files.readlink(path) for files in self._both}) > 1:
            return "target"
        if one.kind is FileKind.FILE and (one.size != other.size or not self._same(path, one)):
            return "content"
        return "mode" if one.mode != other.mode else ""

    def _same(self, path: str, status: FileStatus) -> bool:
        """Whether the content is the same, as far as it is read: a hole may be larger than the disk."""
        end = min(status.size, self._size, self._bytes)
        if end < status.size:
            _leave(self._unread, f"{self._where}: {path}", f"only the first {end:,} of its {status.size:,} bytes")
        self._bytes -= end
        for offset in range(0, end, _PIECE):
            pieces = [files.read(path, _PIECE, offset) for files in self._both]
            if pieces[0] != pieces[1]:
                return False
        return True
