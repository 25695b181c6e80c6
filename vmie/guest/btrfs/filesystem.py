"""Btrfs behind `guest.filesystem.FileSystem`: one of these for each subvolume, over one `BtrfsVolume`."""

from __future__ import annotations

import stat
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TypeVar

from vmie.errors import ImageError
from vmie.guest.btrfs.extents import Extents
from vmie.guest.btrfs.files import BtrfsFiles, Inode, InodeAddress
from vmie.guest.btrfs.ondisk import TOP_LEVEL, BtrfsError
from vmie.guest.btrfs.subvolumes import OPENING, BtrfsVolume
from vmie.guest.btrfs.superblock import Superblock, superblock
from vmie.guest.budget import Budget
from vmie.guest.filesystem import MODES, FileKind, FileStatus, FileSystemError
from vmie.guest.recognise import Content
from vmie.guest.stream import Blocks

_T = TypeVar("_T")
_KEPT = 4000
#: bytes of nodes that one look-up may visit
_LOOKUP = 12 << 20
_MAX_LINK = 4096
_MAX_SUBVOLUMES = 64


class _Shared:
    """The volume and its readers; every call into them goes through `guard`."""

    def __init__(self, blocks: Blocks, content: Content, budget: Budget, others: Sequence[Blocks]) -> None:
        self.content = content
        self.budget = budget
        self.views: dict[int, BtrfsFileSystem] = {}
        self.volume: BtrfsVolume | None = None
        head = self.guard(lambda: superblock(blocks))
        members = {head.device: blocks} | dict(self.guard(lambda: _members(head, others)))
        missing = head.devices - len(members)
        self.remarks: tuple[str, ...] = ()
        if missing > 0:
            self.remarks = (f"{missing} of its {head.devices} devices are not in the image: Linux does not mount it",)
        self.volume = self.guard(lambda: BtrfsVolume(members, head, budget.check))
        self.files = BtrfsFiles(self.volume)
        self.extents = Extents(self.volume, budget.check)

    def guard(self, act: Callable[[], _T], *, allowed: int = _LOOKUP) -> _T:
        """Call `act`, which may visit `allowed` bytes of nodes; what goes wrong becomes a FileSystemError."""
        if self.volume is not None:
            self.volume.nodes.allow(allowed)
        try:
            return act()
        except (BtrfsError, ImageError) as error:
            raise FileSystemError(str(error)) from error

    def view(self, number: int) -> BtrfsFileSystem:
        """The subvolume `number`, always the same object."""
        if number not in self.views:
            self.views[number] = BtrfsFileSystem(self, number)
        return self.views[number]


def _members(head: Superblock, others: Sequence[Blocks]) -> list[tuple[int, Blocks]]:
    """The other devices of the same file system that were written last when this one was."""
    found = []
    for blocks in others:
        other = superblock(blocks)
        if (other.uuid, other.generation) == (head.uuid, head.generation) and other.device != head.device:
            found.append((other.device, blocks))
    return found


def open_filesystem(blocks: Blocks, content: Content, *, budget: Budget, others: Sequence[Blocks]) -> BtrfsFileSystem:
    """See `guest.filesystem.open_filesystem`: the subvolume that is mounted when none is named."""
    shared = _Shared(blocks, content, budget, others)
    if shared.volume is None:
        raise FileSystemError("it was not opened")
    volume = shared.volume
    number = shared.guard(volume.default)
    if shared.guard(lambda: volume.subvolume(number)) is None:
        number = TOP_LEVEL  # mounts that name a subvolume go on
    shared.guard(lambda: shared.files.top(number))
    return shared.view(number)


class BtrfsFileSystem:
    """One subvolume as a file system of its own; those below it show as directories, as Linux shows them."""

    def __init__(self, shared: _Shared, number: int) -> None:
        self.kind = shared.content.kind
        self.label = shared.content.label
        self.uuid = shared.content.uuid
        self.remarks = shared.remarks
        self.number = number
        self._shared = shared
        self._kept: dict[str, InodeAddress | None] = {}

    @property
    def _volume(self) -> BtrfsVolume:
        if self._shared.volume is None:
            raise FileSystemError("it is closed")
        return self._shared.volume

    @property
    def size(self) -> int | None:
        """Bytes of all devices."""
        return self._volume.superblock.total_bytes

    @cached_property
    def free_bytes(self) -> int | None:
        """Bytes that files can still take, None where the block groups do not tell."""
        try:
            return self._shared.guard(self._volume.free_bytes, allowed=OPENING)
        except FileSystemError:
            return None

    @property
    def clean(self) -> bool | None:
        """False when there is a log tree, which the next mount replays: what it holds is not seen here."""
        return not self._volume.superblock.log_root

    def mounted(self, options: Sequence[str]) -> BtrfsFileSystem | None:
        """See `FileSystem.mounted`: subvol= is a path from the top level, subvolid= a number, and both must agree."""
        given = dict(option.partition("=")[::2] for option in options)
        wanted = _number(given.get("subvolid", ""))
        path = given.get("subvol")
        if path is None:
            number = wanted or self._shared.guard(self._volume.default)
        else:
            place = self._shared.guard(lambda: self._shared.files.find(path))
            if place is None or not self._is_top(place) or wanted not in (None, place.subvolume):
                return None
            number = place.subvolume
        if self._shared.guard(lambda: self._volume.subvolume(number)) is None:
            return None
        return self._shared.view(number)

    def _is_top(self, place: InodeAddress) -> bool:
        return place == self._shared.guard(lambda: self._shared.files.top(place.subvolume))

    def subvolumes(self) -> Sequence[BtrfsFileSystem]:
        """See `FileSystem.subvolumes`: the default, the top level, originals, snapshots; none that is read-only."""
        default = self._shared.guard(self._volume.default)
        found = self._shared.guard(self._volume.subvolumes, allowed=OPENING)
        first = [default] if any(one.id == default for one in found) else []
        found = sorted((one for one in found if not one.read_only), key=lambda one: (one.snapshot, one.id))
        numbers = dict.fromkeys([*first, TOP_LEVEL, *(one.id for one in found)])
        return [self._shared.view(number) for number in list(numbers)[:_MAX_SUBVOLUMES]]

    @cached_property
    def name(self) -> str:
        """See `FileSystem.name`."""
        try:
            return "/" + self._shared.guard(lambda: self._shared.files.path(self.number))
        except FileSystemError:
            return f"/#{self.number}"

    def _find(self, path: str) -> InodeAddress | None:
        if path in self._kept:
            return self._kept[path]
        if path == "/":
            found: InodeAddress | None = self._shared.files.top(self.number)
        else:
            folder, _, name = path.rpartition("/")
            above = self._find(folder or "/")
            found = None if above is None or not self._is_directory(above) else self._shared.files.below(above, name)
        if len(self._kept) >= _KEPT:
            self._kept.clear()
        self._kept[path] = found
        return found

    def _is_directory(self, place: InodeAddress) -> bool:
        return stat.S_ISDIR(self._shared.files.inode(place).mode)

    def _need(self, path: str) -> tuple[InodeAddress, Inode]:
        place = self._find(path)
        if place is None:
            raise FileSystemError(f"{path} does not exist")
        return place, self._shared.files.inode(place)

    def lstat(self, path: str) -> FileStatus | None:
        """See `Files.lstat`."""

        def look() -> FileStatus | None:
            place = self._find(path)
            if place is None:
                return None
            inode = self._shared.files.inode(place)
            return FileStatus(MODES.get(stat.S_IFMT(inode.mode), FileKind.OTHER), inode.size, stat.S_IMODE(inode.mode))

        return self._shared.guard(look)

    def read(self, path: str, limit: int, offset: int = 0) -> bytes:
        """See `Files.read`."""
        place, inode = self._shared.guard(lambda: self._need(path))
        wanted = min(limit, inode.size - offset)
        if wanted <= 0 or not place.inode or not (stat.S_ISREG(inode.mode) or stat.S_ISLNK(inode.mode)):
            return b""
        tree = self._shared.guard(lambda: self._shared.files.tree(place.subvolume))
        return self._shared.guard(
            lambda: self._shared.extents.read(tree, place.inode, offset, wanted), allowed=wanted + _LOOKUP
        )

    def readlink(self, path: str) -> str:
        """See `FileSystem.readlink`."""
        return self.read(path, _MAX_LINK).decode("utf-8", "replace")

    def listdir(self, path: str) -> list[str]:
        """See `Files.listdir`."""
        place, _ = self._shared.guard(lambda: self._need(path))
        return sorted(self._shared.guard(lambda: self._shared.files.names(place, self._shared.budget.entries)))

    def close(self) -> None:
        """Let go of the disk."""
        self._kept.clear()


def _number(text: str) -> int | None:
    """subvolid='s value, decimal or 0x…; 0 is another word for the top level."""
    try:
        return int(text[:20], 0) or TOP_LEVEL
    except ValueError:
        return None
