"""Tasks of a Region, whoever started them: list, show, watch, cancel, and the wait and the gate over real calls."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.clock import SandboxClock
from tests.sandbox.conftest import BUCKET, HOUR
from vmie import sandbox
from vmie.aws import ec2
from vmie.aws.ec2_requests import DiskSource, ImportSnapshot
from vmie.aws.session import Aws, connect
from vmie.errors import AwsRefused, DeadlineExceeded, TaskFailed, UsageError, VmieError
from vmie.events import Event, TaskSeen
from vmie.model import S3Object, Task, TaskKind, TaskState
from vmie.ops import tasks, waiting
from vmie.ops.context import Context
from vmie.sandbox import Sandbox
from vmie.sandbox.seed import IMAGE, INSTANCE
from vmie.sandbox.service.validation import any_guest
from vmie.settings import Settings

SETTINGS = Settings()


@pytest.fixture(autouse=True)
def _sdk_does_not_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK's own pauses between retries are real time; nothing here depends on their length."""
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda seconds: None)


@pytest.fixture
def box() -> Iterator[Sandbox]:
    """What is on the disks is of no matter here."""
    with sandbox.start(seeded=True, speed=0, verdict=any_guest) as running:
        yield running


@pytest.fixture(scope="module")
def doors() -> list[Aws]:
    return []


@pytest.fixture
def aws(box: Sandbox, doors: list[Aws]) -> Aws:
    """One door for all tests of the file: it holds nothing of a sandbox, and its clients take long to make."""
    if not doors:
        doors.append(connect(region="us-east-1"))
    return doors[0]


@pytest.fixture
def pace(box: Sandbox) -> SandboxClock:
    return SandboxClock(box)


@pytest.fixture
def four(ec2: Any, disk: dict[str, Any]) -> list[str]:
    """One task of each kind that the sandbox makes."""
    place = {"S3Bucket": BUCKET, "S3Prefix": "x/"}
    return [
        ec2.import_image(DiskContainers=[disk])["ImportTaskId"],
        ec2.import_snapshot(DiskContainer=disk)["ImportTaskId"],
        ec2.export_image(ImageId=IMAGE, DiskImageFormat="VMDK", S3ExportLocation=place)["ExportImageTaskId"],
        ec2.create_instance_export_task(
            InstanceId=INSTANCE, TargetEnvironment="vmware", ExportToS3Task={"DiskImageFormat": "VMDK", **place}
        )["ExportTask"]["ExportTaskId"],
    ]


def ids(found: Sequence[Task]) -> list[str]:
    return [task.id for task in found]


def test_list_shows_tasks_of_all_kinds_that_somebody_else_started(aws: Aws, four: list[str]) -> None:
    assert set(ids(tasks.listing(aws))) == set(four)
    assert ids(tasks.listing(aws, kinds=[TaskKind.IMPORT_SNAPSHOT])) == [four[1]]
    assert tasks.listing(aws, states=[TaskState.COMPLETED]) == []


def test_a_kind_that_may_not_be_listed_is_told_and_left_out(aws: Aws, four: list[str], box: Sandbox) -> None:
    """The user policy of 2016 does not allow DescribeExportImageTasks."""
    events: list[Event] = []
    box.faults.fail("DescribeExportImageTasks", code="UnauthorizedOperation", status=403, times=None)
    assert set(ids(tasks.listing(aws, reporter=events.append))) == {four[0], four[1], four[3]}
    assert "export-image" in str(events)
    with pytest.raises(AwsRefused):
        tasks.listing(aws, kinds=[TaskKind.EXPORT_IMAGE])


def test_a_caller_who_may_list_nothing_is_refused(aws: Aws, box: Sandbox) -> None:
    box.faults.fail("*", code="UnauthorizedOperation", status=403, times=None)
    with pytest.raises(AwsRefused):
        tasks.listing(aws)


def test_show_and_its_failures(aws: Aws, four: list[str], box: Sandbox) -> None:
    assert tasks.show(aws, four[0]).stage == "pending"
    with pytest.raises(VmieError) as unknown:
        tasks.show(aws, "import-ami-00000000000000001")
    assert unknown.value.code == "TaskNotFound"
    with pytest.raises(UsageError):
        tasks.show(aws, "ami-1")


def test_watch_follows_all_active_tasks_to_their_end(aws: Aws, four: list[str], pace: SandboxClock) -> None:
    events: list[Event] = []
    seen = tasks.watch(Context(aws, SETTINGS, events.append, pace))
    assert set(ids(seen.tasks)) == set(four)
    assert {task.state for task in seen.tasks} == {TaskState.COMPLETED}
    assert seen.failures == ()
    stages = [event.task.stage for event in events if isinstance(event, TaskSeen) and event.task.id == four[0]]
    assert stages == list(dict.fromkeys(stages))
    assert "converting" in stages


def test_watch_asks_once_per_kind_and_look(aws: Aws, ec2: Any, disk: dict[str, Any], box: Sandbox) -> None:
    begun = [ec2.import_snapshot(DiskContainer=disk)["ImportTaskId"] for _ in range(15)]
    before = box.stats.calls["ec2:DescribeImportSnapshotTasks"]
    pace = SandboxClock(box)
    seen = tasks.watch(Context(aws, SETTINGS, clock=pace), begun)
    assert len(seen.tasks) == 15
    looks = box.stats.calls["ec2:DescribeImportSnapshotTasks"] - before
    assert looks <= pace.slept / 15 + 2


def test_watch_returns_failures_with_their_cause(
    aws: Aws, ec2: Any, disk: dict[str, Any], box: Sandbox, pace: SandboxClock
) -> None:
    box.faults.fail_task("ClientError: Unknown OS / Missing OS files.", kind=TaskKind.IMPORT_IMAGE)
    bad = ec2.import_image(DiskContainers=[disk])["ImportTaskId"]
    good = ec2.import_image(DiskContainers=[disk])["ImportTaskId"]
    seen = tasks.watch(Context(aws, SETTINGS, clock=pace), [bad, good])
    [failure] = seen.failures
    assert bad in failure.message
    assert "Unknown OS" in failure.cause
    assert {task.id: task.state for task in seen.tasks} == {bad: TaskState.DELETED, good: TaskState.COMPLETED}


def test_watch_of_an_old_task_never_cancels_it(aws: Aws, four: list[str], box: Sandbox) -> None:
    seen = tasks.watch(Context(aws, Settings(deadline_seconds=60.0), clock=SandboxClock(box)), [four[0]])
    assert seen.failures == ()
    assert box.stats.calls["ec2:CancelImportTask"] == 0


@pytest.mark.parametrize("number", range(4))
def test_cancel_by_kind_and_wait(aws: Aws, four: list[str], pace: SandboxClock, number: int) -> None:
    ended = tasks.cancel(Context(aws, SETTINGS, clock=pace), four[number], reason="wrong one", wait=True)
    assert ended.state in (TaskState.DELETED, TaskState.CANCELLED)
    again = tasks.cancel(Context(aws, SETTINGS, clock=pace), four[number])
    assert again.state.failed


def test_a_completed_task_cannot_be_cancelled(aws: Aws, four: list[str], box: Sandbox, pace: SandboxClock) -> None:
    box.advance(2 * HOUR)
    with pytest.raises(AwsRefused):
        tasks.cancel(Context(aws, SETTINGS, clock=pace), four[0])


# --- the wait and the gate, over real calls --------------------------------------------------------------


def submit(aws: Aws, pace: SandboxClock, number: int) -> Task:
    source = DiskSource("raw", S3Object(BUCKET, "disk.raw"))
    return waiting.submit(
        Context(aws, SETTINGS, clock=pace),
        TaskKind.IMPORT_SNAPSHOT,
        lambda: ec2.import_snapshot(aws, ImportSnapshot(source, token=f"token-{number}")),
    )


def ended(aws: Aws, task: Task, pace: SandboxClock, settings: Settings = SETTINGS) -> Task:
    """The task when it is completed; raises how else it ended."""
    begun = {"task_id": task.id, "at": pace.now().isoformat()}
    [end] = waiting.wait(Context(aws, settings, clock=pace), [begun])
    if isinstance(end, VmieError):
        raise end
    return end


@pytest.mark.usefixtures("disk")
def test_thirty_imports_pass_through_twenty_places(aws: Aws, box: Sandbox, pace: SandboxClock) -> None:
    begun = {submit(aws, pace, number).id for number in range(30)}
    assert len(begun) == 30
    assert max(box.stats.peak.values()) == 20
    assert box.stats.errors["ResourceCountLimitExceeded"] == 0


@pytest.mark.usefixtures("disk")
def test_a_smaller_quota_than_we_think_is_queued_for(aws: Aws, box: Sandbox, pace: SandboxClock) -> None:
    box.limits.imports = 2
    assert len({submit(aws, pace, number).id for number in range(5)}) == 5
    assert max(box.stats.peak.values()) == 2
    assert box.stats.errors["ResourceCountLimitExceeded"] > 0


@pytest.mark.usefixtures("disk")
def test_a_task_that_shows_late_is_waited_for(aws: Aws, box: Sandbox, pace: SandboxClock) -> None:
    box.faults.visible_after = 60.0
    task = submit(aws, pace, 1)
    assert ended(aws, task, pace).snapshot_ids


@pytest.mark.usefixtures("disk")
def test_a_stalled_task_is_cancelled_after_seven_days(aws: Aws, box: Sandbox, pace: SandboxClock) -> None:
    box.limits.life_seconds = 30 * 86400.0
    box.faults.stall_task(kind=TaskKind.IMPORT_SNAPSHOT)
    task = submit(aws, pace, 1)
    with pytest.raises(DeadlineExceeded):
        ended(aws, task, pace, Settings(deadline_seconds=6 * HOUR))
    assert tasks.show(aws, task.id).state is TaskState.DELETED


@pytest.mark.usefixtures("disk")
def test_an_outage_in_the_middle_of_a_wait_is_survived(aws: Aws, box: Sandbox, pace: SandboxClock) -> None:
    task = submit(aws, pace, 1)
    box.faults.unavailable("DescribeImportSnapshotTasks", times=60)
    assert ended(aws, task, pace).state is TaskState.COMPLETED


@pytest.mark.usefixtures("disk")
def test_a_cancellation_by_somebody_else_is_a_failure(aws: Aws, box: Sandbox, pace: SandboxClock) -> None:
    task = submit(aws, pace, 1)
    box.client("ec2").cancel_import_task(ImportTaskId=task.id, CancelReason="not ours")
    with pytest.raises(TaskFailed) as failed:
        ended(aws, task, pace)
    assert failed.value.code == "TaskFailed"


# --- the commands ----------------------------------------------------------------------------------------


@pytest.fixture
def served() -> Iterator[Sandbox]:
    with sandbox.serve(seeded=True) as running:
        yield running


def vmie(box: Sandbox, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vmie", "--output", "json", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "VMIE_POLL_SECONDS": "0.1", **box.environment()},
    )


def test_the_commands_from_list_to_cancel(served: Sandbox, tmp_path: Path) -> None:
    client = served.client("ec2")
    served.faults.stall_task(kind=TaskKind.EXPORT_IMAGE)
    served.faults.fail_task("ClientError: no", kind=TaskKind.EXPORT_INSTANCE, at="")
    place = {"S3Bucket": BUCKET, "S3Prefix": "x/"}
    stalled = client.export_image(ImageId=IMAGE, DiskImageFormat="VMDK", S3ExportLocation=place)["ExportImageTaskId"]
    failing = client.create_instance_export_task(
        InstanceId=INSTANCE, TargetEnvironment="vmware", ExportToS3Task={"DiskImageFormat": "VMDK", **place}
    )["ExportTask"]["ExportTaskId"]

    listed = vmie(served, tmp_path, "tasks", "list")
    assert {task["task_id"] for task in json.loads(listed.stdout)["result"]["tasks"]} == {stalled, failing}

    watched = vmie(served, tmp_path, "tasks", "watch", failing)
    assert watched.returncode == 1
    envelope = json.loads(watched.stdout)
    assert envelope["result"]["tasks"][0]["status"] == "cancelled"
    assert "ClientError: no" in envelope["error"]["cause"]

    plan = vmie(served, tmp_path, "--dry-run", "tasks", "cancel", stalled)
    assert json.loads(plan.stdout)["result"]["plan"]["cancel"] == stalled
    ended = vmie(served, tmp_path, "tasks", "cancel", stalled, "--wait", "--reason", "stuck")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["result"]["tasks"][0]["status"] == "deleted"
