"""The stream-optimised VMDK that vmie writes: same bytes for the same content, nothing for zeros, bounded work."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tools import ROOT
from tests.unit.disk.memory import GIB, KIB, MIB, TIB, MemoryDisk, noise, prose
from vmie import disk, errors
from vmie.disk import stream
from vmie.disk.stream import vmdk

GRAIN = 64 * KIB

pieces = st.dictionaries(
    st.integers(0, 60 * MIB // 512).map(lambda sector: sector * 512),
    st.one_of(
        st.binary(min_size=1, max_size=600),
        st.integers(1, 200 * KIB).map(prose),
        st.integers(1, 200 * KIB).map(noise),
        st.integers(1, 200 * KIB).map(bytes),
    ),
    max_size=6,
)


def apart(raw: dict[int, bytes]) -> dict[int, bytes]:
    """Cut what would overlap."""
    offsets = sorted(raw)
    ends = [*offsets[1:], 1 << 62][: len(offsets)]
    return {offset: raw[offset][: end - offset] for offset, end in zip(offsets, ends, strict=True)}


def written(source: disk.Disk, **options: int) -> bytes:
    return b"".join(stream.stream_optimized(source, **options))


@settings(max_examples=40, deadline=None)
@given(raw=pieces, size=st.integers(1, 62 * MIB))
def test_random_extents_read_back_the_same_and_the_bound_holds(raw: dict[int, bytes], size: int) -> None:
    source = MemoryDisk(size, apart(raw))
    out = written(source, workers=2)

    assert len(out) <= stream.upper_bound(source, "vmdk")
    with disk.open(io.BytesIO(out)) as again:
        assert (again.format, again.variant) == ("vmdk", "streamOptimized")
        assert again.size == -(-size // 512) * 512
        assert again.read(0, size) == source.read(0, size)


@pytest.mark.parametrize("size", [1, 511, 512, 513, GRAIN - 1, GRAIN, GRAIN + 1, 32 * MIB, 32 * MIB + 512])
def test_sizes_at_every_border_keep_their_last_byte(size: int) -> None:
    source = MemoryDisk(size, {0: noise(size)})
    with disk.open(io.BytesIO(written(source))) as again:
        assert again.read(0, size) == source.read(0, size)
        assert again.read(size, GRAIN).count(0) == again.size - size


def test_the_bytes_do_not_depend_on_the_number_of_workers() -> None:
    source = MemoryDisk(70 * MIB, {0: noise(3 * MIB), 31 * MIB: prose(5 * MIB), 69 * MIB: noise(MIB)})
    assert written(source, workers=1) == written(source, workers=2) == written(source, workers=7)


def test_the_bytes_do_not_depend_on_how_the_source_keeps_its_zeros() -> None:
    content = {0: noise(MIB), 5 * MIB + 512: prose(MIB) + bytes(MIB) + noise(512), 40 * MIB: bytes(MIB)}
    assert written(MemoryDisk(64 * MIB, content)) == written(MemoryDisk(64 * MIB, content, holes=False))


def test_different_disks_have_different_content_ids() -> None:
    ids = {vmdk.descriptor(MemoryDisk(MIB, {0: noise(512, seed=seed)})).split("CID=")[1][:8] for seed in range(5)}
    assert len(ids) == 5


def test_zeros_and_holes_cost_nothing() -> None:
    empty = written(MemoryDisk(GIB, {}))
    assert written(MemoryDisk(GIB, {7 * MIB: bytes(9 * MIB)})) == empty
    assert len(empty) == (128 + 4 + 1) * 512  # overhead, four markers and footers, a directory of 32 entries


def test_only_grains_with_data_are_read() -> None:
    source = MemoryDisk(800 * GIB, {number * 7 * GIB + 4096: noise(512) for number in range(100)})
    written(source)
    assert source.bytes_read() <= 100 * GRAIN + MIB  # and the first MiB, for the content id


def test_time_follows_the_data_not_the_size() -> None:
    begun = time.process_time()
    out = written(MemoryDisk(16 * TIB, {16 * TIB - 512: noise(512)}))
    assert time.process_time() - begun < 10
    assert len(out) < 3 * MIB


def test_header_footer_and_markers_stand_where_the_format_wants_them() -> None:
    out = written(MemoryDisk(40 * MIB + 512, {0: noise(GRAIN), 39 * MIB: noise(GRAIN)}))
    head, footer = out[:512], out[-1024:-512]
    assert struct.unpack_from("<4sIIQQ", head) == (b"KDMV", 3, 0x30001, (40 * MIB + 512) // 512, 128)
    assert struct.unpack_from("<QQQ", head, 48) == (0, 0xFFFFFFFFFFFFFFFF, 128)
    assert head[72:79] == b"\0\n \r\n\x01\0"
    assert out[-512:] == bytes(512)
    assert struct.unpack_from("<QII", out, len(out) - 1536) == (1, 0, 3)
    (directory,) = struct.unpack_from("<Q", footer, 56)
    assert footer[:56] == head[:56]
    assert footer[64:] == head[64:]
    assert struct.unpack_from("<QII", out, directory * 512 - 512) == (1, 0, 2)
    tables = struct.unpack_from("<II", out, directory * 512)
    for table in tables:
        assert struct.unpack_from("<QII", out, table * 512 - 512) == (4, 0, 1)
    (grain,) = struct.unpack_from("<I", out, tables[0] * 512)
    assert grain == 128
    assert struct.unpack_from("<Q", out, grain * 512) == (0,)


def test_tables_of_zeros_are_left_out() -> None:
    out = written(MemoryDisk(96 * MIB, {64 * MIB: b"x"}))
    (directory,) = struct.unpack_from("<Q", out, len(out) - 1024 + 56)
    first, second, third = struct.unpack_from("<III", out, directory * 512)
    assert (first, second) == (0, 0)
    assert third != 0


def test_the_descriptor_says_what_importers_look_for() -> None:
    text = vmdk.descriptor(MemoryDisk(8 * GIB, {0: b"x"}))
    assert 'createType="streamOptimized"' in text
    assert f"RDONLY {8 * GIB // 512} SPARSE" in text
    assert 'ddb.adapterType = "lsilogic"' in text
    assert 'ddb.geometry.cylinders = "1044"' in text
    assert len(text) < 20 * 512


def test_data_that_does_not_compress_stays_within_the_bound() -> None:
    source = MemoryDisk(8 * MIB, {0: noise(8 * MIB)})
    out = written(source)
    bound = stream.upper_bound(source, "vmdk")
    assert 8 * MIB < len(out) <= bound
    assert bound - len(out) < 0.01 * bound


def test_progress_tells_the_data_read() -> None:
    seen: list[int] = []
    source = MemoryDisk(64 * MIB, {0: noise(GRAIN), 50 * MIB: noise(3 * GRAIN)})
    for _ in stream.stream_optimized(source, progress=seen.append):
        pass
    assert seen == sorted(seen)
    assert seen[-1] == 4 * GRAIN


def test_a_damaged_source_is_named_and_no_thread_stays() -> None:
    source = MemoryDisk(64 * MIB, {0: noise(64 * MIB)}, broken_at=40 * MIB)
    before = threading.active_count()
    with pytest.raises(errors.ImageError, match="damaged at"):
        written(source, workers=3)
    assert threading.active_count() == before


def test_a_stream_left_half_way_stops_reading() -> None:
    source = MemoryDisk(GIB, {0: noise(16 * MIB)}, holes=False)
    before = threading.active_count()
    out = stream.stream_optimized(source, workers=2)
    for _ in range(3):
        next(out)
    out.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
    assert source.bytes_read() < 32 * MIB


def test_what_is_in_flight_is_bounded() -> None:
    source = MemoryDisk(GIB, {0: noise(GRAIN)}, holes=False)
    out = stream.stream_optimized(source, workers=2)
    next(out)
    next(out)
    time.sleep(0.2)
    assert source.bytes_read() <= 16 * MIB
    out.close()  # type: ignore[attr-defined]


def test_an_output_beyond_two_tebibytes_is_refused_with_a_cure() -> None:
    tables = vmdk._Tables(MemoryDisk(GIB, {}), most_sectors=1000)
    tables.place([(0, 129)] * 6)
    with pytest.raises(errors.ImageError, match="more than 2 TiB") as caught:
        tables.place([(0, 129)])
    assert "raw" in caught.value.cure


@pytest.mark.parametrize(("size", "words"), [(0, "0 bytes"), (63 * TIB, "too large for a VMDK")])
def test_a_size_that_the_format_cannot_hold_is_refused(size: int, words: str) -> None:
    with pytest.raises(errors.ImageError, match=words):
        written(MemoryDisk(size, {}))


_DIGEST = """
import hashlib, random
from vmie.disk.stream import vmdk
numbers, digest = random.Random(3), hashlib.sha256()
for _ in range(4000):
    head = numbers.randbytes(6)
    digest.update(vmdk._deflate(memoryview(head + numbers.randbytes(20) + head + b"x" + head[1:] + head[2:] * 2)))
print(digest.hexdigest())
"""


def test_the_bytes_do_not_depend_on_where_the_system_puts_the_stack() -> None:
    """ISA-L hashes an address when a buffer's first bytes go straight to its main loop: one grain in thousands."""
    argv = [sys.executable, "-c", _DIGEST]
    assert (
        len({subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, check=True).stdout for _ in range(4)}) == 1
    )
