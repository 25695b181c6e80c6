"""What the single verbs do, said in a plan: the older routes, downloads, several accounts; no secret is kept."""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.conftest import Done
from tests.sandbox.conftest import bootable
from vmie import sandbox
from vmie.sandbox import Sandbox

Vmie = Callable[..., Done]
SECRET = "the-password-of-the-user-data"


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox.start(seeded=True, speed=10_000) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(4):
        (tmp_path / f"vm-{number}.raw").write_bytes(bootable(mark=b"%d" % number))
    (tmp_path / "first-boot.sh").write_text(f"#!/bin/sh\necho {SECRET}\n")
    return tmp_path


def plan(folder: Path, text: str) -> Path:
    path = folder / "plan.yaml"
    path.write_text("defaults: {skip_check: all, platform: Linux}\nitems:\n" + text, encoding="utf-8")
    return path


INSTANCE = "  - {source: [vm-0.raw, vm-1.raw], key: machine, route: instance, instance_type: m3.large%s}\n"


def test_an_instance_with_its_data_disk_and_a_volume(box: Sandbox, vmie: Vmie, folder: Path) -> None:
    path = plan(
        folder,
        INSTANCE % ", name: web, user_data: first-boot.sh, shutdown_behavior: terminate, attach_data_disks: true"
        + "  - {source: vm-2.raw, key: disk, route: volume, availability_zone: us-east-1b, volume_size: 3,\n"
        + "     after: machine}\n",
    )
    done = vmie("batch", "run", path)
    assert done.code == 0, done.out + done.err
    machine, disk = done.json["result"]["items"]
    assert (machine["kind"], len(machine["volume_ids"])) == ("conversion", 2)
    ec2 = box.client("ec2")
    (made,) = ec2.describe_instances(InstanceIds=[machine["instance_id"]])["Reservations"][0]["Instances"]
    assert {"Key": "Name", "Value": "web"} in made["Tags"]
    assert len(made["BlockDeviceMappings"]) == 2
    given = ec2.describe_instance_attribute(InstanceId=machine["instance_id"], Attribute="userData")
    assert SECRET.encode() in base64.b64decode(given["UserData"]["Value"])
    (volume,) = ec2.describe_volumes(VolumeIds=disk["volume_ids"])["Volumes"]
    assert (volume["AvailabilityZone"], volume["Size"]) == ("us-east-1b", 3)
    assert box.stats.as_json()["tasks"] == {"conversion": 3}
    assert "Contents" not in box.client("s3").list_objects_v2(Bucket="vmie-sandbox", Prefix="vmie/")
    slots = vmie("batch", "status", done.json["result"]["batch"]).json["result"]["slots"]
    assert [(slot["pool"], slot["limit"]) for slot in slots] == [("conversion", 5)]


def test_only_the_disk_that_failed_has_another_task(box: Sandbox, vmie: Vmie, folder: Path) -> None:
    box.faults.fail_task("ServerError: an internal error has occurred during conversion.", at="Progress")
    done = vmie("batch", "run", plan(folder, INSTANCE % ""))
    assert done.code == 0, done.out + done.err
    assert box.stats.as_json()["tasks"] == {"conversion": 3}
    states = [task["State"] for task in box.client("ec2").describe_conversion_tasks()["ConversionTasks"]]
    assert sorted(states) == ["cancelled", "completed", "completed"]


@pytest.mark.parametrize("call", ["ImportInstance", "ImportVolume"])
def test_a_lost_answer_makes_no_second_task(box: Sandbox, vmie: Vmie, folder: Path, call: str) -> None:
    box.faults.lose(call)
    done = vmie("--verbose", "batch", "run", plan(folder, INSTANCE % ""))
    assert done.code == 0, done.out + done.err
    assert box.stats.as_json()["tasks"] == {"conversion": 2}
    assert "was made by an earlier call" in done.err


def test_what_fails_for_the_image_is_mended_and_goes_on(box: Sandbox, vmie: Vmie, folder: Path) -> None:
    box.faults.fail_task("ClientError: Unknown OS / Missing OS files.", at="Progress")
    done = vmie("batch", "run", plan(folder, INSTANCE % ""))
    assert done.code == 3
    batch = done.json["result"]["batch"]
    error = done.json["result"]["items"][0]["error"]
    assert "Unknown OS" in error["cause"]
    assert f"vmie batch cancel {batch}" in error["cure"]
    again = vmie("batch", "resume", batch, "--retry-failed")
    assert again.code == 0, again.out
    assert box.stats.as_json()["tasks"] == {"conversion": 3}


def test_cancelled_a_failed_instance_leaves_nothing_in_s3(box: Sandbox, vmie: Vmie, folder: Path) -> None:
    box.faults.fail_task("ClientError: Unknown OS / Missing OS files.", at="Progress")
    done = vmie("batch", "run", plan(folder, INSTANCE % ""))
    assert vmie("batch", "cancel", done.json["result"]["batch"]).code == 0
    assert "Contents" not in box.client("s3").list_objects_v2(Bucket="vmie-sandbox", Prefix="vmie/")


def test_an_export_is_downloaded_beside_the_plan(box: Sandbox, vmie: Vmie, folder: Path) -> None:
    instance = box.client("ec2").describe_instances()["Reservations"][0]["Instances"][0]["InstanceId"]
    box.client("ec2").stop_instances(InstanceIds=[instance])
    path = plan(folder, f"  - {{source: {instance}, format: vmdk, name: out-1, download: out/here}}\n")
    done = vmie("batch", "run", path)
    assert done.code == 0, done.out + done.err
    item = done.json["result"]["items"][0]
    assert [Path(name).parent for name in item["downloaded"]] == [folder / "out" / "here"]
    assert all(Path(name).stat().st_size for name in item["downloaded"])


def test_the_state_keeps_no_secret(
    box: Sandbox, vmie: Vmie, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SITE", "oslo")
    path = plan(
        folder, INSTANCE % ", user_data: first-boot.sh, tags: {site: '${SITE}', secret: '$${AWS_SECRET_ACCESS_KEY}'}"
    )
    done = vmie("batch", "run", path, "--env")
    assert done.code == 0, done.out + done.err
    (kept,) = (tmp_path / "state").rglob("state.db")
    with closing(sqlite3.connect(kept)) as db:
        text = "\n".join(db.iterdump())
    assert "first-boot.sh" in text
    assert "oslo" in text
    for secret in (SECRET, "X-Amz-Signature", "Signature=", "aws_secret_access_key="):
        assert secret not in text
    for file in kept.parent.iterdir():
        assert SECRET.encode() not in file.read_bytes()


def test_a_profile_of_another_name_is_another_account(
    box: Sandbox, vmie: Vmie, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each account has its own slots; a profile that is not configured is told before anything is begun."""
    config = tmp_path / "aws-config"
    config.write_text("[profile prod]\nregion = us-east-1\n")
    keys = tmp_path / "aws-credentials"
    keys.write_text("[prod]\naws_access_key_id = AKIAPROD\naws_secret_access_key = made-up\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(keys))
    unknown = vmie("batch", "run", plan(folder, "  - {source: vm-0.raw, profile: prd}\n"))
    assert unknown.code == 2
    assert "prd" in unknown.json["error"]["message"]
    assert vmie("batch", "status").json["result"]["batches"] == []
    done = vmie("batch", "run", plan(folder, "  - {source: vm-0.raw, profile: prod}\n  - {source: vm-1.raw}\n"))
    assert done.code == 0, done.out + done.err
    assert [item["status"] for item in done.json["result"]["items"]] == ["completed", "completed"]
