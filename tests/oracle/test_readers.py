"""What vmie reads is what qemu-img reads: every format and sub-format that qemu-img can write."""

from __future__ import annotations

import hashlib
import io
import itertools
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.oracle.qemu_formats import CONTENTS, FORMATS, Written, print_of_disk, print_of_file
from tests.tools import need, run
from vmie import disk
from vmie.model import Extent

_BY_NAME = {written.name: written for written in FORMATS}


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


@pytest.mark.parametrize(
    ("name", "content"),
    [(each.name, content) for each in FORMATS for content in CONTENTS if not (each.thick and content == "islands")],
)
def test_reads_what_qemu_img_reads(name: str, content: str, raws: dict[str, Path], tmp_path: Path) -> None:
    written = _BY_NAME[name]
    image = written.write(raws[content], tmp_path)
    with disk.open(image) as opened:
        assert (opened.format, opened.variant) == written.opened_as
        assert opened.allocated_size <= opened.size
        assert print_of_disk(opened) == print_of_file(written.read_back(image))


@pytest.mark.parametrize("name", _BY_NAME)
def test_every_range_reads_as_in_the_raw_file(name: str, raws: dict[str, Path], tmp_path: Path) -> None:
    """Unaligned, crossing grains and extents, beyond the end, from several threads at once."""
    written = _BY_NAME[name]
    image = written.write(raws["ext4"], tmp_path)
    whole = written.read_back(image).read_bytes()
    chance = random.Random(name)
    ranges = [(chance.randrange(len(whole)), chance.choice((1, 511, 4096, 65536, 300_000))) for _ in range(80)]
    ranges += [(len(whole) - 1, 10), (len(whole), 1), (len(whole) + 5, 5), (0, 0), (0, len(whole))]
    with disk.open(image) as opened, ThreadPoolExecutor(4) as pool:
        for (offset, length), data in zip(ranges, pool.map(lambda each: opened.read(*each), ranges), strict=True):
            assert data == whole[offset : offset + length], (offset, length)


@pytest.mark.parametrize(
    "name", [each.name for each in FORMATS if "Flat" not in each.name and "twoGb" not in each.name]
)
def test_a_file_object_serves_as_well_as_a_path(name: str, raws: dict[str, Path], tmp_path: Path) -> None:
    image = _BY_NAME[name].write(raws["odd"], tmp_path)
    with disk.open(image) as by_path, disk.open(io.BytesIO(image.read_bytes())) as by_object:
        assert by_object.size == by_path.size
        assert by_object.read(0, by_object.size) == by_path.read(0, by_path.size)


def test_internal_snapshots_do_not_show(raws: dict[str, Path], tmp_path: Path) -> None:
    written = _BY_NAME["qcow2-v3"]
    image = written.write(raws["dense"], tmp_path)
    run(["qemu-img", "snapshot", "-c", "before", image])
    run(["qemu-io", "-f", "qcow2", "-c", "write -P 0x5a 1M 300k", "-c", "write -z 3M 128k", image])
    run(["qemu-img", "snapshot", "-c", "after", image])
    run(["qemu-io", "-f", "qcow2", "-c", "write -P 0xa5 2M 4k", image])
    with disk.open(image) as opened:
        assert print_of_disk(opened) == print_of_file(written.read_back(image))


@pytest.mark.parametrize(
    "name",
    ["vmdk-monolithicSparse", "vmdk-monolithicSparse-zeroed_grain", "vhd-dynamic-exact", "vdi-dynamic", "vhdx-dynamic"],
)
def test_blocks_written_out_of_order_and_over_each_other(name: str, tmp_path: Path) -> None:
    need("qemu-img", "qemu-io")
    written = _BY_NAME[name]
    image = tmp_path / f"image{written.suffix or '.' + written.format}"
    run(["qemu-img", "create", "-q", "-f", written.format, "-o", written.options or "static=off", image, "200M"])
    commands = ["write -P 7 150M 1M", "write -P 9 3M 100k", "write -z 3M 64k", "write -P 1 199M 1M", "write -P 2 0 512"]
    run(["qemu-io", "-f", written.format, *(part for each in commands for part in ("-c", each)), image])
    with disk.open(image) as opened:
        assert print_of_disk(opened) == print_of_file(written.read_back(image))


_RANGES = st.lists(st.tuples(st.integers(0, 20_000), st.integers(1, 300), st.integers(0, 255)), min_size=0, max_size=12)


def _compare(written: Written, ranges: list[tuple[int, int, int]], sectors: int, folder: Path) -> None:
    raw = folder / "random.raw"
    with raw.open("wb") as file:
        file.truncate(sectors * 512)
        for start, length, byte in ranges:
            file.seek(start * 512)
            noise = hashlib.sha256(bytes([byte])).digest() * 16 if byte else bytes(512)
            file.write((noise * length)[: max(0, sectors - start) * 512])
    image = written.write(raw, folder)
    with disk.open(image) as opened:
        assert print_of_disk(opened) == print_of_file(written.read_back(image))
    for leftover in folder.iterdir():
        leftover.unlink()


@given(written=st.sampled_from(FORMATS), ranges=_RANGES, sectors=st.integers(1, 20_500))
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_extents(written: Written, ranges: list[tuple[int, int, int]], sectors: int, tmp_path: Path) -> None:
    need("qemu-img")
    _compare(written, ranges, sectors, tmp_path)


@pytest.mark.soak
@given(written=st.sampled_from(FORMATS), ranges=_RANGES, sectors=st.integers(1, 20_500))
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
def test_random_extents_at_length(
    written: Written, ranges: list[tuple[int, int, int]], sectors: int, tmp_path: Path
) -> None:
    need("qemu-img")
    _compare(written, ranges, sectors, tmp_path)


def test_extents_are_coalesced(raws: dict[str, Path], tmp_path: Path) -> None:
    """Equal neighbours never follow each other, whatever the format's blocks."""
    for written in FORMATS:
        with disk.open(written.write(raws["ext4"], tmp_path)) as opened:
            extents: list[Extent] = list(opened.extents())
            assert all(one.kind is not two.kind for one, two in itertools.pairwise(extents)), written.name


def test_opening_takes_at_most_20_milliseconds(raws: dict[str, Path], tmp_path: Path) -> None:
    """Opening and every fact, once the format's module is loaded: the best of five, as others use the machine too."""
    for written in FORMATS:
        image = written.write(raws["ext4"], tmp_path)
        times = []
        for _ in range(6):
            started = time.process_time()
            with disk.open(image) as opened:
                assert opened.facts
            times.append(time.process_time() - started)
        assert min(times[1:]) < 0.020, written.name
