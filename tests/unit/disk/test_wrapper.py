"""Compressed raw disks: read forward, measured, bounded; everything cut, damaged or not raw is refused."""

from __future__ import annotations

import gzip
import lzma
import random
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import zstandard

from tests.tools import ROOT, need, run
from tests.unit.disk.contents import MIB
from tests.unit.disk.handmade import fixed_vhd
from vmie import disk
from vmie.disk.wrapper import WrappedDisk
from vmie.errors import ImageError
from vmie.events import Event, Progress


def content(size: int = 3 * MIB + 512) -> bytes:
    numbers = random.Random(3)
    return b"".join(numbers.randbytes(4096) + bytes(4096) for _ in range(size // 8192 + 1))[:size]


def frames(data: bytes) -> bytes:
    """Several zstd frames, one without a declared size, and a skippable one between."""
    first = zstandard.ZstdCompressor(write_checksum=True).compress(data[:MIB])
    streaming = zstandard.ZstdCompressor().compressobj()
    second = streaming.compress(data[MIB:]) + streaming.flush()
    return first + b"\x52\x2a\x4d\x18\x04\0\0\0skip" + second


MAKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, 1),
    "gzip members": lambda data: gzip.compress(data[:MIB], 1) + gzip.compress(data[MIB:], 1),
    "xz": lambda data: lzma.compress(data, preset=0),
    "xz streams": lambda data: lzma.compress(data[:MIB], preset=0) + bytes(8) + lzma.compress(data[MIB:], preset=0),
    "zstd": lambda data: zstandard.ZstdCompressor(write_checksum=True).compress(data),
    "zstd frames": frames,
}


def opened(path: Path) -> WrappedDisk:
    found = disk.open(path)
    assert isinstance(found, WrappedDisk)
    return found


def measured_and_read(path: Path) -> None:
    with opened(path) as wrapped:
        wrapped.measure()
        for _ in wrapped.forward():
            pass


@pytest.mark.parametrize("maker", MAKERS)
def test_reads_the_whole_disk_forward(tmp_path: Path, maker: str) -> None:
    data = content()
    path = tmp_path / "disk.img"
    path.write_bytes(MAKERS[maker](data))
    with opened(path) as wrapped:
        assert (wrapped.format, wrapped.variant) == ("raw", maker.split(maxsplit=1)[0])
        assert wrapped.facts["forward_only"] is True
        assert wrapped.size == wrapped.allocated_size == len(data)
        pieces = list(wrapped.forward())
        assert b"".join(pieces) == data
        assert max(map(len, pieces)) <= 2 * MIB
        assert [(extent.offset, extent.length) for extent in wrapped.extents()] == [(0, len(data))]
        for offset in range(0, len(data), 99_999):
            assert wrapped.read(offset, 99_999) == data[offset : offset + 99_999]
        assert wrapped.read(5, 10) == data[5:15]
        assert wrapped.read(len(data) - 5, 10) == data[-5:]
        assert wrapped.read(len(data), 10) == b""


@pytest.mark.parametrize("maker", ["gzip", "xz", "zstd"])
def test_what_the_command_line_tools_write_is_read(tmp_path: Path, maker: str) -> None:
    argv = {"gzip": ["gzip", "-k"], "xz": ["xz", "-k", "-0", "--block-size=1MiB"], "zstd": ["zstd", "-q"]}[maker]
    need(argv[0])
    raw = tmp_path / "disk.raw"
    raw.write_bytes(content())
    run([*argv, raw])
    packed = next(path for path in tmp_path.iterdir() if path != raw)
    with opened(packed) as wrapped:
        assert b"".join(wrapped.forward()) == raw.read_bytes()


def test_threads_a_little_out_of_step_do_not_begin_anew(tmp_path: Path) -> None:
    data = content(16 * MIB)
    path = tmp_path / "disk.raw.gz"
    path.write_bytes(gzip.compress(data, 1))
    with opened(path) as wrapped, ThreadPoolExecutor(4) as pool:
        begun = 0
        restart = wrapped._restart

        def counted() -> None:
            nonlocal begun
            begun += 1
            restart()

        wrapped._restart = counted  # type: ignore[method-assign]
        offsets = range(0, len(data), 65536)
        for offset, piece in zip(offsets, pool.map(lambda at: wrapped.read(at, 65536), offsets), strict=True):
            assert piece == data[offset : offset + 65536]
        assert begun == 0


def test_reading_back_beyond_what_is_kept_begins_anew(tmp_path: Path) -> None:
    data = bytes(40 * MIB) + b"end"
    path = tmp_path / "disk.raw.zst"
    path.write_bytes(zstandard.ZstdCompressor().compress(b"start" + data))
    with opened(path) as wrapped:
        assert wrapped.read(wrapped.size - 3, 3) == b"end"
        assert wrapped.read(0, 7) == b"start\0\0"


def test_measuring_a_gzip_file_reports_progress(tmp_path: Path) -> None:
    path = tmp_path / "disk.raw.gz"
    path.write_bytes(gzip.compress(content(), 1))
    seen: list[Event] = []
    with opened(path) as wrapped:
        assert wrapped.measure(reporter=seen.append) == len(content())
    assert isinstance(seen[-1], Progress)
    assert seen[-1].done == len(content())


@pytest.mark.parametrize("maker", MAKERS)
def test_cut_short_or_flipped_it_is_an_image_error(tmp_path: Path, maker: str) -> None:
    data = MAKERS[maker](content(MIB + 5))
    path = tmp_path / "disk.img"
    for length in (12, 50, 1000, len(data) // 2, len(data) - 9, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(ImageError) as caught, opened(path) as wrapped:
            for _ in wrapped.forward():
                pass
        assert caught.value.cure
    if maker.startswith(("gzip", "xz")):
        damaged = bytearray(data)
        damaged[len(data) // 2] ^= 0x10
        path.write_bytes(damaged)
        with pytest.raises(ImageError), opened(path) as wrapped:
            for _ in wrapped.forward():
                pass


def test_a_gzip_header_without_end_is_an_image_error(tmp_path: Path) -> None:
    packed = gzip.compress(bytes(MIB), 1)
    path = tmp_path / "disk.raw.gz"
    path.write_bytes(packed[:3] + b"\x08" + packed[4:10] + b"n" * MIB + b"\0" + packed[10:])  # RFC 1952: FNAME
    with pytest.raises(ImageError, match="gzip"):
        opened(path)


@pytest.mark.parametrize(
    "inner",
    [b"vhdxfile" + bytes(2000), b"QFI\xfb" + bytes(2000), b"conectix" + bytes(4000), b"KDMV" + bytes(4000)],
    ids=["vhdx", "qcow2", "dynamic vhd", "vmdk"],
)
def test_what_is_damaged_inside_says_where(tmp_path: Path, inner: bytes) -> None:
    path = tmp_path / "disk.gz"
    path.write_bytes(gzip.compress(inner))
    with pytest.raises(ImageError, match=r"disk\.gz: disk") as caught:
        disk.open(path)
    assert caught.value.cure


def test_a_fixed_vhd_is_told_by_its_name_and_else_when_its_end_is_seen(tmp_path: Path) -> None:
    data = content(1 << 20)
    (tmp_path / "disk.vhd.gz").write_bytes(gzip.compress(fixed_vhd(data)))
    with disk.open(tmp_path / "disk.vhd.gz") as found:
        assert (found.format, found.variant, found.size) == ("vhd", "fixed", len(data))
        assert found.read(0, len(data)) == data
    (tmp_path / "disk.gz").write_bytes(gzip.compress(fixed_vhd(data)))
    with opened(tmp_path / "disk.gz") as wrapped, pytest.raises(ImageError, match="VHD compressed") as caught:
        wrapped.measure()
    assert "ends in .vhd.gz" in caught.value.cure


def test_an_xz_index_that_lies_is_found_out(tmp_path: Path) -> None:
    path = tmp_path / "disk.xz"
    data = bytearray(lzma.compress(b"abc" * 1000, preset=0))
    for at in range(len(data) - 24, len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 0x55
        path.write_bytes(damaged)
        with pytest.raises(ImageError):
            measured_and_read(path)


def test_a_zstd_window_of_gigabytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "disk.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd\x00\xa8" + b"\x01\x00\x00" + bytes(100))  # 2^31 bytes of window
    with pytest.raises(ImageError, match="damaged") as caught:
        opened(path)
    assert "--long" in caught.value.cure


_BOMB = """
import resource, sys
from vmie import disk
found = disk.open(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for piece in found.forward():
    pass
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, found.size)
"""


@pytest.mark.parametrize("maker", ["gzip", "xz", "zstd"])
def test_a_bomb_takes_no_memory(tmp_path: Path, maker: str) -> None:
    path = tmp_path / "bomb"
    size = 192 * MIB
    path.write_bytes(MAKERS[maker](bytes(size)))
    assert path.stat().st_size < MIB
    done = subprocess.run([sys.executable, "-c", _BOMB, str(path)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    grown, measured = map(int, done.stdout.split())
    assert measured == size
    assert grown < 100, f"{grown} MiB"
