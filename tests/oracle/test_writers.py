"""What vmie writes, by the word of programs that no one here wrote: qemu-img, libvmdk, libvhdi."""

from __future__ import annotations

import hashlib
import random
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pyvhdi
import pyvmdk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.oracle.qemu_formats import CONTENTS
from tests.tools import need, run
from tests.unit.disk.memory import MIB, MemoryDisk, noise, prose
from vmie import disk
from vmie.disk import stream
from vmie.disk.stream import qcow2
from vmie.model import ExtentKind
from vmie.ops import convert

QEMU_NAME = {"vmdk": "vmdk", "vhd": "vpc", "raw": "raw", "qcow2": "qcow2", "vhdx": "vhdx"}


@pytest.fixture(scope="module")
def raws(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each content as a raw file, made once."""
    need("qemu-img", "mke2fs")
    folder = tmp_path_factory.mktemp("contents")
    paths = {}
    for name, make in CONTENTS.items():
        paths[name] = folder / f"{name}.raw"
        make(paths[name])
    return paths


def save(source: disk.Disk, path: Path) -> Path:
    """Write `source` as its suffix says."""
    with path.open("wb") as file:
        stream.file_format(convert.format_of(path)).save(source, file)
    return path


class Libyal:
    """libvmdk or libvhdi on a file, as a size and a read."""

    def __init__(self, path: Path) -> None:
        self._handle: Any
        if path.suffix == ".vmdk":
            self._handle = pyvmdk.handle()
            self._handle.open(str(path))
            self._handle.open_extent_data_files()
        else:
            self._handle = pyvhdi.file()
            self._handle.open(str(path))
        self.size: int = self._handle.get_media_size()

    def read(self, offset: int, length: int) -> bytes:
        data: bytes = self._handle.read_buffer_at_offset(length, offset)
        return data


@pytest.mark.parametrize("format_", QEMU_NAME)
@pytest.mark.parametrize("content", CONTENTS)
def test_qemu_img_finds_what_was_written_sound_and_equal(
    content: str, format_: str, raws: dict[str, Path], tmp_path: Path
) -> None:
    with disk.open(raws[content]) as source:
        out = save(source, tmp_path / f"out.{format_}")
    if format_ in ("vmdk", "qcow2", "vhdx"):  # qemu-img checks no VHD and no raw
        assert "No errors" in run(["qemu-img", "check", "-f", format_, out]).stdout
    with disk.open(raws[content]) as source, disk.open(out) as again:
        assert again.format == format_
        assert all(again.read(*place) == source.read(*place) for place in looked_at(source))
    compared = run(["qemu-img", "compare", "-f", "raw", "-F", QEMU_NAME[format_], raws[content], out]).stdout
    assert "identical" in compared
    assert "size mismatch" not in compared  # qemu-img too sees an odd file in whole sectors
    assert out.stat().st_size <= stream.upper_bound(disk.open(raws[content]), format_)


@pytest.mark.parametrize("format_", ["vmdk", "vhd"])
@pytest.mark.parametrize("content", CONTENTS)
def test_libyal_reads_the_same_bytes(content: str, format_: str, raws: dict[str, Path], tmp_path: Path) -> None:
    with disk.open(raws[content]) as source:
        out = Libyal(save(source, tmp_path / f"out.{format_}"))
        assert out.size == -(-source.size // 512) * 512
        for offset, length in looked_at(source):
            assert out.read(offset, length) == source.read(offset, length), (offset, length)


def looked_at(source: disk.Disk) -> Iterator[tuple[int, int]]:
    """Everything allocated and some of the rest, a MiB at a time."""
    for extent in source.extents():
        step = MIB if extent.kind is ExtentKind.ALLOCATED else max(MIB, extent.length // 4)
        for offset in range(extent.offset, extent.end, step):
            yield offset, min(MIB, extent.end - offset)


pieces = st.dictionaries(
    st.integers(0, 40 * MIB // 512).map(lambda sector: sector * 512),
    st.builds(lambda make, length: make(length), st.sampled_from([noise, prose, bytes]), st.integers(1, 70 * 1024)),
    max_size=5,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=pieces, size=st.integers(1, 41 * MIB // 512).map(lambda sectors: sectors * 512))
@pytest.mark.parametrize("format_", ["vmdk", "vhd"])
def test_libyal_reads_random_extents(format_: str, raw: dict[int, bytes], size: int, tmp_path: Path) -> None:
    offsets = sorted(raw)
    apart = {o: raw[o][: after - o] for o, after in zip(offsets, [*offsets[1:], size], strict=False) if after > o}
    source = MemoryDisk(size, apart)
    path = tmp_path / f"random.{format_}"
    out = Libyal(save(source, path))
    assert out.size == size
    for offset in [0, *offsets]:
        if offset < size:
            assert out.read(offset, 80 * 1024) == source.read(offset, 80 * 1024)


@pytest.mark.parametrize(
    ("format_", "size"),
    [
        ("vmdk", 20 << 30),
        ("vhd", 2040 << 30),
        ("raw", 2200 << 30),
        ("qcow2", 8 << 40),
        ("vhdx", 5 << 30),
    ],  # qemu-img reads every hole of a VHDX
)
def test_a_disk_beyond_four_gibibytes_compares_equal(format_: str, size: int, tmp_path: Path) -> None:
    need("qemu-img")
    sparse = far_apart(tmp_path / "sparse.raw", size)
    with disk.open(sparse) as source:
        out = save(source, tmp_path / f"out.{format_}")
    compared = run(["qemu-img", "compare", "-f", "raw", "-F", QEMU_NAME[format_], sparse, out]).stdout
    assert compared == "Images are identical.\n"
    assert out.stat().st_blocks * 512 < (80 if format_ == "vhdx" else 24) * MIB  # a VHDX's table is whole


@pytest.mark.parametrize(("format_", "size"), [("vmdk", 16 << 40), ("vhd", 2040 << 30)])
def test_libyal_finds_the_data_of_the_largest_disks(format_: str, size: int, tmp_path: Path) -> None:
    pieces_at = {border: noise(3000 + 72, seed=border % 97) for border in (0, (1 << 32) - 512, 1 << 40, size - 3072)}
    source = MemoryDisk(size, pieces_at)
    out = Libyal(save(source, tmp_path / f"out.{format_}"))
    assert out.size == size
    for offset in [*pieces_at, 9 << 30]:
        assert out.read(offset, 3072) == source.read(offset, 3072)


def far_apart(path: Path, size: int) -> Path:
    """A sparse file with data across the 32-bit borders of bytes and of sectors, as far as it reaches."""
    chance = random.Random(9)
    borders = [border for border in (1 << 32, 1 << 40, size // 2, size - 4096) if border < size]
    with path.open("wb") as file:
        file.truncate(size)
        for border in borders:
            file.seek(border - 1024)
            file.write(chance.randbytes(3000))
    return path


def test_the_geometry_in_a_vhd_is_the_one_that_qemu_img_computes(tmp_path: Path) -> None:
    need("qemu-img")
    for mib in (5, 33, 260, 511, 2049, 8192):
        theirs = tmp_path / "theirs.vhd"
        run(["qemu-img", "create", "-f", "vpc", theirs, f"{mib}M"])
        size, cylinders, heads, per_track = struct.unpack_from(">QHBB", theirs.read_bytes()[:512], 48)
        with disk.open(theirs) as source:
            ours = next(iter(stream.dynamic_vhd(source)))
        assert struct.unpack_from(">QHBB", ours, 48) == (size, cylinders, heads, per_track)


def test_every_source_format_gives_the_same_vmdk(raws: dict[str, Path], tmp_path: Path) -> None:
    """The content alone decides, so a job that begins again from another copy of the disk goes on with equal bytes."""
    raw = raws["ext4"]
    digests = set()
    for name, options in {
        "raw": [],
        "qcow2": ["-c"],
        "vhdx": [],
        "vpc": ["-o", "force_size=on"],
        "vmdk": ["-o", "subformat=streamOptimized"],
        "vdi": [],
    }.items():
        image = tmp_path / f"image.{name}"
        run(["qemu-img", "convert", "-f", "raw", "-O", name, *options, raw, image])
        with disk.open(image) as source:
            digest = hashlib.sha256()
            for piece in stream.stream_optimized(source):
                digest.update(piece)
        digests.add(digest.hexdigest())
    assert len(digests) == 1


def test_a_qcow2_over_another_holds_what_differs(tmp_path: Path) -> None:
    """A hole shows what lies below, zeros hide it; qemu-img and vmie's own reader agree."""
    base, size = tmp_path / "base.raw", 9 * MIB
    base.write_bytes(noise(size))
    wanted = bytearray(base.read_bytes())
    wanted[MIB : 2 * MIB] = prose(MIB)
    wanted[4 * MIB : 5 * MIB] = bytes(MIB)
    (tmp_path / "wanted.raw").write_bytes(wanted)
    changed = MemoryDisk(size, {MIB: prose(MIB), 4 * MIB: bytes(MIB)})
    out = tmp_path / "over.qcow2"
    with out.open("wb") as file:
        qcow2.save(changed, file, backing=qcow2.Backing("base.raw", "raw"))
    assert out.stat().st_size < 2 * MIB
    assert "No errors" in run(["qemu-img", "check", out]).stdout
    assert "identical" in run(["qemu-img", "compare", "-f", "raw", tmp_path / "wanted.raw", out]).stdout
    with disk.open(out) as again:
        assert again.read(0, size) == bytes(wanted)
