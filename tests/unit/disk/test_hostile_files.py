"""Truncations at every structure, extreme fields, loops and bombs: an ImageError or an answer, soon and small."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.oracle.qemu_formats import FORMATS
from tests.unit.disk.handmade import (
    GD_AT_END,
    GRAIN,
    GRAIN_BYTES,
    SECTOR,
    descriptor_text,
    dynamic_vhd,
    fixed_vhd,
    sparse_header,
    sparse_vmdk,
    stream_vmdk,
    vhd_footer,
)
from tests.unit.disk.hostile import Patched, Sample, bounded_memory, exercise, samples
from vmie import disk
from vmie.errors import ImageError

_NAMES = [
    each.name
    for each in FORMATS
    if each.name.startswith(("vmdk-mono", "vmdk-stream", "vhd-")) and "Flat" not in each.name
]
_HAND = ["hand-stream", "hand-zeroed", "hand-dynamic", "hand-fixed"]
_OTHERS = ["vhdx-dynamic", "qcow2-v2", "qcow2-v3", "qcow2-zstd", "vdi-dynamic", "ova"]
_MOST = (1 << 64) - 1


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Sample]:
    images = samples(tmp_path_factory.mktemp("hostile"))
    return lambda name: images[name]


@pytest.mark.parametrize("name", [*_NAMES, *_HAND, *_OTHERS])
def test_cut_at_every_structure(name: str, sample: Callable[[str], Sample]) -> None:
    """At the borders of every sector that holds structure, a byte before and a byte after."""
    image = sample(name)
    borders = sorted({at // SECTOR * SECTOR for at in image.hot})
    if len(borders) > 60:
        borders = borders[:20] + borders[20 : -20 : len(borders) // 20] + borders[-20:]
    with bounded_memory():
        for border in borders:
            for size in {border - 1, border, border + 1, border + SECTOR - 1}:
                if 0 < size < len(image.data):
                    exercise(image.patched(size))


@pytest.mark.parametrize("name", [*_NAMES, *_HAND, *_OTHERS])
@pytest.mark.parametrize("repair", [True, False])
def test_extreme_values_in_every_header_field(name: str, repair: bool, sample: Callable[[str], Sample]) -> None:
    """Each aligned 32- and 64-bit word of the first two sectors, the last two, and the first table."""
    image = sample(name)
    if repair and image.repair is None:
        return
    starts = {0, SECTOR, len(image.data) - SECTOR, len(image.data) - 2 * SECTOR}
    starts |= {at // SECTOR * SECTOR for at in image.hot[: 4 * SECTOR]}
    words = sorted(
        {word for start in starts for word in range(start, start + 96, 4)} & set(range(0, len(image.data), 4))
    )
    with bounded_memory():
        for at in words[:: max(1, len(words) // 100)]:
            for data in (b"\xff" * 4, b"\xff" * 8, b"\x7f" + b"\xff" * 7, b"\xff" * 7 + b"\x7f", bytes(8), b"\0\0\0\1"):
                source = image.patched()
                source.patch(at, data)
                if repair and image.repair:
                    image.repair(source)
                exercise(source)


def _directory_of_one_table(entries: int) -> bytes:
    """Every grain directory entry names the same grain table: a small file that would be 2 PiB of data."""
    capacity = entries * 512 * GRAIN
    out = sparse_header(capacity=capacity, gd=128, overhead=128, flags=1)
    out += descriptor_text(sectors=capacity).ljust(20 * SECTOR, b"\0")
    table_at = 128 + entries * 4 // SECTOR
    out = out.ljust(128 * SECTOR, b"\0") + struct.pack(f"<{entries}I", *[table_at] * entries)
    return out + struct.pack("<512I", *[table_at] * 512)


def _vhd_of_one_block(entries: int) -> bytes:
    block = 1 << 21
    return dynamic_vhd({}, size=entries * block, block=block, table=dict.fromkeys(range(entries), 3))


_NOISE = bytes(range(256)) * (GRAIN_BYTES // 256)
_HUGE = {
    "loop of tables": _directory_of_one_table(1 << 16),
    "capacity of 2**64-1": sparse_vmdk({0: _NOISE}, capacity=_MOST),
    "capacity of 2**54": sparse_vmdk({0: _NOISE}, capacity=1 << 54),
    "capacity of 64 TiB in grains of a sector": sparse_vmdk({0: _NOISE}, capacity=1 << 37, grain=1),
    "one entry to a table": sparse_vmdk({0: _NOISE}, capacity=1 << 40, entries=1),
    "a descriptor of 2**64-1 sectors": sparse_vmdk({0: _NOISE}, capacity=600).replace(
        struct.pack("<QQ", 1, 20), struct.pack("<QQ", 1, _MOST), 1
    ),
    "a descriptor at 2**64-1": sparse_vmdk({0: _NOISE}, capacity=600).replace(
        struct.pack("<QQ", 1, 20), struct.pack("<QQ", _MOST, 20), 1
    ),
    "directory at 2**64-2": sparse_vmdk({0: _NOISE}, capacity=600, gd=_MOST - 1),
    "footer that points to a footer": stream_vmdk({0: _NOISE}, capacity=600)[: -2 * SECTOR]
    + sparse_header(capacity=600, gd=GD_AT_END, flags=0x30001, compression=1)
    + bytes(SECTOR),
    "grain bomb": stream_vmdk({0: _NOISE}, capacity=600, packed={0: zlib.compress(bytes(120 << 20))}),
    "grains of 1 GiB, deflated": stream_vmdk({0: _NOISE}, capacity=1 << 30, grain=1 << 21),
    "grain of no size": stream_vmdk({0: _NOISE}, capacity=600, packed={0: b""}),
    "a million extents": b"# Disk DescriptorFile\nversion=1\n" + b"RW 1 ZERO\n" * 100_000,
    "a million settings": b"# Disk DescriptorFile\n" + b"".join(b"k%d=1\n" % at for at in range(90_000)),
    "a line of a megabyte": b"# Disk DescriptorFile\n" + b"RW " + b"1" * (1 << 20),
    "blanks for a megabyte": b"# Disk DescriptorFile\n" + b"RW" + b" " * (1 << 20) + b"x",
    "newlines only": b"\n" * 4096 + b"version",
    "hashes only": b"#" * (1 << 20),
    "blocks that are one block": _vhd_of_one_block(1 << 19),
    "fixed of 2**64-1": fixed_vhd(_NOISE, current=_MOST),
    "dynamic header at 2**63": dynamic_vhd({}, size=1 << 20, header_offset=1 << 63),
    "fewer blocks than the disk has": dynamic_vhd({}, size=1 << 62, entries=4),
    "a table of 4 GiB": dynamic_vhd({}, size=1 << 41, block=1 << 21, entries=64).replace(
        struct.pack(">II", 64, 1 << 21), struct.pack(">II", _MOST >> 32, 512)
    ),
    "blocks of a sector": dynamic_vhd({0: b"x"}, size=1 << 30, block=512, entries=1 << 16),
    "footers only": vhd_footer(size=1 << 40, kind=3, header_offset=512) * 4,
}


@pytest.mark.parametrize("suffix", [".vmdk", ".vhd", ".img"])
@pytest.mark.parametrize("name", _HUGE)
def test_small_files_that_claim_much(name: str, suffix: str) -> None:
    with bounded_memory():
        exercise(Patched(_HUGE[name], name=f"disk{suffix}"))


@pytest.mark.parametrize(
    "name", ["loop of tables", "capacity of 2**64-1", "grain of no size", "fixed of 2**64-1", "a million extents"]
)
def test_and_are_refused_in_plain_words(name: str) -> None:
    def open_and_read() -> None:
        disk.open_source(Patched(_HUGE[name], name="disk.vhd")).read(0, 1)

    with pytest.raises(ImageError) as caught:
        open_and_read()
    assert caught.value.message.startswith("disk.vhd")
    assert caught.value.cure


def test_a_table_of_16_mib_in_a_sparse_file_stays_small() -> None:
    """The largest directory that is taken: four million entries, in a file of holes."""
    capacity = (1 << 22) * 512 * GRAIN
    head = sparse_header(capacity=capacity, gd=128, overhead=128, flags=1)
    head += descriptor_text(sectors=capacity).ljust(20 * SECTOR, b"\0")
    with bounded_memory():
        assert exercise(Patched(head, name="disk.vmdk", size=64 << 20))


_LINES = st.one_of(
    st.sampled_from(
        ["# Disk DescriptorFile", "version=1", 'createType="custom"', "RW 8 ZERO", 'RW 8 FLAT "a" 0', "\0"]
    ),
    st.builds(
        '{} {} {} "{}" {}'.format,
        st.sampled_from(["RW", "RDONLY", "NOACCESS", "rw"]),
        st.integers(-1, 1 << 70),
        st.sampled_from(["FLAT", "SPARSE", "ZERO", "VMFS", "VMFSRDM"]),
        st.sampled_from(["a", "b", "disk.vmdk", "c", "../a", "/etc/passwd", ""]),
        st.integers(-1, 1 << 70),
    ),
    st.text(max_size=60),
)


@given(lines=st.lists(_LINES, max_size=8), ending=st.sampled_from(["\n", "\r\n"]))
@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_descriptors_of_any_lines(lines: list[str], ending: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(_NOISE)
    (tmp_path / "b").write_bytes(sparse_vmdk({0: _NOISE}, capacity=600))
    path = tmp_path / "disk.vmdk"
    path.write_bytes(ending.join(["# Disk DescriptorFile", *lines]).encode("utf-8", "surrogateescape"))
    try:
        with disk.open(path) as opened:
            assert sum(each.length for each in opened.extents()) == opened.size
            opened.read(0, 5000)
    except ImageError:
        pass
