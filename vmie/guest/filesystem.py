"""One small way to look at files: `FileSystem`. Behind it stand the readers of `libyal` and, for Btrfs, our own.

Paths are absolute, with single slashes and without dots: `tree.Tree` makes them so and follows links.
One `FileSystem` belongs to one thread. Each reader is imported when a file system of its kind is opened:
they cost milliseconds and memory.
"""

from __future__ import annotations

import importlib
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from vmie.guest.budget import Budget
from vmie.guest.recognise import Content
from vmie.guest.stream import Blocks


class FileSystemError(Exception):
    """The file system cannot be read there; `str` says why."""


class FileKind(StrEnum):
    """What a path is."""

    FILE = "file"
    DIRECTORY = "directory"
    LINK = "link"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class FileStatus:
    """What lstat returns: `size` in bytes, `mode` the permission bits (0 where there are none)."""

    kind: FileKind
    size: int = 0
    mode: int = 0


MODES = {stat.S_IFREG: FileKind.FILE, stat.S_IFDIR: FileKind.DIRECTORY, stat.S_IFLNK: FileKind.LINK}


class Files(Protocol):
    """What is asked of any volume. All methods raise FileSystemError (damaged there) and OverBudget."""

    @property
    def size(self) -> int | None:
        """Bytes of the whole file system."""

    @property
    def free_bytes(self) -> int | None:
        """Bytes not in use, None where that is not known."""

    @property
    def clean(self) -> bool | None:
        """False when the journal is not empty or a check is due."""

    def lstat(self, path: str) -> FileStatus | None:
        """What `path` is, None if nothing is there; links are not followed."""

    def read(self, path: str, limit: int, offset: int = 0) -> bytes:
        """At most `limit` bytes of the file at `path` from `offset`."""

    def listdir(self, path: str) -> list[str]:
        """The names in the directory at `path`, at most as many as the budget allows, sorted."""


class FileSystem(Files, Protocol):
    """A file system to read from."""

    kind: str
    label: str
    uuid: str
    #: what keeps it from being mounted as it is, though it can be read here
    remarks: tuple[str, ...]

    @property
    def name(self) -> str:
        """The subvolume that it is, from the top level ("/@"); "" for a file system without them."""

    def mounted(self, options: Sequence[str]) -> FileSystem | None:
        """What a mount with the `options` of fstab shows: of Btrfs the subvolume they name, None for one it lacks."""

    def subvolumes(self) -> Sequence[FileSystem]:
        """All of it that a system may be installed in, what is mounted by default first."""

    def readlink(self, path: str) -> str:
        """The target of the link at `path`."""

    def close(self) -> None:
        """Let go of the disk."""


def open_filesystem(blocks: Blocks, content: Content, *, budget: Budget, others: Sequence[Blocks] = ()) -> FileSystem:
    """The reader for what `recognise` found on `blocks`; `others` hold more of it (Btrfs over several devices).

    Raises FileSystemError when there is no reader for it or its own structures are damaged.
    """
    room = "btrfs.filesystem" if content.kind == "btrfs" else "libyal"
    opened: FileSystem = importlib.import_module(f"vmie.guest.{room}").open_filesystem(
        blocks, content, budget=budget, others=others
    )
    return opened
