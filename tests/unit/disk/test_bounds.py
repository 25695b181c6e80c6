"""What every disk does at and beyond its edges, and what sources that give less than asked do to none of them."""

from __future__ import annotations

import gzip
import io
import random
import struct
from pathlib import Path

import pytest
import zstandard

from tests.tools import need, run
from tests.unit.disk.handmade import GRAIN_BYTES, dynamic_vhd, fixed_vhd, sparse_vmdk, stream_vmdk
from vmie import disk
from vmie.disk.wrapper import WrappedDisk
from vmie.errors import ImageError

MIB = 1 << 20
CONTENT = random.Random(5).randbytes(128 << 10)
IMAGES = {
    "raw": CONTENT,
    "gzip": gzip.compress(CONTENT, 1),
    "vhd-fixed": fixed_vhd(CONTENT),
    "vhd-dynamic": dynamic_vhd({0: CONTENT[: 1 << 16], 1: CONTENT[1 << 16 :]}, size=len(CONTENT)),
    "vmdk-sparse": sparse_vmdk({0: CONTENT[:GRAIN_BYTES], 1: CONTENT[GRAIN_BYTES:]}, capacity=256),
    "vmdk-stream": stream_vmdk({0: CONTENT[:GRAIN_BYTES], 1: CONTENT[GRAIN_BYTES:]}, capacity=256),
}


def by_qemu(folder: Path, format_: str) -> bytes:
    need("qemu-img")
    (folder / "in.raw").write_bytes(CONTENT)
    run(["qemu-img", "convert", "-f", "raw", "-O", format_, str(folder / "in.raw"), str(folder / "out")])
    return (folder / "out").read_bytes()


@pytest.fixture(params=[*IMAGES, "qcow2", "vhdx", "vdi"])
def image(request: pytest.FixtureRequest, tmp_path: Path) -> bytes:
    return IMAGES.get(request.param) or by_qemu(tmp_path, request.param)


class Meagre(io.BytesIO):
    """A file object that gives a little at a time, as unbuffered files and network readers may."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(size if size is None or size < 0 else min(size, 777))


def test_reads_are_clipped_at_the_end_and_negative_ones_are_errors_of_the_caller(image: bytes) -> None:
    with disk.open(io.BytesIO(image)) as opened:
        size = opened.size
        assert size == len(CONTENT)
        assert opened.read(0, 0) == opened.read(5, 0) == opened.read(size, 10) == opened.read(size + 99, 10) == b""
        assert opened.read(size - 3, 1 << 40) == CONTENT[-3:]
        assert opened.read(0, 1 << 62) == CONTENT
        for offset, length in ((-1, 1), (-512, 1024), (0, -1)):
            with pytest.raises(ValueError, match="no bytes at"):
                opened.read(offset, length)


def test_a_source_that_gives_little_at_a_time_reads_the_same(image: bytes) -> None:
    with disk.open(Meagre(image)) as opened:
        assert opened.read(0, len(CONTENT)) == CONTENT


def test_a_file_object_that_fails_is_an_image_error() -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError("connection reset")

    with pytest.raises(ImageError, match="cannot read") as caught:
        disk.open(Broken(CONTENT))
    assert caught.value.cause == "connection reset"


@pytest.mark.parametrize(
    ("path", "cause"),
    [
        ("/dev/zero", "character device"),
        ("/dev/null", "character device"),
        ("{0}", "is a file"),
        ("{0}/" + "n" * 300, "File name too long"),
        ("{0}/" + "n/" * 3000, "File name too long"),
        ("{0}/absent", "No such file"),
    ],
)
def test_what_cannot_be_opened_says_why(tmp_path: Path, path: str, cause: str) -> None:
    with pytest.raises(ImageError) as caught:
        disk.open(path.format(tmp_path))
    assert cause in caught.value.cause
    assert caught.value.cure


def test_blocks_of_a_vhd_that_share_their_place_are_refused() -> None:
    """2 GiB out of 130 KiB, were it believed."""
    data = dynamic_vhd({0: CONTENT[: 1 << 16]}, size=2 << 30)
    place = struct.unpack_from(">I", data, 1536)[0]
    entries = (2 << 30) >> 16
    shared = data[:1536] + struct.pack(">I", place) * entries + data[1536 + 4 * entries :]
    with pytest.raises(ImageError) as caught:
        disk.open(io.BytesIO(shared))
    assert "overlap" in caught.value.cause


@pytest.mark.parametrize("kind", ["sparse", "stream"])
def test_grains_of_a_vmdk_that_share_their_place_are_refused(kind: str) -> None:
    grains = {0: b"x" * GRAIN_BYTES}
    whole = sparse_vmdk(grains, capacity=65536) if kind == "sparse" else stream_vmdk(grains, capacity=65536)
    table = struct.pack("<I", 128) + bytes(4 * 511)
    assert table in whole
    shared = whole.replace(table, struct.pack("<I", 128) * 512)
    with disk.open(io.BytesIO(shared)) as opened, pytest.raises(ImageError) as caught:
        list(opened.extents())
    assert "overlap" in caught.value.cause


def qcow2(*, clusters: bytes, bits: int, version: int = 2) -> bytes:
    """One L2 table of `clusters` entries, all the same compressed cluster of 512 bytes of nothing."""
    cluster = 1 << bits
    size = cluster // 8 * cluster
    header = struct.pack(">4sIQIIQIIQQIIQ", b"QFI\xfb", version, 0, 0, bits, size, 0, 1, cluster, 0, 0, 0, 0)
    table = struct.pack(">Q", 2 * cluster).ljust(cluster, b"\0")
    return header.ljust(cluster, b"\0") + table + clusters.ljust(cluster, b"\0") + bytes(512)


def test_compressed_clusters_that_share_their_place_are_refused() -> None:
    """32 KiB that unpack to 512 GiB, were it believed: deflate cannot pack so tightly."""
    entry = struct.pack(">Q", 1 << 62 | 3 << 21)
    data = qcow2(clusters=entry * (1 << 18), bits=21)
    with disk.open(io.BytesIO(data)) as opened:
        assert opened.size == 512 << 30
        with pytest.raises(ImageError) as caught:
            list(opened.extents())
    assert "overlap" in caught.value.cause


def wide_qcow2(path: Path, *, used: dict[int, int]) -> int:
    """The largest L1 table there is, 32 MiB, over clusters of 512 bytes: `used` maps entries to tables. Its size."""
    entries = 4 << 20
    size = entries * 64 * 512
    first = 512 + 8 * entries
    with path.open("wb") as file:
        file.write(struct.pack(">4sIQIIQIIQQIIQ", b"QFI\xfb", 2, 0, 0, 9, size, 0, entries, 512, 0, 0, 0, 0))
        for entry, table in used.items():
            file.seek(512 + 8 * entry)
            file.write(struct.pack(">Q", first + 512 * table))
            file.seek(first + 512 * table)
            file.write(struct.pack(">Q", first + 512 * len(used)))
        file.seek(first + 512 * len(used))
        file.write(b"d" * 512)
    return size


def test_a_qcow2_with_the_widest_table_is_read_page_by_page(tmp_path: Path) -> None:
    entry = 3_000_001
    size = wide_qcow2(tmp_path / "wide.qcow2", used={entry: 0})
    with disk.open(tmp_path / "wide.qcow2") as opened:
        assert opened.size == size
        assert opened.read(entry * 64 * 512 - 1, 514) == b"\0" + b"d" * 512 + b"\0"
        found = [(extent.offset, extent.length) for extent in opened.extents()]
    assert found == [(0, entry * 32768), (entry * 32768, 512), (entry * 32768 + 512, size - entry * 32768 - 512)]


def test_a_wide_table_that_maps_one_table_everywhere_is_refused(tmp_path: Path) -> None:
    wide_qcow2(tmp_path / "wide.qcow2", used={3_000_000: 0, 3_000_001: 0})
    with disk.open(tmp_path / "wide.qcow2") as opened, pytest.raises(ImageError) as caught:
        list(opened.extents())
    assert "same L2 table" in caught.value.cause


def wrapped(data: bytes) -> WrappedDisk:
    opened = disk.open(io.BytesIO(data))
    assert isinstance(opened, WrappedDisk)
    return opened


def test_content_longer_than_known_is_found_by_the_read_that_ends_there() -> None:
    opened = wrapped(gzip.compress(CONTENT * 8, 1))
    opened.expect(len(CONTENT) * 7)
    with pytest.raises(ImageError) as caught:
        opened.read(len(CONTENT) * 6, len(CONTENT))
    assert "more than" in caught.value.cause
    with pytest.raises(ImageError):  # and not nothing at all the next time
        opened.read(len(CONTENT) * 6, len(CONTENT))


def test_a_false_checksum_is_found_before_the_last_byte_is_handed_out() -> None:
    packed = bytearray(gzip.compress(CONTENT * 8, 1))
    packed[-8] ^= 1
    opened = wrapped(bytes(packed))
    opened.expect(len(CONTENT) * 8)
    assert opened.read(0, MIB // 2) == (CONTENT * 8)[: MIB // 2]
    with pytest.raises(ImageError, match="damaged"):
        opened.read(MIB // 2, MIB // 2)


def test_zstd_behind_skippable_frames_is_told() -> None:
    """`pzstd` begins its files so."""
    frame = b"\x50\x2a\x4d\x18" + struct.pack("<I", 4) + b"size"
    opened = wrapped(frame * 2 + zstandard.ZstdCompressor().compress(CONTENT))
    assert (opened.variant, opened.size) == ("zstd", len(CONTENT))
    assert opened.read(0, len(CONTENT)) == CONTENT
    assert disk.open(io.BytesIO(frame + CONTENT)).variant == "raw"
