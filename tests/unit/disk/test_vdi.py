"""VDI is read as qemu wrote it; differencing images and lies are refused."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest

from tests.tools import need, run
from tests.unit.disk.contents import MIB, assert_reads_as, field_mutations, outcome, write_raw
from vmie import disk
from vmie.model import ExtentKind


def convert(folder: Path, *options: str, size: int = 7 * MIB + 512) -> tuple[Path, Path]:
    need("qemu-img")
    raw = write_raw(folder / "disk.raw", size=size, islands=((0, 1000), (3 * MIB - 100, 200), (size - 512, 512)))
    run(["qemu-img", "convert", "-f", "raw", "-O", "vdi", *options, raw, folder / "disk.vdi"])
    return raw, folder / "disk.vdi"


@pytest.mark.parametrize(("options", "variant"), [([], "dynamic"), (["-o", "static=on"], "fixed")])
def test_reads_what_qemu_wrote(tmp_path: Path, options: list[str], variant: str) -> None:
    raw, image = convert(tmp_path, *options)
    with disk.open(image) as opened:
        assert (opened.format, opened.variant, opened.facts["block_size"]) == ("vdi", variant, MIB)
        assert_reads_as(opened, raw)
        assert_reads_as(opened, raw, step=3 * MIB)


def test_discarded_blocks_are_zeros_and_free_ones_holes(tmp_path: Path) -> None:
    _, image = convert(tmp_path)
    data = bytearray(image.read_bytes())
    table = struct.unpack_from("<I", data, 0x154)[0]
    struct.pack_into("<I", data, table, 0xFFFFFFFE)
    with disk.open(io.BytesIO(bytes(data))) as opened:
        assert opened.read(0, 1000) == bytes(1000)
        assert [extent.kind for extent in opened.extents()][:2] == [ExtentKind.ZERO, ExtentKind.HOLE]


def test_extra_bytes_before_each_block_are_stepped_over() -> None:
    """VirtualBox's own rule (cbBlockExtra): extra bytes precede each block's data."""
    header = bytearray(512)
    header[0x40:0x50] = struct.pack("<IIII", 0xBEDA107F, 0x10001, 400, 1)
    struct.pack_into("<II", header, 0x154, 512, 1024)
    struct.pack_into("<QIIII", header, 0x170, 8192, 4096, 512, 2, 2)
    blocks = b"e" * 512 + b"A" * 4096 + b"e" * 512 + b"B" * 4096
    data = bytes(header) + struct.pack("<II", 1, 0).ljust(512, b"\0") + blocks
    with disk.open(io.BytesIO(data)) as opened:
        assert opened.read(0, 9000) == b"B" * 4096 + b"A" * 4096


@pytest.mark.parametrize(("kind", "name"), [(3, "undo"), (4, "differencing")])
def test_differencing_images_are_refused_by_name(tmp_path: Path, kind: int, name: str) -> None:
    data = bytearray(convert(tmp_path)[1].read_bytes())
    data[0x4C] = kind
    assert name in outcome(lambda: disk.open(io.BytesIO(bytes(data))))


def test_truncated_anywhere_it_is_an_image_error(tmp_path: Path) -> None:
    data = convert(tmp_path)[1].read_bytes()
    needed = len(data) - MIB + 512  # the disk ends 512 bytes into its last block
    for length in [*range(72, 1100, 17), *range(2048, needed, 300_007), needed - 1]:
        assert outcome(lambda: disk.open(io.BytesIO(data[:length]))) != "read", length  # noqa: B023


def test_any_field_may_lie(tmp_path: Path) -> None:
    data = convert(tmp_path, size=2 * MIB)[1].read_bytes()
    for _, mutated in field_mutations(data, begin=0x44, end=0x20C):
        outcome(lambda: disk.open(io.BytesIO(mutated)))  # noqa: B023


def test_blocks_that_overlap_are_refused(tmp_path: Path) -> None:
    data = bytearray(convert(tmp_path)[1].read_bytes())
    table = struct.unpack_from("<I", data, 0x154)[0]
    struct.pack_into("<8I", data, table, *([0] * 8))
    assert "overlap" in outcome(lambda: disk.open(io.BytesIO(bytes(data))))
