"""Which blocks a snapshot needs: what is zero and free may be left out, nothing else."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import pytest

from tests.guests import MIB, mbr, mbr_entry, put
from tests.tools import need, run
from vmie import disk
from vmie.guest.free import BlockPlan, block_plan, free_space
from vmie.guest.free.blocks import BLOCK


def written(opened: disk.Disk, plan: BlockPlan) -> set[int]:
    """The blocks as an import writes them."""
    return {index for index, always in plan if always or any(opened.read(index * BLOCK, BLOCK))}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ext4 from 1 MiB on, its journal and tables zeros; garbage at 50 MiB, which is free."""
    need("mke2fs", "qemu-img")
    folder = tmp_path_factory.mktemp("image")
    path, part = folder / "disk.raw", folder / "part"
    run(["mke2fs", "-q", "-F", "-t", "ext4", part, "120m"])
    path.write_bytes(mbr(mbr_entry(0x83, 2048, 120 * 2048)))
    with path.open("r+b") as file:
        file.truncate(128 * MIB + 4096)
    put(path, part, at=MIB)
    with path.open("r+b") as file:
        file.seek(50 * MIB)
        file.write(b"deleted" * 1000)
    return path


def test_left_out_is_what_is_zero_and_free(image: Path) -> None:
    with disk.open(image) as opened:
        plans = {zeros: block_plan(opened, zeros=zeros) for zeros in ("all", "used", "none")}
        sets = {zeros: written(opened, plan) for zeros, plan in plans.items()}
        (free,) = free_space([opened])
        for index in set(range(plans["used"].count)) - sets["used"]:
            assert not any(opened.read(index * BLOCK, BLOCK))
            assert free.covers(index * BLOCK, (index + 1) * BLOCK)
    assert sets["all"] == set(range(257))
    assert sets["none"] < sets["used"] < sets["all"]
    assert 100 in sets["used"], "garbage in free space is the disk's content all the same"
    assert {0, 1, 242, 256} <= sets["used"], "before, behind and at the end: no file system calls that free"
    assert len(sets["none"]) < 20 < len(sets["used"]) < 60, "zeros of the journal and of tables are in use"


def test_the_container_does_not_matter(image: Path, tmp_path: Path) -> None:
    other = tmp_path / "disk.qcow2"
    run(["qemu-img", "convert", "-O", "qcow2", image, other])
    with disk.open(image) as raw, disk.open(other) as qcow2:
        assert written(raw, block_plan(raw)) == written(qcow2, block_plan(qcow2))


def test_without_a_file_system_that_is_understood_all_is_used(tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    path.write_bytes(b"LUKS\xba\xbe\0\2" + bytes(8 * MIB))
    with disk.open(path) as opened:
        plan = block_plan(opened)
        assert plan.certain == plan.count == 17
        assert dict(free_space([opened])[0].unknown) == {"disk 0": "what is free on luks is not read here"}


def test_sixteen_tebibytes_cost_little(tmp_path: Path) -> None:
    need("mke2fs")
    path = tmp_path / "large.raw"
    run(
        [
            "mke2fs",
            "-q",
            "-F",
            "-t",
            "ext4",
            "-O",
            "^has_journal",
            "-E",
            "lazy_itable_init=1",
            "-N",
            "100000",
            path,
            "15T",
        ]
    )
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with disk.open(path) as opened:
        plan = block_plan(opened)
        assert plan.count == 15 << 21
        assert plan.certain < 20_000
        assert sum(1 for _ in plan) == plan.certain + plan.possible
    assert time.process_time() - began < 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 120 << 10
