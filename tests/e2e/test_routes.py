"""Every way in and out, on real disks: what comes back is what went in."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.debian import debian_disk
from tests.e2e.conftest import Done, Server
from tests.sandbox.conftest import BUCKET, bootable
from tests.tools import need, run
from tests.windows_guest import windows_disk
from vmie import sandbox
from vmie.sandbox import Sandbox

Vmie = Callable[..., Done]
TYPE = ("--instance-type", "m3.medium")


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox.start(seeded=True, speed=20_000) as running:
        yield running


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """NTFS on an MBR disk, with the hives of a Windows Server."""
    need("qemu-img", "mkntfs", "sfdisk", "hivexsh")
    return windows_disk(tmp_path_factory.mktemp("windows") / "windows.raw")


def result(done: Done) -> dict[str, Any]:
    assert done.code == 0, done.out
    found: dict[str, Any] = done.json["result"]
    return found


def left(box: Sandbox) -> list[str]:
    listed = box.client("s3").list_objects_v2(Bucket=BUCKET, Prefix="vmie/").get("Contents", [])
    return [entry["Key"] for entry in listed]


def same(one: Path, other: Path) -> None:
    """Equal by qemu-img; a format may round the size up, then the rest must read as zeros."""
    run(["qemu-img", "compare", one, other])


def disk_of(path: Path, folder: Path) -> Path:
    """The disk in an exported file: an OVA is unpacked by tar."""
    if path.suffix != ".ova":
        return path
    names = run(["tar", "-tf", path]).stdout.split()
    run(["tar", "-xf", path, "-C", folder])
    return next(folder / name for name in names if name.endswith(".vmdk"))


@pytest.mark.parametrize("form", ["vmdk", "vhd", "ova"])
def test_an_instance_out_and_in_again(box: Sandbox, vmie: Vmie, windows: Path, tmp_path: Path, form: str) -> None:
    made = result(vmie("import", windows, "--as", "instance", *TYPE, "--skip-check", "VMIE-FS-003"))
    assert left(box) == []
    exported = result(vmie("export", made["instance_id"], "--format", form, "--bucket", BUCKET, "--download", tmp_path))
    out = disk_of(Path(exported["downloaded"][0]), tmp_path)
    same(windows, out)

    # Back in, out again as another machine: still the same disk.
    again = result(vmie("import", out, "--as", "instance", *TYPE, "--skip-check", "VMIE-FS-003"))
    assert again["instance_id"] != made["instance_id"]
    second = tmp_path / "again"
    exported = result(
        vmie("export", again["instance_id"], "--format", "vmdk", "--bucket", BUCKET, "--download", second)
    )
    same(out, Path(exported["downloaded"][0]))


@pytest.mark.parametrize("form", ["vmdk", "vhd", "raw"])
def test_an_image_out_and_in_as_a_volume(box: Sandbox, vmie: Vmie, windows: Path, tmp_path: Path, form: str) -> None:
    image = result(vmie("import", windows, "--skip-check", "VMIE-FS-003"))["image_id"]
    exported = result(vmie("export", image, "--format", form, "--bucket", BUCKET, "--download", tmp_path))
    out = Path(exported["downloaded"][0])
    same(windows, out)
    volume = result(vmie("import", out, "--as", "volume", "--availability-zone", "us-east-1a"))
    made = box.client("ec2").describe_volumes(VolumeIds=[volume["volume_id"]])["Volumes"][0]
    assert (made["State"], made["Size"]) == ("available", 1)


def test_windows_is_recognised_and_goes_as_windows(box: Sandbox, vmie: Vmie, windows: Path) -> None:
    made = result(vmie("import", windows, "--as", "instance", *TYPE, "--skip-check", "VMIE-FS-003"))
    shown = box.client("ec2").describe_instances(InstanceIds=[made["instance_id"]])["Reservations"][0]["Instances"][0]
    assert shown["Platform"] == "windows"


@pytest.mark.soak
def test_a_real_debian(box: Sandbox, vmie: Vmie, tmp_path: Path) -> None:
    need("qemu-img", "mmdebstrap")
    raw = debian_disk()
    made = result(vmie("import", raw, "--as", "instance", *TYPE, "--name", "debian"))
    assert made["route"] == "instance"
    assert 0 < made["bytes_sent"] < 500_000_000, "only what the disk holds, compressed"
    assert left(box) == []
    where = ("--bucket", BUCKET, "--download", tmp_path)
    exported = result(vmie("export", made["instance_id"], "--format", "vmdk", *where))
    same(raw, Path(exported["downloaded"][0]))


def test_a_boot_disk_and_two_data_disks(box: Sandbox, vmie: Vmie, windows: Path, tmp_path: Path) -> None:
    data = []
    for number in range(2):
        path = tmp_path / f"data{number}.qcow2"
        raw = tmp_path / f"data{number}.raw"
        raw.write_bytes(bootable(3 << 20, mark=b"data %d" % number))
        run(["qemu-img", "convert", "-O", "qcow2", raw, path])
        data.append(path)
    skipped = ("--skip-check", "VMIE-FS-003")
    made = result(vmie("import", windows, *data, "--as", "instance", *TYPE, "--attach-data-disks", *skipped))
    volumes = box.client("ec2").describe_volumes(VolumeIds=made["volume_ids"])["Volumes"]
    held = {volume["Attachments"][0]["Device"]: volume["Attachments"][0]["InstanceId"] for volume in volumes}
    assert held == dict.fromkeys(("/dev/sda1", "xvdf", "xvdg"), made["instance_id"])
    assert left(box) == []
    # With data volumes AWS does not export the instance directly: the way that is open is told.
    refused = vmie("export", made["instance_id"], "--format", "vmdk", "--bucket", BUCKET)
    assert refused.code == 4
    assert refused.json["error"]["code"] == "VMIE-EXPORT-001"
    assert "create-image" in refused.json["error"]["cure"]


def test_refused_regions_and_dry_runs(box: Sandbox, vmie: Vmie, windows: Path) -> None:
    shown = vmie("--dry-run", "import", windows, "--as", "instance", *TYPE, "--skip-check", "VMIE-FS-003")
    plan = result(shown)["plan"]
    assert (plan["call"], plan["platform"]) == ("ImportInstance", "Windows")
    closed = vmie("--region", "eu-north-1", "import", windows, "--as", "instance", *TYPE)
    assert (closed.code, closed.json["error"]["code"]) == (4, "RegionClosed")
    assert box.stats.tasks["conversion"] == 0


def test_options_that_cannot_be_meant(box: Sandbox, vmie: Vmie, windows: Path) -> None:
    for options, says in (
        (("--as", "image", *TYPE), "only with --as instance"),
        (("--as", "instance"), "--instance-type is missing"),
        (("--as", "instance", *TYPE, "--kms-key", "alias/x"), "--kms-key: only with --as image or --as snapshot"),
        (("--as", "instance", *TYPE, "--license-type", "BYOL"), "--license-type: only with --as image"),
        (("--as", "instance", "--instance-type", "t2.micro", "--tenancy", "dedicated"), "not with a t2"),
        (("--as", "instance", *TYPE, "--tenancy", "host"), "--tenancy: 'host'"),
        (("--as", "instance", *TYPE, "--private-ip", "10.0.0.4"), "needs --subnet"),
        (("--as", "instance", *TYPE, "--private-ip", "fe80::1"), "no IPv4 address"),
        (("--as", "instance", *TYPE, "--format", "vhdx"), "--format vhdx"),
        (("--as", "volume", *TYPE), "--instance-type: only with --as instance"),
        (("--as", "volume", "--volume-size", "0"), "--volume-size: 0"),
    ):
        done = vmie("import", windows, *options)
        assert done.code == 2, done.out
        assert says in done.json["error"]["message"], done.json["error"]
    assert box.stats.tasks["conversion"] == 0


def test_killed_while_it_looks_for_its_task(server: Server, tmp_path: Path) -> None:
    """The answer of ImportInstance is lost, and the process dies before it finds the task: one task all the same."""
    disk, state = tmp_path / "disk.raw", tmp_path / "state"
    disk.write_bytes(bootable(mark=b"here"))
    argv = ("import", disk, "--as", "instance", *TYPE, "--platform", "Linux", "--skip-check", "all")
    server.control("faults", {"kind": "lose", "action": "ImportInstance"})
    server.control("settings", {"visible_after": 5})
    process = server.start(*argv, state=state)
    try:
        until(lambda: server.control("stats")["tasks"].get("conversion") == 1)
        until(lambda: server.control("stats")["calls"].get("ec2:DescribeConversionTasks", 0) > 1)
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.wait(timeout=30)
        for pipe in (process.stdout, process.stderr):
            assert pipe is not None
            pipe.close()
    done = server.run(*argv, state=state)
    assert done.code == 0, done.out
    assert server.control("stats")["tasks"] == {"conversion": 1}
    assert done.json["result"]["instance_id"]


def test_over_http_the_service_reads_its_own_urls(server: Server, tmp_path: Path) -> None:
    disk = tmp_path / "disk.raw"
    disk.write_bytes(bootable(12 << 20, mark=b"over http"))
    argv = ("import", disk, "--as", "volume", "--availability-zone", "us-east-1a", "--format", "raw")
    done = server.run(*argv, "--skip-check", "all", state=tmp_path / "state")
    assert done.code == 0, done.out + done.err
    assert done.json["result"]["bytes_sent"] == 12 << 20
    assert "X-Amz" not in done.out + done.err
    kept = "".join(path.read_text() for path in (tmp_path / "state").rglob("*.json"))
    assert "X-Amz" not in kept


def until(holds: Callable[[], bool], *, within: float = 60.0) -> None:
    deadline = time.monotonic() + within
    while not holds():
        if time.monotonic() > deadline:
            raise subprocess.TimeoutExpired("waiting", within)
        time.sleep(0.05)


def test_a_windows_registered_from_its_snapshot(box: Sandbox, vmie: Vmie, windows: Path) -> None:
    """The AMI is no Windows to AWS, and has no ENA: both are said before, and what AWS makes of it after."""
    done = vmie("import", windows, "--as", "snapshot", "--register", "win", "--skip-check", "VMIE-FS-003")
    made = result(done)
    (image,) = box.client("ec2").describe_images(ImageIds=[made["image_id"]])["Images"]
    assert image["EnaSupport"] is False
    assert "a licence of your own only" in done.err
    assert f"to AWS {made['image_id']} is {image['PlatformDetails']}" in done.err
