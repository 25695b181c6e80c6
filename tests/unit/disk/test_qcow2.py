"""qcow2 is read as qemu wrote it; what cannot be read is refused by name."""

from __future__ import annotations

import io
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.tools import need, run
from tests.unit.disk.contents import MIB, assert_reads_as, field_mutations, outcome, write_raw
from vmie import disk
from vmie.disk.base import FileSource
from vmie.disk.qcow2 import open_source
from vmie.errors import ImageError
from vmie.model import ExtentKind


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """19 MiB and one sector, with data at the ends of clusters and of the disk."""
    path = tmp_path_factory.mktemp("raw") / "disk.raw"
    islands = ((0, 512), (65_000, 3000), (4 * MIB - 4096, 2 * MIB), (9 * MIB, 512), (19 * MIB, 512))
    return write_raw(path, size=19 * MIB + 512, islands=islands)


def convert(raw: Path, target: Path, *options: str) -> Path:
    need("qemu-img")
    run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", *options, raw, target])
    return target


@pytest.mark.parametrize(
    "options",
    [
        ["-o", "compat=0.10"],
        ["-o", "compat=0.10,cluster_size=512"],
        ["-o", "compat=1.1"],
        ["-o", "cluster_size=512"],
        ["-o", "cluster_size=4k"],
        ["-o", "cluster_size=2M"],
        ["-o", "preallocation=metadata"],
        ["-o", "preallocation=full"],
        ["-S", "0"],
        ["-o", "extended_l2=on,cluster_size=16k"],
        ["-o", "extended_l2=on,cluster_size=128k"],
        ["-c"],
        ["-c", "-o", "compat=0.10"],
        ["-c", "-o", "cluster_size=512"],
        ["-c", "-o", "cluster_size=2M"],
        ["-c", "-o", "compression_type=zstd"],
        ["-c", "-o", "compression_type=zstd,cluster_size=4k"],
        ["-c", "-o", "compression_type=zstd,extended_l2=on,cluster_size=64k"],
    ],
    ids=" ".join,
)
def test_reads_what_qemu_wrote(raw: Path, tmp_path: Path, options: list[str]) -> None:
    image = convert(raw, tmp_path / "disk.qcow2", *options)
    with disk.open(image) as opened:
        assert opened.format == "qcow2"
        assert opened.size == raw.stat().st_size
        assert_reads_as(opened, raw)
        assert_reads_as(opened, raw, step=4 * MIB)


def test_zero_clusters_and_subclusters(raw: Path, tmp_path: Path) -> None:
    for options in (["-o", "compat=1.1"], ["-o", "extended_l2=on"]):
        image = convert(raw, tmp_path / "zeroed.qcow2", *options)
        expected = tmp_path / "expected.raw"
        commands = [
            "-c",
            "write -z 4M 64k",
            "-c",
            "write -z -u 4224k 128k",
            "-c",
            "write -z 4500k 3k",
            "-c",
            "write -P 7 12M 1k",
        ]
        run(["qemu-io", "-f", "qcow2", *commands, image])
        run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", image, expected])
        with disk.open(image) as opened:
            assert_reads_as(opened, expected, step=50_000)
            assert ExtentKind.ZERO in {extent.kind for extent in opened.extents()}


def test_snapshots_are_not_looked_at_but_counted(raw: Path, tmp_path: Path) -> None:
    image = convert(raw, tmp_path / "snap.qcow2")
    run(["qemu-img", "snapshot", "-c", "before", image])
    run(["qemu-io", "-f", "qcow2", "-c", "write -P 9 9M 64k", image])
    expected = tmp_path / "expected.raw"
    run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", image, expected])
    with disk.open(image) as opened:
        assert opened.facts["snapshots"] == 1
        assert_reads_as(opened, expected)


def test_an_image_left_dirty_by_lazy_refcounts_is_read(raw: Path, tmp_path: Path) -> None:
    image = convert(raw, tmp_path / "dirty.qcow2", "-o", "lazy_refcounts=on")
    patch(image, 79, bytes([image.read_bytes()[79] | 1]))
    with disk.open(image) as opened:
        assert opened.facts["dirty"] is True
        assert_reads_as(opened, raw)


def test_threads_read_the_same(raw: Path, tmp_path: Path) -> None:
    image = convert(raw, tmp_path / "c.qcow2", "-c")
    expected = raw.read_bytes()
    with disk.open(image) as opened, ThreadPoolExecutor(4) as pool:
        offsets = [n * 30_011 % opened.size for n in range(600)]
        for offset, got in zip(offsets, pool.map(lambda at: opened.read(at, 40_000), offsets), strict=True):
            assert got == expected[offset : offset + 40_000]


def patch(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def refusal(path: Path) -> ImageError:
    with pytest.raises(ImageError) as caught:
        disk.open(path)
    assert caught.value.cure
    return caught.value


def test_an_external_data_file_is_refused_by_its_name(tmp_path: Path) -> None:
    need("qemu-img")
    options = f"data_file={tmp_path / 'data.raw'}"
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-o", options, tmp_path / "x.qcow2", "10M"])
    error = refusal(tmp_path / "x.qcow2")
    assert "external data file" in error.message
    assert "data.raw" in error.cause


@pytest.mark.parametrize(("method", "name"), [(1, "AES"), (2, "LUKS"), (9, "method 9")])
def test_encryption_is_refused_by_its_name(raw: Path, tmp_path: Path, method: int, name: str) -> None:
    image = convert(raw, tmp_path / "x.qcow2")
    patch(image, 32, method.to_bytes(4, "big"))
    assert f"encrypted with {name}" in refusal(image).message


def test_corrupt_and_unknown_features_are_refused_by_name(raw: Path, tmp_path: Path) -> None:
    image = convert(raw, tmp_path / "x.qcow2")
    patch(image, 79, b"\x02")
    assert "corrupt" in refusal(image).message
    patch(image, 72, b"\x40" + bytes(7))
    assert "bit 62" in refusal(image).cause
    # the file's own table names the bit
    table = image.read_bytes().index(b"dirty bit")
    patch(image, table - 2, b"\x00\x3e" + b"warp drive".ljust(46, b"\0"))
    assert "warp drive (bit 62)" in refusal(image).cause


def test_the_first_qcow_is_refused_by_its_version(raw: Path, tmp_path: Path) -> None:
    need("qemu-img")
    run(["qemu-img", "convert", "-f", "raw", "-O", "qcow", raw, tmp_path / "old.qcow"])
    assert "version 1" in refusal(tmp_path / "old.qcow").message


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Small images to damage: plain, compressed, with subclusters."""
    folder = tmp_path_factory.mktemp("small")
    source = write_raw(folder / "small.raw", size=MIB, islands=((0, 20_000), (MIB - 5000, 5000)), compressible=True)
    variants = {
        "plain": ["-o", "cluster_size=4k"],
        "zlib": ["-c", "-o", "cluster_size=4k"],
        "zstd": ["-c", "-o", "cluster_size=4k,compression_type=zstd"],
        "extended": ["-o", "cluster_size=16k,extended_l2=on"],
    }
    return {key: convert(source, folder / key, *options).read_bytes() for key, options in variants.items()}


VARIANTS = ("plain", "zlib", "zstd", "extended")


@pytest.mark.parametrize("variant", VARIANTS)
def test_truncated_anywhere_it_is_an_image_error(small: dict[str, bytes], variant: str) -> None:
    data = small[variant]
    for length in [*range(4, 600, 13), *range(1024, len(data) - 4096, 1024)]:
        said = outcome(lambda: disk.open(io.BytesIO(data[:length])))  # noqa: B023
        assert said != "read", f"cut to {length} of {len(data)} bytes"


@pytest.mark.parametrize("variant", VARIANTS)
def test_any_field_of_header_and_tables_may_lie(small: dict[str, bytes], variant: str) -> None:
    data = small[variant]
    l1 = struct.unpack_from(">Q", data, 40)[0]
    l2 = struct.unpack_from(">Q", data, l1)[0] & 0x00FFFFFFFFFFFE00
    for begin, length in ((4, 140), (l1, 16), (l2, 64)):
        for _, mutated in field_mutations(data, begin=begin, end=begin + length):
            outcome(lambda: disk.open(io.BytesIO(mutated)))  # noqa: B023


def test_a_table_that_maps_itself_ends(small: dict[str, bytes]) -> None:
    data = bytearray(small["plain"])
    l1 = struct.unpack_from(">Q", data, 40)[0]
    l2 = struct.unpack_from(">Q", data, l1)[0] & 0x00FFFFFFFFFFFE00
    for slot in range(512):
        struct.pack_into(">Q", data, l2 + 8 * slot, l2)
    assert "overlap" in outcome(lambda: disk.open(io.BytesIO(bytes(data))))
    struct.pack_into(">Q", data, l1, l1)  # the L1 table as its own L2 table
    outcome(lambda: disk.open(io.BytesIO(bytes(data))))


def test_a_few_bytes_cannot_declare_endless_data(tmp_path: Path) -> None:
    """Every L1 entry names one L2 table: 64 TiB out of 4 MiB, were it believed."""
    header = struct.pack(">4sIQIIQIIQQIIQ", b"QFI\xfb", 2, 0, 0, 16, 64 << 40, 0, 131_072, 65536, 0, 0, 0, 0)
    path = tmp_path / "endless.qcow2"
    table = struct.pack(">Q", 2 * MIB) * 131_072
    path.write_bytes(header.ljust(65536, b"\0") + table + bytes(65536 + 2 * MIB))
    assert "same L2 table" in outcome(lambda: disk.open(path))


def test_compressed_clusters_that_unpack_to_more_or_less_are_refused(small: dict[str, bytes]) -> None:
    for variant in ("zlib", "zstd"):
        data = bytearray(small[variant])
        l1 = struct.unpack_from(">Q", data, 40)[0]
        l2 = struct.unpack_from(">Q", data, l1)[0] & 0x00FFFFFFFFFFFE00
        host = struct.unpack_from(">Q", data, l2)[0] & ((1 << (62 - 4)) - 1)
        data[host : host + 64] = bytes(range(64))
        assert "unpack" in outcome(lambda: disk.open(io.BytesIO(bytes(data))))  # noqa: B023


def test_a_zstd_frame_that_claims_terabytes_allocates_nothing(small: dict[str, bytes]) -> None:
    data = bytearray(small["zstd"])
    l1 = struct.unpack_from(">Q", data, 40)[0]
    l2 = struct.unpack_from(">Q", data, l1)[0] & 0x00FFFFFFFFFFFE00
    host = struct.unpack_from(">Q", data, l2)[0] & ((1 << (62 - 4)) - 1)
    data[host : host + 13] = b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", 1 << 45)
    assert "35184372088832" in outcome(lambda: disk.open(io.BytesIO(bytes(data))))


def test_allocation_is_told_without_reading_data(raw: Path, tmp_path: Path) -> None:
    image = convert(raw, tmp_path / "disk.qcow2")
    opened = open_source(FileSource(image))
    assert opened.allocated_size < 4 * MIB
    opened.close()
