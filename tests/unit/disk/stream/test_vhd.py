"""The dynamic VHD that vmie writes."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.disk.memory import GIB, KIB, MIB, TIB, MemoryDisk, noise, prose
from vmie import disk, errors
from vmie.disk import stream
from vmie.disk.stream import vhd

pieces = st.dictionaries(
    st.sampled_from([0, 512, MIB, 2 * MIB - 512, 2 * MIB, 5 * MIB, 9 * MIB + 512]),
    st.one_of(st.binary(min_size=1, max_size=512), st.sampled_from([noise(512), bytes(512), b"\0" * 511 + b"x"])),
    max_size=5,
)


def written(source: disk.Disk, **options: int) -> bytes:
    return b"".join(stream.dynamic_vhd(source, **options))


@settings(max_examples=25, deadline=None)
@given(raw=pieces, size=st.integers(1, 11 * MIB))
def test_random_extents_read_back_the_same_and_the_bound_holds(raw: dict[int, bytes], size: int) -> None:
    source = MemoryDisk(size, raw)
    out = written(source, workers=2)

    assert len(out) <= stream.upper_bound(source, "vhd")
    with disk.open(io.BytesIO(out)) as again:
        assert (again.format, again.variant) == ("vhd", "dynamic")
        assert again.size == -(-size // 512) * 512
        assert again.read(0, size) == source.read(0, size)


def test_the_bytes_depend_on_the_content_alone() -> None:
    content = {0: noise(MIB), 5 * MIB + 512: prose(MIB) + bytes(MIB) + noise(512), 40 * MIB: bytes(3 * MIB)}
    sparse = written(MemoryDisk(64 * MIB, content), workers=1)
    assert written(MemoryDisk(64 * MIB, content), workers=3) == sparse
    assert written(MemoryDisk(64 * MIB, content, holes=False), workers=2) == sparse


def test_blocks_of_zeros_are_left_out() -> None:
    assert len(written(MemoryDisk(64 * MIB, {}))) == len(written(MemoryDisk(64 * MIB, {8 * MIB: bytes(8 * MIB)})))


def test_a_block_is_looked_at_no_further_than_its_first_data() -> None:
    source = MemoryDisk(64 * MIB, {number * 2 * MIB: b"x" * 512 for number in range(32)}, holes=False)
    list(zip(range(1), stream.dynamic_vhd(source, workers=1), strict=False))
    assert source.bytes_read() <= 32 * 64 * KIB + MIB


def test_footer_and_header_carry_their_checksums() -> None:
    out = written(MemoryDisk(10 * MIB, {0: b"x"}))
    for at, size, field in ((0, 512, 64), (512, 1024, 36), (len(out) - 512, 512, 64)):
        part = bytearray(out[at : at + size])
        (stated,) = struct.unpack_from(">I", part, field)
        part[field : field + 4] = bytes(4)
        assert stated == ~sum(part) & 0xFFFFFFFF
    assert out[:512] == out[-512:]


def test_the_true_size_stands_in_a_footer_that_readers_trust() -> None:
    out = written(MemoryDisk(1_000_003, {0: b"x"}))
    assert out[:8] == b"conectix"
    assert out[28:32] == b"win "
    assert struct.unpack_from(">QQ", out, 40) == (1_000_448, 1_000_448)


@pytest.mark.parametrize(
    ("sectors", "expected"),
    [  # worked by hand from the appendix "CHS Calculation"
        (2048 * 1, (30, 4, 17)),
        (2048 * 10, (301, 4, 17)),
        (2048 * 1024, (2080, 16, 63)),
        (2048 * 127 * 1024, (65278, 16, 255)),
        (2040 * GIB // 512, (65535, 16, 255)),
    ],
)
def test_geometry_is_the_specifications(sectors: int, expected: tuple[int, int, int]) -> None:
    assert vhd.geometry(sectors) == expected


@pytest.mark.parametrize(("size", "words"), [(0, "0 bytes"), (2040 * GIB + 512, "too large for a VHD")])
def test_a_size_that_the_format_cannot_hold_is_refused(size: int, words: str) -> None:
    with pytest.raises(errors.ImageError, match=words):
        written(MemoryDisk(size, {}))


def test_the_largest_disk_is_taken() -> None:
    source = MemoryDisk(2040 * GIB, {2040 * GIB - 512: noise(512)})
    out = written(source)
    assert len(out) < 8 * MIB
    with disk.open(io.BytesIO(out)) as again:
        assert again.size == 2040 * GIB
        assert again.read(again.size - 512, 512) == noise(512)


def test_a_damaged_source_is_named() -> None:
    with pytest.raises(errors.ImageError, match="damaged at"):
        written(MemoryDisk(64 * MIB, {0: noise(8 * MIB)}, broken_at=5 * MIB))


def test_names_that_are_no_format_are_refused() -> None:
    with pytest.raises(errors.UsageError, match="does not write 'vhdx'") as caught:
        stream.target("vhdx")
    assert "vmdk" in caught.value.cure


def test_raw_streams_every_byte_in_bounded_pieces() -> None:
    source = MemoryDisk(9 * MIB + 77, {0: noise(100), 3 * MIB - 5: prose(MIB), 9 * MIB: noise(77)})
    parts = list(stream.raw(source, workers=2))
    assert b"".join(parts) == source.read(0, source.size)
    assert max(map(len, parts)) <= MIB
    assert stream.upper_bound(source, "raw") == source.size


def test_raw_has_no_largest_size() -> None:
    stream.target("raw").check(MemoryDisk(64 * TIB, {}))
