"""Paths are followed inside the image, and only there."""

from __future__ import annotations

import pytest

from tests.guests import Files, Link, tree
from vmie.guest.budget import Budget
from vmie.guest.filesystem import FileKind, FileStatus, FileSystemError
from vmie.guest.tree import Tree


def test_absolute_links_mean_the_guests_root() -> None:
    found = tree({"/etc/os-release": Link("/usr/lib/os-release"), "/usr/lib/os-release": "guest"})
    assert found.text("/etc/os-release") == "guest"


def test_relative_links_and_dots() -> None:
    found = tree({"/a/b/link": Link("../../c/./file"), "/c/file": "yes", "/d": Link("a/b")})
    assert found.text("/d/link") == "yes"
    assert found.resolve("/d/../../c/file") is not None
    assert found.text("/a/b/../../c//file") == "yes"


def test_no_path_leaves_the_tree() -> None:
    found = tree({"/etc/link": Link("../../../../../../../../etc/passwd"), "/etc/passwd": "guest's"})
    assert found.text("/etc/link") == "guest's"
    assert found.text("/../../etc/passwd") == "guest's"


@pytest.mark.parametrize(
    "files",
    [
        {"/a": Link("/a")},
        {"/a": Link("/b"), "/b": Link("/a")},
        {"/a": Link("a/x")},
        {"/a": Link("/" + "a/" * 300)},
        {"/a": Link("")},
    ],
)
def test_loops_of_links_are_missing_files(files: dict[str, str]) -> None:
    found = tree(files)
    assert found.text("/a") is None
    assert not found.is_dir("/a/b/c")
    assert found.listdir("/a") == [] or files["/a"] == ""


def test_a_dangling_link_is_there_but_does_not_exist() -> None:
    found = tree({"/l": Link("/nowhere")})
    assert (found.there("/l"), found.exists("/l"), found.link("/l")) == (True, False, "/nowhere")


def test_mounts_hide_what_is_below_and_are_crossed_by_links() -> None:
    found = tree({"/boot/old": "hidden", "/etc/grub.cfg": Link("../boot/grub/grub.cfg"), "/usr": None})
    found.mount("/boot", Files({"/grub/grub.cfg": "new", "/up": Link("../etc/x")}))
    found.mount("/boot/efi", Files({"/EFI/BOOT/BOOTX64.EFI": "loader"}, kind="fat"))
    assert found.text("/etc/grub.cfg") == "new"
    assert found.text("/boot/old") is None
    assert found.text("/boot/efi/EFI/BOOT/BOOTX64.EFI") == "loader"
    place = found.resolve("/boot/efi")
    assert place is not None
    assert (place.filesystem.kind, place.entry.kind) == ("fat", FileKind.DIRECTORY)


def test_what_cannot_be_read_is_a_problem_once() -> None:
    class Broken(Files):
        def read(self, path: str, limit: int, offset: int = 0) -> bytes:
            raise FileSystemError("bad extent")

    found = tree({})
    found.root = Broken({"/etc/fstab": "x"})
    assert found.text("/etc/fstab") is None
    assert found.text("/etc/fstab") is None
    assert [str(problem) for problem in found.problems] == ["/etc/fstab: cannot be read (bad extent)"]


def test_text_is_cut_at_the_budget() -> None:
    found = tree({"/big": "x" * 1000}, text=100)
    assert found.text("/big") == "x" * 100
    assert found.problems


def test_a_file_on_the_way_is_the_end_of_it_and_no_damage() -> None:
    class Strict(Files):
        def lstat(self, path: str) -> FileStatus | None:
            if path == "/lib/notes/vmlinuz":
                raise FileSystemError("unsupported file type")
            return super().lstat(path)

    found = Tree(Strict({"/lib/notes": "text"}), budget=Budget())  # type: ignore[arg-type]
    assert not found.exists("/lib/notes/vmlinuz")
    assert found.problems == []
