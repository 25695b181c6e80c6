"""AWS forgets a task seven days after its end: a job that was left alone finds its result, or says how to go on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.clock import SandboxClock
from tests.sandbox.conftest import BUCKET, bootable
from vmie.aws.session import connect
from vmie.errors import DeadlineExceeded, VmieError
from vmie.jobs import runner
from vmie.model import Route
from vmie.ops import export, import_
from vmie.ops.context import Context
from vmie.ops.export import ExportRequest
from vmie.ops.import_ import ImportRequest
from vmie.sandbox import Sandbox
from vmie.sandbox.seed import IMAGE

DAYS = 86400.0


@pytest.fixture
def context(box: Sandbox, tmp_path: Path) -> Context:
    """Jobs of one machine, in the sandbox's time."""
    return Context(connect(region="us-east-1"), state=tmp_path / "state", clock=SandboxClock(box))


def wish(path: Path, route: Route = Route.IMAGE) -> ImportRequest:
    path.write_bytes(bootable(mark=b"forgotten"))
    return ImportRequest(sources=(str(path),), route=route, name="web", skip_check=("all",))


def begun(context: Context, request: ImportRequest) -> str:
    """An import that nobody waits for; its job."""
    result = runner.run(import_.operation(context, request), wait=False).result
    assert result is not None
    return result.job


def forgotten(box: Sandbox) -> None:
    """Let the tasks end, and a week go by."""
    for days in (0.5, 0.5, 8):
        box.advance(days * DAYS)
        box.client("ec2").describe_import_image_tasks()  # the sandbox moves tasks on when it is asked


def keys(box: Sandbox) -> list[str]:
    listed = box.client("s3").list_objects_v2(Bucket=BUCKET, Prefix="vmie/").get("Contents", [])
    return [entry["Key"] for entry in listed]


@pytest.mark.parametrize("route", [Route.IMAGE, Route.SNAPSHOT])
def test_the_result_of_an_import_is_found(box: Sandbox, context: Context, tmp_path: Path, route: Route) -> None:
    job = begun(context, wish(tmp_path / "vm.raw", route))
    forgotten(box)
    result = runner.resume(context, job).result
    assert result is not None
    assert result.status == "completed"
    (snapshot,) = box.client("ec2").describe_snapshots(SnapshotIds=list(result.snapshot_ids))["Snapshots"]
    assert {"Key": "Name", "Value": "web"} in snapshot["Tags"]
    assert (result.image_id is not None) is (route is Route.IMAGE)
    assert keys(box) == [], "finished like any other"


def test_the_objects_of_an_export_are_found(box: Sandbox, context: Context) -> None:
    started = runner.run(export.operation(context, ExportRequest(IMAGE, "vmdk")), wait=False).result
    assert started is not None
    forgotten(box)
    done = runner.resume(context, started.job).result
    assert done is not None
    assert (done.status, len(done.objects)) == ("completed", 1)


def test_without_a_result_nothing_is_doubled_and_the_way_on_works(
    box: Sandbox, context: Context, tmp_path: Path
) -> None:
    request = wish(tmp_path / "vm.raw")
    job = begun(context, request)
    forgotten(box)
    ec2 = box.client("ec2")
    for image in ec2.describe_images(Owners=["self"])["Images"]:
        if image["Name"].startswith("import-ami-"):
            ec2.deregister_image(ImageId=image["ImageId"])
    for _ in range(2):
        with pytest.raises(VmieError) as caught:
            runner.resume(context, job)
        assert caught.value.code == "TaskNotFound"
        assert "no AMI or snapshot" in caught.value.cause
        assert f"vmie cancel {job}" in caught.value.cure
        assert "vmie resume" not in caught.value.cure
    runner.cancel(context, job)
    assert keys(box) == []
    again = runner.run(import_.operation(context, request)).result
    assert again is not None
    assert (again.status, again.job == job) == ("completed", False)


def test_a_token_of_another_request_is_not_tried_again_in_vain(box: Sandbox, context: Context, tmp_path: Path) -> None:
    first, second = tmp_path / "one.raw", tmp_path / "two.raw"
    for path in (first, second):
        path.write_bytes(bootable(mark=path.name.encode()))

    def run(path: Path, token: str) -> Any:
        request = ImportRequest(sources=(str(path),), client_token=token, skip_check=("all",))
        return runner.run(import_.operation(context, request)).result

    run(first, "mine")
    with pytest.raises(VmieError) as caught:
        run(second, "mine")
    assert caught.value.code == "IdempotentParameterMismatch"
    assert "vmie cancel job-" in caught.value.cure
    assert "client_token" in caught.value.cure
    assert "vmie resume" not in caught.value.cure
    assert run(second, "another").status == "completed"


def failed_and_forgotten(box: Sandbox, context: Context, request: ImportRequest) -> str:
    """A job that nobody waited for, whose task failed and is shown no more."""
    box.faults.fail_task("ClientError: Unknown OS / Missing OS files.")
    job = begun(context, request)
    forgotten(box)
    return job


@pytest.mark.parametrize("route", [Route.IMAGE, Route.SNAPSHOT])
def test_a_failed_task_that_is_forgotten_is_begun_again_from_what_was_uploaded(
    box: Sandbox, context: Context, tmp_path: Path, route: Route
) -> None:
    job = failed_and_forgotten(box, context, wish(tmp_path / "vm.raw", route))
    (kept,) = keys(box)
    with pytest.raises(VmieError) as caught:
        runner.resume(context, job)
    assert caught.value.code == "TaskNotFound"
    assert f"vmie resume {job}  (begins another task with s3://{BUCKET}/{kept}, which is kept)" in caught.value.cure
    assert keys(box) == [kept]
    (tmp_path / "vm.raw").unlink()  # nothing is sent a second time
    done = runner.resume(context, job).result
    assert done is not None
    assert done.status == "completed"
    assert keys(box) == []


def test_an_export_that_is_forgotten_and_left_nothing_is_begun_again(box: Sandbox, context: Context) -> None:
    box.faults.fail_task("ServerError: an internal error has occurred")
    started = runner.run(export.operation(context, ExportRequest(IMAGE, "vmdk")), wait=False).result
    assert started is not None
    forgotten(box)
    with pytest.raises(VmieError) as caught:
        runner.resume(context, started.job)
    assert f"vmie resume {started.job}  (begins another task)" in caught.value.cure
    done = runner.resume(context, started.job).result
    assert done is not None
    assert (done.status, len(done.objects)) == ("completed", 1)


def test_in_another_region_nothing_is_begun(box: Sandbox, context: Context, tmp_path: Path) -> None:
    """There the task is not shown either, and nothing of it is there."""
    job = failed_and_forgotten(box, context, wish(tmp_path / "vm.raw"))
    elsewhere = replace(context, aws=connect(region="eu-west-1"))
    for _ in range(2):
        with pytest.raises(VmieError) as caught:
            runner.resume(elsewhere, job)
        assert caught.value.code == "TaskNotFound"
        assert "vmie resume" not in caught.value.cure
    assert len(keys(box)) == 1


def test_what_may_not_be_looked_at_proves_nothing(box: Sandbox, context: Context, tmp_path: Path) -> None:
    job = failed_and_forgotten(box, context, wish(tmp_path / "vm.raw"))
    box.faults.fail("DescribeSnapshots", code="UnauthorizedOperation", status=403, times=None)
    for _ in range(2):
        with pytest.raises(VmieError) as caught:
            runner.resume(context, job)
        assert caught.value.code == "TaskNotFound"
        assert "vmie resume" not in caught.value.cure


@pytest.mark.parametrize("route", [Route.IMAGE, Route.SNAPSHOT])
def test_after_a_deadline_the_advised_resume_works_at_once(
    box: Sandbox, context: Context, tmp_path: Path, route: Route
) -> None:
    box.limits.life_seconds = 30 * DAYS
    box.faults.stall_task()
    hasty = replace(context, settings=replace(context.settings, deadline_seconds=3600.0))
    with pytest.raises(DeadlineExceeded) as caught:
        runner.run(import_.operation(hasty, wish(tmp_path / "vm.raw", route)))
    job = str(caught.value.result["job"])
    assert f"vmie resume {job}  (tries again with s3://{BUCKET}/{keys(box)[0]}, which is kept)" in caught.value.cure
    assert caught.value.result["status"] == "deleted"
    done = runner.resume(hasty, job).result
    assert done is not None
    assert done.status == "completed"
    assert keys(box) == []


def test_a_task_that_could_not_be_cancelled_is_waited_for_and_not_doubled(
    box: Sandbox, context: Context, tmp_path: Path
) -> None:
    box.limits.life_seconds = 30 * DAYS
    box.faults.stall_task()
    box.faults.fail("CancelImportTask", code="IncorrectState", times=None)
    hasty = replace(context, settings=replace(context.settings, deadline_seconds=3600.0))
    with pytest.raises(DeadlineExceeded) as caught:
        runner.run(import_.operation(hasty, wish(tmp_path / "vm.raw")))
    job = str(caught.value.result["job"])
    for _ in range(2):
        with pytest.raises(DeadlineExceeded):
            runner.resume(hasty, job)
    assert box.stats.as_json()["tasks"]["import-image"] == 1


def test_any_used_up_quota_is_waited_for(box: Sandbox, context: Context, tmp_path: Path) -> None:
    """Also those of EBS, of which the catalogue knows that they end when another task does."""
    said = "You have reached your maximum limit of pending snapshots."
    box.faults.fail("ImportImage", code="PendingSnapshotLimitExceeded", message=said, times=3)
    result = runner.run(import_.operation(context, wish(tmp_path / "vm.raw"))).result
    assert result is not None
    assert result.status == "completed"
    assert box.stats.errors["PendingSnapshotLimitExceeded"] == 3
