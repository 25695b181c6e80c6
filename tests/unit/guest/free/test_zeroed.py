"""A disk without what its file systems call free: nothing that is in use is touched, and what was deleted is gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guests import MIB
from tests.tools import need, run
from tests.unit.guest.free.aged import DELETED, aged
from vmie import disk
from vmie.disk import stream
from vmie.guest.free import left_out, without_free
from vmie.model import ExtentKind


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return aged(tmp_path_factory.mktemp("aged") / "disk.raw")


@pytest.fixture
def opened(image: Path) -> Iterator[disk.Disk]:
    with disk.open(image) as found:
        yield found


def dumped(part: Path) -> dict[str, bytes]:
    """Name → content of the files of an ext4."""
    folder = part.with_name(f"{part.name}-files")
    folder.mkdir(exist_ok=True)
    run(["debugfs", "-R", f"rdump / {folder}", part])
    return {path.name: path.read_bytes() for path in folder.glob("file*")}


@pytest.mark.parametrize("form", ["vmdk", "vhd", "raw"])
def test_the_file_system_is_whole_and_deleted_files_are_gone(
    form: str, image: Path, opened: disk.Disk, tmp_path: Path
) -> None:
    need("qemu-img", "e2fsck", "debugfs")
    sent, back, part = tmp_path / f"sent.{form}", tmp_path / "back", tmp_path / "part"
    sent.write_bytes(b"".join(stream.write(without_free(opened), form)))
    run(["qemu-img", "convert", "-f", {"vhd": "vpc"}.get(form, form), "-O", "raw", sent, back])
    data = back.read_bytes()
    assert len(data) == opened.size
    assert DELETED in image.read_bytes()
    assert DELETED not in data
    part.write_bytes(data[MIB : 65 * MIB])
    run(["e2fsck", "-fn", part])
    whole = tmp_path / "whole"
    before = image.read_bytes()
    whole.write_bytes(before[MIB : 65 * MIB])
    assert dumped(part) == dumped(whole)
    assert len(dumped(part)) == 10
    assert sum(1 for at in range(0, len(data), 4096) if data[at : at + 4096] != before[at : at + 4096]) > 1000


def test_what_is_left_out_is_counted_and_never_read(opened: disk.Disk) -> None:
    zeroed = without_free(opened)
    extents = list(zeroed.extents())
    assert [one.offset for one in extents] == [0, *(one.end for one in extents[:-1])]
    assert extents[-1].end == zeroed.size == opened.size
    before = sum(one.length for one in opened.extents() if one.kind is ExtentKind.ALLOCATED)
    after = sum(one.length for one in extents if one.kind is ExtentKind.ALLOCATED)
    assert left_out(zeroed) == before - after > 9 * MIB
    assert left_out(opened) == 0
    whole = b"".join(zeroed.read(at, 100_000) for at in range(0, zeroed.size, 100_000))
    for one in extents:
        if one.kind is not ExtentKind.ALLOCATED:
            assert not any(whole[one.offset : one.end])
        else:
            assert whole[one.offset : one.end] == opened.read(one.offset, one.length)
    assert stream.upper_bound(zeroed, "vmdk") < stream.upper_bound(opened, "vmdk") - 9 * MIB


def test_the_same_bytes_each_time(image: Path) -> None:
    found = set()
    for workers in (1, 2):
        with disk.open(image) as one:
            found.add(b"".join(stream.write(without_free(one), "vmdk", workers=workers)))
    assert len(found) == 1


def test_where_nothing_is_known_the_disk_is_itself(tmp_path: Path) -> None:
    path = tmp_path / "noise.raw"
    path.write_bytes(b"\x55" * MIB)
    with disk.open(path) as one:
        assert without_free(one) is one
