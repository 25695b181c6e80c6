"""Batches from the command line, against a sandbox in this process."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import APPEARS_AFTER, Done
from tests.sandbox.conftest import bootable
from vmie import sandbox
from vmie.sandbox import Sandbox

Vmie = Callable[..., Done]


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox.start(seeded=True, speed=10_000) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(4):
        (tmp_path / f"vm-{number}.raw").write_bytes(bootable(mark=b"%d" % number))
    (tmp_path / "broken.raw").write_bytes(b"")
    return tmp_path


def plan(folder: Path, text: str) -> Path:
    path = folder / "plan.yaml"
    path.write_text("defaults: {skip_check: all}\nitems:\n" + text, encoding="utf-8")
    return path


def states(done: Done) -> dict[str, str]:
    return {item["key"]: item["status"] for item in done.json["result"]["items"]}


def test_a_plan_of_many_kinds(box: Sandbox, vmie: Vmie, folder: Path) -> None:
    instance = box.client("ec2").describe_instances()["Reservations"][0]["Instances"][0]["InstanceId"]
    box.client("ec2").stop_instances(InstanceIds=[instance])
    path = plan(
        folder,
        "  - {source: vm-0.raw, name: web, tags: {team: red}}\n"
        "  - {source: vm-1.raw, as: snapshot, register: made-by-batch, after: web}\n"
        "  - {source: [vm-2.raw, vm-3.raw], key: two-disks, wave: 1}\n"
        f"  - {{source: {instance}, key: out, format: vmdk, bucket: vmie-sandbox, skip_check: all}}\n",
    )
    done = vmie("batch", "run", path)
    assert done.code == 0, done.out
    result = done.json["result"]
    assert (result["total"], result["completed"], result["failed"], result["cancelled"]) == (4, 4, 0, 0)
    items = {item["key"]: item for item in result["items"]}
    assert items["web"]["image_id"].startswith("ami-")
    assert len(items["two-disks"]["snapshot_ids"]) == 2
    named = box.client("ec2").describe_images(Filters=[{"Name": "name", "Values": ["made-by-batch"]}])["Images"]
    assert named[0]["ImageId"] == items["vm-1"]["image_id"]
    assert items["out"]["objects"][0].startswith("s3://vmie-sandbox/")
    kept = box.client("s3").list_objects_v2(Bucket="vmie-sandbox", Prefix="vmie/").get("Contents", [])
    assert kept == [], "uploaded objects go once they are needed no more"


def test_some_fail_and_are_tried_again_when_mended(box: Sandbox, vmie: Vmie, folder: Path) -> None:
    path = plan(
        folder,
        "  - {source: vm-0.raw, key: good}\n"
        "  - {source: broken.raw, key: bad}\n"
        "  - {source: vm-1.raw, key: follower, after: bad}\n",
    )
    done = vmie("batch", "run", path)
    assert done.code == 3
    assert done.json["status"] == "partial"
    assert states(done) == {"good": "completed", "bad": "failed", "follower": "failed"}
    bad = next(item for item in done.json["result"]["items"] if item["key"] == "bad")
    assert bad["error"]["cure"]
    batch = done.json["result"]["batch"]
    (folder / "broken.raw").write_bytes(bootable(mark=b"mended"))
    still = vmie("batch", "resume", batch)
    assert still.code == 3, "failed items are tried again only when asked"
    again = vmie("batch", "resume", batch, "--retry-failed")
    assert again.code == 0, again.out
    assert set(states(again).values()) == {"completed"}
    assert box.stats.as_json()["tasks"]["import-image"] == 3


def test_aws_own_failures_are_tried_again_the_images_are_not(box: Sandbox, vmie: Vmie, folder: Path) -> None:
    box.faults.fail_task("ServerError: an internal error has occurred during conversion.", at="converting")
    done = vmie("batch", "run", plan(folder, "  - {source: vm-0.raw}\n"))
    assert done.code == 0, done.out
    assert box.stats.as_json()["tasks"]["import-image"] == 2
    box.faults.fail_task("ClientError: Unknown OS / Missing OS files.", at="converting")
    done = vmie("batch", "run", plan(folder, "  - {source: vm-1.raw}\n"))
    assert done.code == 3
    assert box.stats.as_json()["tasks"]["import-image"] == 3
    error = done.json["result"]["items"][0]["error"]
    assert "Unknown OS" in error["cause"]
    assert error["cure"]


def test_cancelled_when_it_has_ended_a_batch_leaves_no_object_of_what_failed(
    box: Sandbox, vmie: Vmie, folder: Path
) -> None:
    box.faults.fail_task("ClientError: Unknown OS / Missing OS files.", at="converting")
    done = vmie("batch", "run", plan(folder, "  - {source: vm-0.raw}\n"))
    batch = done.json["result"]["batch"]
    error = done.json["result"]["items"][0]["error"]
    assert f"vmie batch cancel {batch}  (removes it)" in error["cure"]
    listed = box.client("s3").list_objects_v2(Bucket="vmie-sandbox", Prefix="vmie/")
    assert len(listed["Contents"]) == 1
    cancelled = vmie("batch", "cancel", batch)
    assert cancelled.code == 0, cancelled.out
    assert states(cancelled) == {"vm-0": "cancelled"}
    assert "Contents" not in box.client("s3").list_objects_v2(Bucket="vmie-sandbox", Prefix="vmie/")


def test_a_refused_plan_begins_nothing(box: Sandbox, vmie: Vmie, folder: Path) -> None:
    done = vmie("batch", "run", plan(folder, "  - {source: vm-0.raw, boot_mode: efi}\n  - {source: nowhere.raw}\n"))
    assert done.code == 2
    assert done.json["error"]["code"] == "PlanRefused"
    assert done.json["result"]["mistakes"][0]["line"] == 3
    assert box.stats.as_json()["calls"] == {}
    assert vmie("batch", "status").json["result"]["batches"] == []


def test_dry_run_tells_and_does_nothing(box: Sandbox, vmie: Vmie, folder: Path) -> None:
    path = plan(folder, "  - {source: 'vm-*.raw'}\n  - {source: broken.raw}\n")
    done = vmie("--dry-run", "batch", "run", path)
    assert (done.code, done.json["status"]) == (4, "partial"), "one would be refused"
    shown = done.json["result"]["plan"]
    assert (shown["total"], shown["blocked"], shown["estimate"]) == (5, 1, True)
    assert shown["bytes_at_most"] > 0
    assert all(figure["source"] and figure["date"] for figure in shown["cost"]["figures"])
    assert shown["hours"] > 0
    assert box.stats.as_json()["tasks"] == {}
    assert not [call for call in box.stats.as_json()["calls"] if call.startswith("s3:Put")]


def test_status_and_reports(box: Sandbox, vmie: Vmie, folder: Path) -> None:
    done = vmie("batch", "run", plan(folder, "  - {source: 'vm-*.raw'}\n  - {source: broken.raw}\n"))
    batch = done.json["result"]["batch"]
    listed = vmie("batch", "status").json["result"]["batches"]
    assert [(one["batch"], one["status"], one["total"]) for one in listed] == [(batch, "partial", 5)]
    shown = vmie("batch", "status", batch).json["result"]
    assert shown["waves"] == [{"wave": 0, "states": {"completed": 4, "failed": 1}}]
    assert shown["slots"] == [
        {"pool": "import", "account": "123456789012", "region": "us-east-1", "used": 0, "limit": 20}
    ]
    target = folder / "report.csv"
    assert vmie("batch", "report", batch, "--to", target).code == 0
    rows = list(csv.DictReader(target.read_text().splitlines()))
    assert [row["status"] for row in rows].count("completed") == 4
    assert vmie("batch", "report", batch, "--to", folder / "report.json").code == 0
    assert len(json.loads((folder / "report.json").read_text())["spans"]) >= 4 * 3
    assert vmie("batch", "status", "batch-20260101-000000-abcdef").code == 2


def test_two_regions_have_their_own_slots(box: Sandbox, vmie: Vmie, folder: Path) -> None:
    box.client("s3", region="eu-west-1").create_bucket(
        Bucket="far-bucket", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    box.advance(APPEARS_AFTER)
    role = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": ["s3:*", "ec2:*"], "Resource": "*"}],
        }
    )
    box.client("iam").put_role_policy(RoleName="vmimport", PolicyName="far", PolicyDocument=role)
    done = vmie(
        "batch",
        "run",
        plan(
            folder,
            "  - {source: vm-0.raw}\n  - {source: vm-1.raw, region: eu-west-1, bucket: far-bucket}\n",
        ),
    )
    assert done.code == 0, done.out
    assert [item["region"] for item in done.json["result"]["items"]] == ["us-east-1", "eu-west-1"]
    slots = vmie("batch", "status", done.json["result"]["batch"]).json["result"]["slots"]
    assert [slot["region"] for slot in slots] == ["eu-west-1", "us-east-1"]
