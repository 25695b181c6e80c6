"""libyal's readers of ext, XFS, NTFS and FAT as `FileSystem`s; the only libyal here.

libyal keeps the file object and is not thread-safe.
"""

from __future__ import annotations

import contextlib
import importlib
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Protocol, TypeVar, runtime_checkable

from vmie.guest.budget import Budget, OverBudget
from vmie.guest.filesystem import MODES, FileKind, FileStatus, FileSystem, FileSystemError
from vmie.guest.recognise import Content
from vmie.guest.state import FileSystemState, state
from vmie.guest.stream import Blocks, Stream

_KEPT = 1000
#: bytes of structures that one look-up may read: directories, extents, inodes
_LOOKUP = 12 << 20
#: and that opening may read: every group descriptor of a 16 TiB ext4 are 8 MiB
_OPENING = 64 << 20
_T = TypeVar("_T")


def open_filesystem(
    blocks: Blocks,
    content: Content,
    *,
    budget: Budget,
    others: Sequence[Blocks],
) -> FileSystem:
    """See `filesystem.open_filesystem`."""
    adaptor = _ADAPTORS.get(content.kind)
    if adaptor is None:
        raise FileSystemError(f"there is no reader for {content.kind}")
    return adaptor(blocks, content, budget)


@runtime_checkable
class Numbered(Protocol):
    """A file system whose files have a place of their own: an inode, an MFT record, a directory entry."""

    blocks: Blocks

    def number(self, path: str) -> int:
        """The inode's or the record's number, of FAT the byte of the volume where the entry begins."""


@runtime_checkable
class Spread(Numbered, Protocol):
    """One whose reader tells where the pieces of a file lie."""

    def extents(self, path: str) -> list[tuple[int, int]]:
        """(offset in the volume, length) of the pieces of the file at `path`."""


class _Libyal(ABC):
    """What the four readers have in common."""

    module = ""
    name = ""
    remarks: tuple[str, ...] = ()

    def __init__(self, blocks: Blocks, content: Content, budget: Budget) -> None:
        self.kind = content.kind
        self.label = content.label
        self.uuid = content.uuid
        self.blocks = blocks
        self._budget = budget
        self._stream = Stream(blocks)
        self._kept: dict[str, Any] = {}
        self._volume = importlib.import_module(self.module).volume()
        self._guard(lambda: self._volume.open_file_object(self._stream), allowed=_OPENING)

    def _guard(self, act: Callable[[], _T], *, allowed: int = _LOOKUP) -> _T:
        """Call into libyal; its errors and the cause behind them become ours."""
        self._budget.check()
        self._stream.allow(allowed)
        try:
            return act()
        except (OSError, OverflowError, MemoryError, ValueError, RuntimeError, SystemError) as error:
            failure, self._stream.failure = self._stream.failure, None
            if isinstance(failure, OverBudget):
                raise failure from error
            self._budget.check()
            raise FileSystemError(str(failure) if failure else _reason(str(error))) from error

    @cached_property
    def _state(self) -> FileSystemState:
        return state(self.blocks, self.kind)

    @abstractmethod
    def number(self, path: str) -> int:
        """See `Numbered.number`."""

    @property
    def size(self) -> int | None:
        return self._state.size

    @property
    def free_bytes(self) -> int | None:
        return self._state.free

    @property
    def clean(self) -> bool | None:
        return self._state.clean

    @abstractmethod
    def lstat(self, path: str) -> FileStatus | None:
        """See `Files.lstat`."""

    def mounted(self, options: Sequence[str]) -> FileSystem | None:
        return self

    def subvolumes(self) -> Sequence[FileSystem]:
        return (self,)

    def _entry(self, path: str) -> Any | None:
        """libyal's entry for `path`, kept: looking one up reads every directory on the way."""
        if path in self._kept:
            return self._kept[path]
        found = self._guard(lambda: self._find(path))
        if len(self._kept) >= _KEPT:
            self._kept.clear()
        self._kept[path] = found
        return found

    def _find(self, path: str) -> Any | None:
        if path == "/":
            return self._volume.get_root_directory()
        return self._volume.get_file_entry_by_path(path)

    def _need(self, path: str) -> Any:
        found = self._entry(path)
        if found is None:
            raise FileSystemError(f"{path} does not exist")
        return found

    def readlink(self, path: str) -> str:
        target = self._guard(lambda: self._need(path).symbolic_link_target)
        return target if isinstance(target, str) else ""

    def read(self, path: str, limit: int, offset: int = 0) -> bytes:
        entry = self._need(path)
        size = int(self._guard(lambda: entry.size) or 0)
        wanted = min(limit, size - offset)
        if wanted <= 0:
            return b""
        data: bytes = self._guard(lambda: entry.read_buffer_at_offset(wanted, offset), allowed=wanted + _LOOKUP)
        return data

    def listdir(self, path: str) -> list[str]:
        entry = self._need(path)
        names = []
        for index in range(min(self._guard(lambda: int(entry.number_of_sub_file_entries)), self._budget.entries)):
            name = self._guard(lambda index=index: entry.get_sub_file_entry(index).name)  # type: ignore[misc]
            if isinstance(name, str):
                names.append(name)
        return sorted(names)

    def close(self) -> None:
        self._kept.clear()
        with contextlib.suppress(OSError):  # nothing was written, nothing is lost
            self._volume.close()


class _Unix(_Libyal):
    """ext and XFS: entries with a mode."""

    def lstat(self, path: str) -> FileStatus | None:
        entry = self._entry(path)
        if entry is None:
            return None
        mode = int(self._guard(lambda: entry.file_mode) or 0)
        size = int(self._guard(lambda: entry.size) or 0)
        return FileStatus(MODES.get(stat.S_IFMT(mode), FileKind.OTHER), size, stat.S_IMODE(mode))

    def number(self, path: str) -> int:
        entry = self._need(path)
        return int(self._guard(lambda: entry.inode_number))


class _Ext(_Unix):
    module = "pyfsext"


class _Xfs(_Unix):
    module = "pyfsxfs"


_DIRECTORY, _REPARSE = 0x10, 0x400


class _Windows(_Libyal):
    """NTFS and FAT: backslashes, names in any case, attribute flags."""

    def _find(self, path: str) -> Any | None:
        return super()._find(path if path == "/" else path.replace("/", "\\"))


class _Ntfs(_Windows):
    module = "pyfsntfs"

    def lstat(self, path: str) -> FileStatus | None:
        entry = self._entry(path)
        if entry is None:
            return None
        if self._guard(entry.has_directory_entries_index):
            return FileStatus(FileKind.DIRECTORY)
        flags = int(self._guard(lambda: entry.file_attribute_flags) or 0)
        if flags & _REPARSE and self._guard(lambda: entry.symbolic_link_target):
            return FileStatus(FileKind.LINK)
        return FileStatus(FileKind.FILE, int(self._guard(lambda: entry.size) or 0))

    def number(self, path: str) -> int:
        entry = self._need(path)
        return int(self._guard(lambda: entry.file_reference)) & ((1 << 48) - 1)

    def extents(self, path: str) -> list[tuple[int, int]]:
        entry = self._need(path)
        count = int(self._guard(lambda: entry.number_of_extents))
        return [self._guard(lambda index=index: entry.get_extent(index))[:2] for index in range(count)]  # type: ignore[misc]

    @cached_property
    def _counted(self) -> int | None:
        """Clusters whose bit in $Bitmap is not set."""
        bitmap, unit = self._entry("/$Bitmap"), self._guard(lambda: int(self._volume.cluster_block_size))
        size = self.size
        if bitmap is None or not unit or size is None:
            return None
        length, used, at = int(bitmap.size), 0, 0
        while at < length:
            piece = self._guard(lambda at=at: bitmap.read_buffer_at_offset(1 << 20, at))  # type: ignore[misc]
            if not piece:
                return None
            used += int.from_bytes(piece, "little").bit_count()
            at += len(piece)
        # the bits behind the last cluster are set, so they do not count as free
        return max(0, (length * 8 - used) * unit)

    @property
    def free_bytes(self) -> int | None:
        return self._counted


class _Fat(_Windows):
    module = "pyfsfat"

    def lstat(self, path: str) -> FileStatus | None:
        entry = self._entry(path)
        if entry is None:
            return None
        if path == "/" or int(self._guard(lambda: entry.file_attribute_flags) or 0) & _DIRECTORY:
            return FileStatus(FileKind.DIRECTORY)
        return FileStatus(FileKind.FILE, int(self._guard(lambda: entry.size) or 0))

    def number(self, path: str) -> int:
        entry = self._need(path)
        return int(self._guard(lambda: entry.identifier))


_ADAPTORS: dict[str, type[_Ext | _Xfs | _Ntfs | _Fat]] = {
    "ext2": _Ext,
    "ext3": _Ext,
    "ext4": _Ext,
    "xfs": _Xfs,
    "ntfs": _Ntfs,
    "fat": _Fat,
}


def _reason(text: str) -> str:
    """The innermost of libyal's chain of sentences ("function: what went wrong. function: …"), without its name."""
    sentences = text.split(". ")
    inner = sentences[1] if len(sentences) > 1 else sentences[0]
    return inner.partition(": ")[2].rstrip(".") or inner or "unreadable"
