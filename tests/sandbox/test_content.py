"""The service looks at the object for real, and fails with AWS's words (aws-facts 5.2)."""

from __future__ import annotations

import gzip
import io
import random
import struct
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.conftest import BUCKET, HOUR, bootable, image_task, snapshot_task
from tests.tools import need, run
from vmie import disk as disks
from vmie import sandbox
from vmie.disk.base import ObjectSource
from vmie.disk.stream import TARGETS
from vmie.sandbox import Sandbox
from vmie.sandbox.service.ova_writer import write_ova

VMDK_REFUSED = "ClientError: Disk validation failed [Unsupported VMDK File Format]"
FORMAT_REFUSED = "ClientError: Disk validation failed [Unsupported specified file format]"
NO_PARTITIONS = "ClientError: No valid partitions. Not a valid volume."


@pytest.fixture
def imported(box: Sandbox, ec2: Any, s3: Any) -> Any:
    """Upload bytes, import them as a format, and give the ended task."""

    def act(data: bytes, format_: str, *, snapshot: bool = False) -> Any:
        s3.put_object(Bucket=BUCKET, Key="object", Body=data)
        container = {"Format": format_, "UserBucket": {"S3Bucket": BUCKET, "S3Key": "object"}}
        if snapshot:
            task_id = ec2.import_snapshot(DiskContainer=container)["ImportTaskId"]
        else:
            task_id = ec2.import_image(DiskContainers=[container])["ImportTaskId"]
        box.advance(HOUR)
        (snapshot_task if snapshot else image_task)(ec2, task_id)
        box.advance(HOUR)
        return (snapshot_task if snapshot else image_task)(ec2, task_id)

    return act


def stream(data: bytes, target: str) -> bytes:
    return b"".join(TARGETS[target].stream(disks.open(io.BytesIO(data))))


def qemu(tmp_path: Path, data: bytes, format_: str, *options: str) -> bytes:
    need("qemu-img")
    (tmp_path / "in.raw").write_bytes(data)
    out = tmp_path / f"out.{format_}"
    run(["qemu-img", "convert", "-f", "raw", "-O", format_, *options, tmp_path / "in.raw", out])
    return out.read_bytes()


def ova(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def whole(stored: Any) -> bytes:
    return bytes(stored.pread(0, stored.size))


@pytest.mark.parametrize("target", ["vmdk", "vhd", "raw"])
def test_what_vmie_writes_is_taken(imported: Any, target: str) -> None:
    assert imported(stream(bootable(), target), target)["Status"] == "completed"


@pytest.mark.parametrize(
    ("format_", "options"),
    [
        ("vmdk", ["-o", "subformat=streamOptimized"]),
        ("vpc", ["-o", "subformat=dynamic"]),
        ("vpc", ["-o", "subformat=fixed"]),
        ("vhdx", ["-o", "subformat=dynamic"]),
        ("vhdx", ["-o", "subformat=fixed"]),
    ],
)
def test_what_qemu_writes_is_taken(imported: Any, tmp_path: Path, format_: str, options: list[str]) -> None:
    data = qemu(tmp_path, bootable(), format_, *options)
    assert imported(data, "vhd" if format_ == "vpc" else format_)["Status"] == "completed"


def test_an_ova_is_taken_and_shows_the_disk_in_it(imported: Any) -> None:
    task = imported(whole(write_ova(disks.open(io.BytesIO(bootable())), name="machine")), "ova")
    assert task["Status"] == "completed"
    assert task["SnapshotDetails"][0]["Format"] == "VMDK"


def test_an_ova_of_two_disks_becomes_two_snapshots(imported: Any) -> None:
    vmdk = stream(bootable(), "vmdk")
    descriptor = f"""<?xml version="1.0"?>
    <Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1">
      <References><File ovf:id="f1" ovf:href="a.vmdk" ovf:size="{len(vmdk)}"/>
        <File ovf:id="f2" ovf:href="b.vmdk" ovf:size="{len(vmdk)}"/></References>
      <DiskSection><Info/><Disk ovf:diskId="d1" ovf:fileRef="f1" ovf:capacity="2097152"/>
        <Disk ovf:diskId="d2" ovf:fileRef="f2" ovf:capacity="2097152"/></DiskSection>
      <VirtualSystem ovf:id="m"><Info/></VirtualSystem>
    </Envelope>"""
    task = imported(ova({"m.ovf": descriptor.encode(), "a.vmdk": vmdk, "b.vmdk": vmdk}), "ova")
    assert (task["Status"], len(task["SnapshotDetails"])) == ("completed", 2)


@pytest.mark.parametrize(
    ("make", "format_", "message"),
    [
        (bootable, "vmdk", VMDK_REFUSED),
        (lambda: stream(bootable(), "vhd"), "vmdk", VMDK_REFUSED),
        (lambda: stream(bootable(), "vmdk")[:600], "vmdk", VMDK_REFUSED),
        (lambda: gzip.compress(stream(bootable(), "vmdk")), "vmdk", VMDK_REFUSED),
        (lambda: stream(bootable(), "vmdk"), "vhd", FORMAT_REFUSED),
        (bootable, "vhdx", FORMAT_REFUSED),
        (lambda: stream(bootable(), "vmdk"), "raw", NO_PARTITIONS),
        (lambda: b"QFI\xfb" + bytes(1 << 20), "raw", NO_PARTITIONS),
        (lambda: bytes(2 << 20), "raw", NO_PARTITIONS),
        (lambda: b"x", "raw", NO_PARTITIONS),
        (lambda: stream(bytes(2 << 20), "vmdk"), "vmdk", NO_PARTITIONS),
        (bootable, "ova", "ClientError: Disk validation failed [OVF file parsing error: "),
        (lambda: ova({"a.txt": b"no"}), "ova", "ClientError: Disk validation failed [OVF file parsing error: "),
    ],
)
def test_what_aws_refuses_is_refused_in_its_words(imported: Any, make: Any, format_: str, message: str) -> None:
    task = imported(make(), format_)
    assert task["Status"] == "deleted"
    assert task["StatusMessage"].startswith(message)
    assert "ImageId" not in task


CORRUPTED = "ClientError: Provided image file was corrupted."
INVALID_LENGTH = "ClientError: Uncompressed data has invalid length."


def _false_grain_table(data: bytearray) -> None:
    directory = struct.unpack_from("<Q", data, 56)[0] * 512
    table = struct.unpack_from("<I", data, directory)[0] * 512
    struct.pack_into("<I", data, table + 4 * 16, 1 << 30)


def _spoiled_grain(data: bytearray) -> None:
    """Of a grain that no look at the partition table reads."""
    directory = struct.unpack_from("<Q", data, 56)[0] * 512
    table = struct.unpack_from("<I", data, directory)[0] * 512
    at = struct.unpack_from("<I", data, table + 4 * 40)[0] * 512
    data[at + 30 : at + 60] = b"\xa5" * 30


def _false_block(data: bytearray) -> None:
    table = struct.unpack_from(">Q", data, 512 + 16)[0]
    struct.pack_into(">I", data, table, 1)


def _false_footer(data: bytearray) -> None:
    data[-512 + 100] ^= 1


DAMAGE = {
    _false_grain_table: ("vmdk", "streamOptimized", CORRUPTED),
    _spoiled_grain: ("vmdk", "streamOptimized", INVALID_LENGTH),
    _false_block: ("vpc", "dynamic", "ClientError: Disk validation failed"),
    _false_footer: ("vpc", "dynamic", "ClientError: Footers not identical"),
}


@pytest.mark.parametrize("snapshot", [False, True], ids=["image", "snapshot"])
@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_a_damaged_image_is_refused_and_makes_nothing(
    imported: Any, ec2: Any, tmp_path: Path, damage: Any, snapshot: bool
) -> None:
    format_, subformat, message = DAMAGE[damage]
    content = bootable() + random.Random(8).randbytes(2 << 20)
    data = bytearray(qemu(tmp_path, content, format_, "-o", f"subformat={subformat}"))
    before = ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]
    damage(data)
    task = imported(bytes(data), "vhd" if format_ == "vpc" else "vmdk", snapshot=snapshot)
    assert (task["Status"], task["StatusMessage"]) == ("deleted", message)
    assert ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"] == before


def test_vmdks_of_other_kinds_are_refused(imported: Any, tmp_path: Path) -> None:
    data = qemu(tmp_path, bootable(), "vmdk", "-o", "subformat=monolithicSparse")
    assert imported(data, "vmdk")["StatusMessage"] == VMDK_REFUSED
    assert imported(data, "vmdk", snapshot=True)["StatusMessage"] == VMDK_REFUSED


def test_a_differencing_vhd_is_refused_for_its_footers(imported: Any) -> None:
    data = bytearray(stream(bootable(), "vhd"))
    for footer in (0, len(data) - 512):
        data[footer + 60 : footer + 64] = (4).to_bytes(4, "big")
        data[footer + 64 : footer + 68] = bytes(4)
        checksum = ~sum(data[footer : footer + 512]) & 0xFFFFFFFF
        data[footer + 64 : footer + 68] = checksum.to_bytes(4, "big")
    assert imported(bytes(data), "vhd")["StatusMessage"] == "ClientError: Footers not identical"


def test_an_ova_in_chunks_is_refused(imported: Any) -> None:
    vmdk = stream(bootable(), "vmdk")
    half = len(vmdk) // 2 + 1
    descriptor = f"""<?xml version="1.0"?>
    <Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1">
      <References><File ovf:id="f1" ovf:href="a.vmdk" ovf:size="{len(vmdk)}" ovf:chunkSize="{half}"/></References>
      <DiskSection><Info/><Disk ovf:diskId="d1" ovf:fileRef="f1" ovf:capacity="2097152"/></DiskSection>
      <VirtualSystem ovf:id="m"><Info/></VirtualSystem>
    </Envelope>"""
    members = {"m.ovf": descriptor.encode(), "a.vmdk.000000000": vmdk[:half], "a.vmdk.000000001": vmdk[half:]}
    assert "OVA with chunked disk files is not supported" in imported(ova(members), "ova")["StatusMessage"]


def test_a_snapshot_is_taken_without_a_look_at_what_is_on_it(imported: Any, ec2: Any) -> None:
    detail = imported(bytes(3 << 20), "raw", snapshot=True)
    assert detail["Status"] == "completed"
    assert "Progress" not in detail
    (snapshot,) = ec2.describe_snapshots(SnapshotIds=[detail["SnapshotId"]])["Snapshots"]
    assert (snapshot["VolumeSize"], snapshot["VolumeId"]) == (1, "vol-ffffffff")


def test_the_snapshot_id_is_empty_while_the_task_runs(box: Sandbox, ec2: Any, disk: dict[str, Any]) -> None:
    task_id = ec2.import_snapshot(DiskContainer=disk)["ImportTaskId"]
    seen = set()
    for _ in range(19):
        detail = snapshot_task(ec2, task_id)
        assert detail["SnapshotId"] == ""
        seen.add(detail["StatusMessage"])
        box.advance(60)
    assert seen == {"pending", "downloading/converting"}


def test_an_object_deleted_too_early_fails_the_task(box: Sandbox, ec2: Any, s3: Any, disk: dict[str, Any]) -> None:
    task_id = ec2.import_image(DiskContainers=[disk])["ImportTaskId"]
    box.advance(6 * 60)
    assert image_task(ec2, task_id)["StatusMessage"] == "converting"
    s3.delete_object(Bucket=BUCKET, Key="disk.raw")
    box.advance(HOUR)
    assert "Reason 404 Not Found" in image_task(ec2, task_id)["StatusMessage"]


def test_an_object_deleted_after_the_end_does_no_harm(box: Sandbox, ec2: Any, s3: Any, disk: dict[str, Any]) -> None:
    task_id = ec2.import_image(DiskContainers=[disk])["ImportTaskId"]
    box.advance(HOUR)  # nobody has asked yet, and still it is over
    s3.delete_object(Bucket=BUCKET, Key="disk.raw")
    assert image_task(ec2, task_id)["Status"] == "completed"


def test_the_verdict_on_the_guest_is_handed_in() -> None:
    import boto3

    seen = []

    def verdict(machine: Any) -> str | None:
        seen.append([disk.size for disk in machine])
        return "ClientError: Unknown OS / Missing OS files."

    with sandbox.start(seeded=True, speed=0, verdict=verdict) as box:
        boto3.client("s3").put_object(Bucket=BUCKET, Key="k", Body=bootable())
        ec2 = boto3.client("ec2")
        where = {"Format": "raw", "UserBucket": {"S3Bucket": BUCKET, "S3Key": "k"}}
        image = ec2.import_image(DiskContainers=[where])["ImportTaskId"]
        snapshot = ec2.import_snapshot(DiskContainer=where)["ImportTaskId"]
        box.advance(HOUR)
        assert image_task(ec2, image)["StatusMessage"] == "ClientError: Unknown OS / Missing OS files."
        assert snapshot_task(ec2, snapshot)["Status"] == "completed"
    assert seen == [[2 << 20]]


def test_a_windows_disk_is_told_by_its_partitions(imported: Any) -> None:
    data = bytearray(bootable())
    data[446 + 4] = 0x07
    task = imported(bytes(data), "raw")
    assert (task["Platform"], task["LicenseType"]) == ("Windows", "AWS")


def test_sources_are_read_where_they_are(s3: Any) -> None:
    """The bytes behind a key are a source for the readers, without a copy."""
    from vmie.sandbox.service import account_state

    s3.put_object(Bucket=BUCKET, Key="k", Body=bootable(mark=b"here"))
    bucket = account_state.bucket(BUCKET, partition="aws")
    assert bucket is not None
    found = account_state.fetch(bucket, "k")
    assert found is not None
    assert found.content.pread(2048 * 512, 4) == b"here"
    assert ObjectSource(io.BytesIO(whole(found.content))).size == found.content.size
