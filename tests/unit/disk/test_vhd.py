"""VHD beyond what qemu-img writes: bitmaps, short and damaged footers, sizes by geometry, refusals."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pytest

from tests.oracle.qemu_formats import print_of_disk, print_of_file
from tests.tools import need, run
from tests.unit.disk.handmade import dynamic_vhd, fixed_vhd, signed, vhd_footer
from vmie import disk
from vmie.errors import ImageError
from vmie.model import Extent, ExtentKind

BLOCK = 1 << 16
NOISE = random.Random(8).randbytes(BLOCK)


def _opened(data: bytes, name: str = "disk.vhd") -> disk.Disk:
    held = io.BytesIO(data)
    held.name = name
    return disk.open(held)


def _same_as_qemu(data: bytes, folder: Path) -> disk.Disk:
    need("qemu-img")
    path = folder / "disk.vhd"
    path.write_bytes(data)
    run(["qemu-img", "convert", "-f", "vpc", "-O", "raw", path, folder / "disk.raw"])
    opened = disk.open(path)
    assert print_of_disk(opened) == print_of_file(folder / "disk.raw")
    return opened


def test_a_dynamic_disk_of_another_block_size(tmp_path: Path) -> None:
    data = dynamic_vhd({1: NOISE, 2: NOISE[::-1], 5: b"end"}, size=6 * BLOCK - 1024)
    with _same_as_qemu(data, tmp_path) as opened:
        assert (opened.variant, opened.facts["block_size"]) == ("dynamic", BLOCK)
        assert opened.facts["footer_copies_identical"] is True
        assert opened.allocated_size == 3 * BLOCK
        assert list(opened.extents()) == [
            Extent(0, BLOCK, ExtentKind.HOLE),
            Extent(BLOCK, 2 * BLOCK, ExtentKind.ALLOCATED),
            Extent(3 * BLOCK, 2 * BLOCK, ExtentKind.HOLE),
            Extent(5 * BLOCK, BLOCK - 1024, ExtentKind.ALLOCATED),
        ]


def test_sectors_never_written_within_a_block_read_as_zeros() -> None:
    """The sector bitmap, most significant bit first: what lies under a clear bit is not the guest's."""
    bitmap = bytes([0b10100000]) + bytes(15)
    opened = _opened(dynamic_vhd({0: NOISE}, size=BLOCK, bitmaps={0: bitmap}))
    expected = NOISE[:512] + bytes(512) + NOISE[1024:1536] + bytes(BLOCK - 1536)
    assert opened.read(0, BLOCK) == expected
    for offset, length in ((0, 1), (100, 700), (511, 2), (1000, 100), (1535, 5000), (BLOCK - 1, 1)):
        assert opened.read(offset, length) == expected[offset : offset + length]


def test_a_footer_of_511_bytes_as_virtual_pc_once_wrote() -> None:
    for data in (fixed_vhd(NOISE)[:-1], dynamic_vhd({0: NOISE}, size=BLOCK)[:-1]):
        opened = _opened(data, "disk")
        assert opened.format == "vhd"
        assert opened.facts["footer_size"] == 511
        assert opened.read(0, BLOCK) == NOISE


@pytest.mark.parametrize("damage", ["gone", "overwritten", "appended"])
def test_a_damaged_footer_of_a_dynamic_disk_falls_back_on_the_copy(damage: str) -> None:
    whole = dynamic_vhd({0: NOISE}, size=BLOCK)
    data = {"gone": whole[:-512], "overwritten": whole[:-512] + bytes(512), "appended": whole + bytes(700)}[damage]
    opened = _opened(data)
    assert opened.read(0, BLOCK) == NOISE
    assert opened.facts["footer"] == "header"
    assert opened.facts["footer_copies_identical"] is False


def test_footers_that_differ_are_a_fact() -> None:
    data = dynamic_vhd({0: NOISE}, size=BLOCK)
    other = vhd_footer(size=BLOCK, kind=3, header_offset=512, saved=1)
    opened = _opened(data[:-512] + other)
    assert opened.facts["footer_copies_identical"] is False
    assert opened.facts["saved_state"] is True


@pytest.mark.parametrize(
    ("creator", "expected"),
    [
        (b"vpc ", 17 * 4 * 10 * 512),
        (b"qemu", 17 * 4 * 10 * 512),
        (b"qem2", 400_000),
        (b"win ", 400_000),
        (b"d2v ", 400_000),
        (b"tap\0", 400_000),
        (b"vbox", 400_000),
        (b"wa\0\0", 400_000),
    ],
)
def test_the_size_is_the_geometrys_only_where_its_writer_goes_by_it(creator: bytes, expected: int) -> None:
    data = random.Random(9).randbytes(400_000)
    opened = _opened(fixed_vhd(data, creator=creator, geometry=(10, 4, 17)))
    assert opened.size == expected
    assert opened.read(0, 1 << 20) == data[:expected]
    assert (opened.facts["current_size"], opened.facts["geometry_size"]) == (400_000, 348_160)


@pytest.mark.parametrize("creator", [b"vpc ", b"qemu", b"win ", b"qem2", b"d2v ", b"tap\0"])
def test_qemu_img_takes_the_same_size(creator: bytes, tmp_path: Path) -> None:
    data = random.Random(9).randbytes(800 * 512)
    _same_as_qemu(fixed_vhd(data, creator=creator, geometry=(10, 4, 17)), tmp_path)


def test_the_largest_geometry_means_the_current_size() -> None:
    opened = _opened(fixed_vhd(NOISE, creator=b"vpc ", geometry=(65535, 16, 255)))
    assert opened.size == len(NOISE)


def test_a_differencing_disk_is_refused_with_its_parents_name() -> None:
    with pytest.raises(ImageError, match="differencing") as caught:
        _opened(dynamic_vhd({0: NOISE}, size=BLOCK, kind=4, parent="C:\\VMs\\base.vhd"))
    assert "base.vhd" in caught.value.cause
    assert "Merge" in caught.value.cure


def _patched(data: bytes, at: int, value: bytes) -> bytes:
    """A dynamic header field changed, and the header signed again."""
    header = bytearray(data[512:1536])
    header[at : at + len(value)] = value
    return data[:512] + signed(bytes(header), 36) + data[1536:]


_WHOLE = dynamic_vhd({0: NOISE, 1: NOISE}, size=4 * BLOCK)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (fixed_vhd(NOISE, current=BLOCK + 512), "truncated"),
        (fixed_vhd(NOISE, current=(1 << 64) - 1), "truncated"),
        (fixed_vhd(NOISE, kind=7), "disk type 7"),
        (_patched(_WHOLE, 0, b"cxsparsy"), "cxsparse"),
        (_WHOLE[:600] + b"?" + _WHOLE[601:], "false checksum"),
        (_patched(_WHOLE, 16, b"\xff" * 8), "block allocation table"),
        (_patched(_WHOLE, 28, b"\0\0\0\1"), "needs 4"),
        (_patched(_WHOLE, 32, b"\0\0\x0b\xb8"), "power of two"),
        (_patched(_WHOLE, 32, b"\0\0\0\0"), "power of two"),
        (_WHOLE[:1536] + b"\x7f\xff\xff\xff" + _WHOLE[1540:], "last data block"),
        (_WHOLE[: -512 - 100], "last data block"),
        (dynamic_vhd({}, size=BLOCK, header_offset=(1 << 64) - 1), "dynamic disk header"),
        (dynamic_vhd({}, size=BLOCK, current=(1 << 64) - 1), "needs"),
    ],
)
def test_what_contradicts_itself_is_an_image_error(data: bytes, message: str) -> None:
    with pytest.raises(ImageError) as caught:
        _opened(data)
    assert message in f"{caught.value.message} {caught.value.cause}"
    assert caught.value.cure
