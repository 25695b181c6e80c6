"""Files are compared within bounds: no tree, folder, path or hole makes it endless, and what is left is named."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from vmie.guest.filesystem import FileKind, FileStatus, FileSystem, FileSystemError
from vmie.ops import diff_files
from vmie.ops.diff_files import Walk

FOLDER, FILE = FileStatus(FileKind.DIRECTORY), FileStatus(FileKind.FILE, size=10)


class Files:
    """A file system of functions; `seed` tells two apart."""

    kind, label, uuid, name = "ext4", "", "", ""
    remarks: tuple[str, ...] = ()
    size: int | None = None
    free_bytes: int | None = None
    clean: bool | None = True

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.read_bytes = 0

    def lstat(self, path: str) -> FileStatus | None:
        return FOLDER if path.endswith("d") else FILE

    def listdir(self, path: str) -> list[str]:
        return ["a"] if path == "/" else []

    def read(self, path: str, limit: int, offset: int = 0) -> bytes:
        self.read_bytes += limit
        return b"%d" % self.seed

    def readlink(self, path: str) -> str:
        return ""

    def mounted(self, options: Sequence[str]) -> FileSystem | None:
        return None

    def subvolumes(self) -> Sequence[FileSystem]:
        return ()

    def close(self) -> None:
        """Nothing is open."""


def walked(one: Files, other: Files) -> tuple[int, list[tuple[str, str]]]:
    unread: list[tuple[str, str]] = []
    changes = sum(1 for _ in Walk("disk 0", one, other, unread, size=1 << 20).changes())
    return changes, unread


def test_folders_in_folders_end() -> None:
    class Deep(Files):
        def listdir(self, path: str) -> list[str]:
            return ["x" * 200 + "d"]

    changes, unread = walked(Deep(1), Deep(2))
    assert (changes, unread) == (0, [("disk 0", "a path of more than 4,096 characters")])


def test_a_tree_of_any_breadth_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broad(Files):
        def listdir(self, path: str) -> list[str]:
            return [f"{number}d" for number in range(10)]

    monkeypatch.setattr(diff_files, "_NAMES", 5000)
    assert walked(Broad(1), Broad(2))[1][-1] == ("disk 0", "more than 5,000 files")


def test_a_hole_larger_than_the_disk_is_not_read() -> None:
    class Hollow(Files):
        def lstat(self, path: str) -> FileStatus | None:
            return FileStatus(FileKind.FILE, size=1 << 60)

        def listdir(self, path: str) -> list[str]:
            return [f"f{number}" for number in range(100)]

        def read(self, path: str, limit: int, offset: int = 0) -> bytes:
            self.read_bytes += limit
            return bytes(limit)

    one = Hollow(1)
    changes, unread = walked(one, Hollow(2))
    assert (changes, one.read_bytes, len(unread)) == (0, 8 << 20, 100)
    assert unread[0] == ("disk 0: /f0", "only the first 1,048,576 of its 1,152,921,504,606,846,976 bytes")


def test_what_cannot_be_read_is_named_within_a_bound() -> None:
    class Broken(Files):
        def listdir(self, path: str) -> list[str]:
            return [f"f{number}" for number in range(5000)]

        def read(self, path: str, limit: int, offset: int = 0) -> bytes:
            raise FileSystemError("damaged")

    changes, unread = walked(Broken(1), Broken(2))
    assert (changes, len(unread), unread[-1]) == (0, 1001, ("more places", "they are not named"))


def test_a_folder_with_too_many_names_is_named() -> None:
    class Full(Files):
        def listdir(self, path: str) -> list[str]:
            return [f"f{number}" for number in range(200_000)]

        def read(self, path: str, limit: int, offset: int = 0) -> bytes:
            return b""

    assert walked(Full(1), Full(2))[1] == [("disk 0: /", "more than 200,000 names in one folder")]
