"""Imports by EBS direct, in the sandbox: what arrives is the disk, S3 is not asked, and no half-made snapshot stays."""

from __future__ import annotations

import os
import random
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Done
from tests.e2e.test_ingest_sandbox import appliance
from tests.linux_guest import linux_disk
from tests.sandbox.conftest import bootable
from tests.sandbox.ebs_direct import BLOCK, client, content
from tests.tools import need, run
from vmie import sandbox
from vmie.ops.block_hashes import BlockHashes
from vmie.sandbox import Sandbox

Vmie = Callable[..., Done]
MIB = 1 << 20
SNAPSHOT = ("import", "--as", "snapshot", "--via", "ebs")


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox.start(seeded=True, speed=20_000, appears_after=0) as running:
        yield running


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A disk of seven blocks and a bit: data, zeros, a hole, and an end that is no whole block."""
    path = tmp_path / "web.raw"
    path.write_bytes(bootable(2 * MIB, mark=random.Random(7).randbytes(MIB // 2)))
    with path.open("r+b") as file:
        file.truncate(3 * MIB + 512 * 1024 + 4096)
        file.seek(3 * MIB + 1000)
        file.write(b"at the end")
    return path


def done(answer: Done) -> dict[str, Any]:
    assert answer.code == 0, answer.out + answer.err
    return answer.json["result"]  # type: ignore[no-any-return]


def read(snapshot_id: str, size: int) -> bytes:
    """The first `size` bytes of a snapshot; what was never written is none of them."""
    blocks = content(client(), snapshot_id)
    assert set(blocks) == set(range(-(-size // BLOCK)))
    return b"".join(blocks[index] for index in sorted(blocks))[:size]


def snapshots(box: Sandbox) -> dict[str, str]:
    """Id → state of the account's own."""
    found = box.client("ec2").describe_snapshots(OwnerIds=["self"])["Snapshots"]
    return {one["SnapshotId"]: one["State"] for one in found if "vmie" in str(one.get("Tags"))}


def services(box: Sandbox) -> set[str]:
    return {call.split(":")[0] for call, count in box.stats.calls.items() if count}


FORMATS = {
    "qcow2": ("-O", "qcow2", "-c"),
    "vmdk": ("-O", "vmdk"),
    "stream.vmdk": ("-O", "vmdk", "-o", "subformat=streamOptimized"),
    "vhd": ("-O", "vpc", "-o", "subformat=dynamic,force_size=on"),
    "vhdx": ("-O", "vhdx"),
    "vdi": ("-O", "vdi"),
}


def test_every_format_becomes_the_same_snapshot(box: Sandbox, vmie: Vmie, raw: Path, tmp_path: Path) -> None:
    need("qemu-img")
    wanted, images = raw.read_bytes(), {"raw": raw}
    for suffix, options in FORMATS.items():
        images[suffix] = tmp_path / f"web.{suffix}"
        run(["qemu-img", "convert", "-f", "raw", *options, raw, images[suffix]])
    images["ova"] = appliance(tmp_path, {"web.vmdk": images["stream.vmdk"]})
    for suffix, image in images.items():
        result = done(vmie(*SNAPSHOT, image, "--skip-check", "all"))
        (snapshot_id,) = result["snapshot_ids"]
        found = read(snapshot_id, len(wanted))
        assert found == wanted, suffix
        assert (result["via"], result["task_id"], result["object"]) == ("ebs", None, None)
        assert (result["blocks_written"], result["blocks_skipped"], result["bytes_sent"]) == (8, 0, 8 * BLOCK)
    assert services(box) == {"ebs", "ec2", "sts"}
    assert set(snapshots(box).values()) == {"completed"}


def test_what_is_made_of_snapshots(box: Sandbox, vmie: Vmie, raw: Path, tmp_path: Path) -> None:
    ec2 = box.client("ec2")
    data = tmp_path / "data.raw"
    data.write_bytes(os.urandom(MIB))
    key = box.client("kms").create_key()["KeyMetadata"]
    box.client("kms").create_alias(AliasName="alias/disks", TargetKeyId=key["KeyId"])

    both = (raw, data, "--skip-check", "all", "--name", "web")
    made = done(vmie(*SNAPSHOT, *both, "--register", "web-1", "--tag", "team=red", "--kms-key", "alias/disks"))
    (image,) = ec2.describe_images(ImageIds=[made["image_id"]])["Images"]
    mapped = [one["Ebs"]["SnapshotId"] for one in image["BlockDeviceMappings"]]
    assert mapped == made["snapshot_ids"]
    for one in ec2.describe_snapshots(SnapshotIds=mapped)["Snapshots"]:
        assert one["KmsKeyId"] == key["Arn"]
        tags = {tag["Key"]: tag["Value"] for tag in one["Tags"]}
        assert tags == {"vmie:job": made["job"], "Name": "web", "team": "red"}

    where = ("--as", "volume", "--via", "ebs", "--availability-zone", "us-east-1a", "--volume-size", "9")
    made = done(vmie("import", raw, "--skip-check", "all", *where))
    (volume,) = ec2.describe_volumes(VolumeIds=made["volume_ids"])["Volumes"]
    assert (volume["Size"], volume["SnapshotId"], volume["State"]) == (9, made["snapshot_ids"][0], "available")

    made = done(vmie("import", *both, "--via", "ebs", "--platform", "Linux", "--boot-mode", "uefi"))
    assert made["image_id"].startswith("ami-")
    assert made["task_id"].startswith("import-ami-")
    own = snapshots(box)
    assert set(made["snapshot_ids"]) <= own.keys()
    assert len(own) == 2 + 1 + 2, "the snapshots that ImportImage read are removed"
    assert "s3" not in services(box)


def test_zeros_are_left_out_only_where_nothing_is_encrypted(box: Sandbox, vmie: Vmie, raw: Path) -> None:
    argv = (*SNAPSHOT, raw, "--zeros", "none")
    result = done(vmie(*argv))
    assert (result["blocks_written"], result["blocks_skipped"]) == (3, 5)
    assert set(content(client(), result["snapshot_ids"][0])) == {0, 2, 6}
    box.client("ec2").enable_ebs_encryption_by_default()
    for more in ((), ("--encrypted",)):
        refused = vmie(*argv, *more)
        assert refused.code == 4
        assert refused.json["error"]["code"] == "unsafe-zeros"
    assert done(vmie(*argv, "--skip-check", "unsafe-zeros"))["blocks_written"] == 3


def test_a_plan_says_what_would_be_done(box: Sandbox, vmie: Vmie, raw: Path, tmp_path: Path) -> None:
    plan = done(vmie("--dry-run", *SNAPSHOT, raw, "--encrypted", "--skip-check", "all"))["plan"]
    assert (plan["via"], plan["call"], plan["bucket"], plan["role"]) == ("ebs", "StartSnapshot", None, None)
    assert plan["encrypted"] is True
    assert plan["disks"][0]["volume_gib"] == 1
    need("qemu-img")
    large = tmp_path / "large.qcow2"  # larger than any task takes
    run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-o", "cluster_size=2M", raw, large])
    run(["qemu-img", "resize", "-q", large, "17T"])
    shown = vmie("--dry-run", *SNAPSHOT, large, "--zeros", "none").json
    assert shown["result"]["plan"]["disks"][0]["volume_gib"] == 17 * 1024
    assert not [one for one in shown["findings"] if one["rule"].startswith("VMIE-LIM")]
    assert snapshots(box) == {}


def test_throttles_faults_and_lost_answers_pass(box: Sandbox, vmie: Vmie, raw: Path) -> None:
    faults = box.faults
    for action in ("StartSnapshot", "PutSnapshotBlock", "CompleteSnapshot", "DescribeSnapshots"):
        faults.throttle(action)
        faults.unavailable(action)
        faults.lose(action, how="500")
    faults.lose("PutSnapshotBlock", times=2)
    faults.fail("StartSnapshot", code="ServiceQuotaExceededException", message="too many are pending", status=402)
    result = done(vmie(*SNAPSHOT, raw, "--skip-check", "all"))
    assert read(result["snapshot_ids"][0], raw.stat().st_size) == raw.read_bytes()
    assert len(snapshots(box)) == 1


def test_a_snapshot_that_ebs_gives_up_is_followed_by_another(box: Sandbox, vmie: Vmie, raw: Path) -> None:
    box.faults.fail("CompleteSnapshot", code="AccessDeniedException", message="not now", status=403)
    stopped = vmie(*SNAPSHOT, raw, "--skip-check", "all")
    assert stopped.code == 5
    assert "vmie resume" in stopped.json["error"]["cure"]
    (first,) = snapshots(box)
    sent = box.stats.calls["ebs:PutSnapshotBlock"]
    box.advance(2 * 3600)
    assert snapshots(box) == {first: "error"}
    answer = vmie(*SNAPSHOT, raw, "--skip-check", "all")
    result = done(answer)
    assert f"EBS gave {first} up with what was written to it, since no block came for 1.0 hours" in answer.err
    assert result["snapshot_ids"] != [first]
    assert snapshots(box) == {result["snapshot_ids"][0]: "completed"}
    assert read(result["snapshot_ids"][0], raw.stat().st_size) == raw.read_bytes()
    assert box.stats.calls["ebs:PutSnapshotBlock"] == 2 * sent


def test_what_stopped_goes_on_or_is_given_up(box: Sandbox, vmie: Vmie, raw: Path, tmp_path: Path) -> None:
    refusal = {"code": "AccessDeniedException", "message": "not now", "status": 403}
    box.faults.fail("CompleteSnapshot", **refusal)
    stopped = vmie(*SNAPSHOT, raw, "--skip-check", "all")
    (first,) = snapshots(box)
    sent = box.stats.calls["ebs:PutSnapshotBlock"]
    (job,) = re.findall(r"resume (job-\S+)", stopped.json["error"]["cure"])
    result = done(vmie("resume", job))
    assert result["snapshot_ids"] == [first]
    assert box.stats.calls["ebs:PutSnapshotBlock"] == sent, "nothing is sent twice"

    box.faults.fail("CompleteSnapshot", **refusal)
    stopped = vmie(*SNAPSHOT, raw, "--skip-check", "all", "--name", "another")
    (job,) = re.findall(r"resume (job-\S+)", stopped.json["error"]["cure"])
    assert done(vmie("cancel", job))["removed"]
    assert snapshots(box) == {first: "completed"}
    blocks = tmp_path / "state" / "blocks"
    assert list(blocks.iterdir()) == [blocks / f"{first}.sha256"]

    box.faults.fail("CompleteSnapshot", **refusal)
    stopped = vmie(*SNAPSHOT, raw, "--skip-check", "all", "--name", "a third")
    (job,) = re.findall(r"resume (job-\S+)", stopped.json["error"]["cure"])
    shutil.rmtree(blocks)  # as on another machine: what is known of the blocks is lost
    result = done(vmie("resume", job))
    assert read(result["snapshot_ids"][0], raw.stat().st_size) == raw.read_bytes()
    assert len(snapshots(box)) == 2


def test_a_file_that_changes_leaves_no_snapshot(box: Sandbox, vmie: Vmie, raw: Path) -> None:
    box.faults.fail("CompleteSnapshot", code="AccessDeniedException", message="not now", status=403)
    assert vmie(*SNAPSHOT, raw, "--skip-check", "all").code == 5
    before = raw.read_bytes()
    raw.write_bytes(b"\1" + before[1:])
    result = done(vmie(*SNAPSHOT, raw, "--skip-check", "all"))
    assert read(result["snapshot_ids"][0], len(before))[:1] == b"\1"


def test_a_batch_by_ebs(box: Sandbox, vmie: Vmie, raw: Path, tmp_path: Path) -> None:
    names = [f"vm-{number}.raw" for number in range(4)]
    for number, name in enumerate(names):
        (tmp_path / name).write_bytes(bootable(2 * MIB, mark=bytes([number + 1]) * 1000))
    plan = tmp_path / "plan.yaml"
    plan.write_text(
        "defaults: {route: snapshot, via: ebs, skip_check: all, bucket: vmie-sandbox, role_name: vmimport}\n"
        "items:\n"
        "  - {source: vm-0.raw, register: made-by-batch}\n"
        "  - {source: vm-1.raw, route: volume, availability_zone: us-east-1a, encrypted: true}\n"
        "  - {source: vm-2.raw, route: image, platform: Linux}\n"
        "  - {source: vm-3.raw, via: auto}\n"
    )
    box.faults.fail("CompleteSnapshot", code="InternalServerException", message="trouble", status=500)
    ran = vmie("batch", "run", plan)
    assert ran.code == 0, ran.out + ran.err
    first, second, third, fourth = ran.json["result"]["items"]
    assert read(first["snapshot_ids"][0], 2 * MIB) == (tmp_path / names[0]).read_bytes()
    assert first["image_id"]
    assert second["volume_ids"]
    assert third["task_id"].startswith("import-ami-")
    assert fourth["snapshot_ids"]
    assert "s3" not in services(box)
    assert set(snapshots(box).values()) == {"completed"}


def test_only_zeros_that_are_free_are_left_out(box: Sandbox, vmie: Vmie, tmp_path: Path) -> None:
    need("mke2fs")
    image, folder = tmp_path / "fs.raw", tmp_path / "files"
    folder.mkdir()
    (folder / "zeros").write_bytes(bytes(3 * MIB))
    (folder / "data").write_bytes(os.urandom(2 * MIB))
    run(["mke2fs", "-q", "-F", "-t", "ext4", "-d", folder, image, "64m"])
    wanted = image.read_bytes()
    result = done(vmie(*SNAPSHOT, image, "--skip-check", "all"))
    found = content(client(), result["snapshot_ids"][0])
    assert result["blocks_written"] == len(found) < 64
    assert result["blocks_written"] + result["blocks_skipped"] == len(wanted) // BLOCK
    for index in range(len(wanted) // BLOCK):
        assert found.get(index, bytes(BLOCK)) == wanted[index * BLOCK :][:BLOCK]
    data = {index for index in range(len(wanted) // BLOCK) if any(wanted[index * BLOCK :][:BLOCK])}
    assert len(found.keys() - data) >= 6, "the zeros of a file are written"


def test_what_cannot_become_the_disk_leaves_no_snapshot(
    box: Sandbox, vmie: Vmie, raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = BlockHashes.put

    def changing(hashes: BlockHashes, index: int, digest: bytes) -> None:
        put(hashes, index, digest)
        with raw.open("r+b") as file:
            file.seek(BLOCK)
            file.write(os.urandom(512))

    need("qemu-img")
    monkeypatch.setattr(BlockHashes, "put", changing)
    changed = vmie(*SNAPSHOT, raw, "--skip-check", "all")
    assert (changed.code, changed.json["error"]["code"]) == (2, "SourceChanged")
    monkeypatch.undo()
    monkeypatch.setenv("VMIE_STATE", str(tmp_path / "state"))
    assert snapshots(box) == {}
    spoiled = tmp_path / "spoiled.vmdk"
    run(["qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", raw, spoiled])
    with spoiled.open("r+b") as file:
        file.seek(MIB // 2)
        file.write(b"\xa5" * 32)
    damaged = vmie(*SNAPSHOT, raw, spoiled, "--skip-check", "all")
    assert (damaged.code, damaged.json["error"]["code"]) == (2, "DamagedImage"), damaged.out
    assert snapshots(box) == {}, "nor one of the other disk"


def test_auto_chooses_by_what_is_found_and_goes_on_as_it_began(
    box: Sandbox, vmie: Vmie, raw: Path, tmp_path: Path
) -> None:
    need("mke2fs", "debugfs")
    ready = linux_disk(tmp_path / "ready.raw", size=96)
    plan = done(vmie("--dry-run", "import", ready, "--via", "auto"))["plan"]
    assert (plan["via"], plan["route"]) == ("ebs", "snapshot"), plan["notes"]
    assert "starts in EC2 as it is" in plan["notes"][0]
    assert "min" in plan["notes"][0]
    assert "USD" in plan["notes"][0]
    # its licence is AWS's to bill, or something is asked for that only ImportImage has
    for more in (("--usage-operation", "RunInstances"), ("--format", "vmdk", "--bucket", "vmie-sandbox")):
        plan = done(vmie("--dry-run", "import", ready, "--via", "auto", *more))["plan"]
        assert plan["route"] == "image"
    assert plan["bucket"]["name"] == "vmie-sandbox"

    box.faults.fail("CompleteSnapshot", code="AccessDeniedException", message="not now", status=403)
    stopped = vmie("import", ready, "--via", "auto")
    assert stopped.code == 5
    (job,) = re.findall(r"resume (job-\S+)", stopped.json["error"]["cure"])
    made = done(vmie("resume", job))
    assert made["image_id"].startswith("ami-")
    assert (made["via"], len(snapshots(box))) == ("ebs", 1)
    again = done(vmie("import", raw, "--as", "snapshot", "--via", "auto", "--skip-check", "all"))
    assert again["via"] == "ebs"
