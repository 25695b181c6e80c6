"""What a descriptor names is read from its own folder, and from nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmie import disk
from vmie.disk.beside import beside, is_plain, open_beside
from vmie.errors import ImageError

DESCRIPTOR = """# Disk DescriptorFile
version=1
CID=fffffffe
parentCID=ffffffff
createType="monolithicFlat"
RW 128 FLAT "flat.vmdk" 0
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret").write_bytes(b"root:x:0:0" + bytes(65536))
    (inside / "disk.vmdk").write_text(DESCRIPTOR)
    return inside


def test_an_extent_that_is_a_link_out_of_the_folder_is_not_read(folder: Path) -> None:
    (folder / "flat.vmdk").symlink_to(folder.parent / "secret")
    with pytest.raises(ImageError, match="link out of its folder") as caught:
        disk.open(folder / "disk.vmdk")
    assert caught.value.code == "LinkOutside"


def test_neither_through_a_second_link_nor_through_a_folder(folder: Path) -> None:
    (folder / "second").symlink_to(folder.parent / "secret")
    (folder / "flat.vmdk").symlink_to("second")
    with pytest.raises(ImageError, match="link out of its folder"):
        disk.open(folder / "disk.vmdk")


def test_a_link_within_the_folder_is_followed(folder: Path) -> None:
    (folder / "content.bin").write_bytes(b"content!" + bytes(65536))
    (folder / "flat.vmdk").symlink_to("content.bin")
    with disk.open(folder / "disk.vmdk") as opened:
        assert opened.read(0, 8) == b"content!"


def test_a_link_put_in_place_after_the_look_is_not_followed(folder: Path) -> None:
    (folder / "flat.vmdk").write_bytes(bytes(65536))
    found = beside(folder / "disk.vmdk", "flat.vmdk")
    assert found is not None
    found.unlink()
    found.symlink_to(folder.parent / "secret")
    with pytest.raises(ImageError, match="cannot open"):
        open_beside(found)


def test_a_pipe_or_folder_of_that_name_is_no_file(folder: Path) -> None:
    (folder / "flat.vmdk").mkdir()
    assert beside(folder / "disk.vmdk", "flat.vmdk") is None


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc/passwd", "..\\x", "a\0b"])
def test_what_is_no_bare_name(name: str) -> None:
    assert not is_plain(name)
