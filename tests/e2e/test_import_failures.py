"""Every way an import can fail ends with the contracted exit code and a cure; nothing is left running or lost."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import APPEARS_AFTER, Done, Server
from tests.sandbox.conftest import BUCKET, bootable, policy
from vmie import sandbox
from vmie.sandbox import Sandbox

Vmie = Callable[..., Done]
IMPORT = ("import", "--skip-check", "all")


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox.start(seeded=True, speed=20_000) as running:
        yield running


def keys(box: Sandbox) -> list[str]:
    listed = box.client("s3").list_objects_v2(Bucket=BUCKET).get("Contents", [])
    return [entry["Key"] for entry in listed if entry["Key"].startswith("vmie/")]


def tasks(box: Sandbox) -> list[dict[str, Any]]:
    found = box.client("ec2").describe_import_image_tasks()["ImportImageTasks"]
    return [task for task in found if not task["ImportTaskId"].endswith("0123456789abcdef0")]


def refused(done: Done, code: int, *, says: str) -> dict[str, Any]:
    error = done.json["error"]
    assert done.code == code, error
    assert says in error["message"] + error["cause"], error
    assert error["cure"], error
    return error


def test_the_sunny_day(box: Sandbox, vmie: Vmie, disk: Path) -> None:
    done = vmie(*IMPORT, disk, "--name", "web", "--tag", "team=red")
    assert done.code == 0, done.out
    result = done.json["result"]
    image = box.client("ec2").describe_images(ImageIds=[result["image_id"]])["Images"][0]
    tags = {tag["Key"]: tag["Value"] for tag in image["Tags"]}
    assert (tags["Name"], tags["team"]) == ("web", "red")
    snapshot = box.client("ec2").describe_snapshots(SnapshotIds=result["snapshot_ids"])["Snapshots"][0]
    assert {"Key": "Name", "Value": "web"} in snapshot["Tags"]
    assert result["bucket_from"] == "the policy of role vmimport"
    assert keys(box) == []


def test_the_object_is_kept_when_asked(box: Sandbox, vmie: Vmie, disk: Path) -> None:
    done = vmie(*IMPORT, disk, "--keep-object")
    assert [f"s3://{BUCKET}/{key}" for key in keys(box)] == [done.json["result"]["object"]]


def test_two_disks_of_one_name(box: Sandbox, vmie: Vmie, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "disk.raw").write_bytes(bootable(mark=folder.encode()))
    done = vmie(*IMPORT, tmp_path / "a" / "disk.raw", tmp_path / "b" / "disk.raw", "--keep-object")
    assert done.code == 0, done.out
    assert len(done.json["result"]["snapshot_ids"]) == 2
    assert len(keys(box)) == 2


def test_no_credentials(vmie: Vmie, disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    refused(vmie(*IMPORT, disk), 5, says="no AWS credentials")


def test_no_role(box: Sandbox, vmie: Vmie, disk: Path) -> None:
    iam = box.client("iam")
    iam.delete_role_policy(RoleName="vmimport", PolicyName="vmimport")
    iam.delete_role(RoleName="vmimport")
    error = refused(vmie(*IMPORT, disk, "--bucket", BUCKET), 5, says="does not exist")
    assert "vmie setup-role" in error["cure"]
    assert keys(box) == []


def test_role_without_the_bucket(box: Sandbox, vmie: Vmie, disk: Path) -> None:
    box.client("s3").create_bucket(Bucket="another-bucket")
    box.advance(APPEARS_AFTER)
    error = refused(vmie(*IMPORT, disk, "--bucket", "another-bucket"), 5, says="another-bucket")
    assert "vmie setup-role --bucket another-bucket" in error["cure"]
    assert "Contents" not in box.client("s3").list_objects_v2(Bucket="another-bucket")


def test_bucket_in_another_region(box: Sandbox, vmie: Vmie, disk: Path) -> None:
    elsewhere = {"LocationConstraint": "eu-west-1"}
    box.client("s3", region="eu-west-1").create_bucket(Bucket="far-bucket", CreateBucketConfiguration=elsewhere)
    box.advance(APPEARS_AFTER)
    refused(vmie(*IMPORT, disk, "--bucket", "far-bucket"), 5, says="eu-west-1")


def test_no_such_bucket(box: Sandbox, vmie: Vmie, disk: Path) -> None:
    refused(vmie(*IMPORT, disk, "--bucket", "nobodys-bucket-x"), 5, says="nobodys-bucket-x")


def test_object_not_an_image(box: Sandbox, vmie: Vmie) -> None:
    box.client("s3").put_object(Bucket=BUCKET, Key="notes.vmdk", Body=b"not a disk " * 1000)
    refused(vmie("import", f"s3://{BUCKET}/notes.vmdk"), 2, says="shows no format")
    done = vmie("import", f"s3://{BUCKET}/notes.vmdk", "--format", "vmdk", "--skip-check", "all")
    refused(done, 1, says="Disk validation failed")
    box.client("s3").head_object(Bucket=BUCKET, Key="notes.vmdk")  # the user's own object stays


def test_object_that_is_not_there(box: Sandbox, vmie: Vmie) -> None:
    refused(vmie("import", f"s3://{BUCKET}/nothing.vmdk"), 5, says="nothing.vmdk")


def test_quota_full_for_a_while(box: Sandbox, vmie: Vmie, disk: Path) -> None:
    box.limits.imports = 0
    threading.Timer(0.5, lambda: setattr(box.limits, "imports", 20)).start()
    done = vmie(*IMPORT, disk)
    assert done.code == 0, done.out
    assert len(tasks(box)) == 1


def test_describes_are_throttled(box: Sandbox, vmie: Vmie, disk: Path) -> None:
    box.faults.throttle("DescribeImportImageTasks", times=None, probability=0.5)
    assert vmie(*IMPORT, disk).code == 0


def test_the_task_fails_while_converting(box: Sandbox, vmie: Vmie, disk: Path) -> None:
    box.faults.fail_task("ClientError: Unknown OS / Missing OS files.", at="converting")
    done = vmie(*IMPORT, disk)
    error = refused(done, 1, says="Unknown OS / Missing OS files.")
    assert done.json["result"]["task_id"].startswith("import-ami-")
    assert len(keys(box)) == 1, "the object is kept for the next try"
    assert keys(box)[0] in error["cure"]
    again = vmie(*IMPORT, disk)
    assert again.code == 0, again.out
    assert again.json["result"]["job"] == done.json["result"]["job"]
    assert again.json["result"]["task_id"] != done.json["result"]["task_id"]
    assert keys(box) == []


@pytest.mark.parametrize("how", ["reset", "500"])
def test_the_answer_to_import_image_is_lost(box: Sandbox, vmie: Vmie, disk: Path, how: str) -> None:
    box.faults.lose("ImportImage", how=how)
    done = vmie(*IMPORT, disk)
    assert done.code == 0, done.out
    assert len(tasks(box)) == 1


def test_kms_key_denied(box: Sandbox, vmie: Vmie, disk: Path) -> None:
    kms = box.client("kms")
    key = kms.create_key()["KeyMetadata"]
    kms.disable_key(KeyId=key["KeyId"])
    error = refused(vmie(*IMPORT, disk, "--kms-key", key["Arn"]), 5, says="its state is Disabled")
    assert "aws kms enable-key" in error["cure"]
    kms.schedule_key_deletion(KeyId=key["KeyId"])
    refused(vmie(*IMPORT, disk, "--kms-key", key["Arn"]), 5, says="PendingDeletion")
    refused(vmie(*IMPORT, disk, "--kms-key", "alias/nobodys"), 5, says="alias/nobodys")
    assert keys(box) == [], "told before a byte is sent"


def test_role_not_ready_for_a_moment(box: Sandbox, vmie: Vmie, disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box.faults.fail(
        "ImportImage",
        code="InvalidParameter",
        message="The service role vmimport provided does not exist or does not have sufficient permissions",
        times=2,
    )
    monkeypatch.setattr("vmie.poll.SystemClock.sleep", lambda self, seconds: time.sleep(min(seconds, 0.02)))
    assert vmie(*IMPORT, disk).code == 0


def test_role_may_not_read_the_object(box: Sandbox, vmie: Vmie, disk: Path) -> None:
    box.client("iam").put_role_policy(
        RoleName="vmimport",
        PolicyName="vmimport",
        PolicyDocument=policy({"Effect": "Deny", "Action": "s3:GetObject", "Resource": "*"}),
    )
    refused(vmie(*IMPORT, disk, "--bucket", BUCKET), 5, says="vmimport")
    assert keys(box) == [], "told before a byte is sent"


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.soak)])
def test_interrupted_while_waiting(server: Server, disk: Path, tmp_path: Path, number: int) -> None:
    state = tmp_path / "state"
    process = server.start(*IMPORT, disk, state=state)
    deadline = time.monotonic() + 30
    while server.control("stats")["tasks"].get("import-image", 0) < 1 and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    done = Done(process.returncode, out, err)
    error = refused(done, 130, says="goes on in AWS")
    job = done.json["result"]["job"]
    assert f"vmie resume {job}" in error["cure"]
    jobs = server.run("jobs", state=state).json["result"]["jobs"]
    assert [(line["job"], line["status"]) for line in jobs] == [(job, "interrupted")]
    resumed = server.run("resume", job, state=state)
    assert resumed.code == 0, resumed.out
    assert resumed.json["result"]["task_id"] == done.json["result"]["task_id"]
    assert server.control("stats")["tasks"]["import-image"] == 1
    assert server.run("resume", job, state=state).json["result"] == resumed.json["result"]


def test_cancel_a_job(slow_server: Server, disk: Path, tmp_path: Path) -> None:
    server, state = slow_server, tmp_path / "state"
    begun = server.run(*IMPORT, disk, "--no-wait", state=state)
    assert begun.json["result"]["status"] == "active"
    job = begun.json["result"]["job"]
    assert server.run("jobs", state=state).json["result"]["jobs"][0]["status"] == "submitted"
    done = server.run("cancel", job, state=state)
    assert done.code == 0, done.out
    assert done.json["result"]["removed"] == [begun.json["result"]["object"]]
    shown = server.run("tasks", "show", begun.json["result"]["task_id"], state=state).json
    assert shown["result"]["tasks"][0]["status"] in ("deleting", "deleted")
