"""Exports by EBS direct: blocks of snapshots into local files, judged by qemu-img."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

import vmie as library
from tests.e2e.conftest import Done, Server
from tests.tools import need, run
from vmie import sandbox
from vmie.aws.ebs.client import EbsDirect
from vmie.aws.ebs.send import send_blocks
from vmie.aws.session import connect
from vmie.sandbox import Sandbox

BLOCK = 524288
GIB = 1 << 30
HERE = ("--region", "us-east-1")
QEMU = {"vmdk": "vmdk", "vhd": "vpc", "raw": "raw", "qcow2": "qcow2", "vhdx": "vhdx"}
Vmie = Callable[..., Done]


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox.start(seeded=True, speed=20_000, appears_after=0) as running:
        yield running


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A disk of 1 GiB with holes, and the same later: a block changed, one new, one of zeros."""
    need("qemu-img")
    folder, chance = tmp_path_factory.mktemp("disks"), random.Random(5)
    earlier, later = folder / "earlier.raw", folder / "later.raw"
    with earlier.open("wb") as file:
        for index in (*range(12), 700, 2047):
            file.seek(index * BLOCK + 4096)
            file.write(chance.randbytes(BLOCK // 2))
        file.truncate(GIB)
    run(["cp", "--sparse=always", earlier, later])
    with later.open("r+b") as file:
        for index, data in ((3, chance.randbytes(BLOCK)), (900, b"new"), (700, bytes(BLOCK))):
            file.seek(index * BLOCK)
            file.write(data)
    return earlier, later


def imported(vmie: Vmie, *words: str) -> str:
    done = vmie(*HERE, "import", "--as", "snapshot", "--via", "ebs", "--zeros", "none", "--skip-check", "all", *words)
    assert done.code == 0, done.err
    return str(done.json["result"]["snapshot_ids"][0])


def exported(vmie: Vmie, *words: object) -> dict[str, Any]:
    done = vmie(*HERE, "export", "--via", "ebs", *map(str, words))
    assert done.code == 0, done.err
    return dict(done.json["result"])


def same(wanted: Path, found: Path, form: str) -> None:
    assert "identical" in run(["qemu-img", "compare", "-f", "raw", "-F", QEMU[form], wanted, found]).stdout


def snapshots() -> set[str]:
    answer = boto3.client("ec2", region_name="us-east-1").describe_snapshots(OwnerIds=["self"])
    return {one["SnapshotId"] for one in answer["Snapshots"]}


@pytest.mark.usefixtures("box")
def test_a_snapshot_comes_out_in_every_format(disks: tuple[Path, Path], vmie: Vmie, tmp_path: Path) -> None:
    first = imported(vmie, str(disks[0]))
    for form in QEMU:
        out = tmp_path / f"out.{form}"
        made = exported(vmie, first, "--format", form, out)
        same(disks[0], out, form)
        assert (made["file"], made["downloaded"], made["via"]) == (str(out), [str(out)], "ebs")
        assert made["task_id"] is None
        assert 14 <= made["blocks_read"] <= 40
    assert (tmp_path / "out.raw").stat().st_blocks * 512 < 16 << 20
    assert {path.name for path in tmp_path.iterdir()} == {"state", *(f"out.{form}" for form in QEMU)}
    done = vmie(*HERE, "export", first, "--via", "ebs", "--format", "raw", str(tmp_path / "out.raw"))
    assert (done.code, "exists" in done.json["error"]["message"]) == (2, True)
    plan = vmie(*HERE, "export", first, "--via", "ebs", "--format", "ova", str(tmp_path / "x.ova"), "--dry-run")
    assert plan.json["result"]["plan"]["costs_usd"] > 0
    exported(vmie, first, "--format", "ova", tmp_path / "x.ova")
    with tarfile.open(tmp_path / "x.ova") as archive:
        ovf, disk = archive.getmembers()
        assert (ovf.name, disk.name) == ("x.ovf", "x-disk1.vmdk")
        archive.extract(disk, tmp_path, filter="data")
    same(disks[0], tmp_path / "x-disk1.vmdk", "vmdk")
    assert vmie("check", str(tmp_path / "x.ova")).json["result"]["images"][0]["format"] == "ova"


def child(box: Sandbox, parent: str, disk: Path, indices: tuple[int, ...]) -> str:
    """A snapshot of `disk` that differs from its parent in some blocks."""
    direct, data = EbsDirect(connect(region="us-east-1")), disk.read_bytes()
    made = direct.start(volume_size=1, parent=parent).snapshot_id
    digests: dict[int, bytes] = {}
    blocks = ((index, data[index * BLOCK : (index + 1) * BLOCK]) for index in indices)
    send_blocks(direct, made, blocks, done=digests.__setitem__, total=len(indices))
    linear = hashlib.sha256(b"".join(digests[index] for index in indices)).digest()
    direct.complete(made, blocks=len(indices), checksum=linear)
    box.advance(60)
    return made


def test_only_what_changed_since_an_earlier_snapshot_is_read(
    box: Sandbox, disks: tuple[Path, Path], vmie: Vmie, tmp_path: Path
) -> None:
    earlier, later = disks
    first = imported(vmie, str(earlier))
    second = child(box, first, later, (3, 700, 900))
    since = ("--since", first, "--base", earlier)
    over = tmp_path / "over.qcow2"
    made = exported(vmie, second, "--format", "qcow2", over, *since)
    same(later, over, "qcow2")
    assert over.stat().st_size < 4 << 20
    assert made["blocks_read"] == 3
    exported(vmie, second, "--format", "raw", tmp_path / "whole.raw", *since)
    same(later, tmp_path / "whole.raw", "raw")
    unrelated = imported(vmie, str(earlier), "--tag", "other=1")
    words = ("--format", "raw", str(tmp_path / "y"), "--since", unrelated, "--base", str(earlier))
    done = vmie(*HERE, "export", second, "--via", "ebs", *words)
    assert (done.code, "same volume" in done.json["error"]["cure"]) == (5, True)
    other = tmp_path / "other.raw"
    run(["cp", "--sparse=always", later, other])
    with other.open("r+b") as file:
        file.write(bytes(2 * BLOCK))
    done = vmie(*HERE, "export", second, "--via", "ebs", "--format", "raw", str(tmp_path / "y"), "--since", first)
    assert (done.code, "base" in done.json["error"]["message"]) == (2, True)
    words = ("--since", first, "--base", str(other))
    done = vmie(*HERE, "export", second, "--via", "ebs", "--format", "raw", str(tmp_path / "y"), *words)
    assert (done.code, "not the disk of" in done.json["error"]["message"]) == (2, True)


def test_a_volume_and_an_instance_leave_no_snapshot(
    box: Sandbox, disks: tuple[Path, Path], vmie: Vmie, tmp_path: Path
) -> None:
    ec2 = boto3.client("ec2", region_name="us-east-1")
    volume = ec2.create_volume(SnapshotId=imported(vmie, str(disks[0])), AvailabilityZone="us-east-1a")["VolumeId"]
    before = snapshots()
    exported(vmie, volume, "--format", "qcow2", tmp_path / "volume.qcow2")
    same(disks[0], tmp_path / "volume.qcow2", "qcow2")
    assert snapshots() == before
    instance = ec2.run_instances(ImageId=registered(vmie, disks[1]), MinCount=1, MaxCount=1)["Instances"][0]
    ec2.attach_volume(VolumeId=volume, InstanceId=instance["InstanceId"], Device="/dev/sdf")
    before = snapshots()
    made = library.export(
        instance["InstanceId"], via="ebs", format="raw", file=str(tmp_path / "vm.raw"), region="us-east-1"
    )
    assert made.downloaded == (str(tmp_path / "vm-1.raw"), str(tmp_path / "vm-2.raw"))
    same(disks[1], tmp_path / "vm-1.raw", "raw")
    same(disks[0], tmp_path / "vm-2.raw", "raw")
    assert snapshots() == before
    box.faults.fail("GetSnapshotBlock", code="AccessDeniedException", status=403, times=None)
    done = vmie(*HERE, "export", volume, "--via", "ebs", "--format", "raw", str(tmp_path / "no.raw"))
    box.faults.clear()
    assert (done.code, snapshots()) == (5, before)
    assert not list(tmp_path.glob(".vmie-*"))


def registered(vmie: Vmie, path: Path) -> str:
    done = vmie(
        *HERE,
        "import",
        str(path),
        "--as",
        "snapshot",
        "--via",
        "ebs",
        "--register",
        "web",
        "--skip-check",
        "all",
        "--zeros",
        "none",
    )
    assert done.code == 0, done.err
    return str(done.json["result"]["image_id"])


def test_what_was_read_before_a_kill_is_not_read_again(server: Server, tmp_path: Path) -> None:
    need("qemu-img")
    raw, state, out = tmp_path / "in.raw", tmp_path / "state", tmp_path / "out.vmdk"
    raw.write_bytes(os.urandom(160 * BLOCK))
    words = ("import", raw, "--as", "snapshot", "--via", "ebs", "--zeros", "none", "--skip-check", "all")
    (snapshot,) = server.run(*words, state=state).json["result"]["snapshot_ids"]
    words = ("export", snapshot, "--via", "ebs", "--format", "vmdk", out)
    process = server.start(*words, state=state)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None and kept(state) < 16:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = kept(state)
    assert 16 <= before < 160
    assert not out.exists()
    counted = -1
    while (now := server.control("stats")["calls"]["ebs:GetSnapshotBlock"]) != counted:
        counted = now  # what was asked for before the kill is still being answered
        time.sleep(0.5)
    done = server.run(*words, state=state)
    assert done.code == 0, done.out
    assert server.control("stats")["calls"]["ebs:GetSnapshotBlock"] - counted == 160 - before
    run(["truncate", "-s", "1G", raw])
    same(raw, out, "vmdk")
    assert not list(tmp_path.glob(".vmie-*"))


def kept(state: Path) -> int:
    """The blocks whose digests a job keeps."""
    for path in (state / "blocks").glob("job-*-0.sha256"):
        data = path.read_bytes()[4096:]
        return sum(any(data[at : at + 32]) for at in range(0, len(data), 32))
    return 0
