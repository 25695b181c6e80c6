"""AWS forgets a task seven days after its end: a job that was left alone finds its result, or says how to go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.clock import SandboxClock
from tests.sandbox.conftest import BUCKET, bootable
from vmie.aws.session import connect
from vmie.errors import VmieError
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
    for days in (0.5, 8):
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
