"""VHDX is read as qemu wrote it; dirty logs, differencing disks and lies are refused."""

from __future__ import annotations

import io
import struct
import uuid
from pathlib import Path

import pytest

from tests.tools import need, run
from tests.unit.disk.contents import MIB, assert_reads_as, field_mutations, outcome, write_raw
from vmie import disk
from vmie.disk.crc32c import crc32c
from vmie.model import ExtentKind

KIB = 1024
HEADERS = (64 * KIB, 128 * KIB)
REGIONS = (192 * KIB, 256 * KIB)


def convert(raw: Path, target: Path, *options: str) -> Path:
    need("qemu-img")
    run(["qemu-img", "convert", "-f", "raw", "-O", "vhdx", *options, raw, target])
    return target


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("raw") / "disk.raw"
    size = 21 * MIB + 512
    return write_raw(path, size=size, islands=((0, 512), (MIB - 700, 1400), (9 * MIB, 2 * MIB), (size - 512, 512)))


@pytest.fixture(scope="module")
def image(raw: Path) -> bytes:
    return convert(raw, raw.with_suffix(".vhdx"), "-o", "block_size=1M").read_bytes()


def test_crc32c_gives_the_published_values() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720 B.4
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(b"") == 0


@pytest.mark.parametrize("zeros", [0, 1, 5, 4000, 65531])
def test_crc32c_does_not_depend_on_how_zeros_end(zeros: int) -> None:
    data = b"regi\x01\x02" + bytes(zeros)
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    assert crc32c(data) == crc ^ 0xFFFFFFFF


@pytest.mark.parametrize(
    ("options", "variant"),
    [
        (["-o", "subformat=dynamic"], "dynamic"),
        (["-o", "subformat=dynamic,block_size=1M"], "dynamic"),
        (["-o", "subformat=dynamic,block_size=256M"], "dynamic"),
        (["-o", "subformat=dynamic,block_state_zero=off"], "dynamic"),
        (["-o", "subformat=fixed"], "fixed"),
        (["-o", "subformat=dynamic,log_size=2M"], "dynamic"),
    ],
)
def test_reads_what_qemu_wrote(raw: Path, tmp_path: Path, options: list[str], variant: str) -> None:
    with disk.open(convert(raw, tmp_path / "disk.vhdx", *options)) as opened:
        assert (opened.format, opened.variant, opened.size) == ("vhdx", variant, raw.stat().st_size)
        assert opened.facts["logical_sector_size"] == 512
        assert opened.facts["log"] == "clean"
        assert "QEMU" in opened.facts["creator"]
        assert_reads_as(opened, raw)
        assert_reads_as(opened, raw, step=5 * MIB)


def test_blocks_after_the_first_sector_bitmap_are_found(tmp_path: Path) -> None:
    """With blocks of 256 MiB a bitmap entry follows every 16: block 16 is entry 17."""
    size = 17 * 256 * MIB
    raw = write_raw(tmp_path / "disk.raw", size=size, islands=((0, 4096), (16 * 256 * MIB + 512, 4096)))
    image = convert(raw, tmp_path / "disk.vhdx", "-o", "block_size=256M")
    with disk.open(image) as opened, raw.open("rb") as file:
        for offset in (0, 15 * 256 * MIB, 16 * 256 * MIB - 1000):
            file.seek(offset)
            assert opened.read(offset, 10_000) == file.read(10_000)
        kinds = [(extent.offset // (256 * MIB), extent.kind) for extent in opened.extents()]
        assert [at for at, kind in kinds if kind is ExtentKind.ALLOCATED] == [0, 16]


def resigned(data: bytearray, offset: int, length: int) -> bytearray:
    data[offset + 4 : offset + 8] = bytes(4)
    data[offset + 4 : offset + 8] = struct.pack("<I", crc32c(bytes(data[offset : offset + length])))
    return data


def said(data: bytes | bytearray) -> str:
    return outcome(lambda: disk.open(io.BytesIO(bytes(data))))


def test_the_newer_valid_header_is_in_force(image: bytes) -> None:
    data = bytearray(image)
    newer = max(HEADERS, key=lambda at: struct.unpack_from("<Q", data, at + 8)[0])
    data[newer + 8] ^= 0xFF  # its checksum no longer holds: the older header stands in
    assert said(data) == "read"
    other = sum(HEADERS) - newer
    data[other + 100] ^= 1
    assert "headers" in said(data)


def test_the_second_region_table_stands_in_for_the_first(image: bytes) -> None:
    data = bytearray(image)
    data[REGIONS[0] + 20] ^= 1
    assert said(data) == "read"
    data[REGIONS[1] + 20] ^= 1
    assert "region table" in said(data)


def test_a_dirty_log_is_refused_with_its_cure(image: bytes) -> None:
    data = bytearray(image)
    session = uuid.UUID(int=7).bytes_le
    for at in HEADERS:
        data[at + 48 : at + 64] = session
        resigned(data, at, 4096)
    log = struct.unpack_from("<Q", data, HEADERS[0] + 72)[0]
    data[log : log + MIB] = bytes(MIB)
    # named, but nothing was ever written to it
    assert said(data) == "read"
    data[log + 8192 : log + 8192 + 48] = b"loge" + bytes(28) + session
    with pytest.raises(disk.base.ImageError, match="dirty log") as caught:
        disk.open(io.BytesIO(bytes(data)))
    assert "qemu-img check -r all" in caught.value.cure
    assert "Mount-VHD" in caught.value.cure


def test_what_qemu_calls_dirty_is_refused_until_repaired(raw: Path, tmp_path: Path) -> None:
    """A log entry written by hand ([MS-VHDX] 2.3.1), which qemu replays on repair."""
    image = convert(raw, tmp_path / "disk.vhdx")
    data = bytearray(image.read_bytes())
    log_offset = struct.unpack_from("<Q", data, HEADERS[0] + 72)[0]
    session = uuid.uuid4().bytes_le
    for at in HEADERS:
        data[at + 48 : at + 64] = session
        resigned(data, at, 4096)
    # zeros for the last 4 KiB of the file
    entry = bytearray(4096)
    struct.pack_into("<4sIIIQII16sQQ", entry, 0, b"loge", 0, 4096, 0, 1, 1, 0, session, len(data), len(data))
    struct.pack_into("<4sIQQQ", entry, 64, b"zero", 0, 4096, len(data) - 4096, 1)
    struct.pack_into("<I", entry, 4, crc32c(bytes(entry)))
    data[log_offset : log_offset + 4096] = entry
    image.write_bytes(data)
    assert "dirty log" in outcome(lambda: disk.open(image))
    run(["qemu-img", "check", "-r", "all", image])
    assert outcome(lambda: disk.open(image)) == "read"


def metadata_item(data: bytes | bytearray, name: str) -> int:
    """The place in the file of a metadata item."""
    key = uuid.UUID(name).bytes_le
    region = next(
        struct.unpack_from("<Q", data, at + 16)[0]
        for at in range(REGIONS[0] + 16, REGIONS[0] + 112, 32)
        if data[at : at + 16] == uuid.UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e").bytes_le
    )
    at = data.index(key, region)
    return region + struct.unpack_from("<I", data, at + 16)[0]


def test_a_differencing_disk_is_refused_by_name(image: bytes) -> None:
    data = bytearray(image)
    data[metadata_item(data, "caa16737-fa36-4d43-b3b6-33f0aa44e76b") + 4] |= 2
    assert "differencing" in said(data)


def test_impossible_sizes_are_refused(image: bytes) -> None:
    size = metadata_item(image, "2fa54224-cd1b-4876-b211-5dbed83bf4b8")
    for value in (1 << 63, (1 << 64) - 1, (64 << 40) + 512, 1000, 64 << 40):
        data = bytearray(image)
        struct.pack_into("<Q", data, size, value)
        assert said(data) != "read", value


def test_states_that_only_differencing_disks_have_are_refused(image: bytes) -> None:
    bat = next(
        struct.unpack_from("<Q", image, at + 16)[0]
        for at in range(REGIONS[0] + 16, REGIONS[0] + 112, 32)
        if image[at : at + 16] == uuid.UUID("2dc27766-f623-4200-9d64-115e9bfd4a08").bytes_le
    )
    for state, expected in ((0, "read"), (1, "read"), (2, "read"), (3, "read"), (4, "state 4"), (7, "state 7")):
        data = bytearray(image)
        struct.pack_into("<Q", data, bat, state)
        assert expected in said(data)
    data = bytearray(image)
    for entry in range(20):
        struct.pack_into("<Q", data, bat + 8 * entry, 3 << 20 | 6)
    assert "overlap" in said(data)
    struct.pack_into("<Q", data, bat, 0xFFFFF << 44 | 6)
    assert "beyond the end" in said(data)


def test_truncated_anywhere_it_is_an_image_error(image: bytes) -> None:
    for length in [*range(8, 320 * KIB, 16_411), *range(320 * KIB, len(image), 1_500_007)]:
        assert said(image[:length]) != "read", length


def test_any_field_may_lie_with_a_true_checksum(image: bytes) -> None:
    image = image[: 8 * MIB]
    for at, length, begin, end in (
        (HEADERS[0], 4096, 8, 80),
        (HEADERS[1], 4096, 8, 80),
        (REGIONS[0], 64 * KIB, 8, 80),
    ):
        for _, mutated in field_mutations(image[at : at + length], begin=begin, end=end):
            data = bytearray(image)
            data[at : at + length] = mutated[:length]
            if at in REGIONS:
                data[REGIONS[1]] = 0
            said(resigned(data, at, length))


def test_any_metadata_may_lie(image: bytes) -> None:
    image = image[: 8 * MIB]
    table = image.index(b"metadata")
    items = metadata_item(image, "caa16737-fa36-4d43-b3b6-33f0aa44e76b")
    for begin, length in ((table + 8, 200), (items, 40)):
        for at, mutated in field_mutations(image[begin : begin + length], begin=0, end=length):
            del at
            data = bytearray(image)
            data[begin : begin + length] = mutated[:length]
            said(data)
