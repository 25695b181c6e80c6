"""Raw disks: every byte, the file's holes, and a word on what the content really is."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from vmie import disk
from vmie.model import Extent, ExtentKind

MIB = 1 << 20


def test_holes_and_data_as_the_file_system_tells(tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    with path.open("wb") as file:
        file.truncate(8 * MIB + 100)
        file.seek(2 * MIB)
        file.write(b"x" * MIB)
    with disk.open(path) as opened:
        assert list(opened.extents()) == [
            Extent(0, 2 * MIB, ExtentKind.HOLE),
            Extent(2 * MIB, MIB, ExtentKind.ALLOCATED),
            Extent(3 * MIB, 5 * MIB + 100, ExtentKind.HOLE),
        ]
        assert opened.allocated_size == MIB
        assert opened.facts["sparse"] is True


@pytest.mark.parametrize("size", [1, 511, 512, 513, 4096 + 17])
def test_the_size_stays_exact_to_the_byte(size: int) -> None:
    data = bytes(index % 251 for index in range(size))
    opened = disk.open(io.BytesIO(data))
    assert opened.size == size
    assert opened.read(0, size + 600) == data
    assert opened.facts["sector_multiple"] is (size % 512 == 0)
    assert list(opened.extents()) == [Extent(0, size, ExtentKind.ALLOCATED)]


def test_a_fully_sparse_800_gib_disk_is_one_hole_at_once(tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    with path.open("wb") as file:
        file.truncate(800 << 30)
    with disk.open(path) as opened:
        assert list(opened.extents()) == [Extent(0, 800 << 30, ExtentKind.HOLE)]
        assert opened.allocated_size == 0


def _zip() -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("disk.vmdk", b"content")
    return held.getvalue()


def _iso() -> bytes:
    data = bytearray(64 << 10)
    data[32768:32775] = b"\x01CD001\x01"
    return bytes(data)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"%PDF-1.7\n" + bytes(1000), "pdf"),
        (b"\x7fELF\x02\x01\x01" + bytes(1000), "elf"),
        (_zip()[:60], "zip"),
        (_iso(), "iso9660"),
        (b"<html><body>404 Not Found</body></html>\n" * 30, "text"),
        ("Grüße, 世界\n".encode() * 500, "text"),
        (b"QED\0" + bytes(1000), "qed"),
        (b"partclone-image" + bytes(1000), "partclone"),
        (bytes(4096), None),
        (bytes(range(256)) * 16, None),
    ],
)
def test_content_that_is_surely_not_a_disk_is_named(content: bytes, expected: str | None) -> None:
    assert disk.open(io.BytesIO(content)).facts["looks_like"] == expected


def test_a_boot_sector_outweighs_a_chance_magic() -> None:
    """MZ, PK and the like may begin boot code; a signature at byte 510 makes it a disk."""
    sector = bytearray(b"MZ" + bytes(4094))
    sector[510:512] = b"\x55\xaa"
    assert disk.open(io.BytesIO(bytes(sector))).facts["looks_like"] is None


def test_a_name_that_promises_another_format_is_a_fact(tmp_path: Path) -> None:
    (tmp_path / "disk.vmdk").write_bytes(bytes(4096))
    assert disk.open(tmp_path / "disk.vmdk").facts["named_as"] == "vmdk"
    (tmp_path / "disk.img").write_bytes(bytes(4096))
    assert disk.open(tmp_path / "disk.img").facts["named_as"] is None


@pytest.mark.parametrize("name", ["web-flat.vmdk", "web-f001.vmdk"])
def test_a_lone_flat_extent_is_raw_and_says_whose(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(bytes(4096))
    opened = disk.open(tmp_path / name)
    assert (opened.format, opened.facts["flat_extent_of"]) == ("raw", "web.vmdk")
