"""VMDK beyond what qemu-img writes: footers, zeroed grains, fallbacks, descriptors, and refusals by name."""

from __future__ import annotations

import io
import random
import zlib
from pathlib import Path

import pytest

from tests.oracle.qemu_formats import print_of_disk, print_of_file
from tests.tools import need, run
from tests.unit.disk.handmade import (
    GRAIN,
    GRAIN_BYTES,
    SECTOR,
    descriptor_text,
    sparse_header,
    sparse_vmdk,
    stream_vmdk,
)
from vmie import disk
from vmie.errors import ImageError
from vmie.model import Extent, ExtentKind

NOISE = random.Random(7).randbytes(GRAIN_BYTES)
TEXT = (b"grain of text " * 5000)[:GRAIN_BYTES]
CAPACITY = 10 * GRAIN


def _opened(data: bytes) -> disk.Disk:
    return disk.open(io.BytesIO(data))


def _same_as_qemu(data: bytes, folder: Path) -> disk.Disk:
    need("qemu-img")
    path = folder / "disk.vmdk"
    path.write_bytes(data)
    run(["qemu-img", "convert", "-f", "vmdk", "-O", "raw", path, folder / "disk.raw"])
    opened = disk.open(path)
    assert print_of_disk(opened) == print_of_file(folder / "disk.raw")
    return opened


# -- streamOptimized


@pytest.mark.parametrize("at_end", [True, False])
def test_a_stream_is_read_by_its_footer_or_its_header(at_end: bool, tmp_path: Path) -> None:
    data = stream_vmdk({0: TEXT, 3: NOISE, 9: TEXT}, capacity=CAPACITY, at_end=at_end)
    with _same_as_qemu(data, tmp_path) as opened:
        assert opened.variant == "streamOptimized"
        assert opened.facts["stream_optimized"] is opened.facts["compressed"] is True
        assert opened.facts["grain_directory"] == ("footer" if at_end else "header")
        assert opened.facts["adapter_type"] == "lsilogic"
        assert opened.facts["hardware_version"] == "13"
        assert opened.facts["geometry"] == {"cylinders": 5, "heads": 255, "sectors": 63}
        assert opened.allocated_size == 3 * GRAIN_BYTES
        assert list(opened.extents()) == [
            Extent(0, GRAIN_BYTES, ExtentKind.ALLOCATED),
            Extent(GRAIN_BYTES, 2 * GRAIN_BYTES, ExtentKind.HOLE),
            Extent(3 * GRAIN_BYTES, GRAIN_BYTES, ExtentKind.ALLOCATED),
            Extent(4 * GRAIN_BYTES, 5 * GRAIN_BYTES, ExtentKind.HOLE),
            Extent(9 * GRAIN_BYTES, GRAIN_BYTES, ExtentKind.ALLOCATED),
        ]


def test_a_last_grain_cut_at_the_end_of_the_disk(tmp_path: Path) -> None:
    data = stream_vmdk({0: TEXT, 1: NOISE[: 5 * SECTOR]}, capacity=GRAIN + 5)
    with _same_as_qemu(data, tmp_path) as opened:
        assert opened.read(GRAIN_BYTES, GRAIN_BYTES) == NOISE[: 5 * SECTOR]


def test_padding_behind_the_stream_does_no_harm() -> None:
    data = stream_vmdk({0: TEXT}, capacity=CAPACITY) + bytes(10 * SECTOR + 3)
    assert _opened(data).read(0, GRAIN_BYTES) == TEXT


def test_a_stream_without_its_end_is_named_truncated() -> None:
    data = stream_vmdk({0: TEXT, 1: NOISE}, capacity=CAPACITY)
    with pytest.raises(ImageError, match="truncated: the footer") as caught:
        _opened(data[: len(data) // 2])
    assert "checksum" in caught.value.cure


def test_a_grain_that_swells_when_deflated_is_read_whole() -> None:
    """Markers may announce more than a grain: stored blocks with their overhead."""
    swollen = zlib.compress(NOISE, 0)
    pieces = zlib.compressobj(0)
    longer = b"".join(
        pieces.compress(NOISE[at : at + 64]) + pieces.flush(zlib.Z_SYNC_FLUSH) for at in range(0, len(NOISE), 64)
    )
    longer += pieces.flush()
    assert len(longer) > GRAIN_BYTES + 4096
    data = stream_vmdk({0: NOISE, 1: NOISE, 2: TEXT}, capacity=CAPACITY, packed={0: swollen, 1: longer})
    assert _opened(data).read(0, 3 * GRAIN_BYTES) == NOISE + NOISE + TEXT


@pytest.mark.parametrize(
    ("packed", "cause"),
    [
        (zlib.compress(bytes(100 << 20)), "invalid length"),
        (zlib.compress(TEXT)[:-3], "invalid length"),
        (zlib.compress(TEXT[:100]), "100 bytes where"),
        (b"\x78\x9c" + NOISE[:3000], "does not decompress"),
        (zlib.compress(TEXT)[:-1] + b"?", "does not decompress"),
    ],
    ids=["bomb", "cut", "short", "noise", "checksum"],
)
def test_a_grain_that_does_not_unpack_to_a_grain_is_damage(packed: bytes, cause: str) -> None:
    opened = _opened(stream_vmdk({0: TEXT, 1: TEXT}, capacity=CAPACITY, packed={0: packed}))
    with pytest.raises(ImageError, match="damaged") as caught:
        opened.read(0, GRAIN_BYTES)
    assert cause in caught.value.cause
    with pytest.raises(ImageError):
        opened.read(512, 512)
    assert opened.read(GRAIN_BYTES, GRAIN_BYTES) == TEXT, "other grains are not touched by it"


def test_a_marker_that_names_another_sector_is_damage() -> None:
    opened = _opened(stream_vmdk({0: TEXT}, capacity=CAPACITY, lba={0: 128}))
    with pytest.raises(ImageError) as caught:
        opened.read(0, 512)
    assert "names sector 128" in caught.value.cause


def test_an_unknown_compression_is_refused_in_the_services_words() -> None:
    with pytest.raises(ImageError, match="unsupported compression algorithm 0"):
        _opened(stream_vmdk({0: TEXT}, capacity=CAPACITY, compression=0))


def test_a_text_mode_transfer_is_recognised() -> None:
    with pytest.raises(ImageError) as caught:
        _opened(sparse_vmdk({0: TEXT}, capacity=CAPACITY, newlines=b"\n \n\n"))
    assert "text-mode" in caught.value.cause
    assert "binary mode" in caught.value.cure


# -- monolithicSparse


def test_zeroed_grains_are_zeros_not_holes(tmp_path: Path) -> None:
    data = sparse_vmdk({0: TEXT, 1: None, 4: NOISE}, capacity=CAPACITY)
    with _same_as_qemu(data, tmp_path) as opened:
        assert [each.kind.value for each in opened.extents()] == ["allocated", "zero", "hole", "allocated", "hole"]
        assert opened.read(GRAIN_BYTES - 10, 20) == TEXT[-10:] + bytes(10)


def test_the_redundant_directory_serves_when_the_first_is_bad() -> None:
    data = bytearray(sparse_vmdk({0: TEXT, 2: NOISE}, capacity=CAPACITY))
    data[26 * SECTOR : 26 * SECTOR + 4] = b"\xff\xff\xff\x7f"
    opened = _opened(bytes(data))
    assert opened.facts["grain_directory"] == "redundant"
    assert opened.read(0, 3 * GRAIN_BYTES) == TEXT + bytes(GRAIN_BYTES) + NOISE


def test_without_a_redundant_directory_a_bad_one_is_an_error() -> None:
    data = bytearray(sparse_vmdk({0: TEXT}, capacity=CAPACITY, redundant=False))
    data[26 * SECTOR : 26 * SECTOR + 4] = b"\xff\xff\xff\x7f"
    with pytest.raises(ImageError, match="grain table"):
        _opened(bytes(data))


def test_an_unclean_shutdown_is_a_fact() -> None:
    assert _opened(sparse_vmdk({0: TEXT}, capacity=CAPACITY, unclean=1)).facts["unclean_shutdown"] is True
    assert _opened(sparse_vmdk({0: TEXT}, capacity=CAPACITY)).facts["unclean_shutdown"] is False


def test_a_grain_beyond_the_end_is_told_by_extents_and_by_read() -> None:
    data = sparse_vmdk({0: TEXT, 1: NOISE}, capacity=CAPACITY)[:-GRAIN_BYTES]
    opened = _opened(data)
    assert opened.read(0, GRAIN_BYTES) == TEXT
    with pytest.raises(ImageError, match="truncated"):
        list(opened.extents())
    with pytest.raises(ImageError, match="truncated"):
        opened.read(GRAIN_BYTES, 1)


def test_a_split_extent_alone_is_refused_with_the_way_out() -> None:
    for data in (
        sparse_vmdk({0: TEXT}, capacity=CAPACITY, descriptor=b""),
        sparse_vmdk({0: TEXT}, capacity=CAPACITY).replace(sparse_header(capacity=1)[28:44], bytes(16), 1),
    ):
        with pytest.raises(ImageError, match="one extent of a split VMDK") as caught:
            _opened(data)
        assert "descriptor" in caught.value.cause
        assert "disk-s001.vmdk" in caught.value.cure


def test_800_gib_sparse_is_told_from_its_tables_alone(tmp_path: Path) -> None:
    """A grain directory of 25,600 entries, all absent: nothing is read but the directory."""
    capacity = (800 << 30) // SECTOR
    path = tmp_path / "disk.vmdk"
    with path.open("wb") as file:
        file.write(sparse_header(capacity=capacity, gd=128, overhead=128, flags=1))
        file.write(descriptor_text(sectors=capacity).ljust(20 * SECTOR, b"\0"))
        file.truncate(1 << 20)
    with disk.open(path) as opened:
        assert list(opened.extents()) == [Extent(0, 800 << 30, ExtentKind.HOLE)]
        assert opened.allocated_size == 0


# -- descriptor files


def _descriptor(kind: str, *lines: str, more: str = "", ending: str = "\n") -> bytes:
    head = ["# Disk DescriptorFile", "version=1", "CID=1", "parentCID=ffffffff", f'createType="{kind}"']
    return ending.join([*head, *lines, more, 'ddb.adapterType = "ide"', ""]).encode()


def _folder(tmp_path: Path, descriptor: bytes, **files: bytes) -> Path:
    for name, data in files.items():
        (tmp_path / f"{name}.vmdk").write_bytes(data)
    (tmp_path / "disk.vmdk").write_bytes(descriptor)
    return tmp_path / "disk.vmdk"


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_flat_sparse_and_zero_extents_end_to_end(ending: str, tmp_path: Path) -> None:
    path = _folder(
        tmp_path,
        _descriptor(
            "custom",
            'RW 8 FLAT "one.vmdk" 4',
            "RW 16 ZERO",
            f'RW {CAPACITY} SPARSE "two.vmdk"',
            'RDONLY 8 FLAT "one.vmdk" 0',
            ending=ending,
        ),
        one=NOISE[: 12 * SECTOR],
        two=sparse_vmdk({1: TEXT}, capacity=CAPACITY, descriptor=b""),
    )
    expected = NOISE[4 * SECTOR : 12 * SECTOR] + bytes(16 * SECTOR) + bytes(GRAIN_BYTES) + TEXT
    expected += bytes(8 * GRAIN_BYTES) + NOISE[: 8 * SECTOR]
    with disk.open(path) as opened:
        assert opened.size == len(expected)
        assert opened.read(0, len(expected)) == expected
        assert opened.read(7 * SECTOR + 1, 18 * SECTOR) == expected[7 * SECTOR + 1 : 25 * SECTOR + 1]
        assert sum(each.length for each in opened.extents()) == len(expected)
        assert opened.facts["files"] == ["one.vmdk", "two.vmdk"]
        assert (opened.variant, opened.facts["descriptor"]) == ("custom", "file")


def test_an_esx_flat_disk_as_it_lies_on_a_datastore(tmp_path: Path) -> None:
    path = _folder(tmp_path, _descriptor("vmfs", 'RW 128 VMFS "disk-flat.vmdk"'), **{"disk-flat": NOISE})
    with disk.open(path) as opened:
        assert (opened.variant, opened.read(0, opened.size)) == ("vmfs", NOISE)


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../secret", "a/b.vmdk", "C:\\x.vmdk", "..", ".", "", "\\\\srv\\x", "a\x00b"]
)
def test_a_name_outside_the_directory_is_never_followed(name: str, tmp_path: Path) -> None:
    (tmp_path.parent / "secret").write_bytes(NOISE)
    path = _folder(tmp_path, _descriptor("monolithicFlat", f'RW 8 FLAT "{name}" 0'))
    with pytest.raises(ImageError):
        disk.open(path)


def test_a_missing_extent_is_named(tmp_path: Path) -> None:
    path = _folder(tmp_path, _descriptor("monolithicFlat", 'RW 8 FLAT "disk-flat.vmdk" 0'))
    with pytest.raises(ImageError, match=r"lacks its extent file disk-flat\.vmdk"):
        disk.open(path)


def test_a_descriptor_without_a_directory_asks_for_the_path() -> None:
    with pytest.raises(ImageError, match="only the descriptor") as caught:
        _opened(_descriptor("monolithicFlat", 'RW 8 FLAT "disk-flat.vmdk" 0'))
    assert "path of the descriptor" in caught.value.cure


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('RW 256 FLAT "one.vmdk" 0', "truncated"),
        ('RW 8 FLAT "one.vmdk" 999999999999999999', "truncated"),
        ('RW 256 SPARSE "one.vmdk"', "damaged"),
        ('RW 256 SPARSE "disk.vmdk"', "damaged"),
        (f'RW {CAPACITY + 8} SPARSE "two.vmdk"', "damaged"),
        ('NOACCESS 8 FLAT "one.vmdk" 0', "NOACCESS"),
        ('RW 8 HOLOGRAPHIC "one.vmdk"', "HOLOGRAPHIC"),
        ("RW many FLAT", "makes no sense"),
        ("RW 99999999999999999 ZERO", "damaged"),
        ("", "damaged"),
    ],
)
def test_extents_that_do_not_fit_are_errors(line: str, message: str, tmp_path: Path) -> None:
    two = sparse_vmdk({1: TEXT}, capacity=CAPACITY)
    path = _folder(tmp_path, _descriptor("custom", line), one=NOISE, two=two)
    with pytest.raises(ImageError, match=message):
        disk.open(path)


# -- refused by name


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"COWD" + bytes(4096), "COWD"),
        (b"\xbe\xba\xfe\xca\0\0\0\0" + bytes(4096), "SEsparse"),
        (_descriptor("vmfsSparse", 'RW 8 VMFSSPARSE "disk-delta.vmdk"'), "vmfsSparse"),
        (_descriptor("seSparse", 'RW 8 SESPARSE "disk-sesparse.vmdk"'), "SEsparse"),
        (_descriptor("vmfsRawDeviceMap", 'RW 8 VMFSRDM "disk-rdm.vmdk"'), "RDM"),
        (_descriptor("vmfsPassthroughRawDeviceMap", 'RW 8 VMFSRDM "disk-rdmp.vmdk"'), "RDM"),
        (_descriptor("fullDevice", 'RW 8 FLAT "\\\\.\\PhysicalDrive0" 0'), "physical device"),
        (_descriptor("partitionedDevice", 'RW 63 FLAT "disk-pt.vmdk" 0'), "physical device"),
        (_descriptor("monolithicFlat", more='parentFileNameHint="base.vmdk"'), "delta"),
        (_descriptor("monolithicFlat").replace(b"parentCID=ffffffff", b"parentCID=1234abcd"), "delta"),
        (_descriptor("monolithicFlat", more='encryption.keySafe = "vmware:key/list/..."'), "encrypted"),
        (
            sparse_vmdk(
                {0: TEXT},
                capacity=CAPACITY,
                descriptor=descriptor_text(sectors=CAPACITY).replace(b"parentCID=ffffffff", b"parentCID=1234abcd"),
            ),
            "delta",
        ),
    ],
)
def test_what_is_not_a_whole_disk_is_refused_by_name_with_a_cure(data: bytes, message: str) -> None:
    with pytest.raises(ImageError, match=message) as caught:
        _opened(data)
    assert caught.value.cause
    assert caught.value.cure


def test_a_link_to_a_descriptor_finds_the_extents_beside_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "disk.vmdk").write_bytes(NOISE)
    text = descriptor_text("monolithicFlat", sectors=len(NOISE) // 512, extent="FLAT")
    (tmp_path / "store" / "web.vmdk").write_bytes(text)
    (tmp_path / "web.vmdk").symlink_to(tmp_path / "store" / "web.vmdk")
    with disk.open(tmp_path / "web.vmdk") as opened:
        assert opened.read(0, len(NOISE)) == NOISE


def test_an_extent_name_longer_than_any_file_is_a_missing_file(tmp_path: Path) -> None:
    text = descriptor_text("monolithicFlat", sectors=128, extent="FLAT").replace(b"disk.vmdk", b"n" * 400)
    (tmp_path / "web.vmdk").write_bytes(text)
    with pytest.raises(ImageError, match="lacks its extent file"):
        disk.open(tmp_path / "web.vmdk")
