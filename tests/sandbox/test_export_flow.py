"""Exports from the first look to the verified file, and everything that can go wrong between."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.clock import SandboxClock
from tests.sandbox.conftest import BUCKET
from vmie import disk
from vmie.aws import ec2
from vmie.aws.session import Aws, connect
from vmie.errors import AwsRefused, Interrupted, PreflightError, TaskFailed, UsageError
from vmie.events import Event, Note
from vmie.model import TaskKind, Verdict
from vmie.ops import export
from vmie.ops.context import Context
from vmie.ops.export import ExportOperation, ExportRequest, ExportResult
from vmie.ops.journal import MemoryJournal
from vmie.ops.operation import carry_out
from vmie.sandbox import Sandbox
from vmie.sandbox.seed import IMAGE, INSTANCE, seeded_disk
from vmie.settings import Settings

SETTINGS = Settings()


@pytest.fixture(autouse=True)
def _sdk_does_not_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK's own pauses between retries are real time; nothing here depends on their length."""
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda seconds: None)


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


class Runs:
    """One job, carried out as often as a test likes."""

    def __init__(self, aws: Aws, pace: SandboxClock) -> None:
        self.aws, self.pace = aws, pace
        self.journal = MemoryJournal("job-1")
        self.events: list[Event] = []

    def __call__(self, request: ExportRequest, *, wait: bool = True) -> ExportResult:
        operation = self.operation(request)
        operation.plan()
        return carry_out(operation, wait=wait)

    def operation(self, request: ExportRequest, settings: Settings = SETTINGS) -> ExportOperation:
        return export.operation(Context(self.aws, settings, self.events.append, self.pace, self.journal), request)

    def notes(self) -> str:
        return "\n".join(event.text for event in self.events if isinstance(event, Note))


@pytest.fixture
def runs(aws: Aws, pace: SandboxClock) -> Runs:
    return Runs(aws, pace)


def instance_tasks(box: Sandbox) -> list[Any]:
    return list(box.client("ec2").describe_export_tasks()["ExportTasks"])


def same_disk(path: Path, *, form: str) -> None:
    """The file holds the seeded machine's disk, as a reader of that format sees it."""
    seed = seeded_disk()
    with disk.open(path) as opened:
        assert opened.format == form
        assert opened.size >= seed.size
        assert opened.read(0, 1 << 20) == seed.read(0, 1 << 20)
        assert opened.read(seed.size - 4096, 4096) == bytes(4096)


@pytest.mark.parametrize("form", ["vmdk", "vhd"])
def test_an_instance_becomes_a_verified_file(runs: Runs, tmp_path: Path, form: str) -> None:
    result = runs(ExportRequest(INSTANCE, form, download=str(tmp_path)))
    assert result.status == "completed"
    assert result.task_id.startswith("export-i-")
    assert result.location == f"s3://{BUCKET}/exports/{result.task_id}.{form}"
    assert [item.url for item in result.objects] == [result.location]
    [file] = result.downloaded
    same_disk(Path(file), form=form)
    assert "only the size" not in runs.notes()
    assert "from the policy of role vmimport" in runs.notes()


def test_an_instance_becomes_an_ova(runs: Runs, tmp_path: Path) -> None:
    [file] = runs(ExportRequest(INSTANCE, "ova", download=str(tmp_path))).downloaded
    with tarfile.open(file) as archive:
        names = archive.getnames()
    assert any(name.endswith(".ovf") for name in names)
    assert any(name.endswith(".vmdk") for name in names)


@pytest.mark.parametrize("form", ["vmdk", "vhd", "raw"])
def test_an_ami_becomes_objects(runs: Runs, form: str) -> None:
    result = runs(ExportRequest(IMAGE, form, prefix="out/", tags={"team": "web"}))
    assert result.task_id.startswith("export-ami-")
    assert [item.key for item in result.objects] == [f"out/{result.task_id}.{form}"]
    [task] = ec2.describe(runs.aws, TaskKind.EXPORT_IMAGE, [result.task_id])
    assert task.tags == {"team": "web", "vmie:job": "job-1"}


def test_the_service_s_probe_is_not_an_export(runs: Runs, box: Sandbox) -> None:
    result = runs(ExportRequest(INSTANCE, "vmdk", prefix=""))
    assert len(result.objects) == 1
    keys = [item["Key"] for item in box.client("s3").list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert any("vmimportexport_write_verification" in key for key in keys)


def test_no_wait_returns_the_task_and_the_same_job_finishes_it(runs: Runs) -> None:
    request = ExportRequest(INSTANCE, "vmdk")
    begun = runs(request, wait=False)
    assert (begun.status, begun.objects) == ("active", ())
    done = runs(request)
    assert (done.status, done.task_id) == ("completed", begun.task_id)


def test_what_was_begun_is_finished_whatever_became_of_the_machine(runs: Runs, box: Sandbox, tmp_path: Path) -> None:
    request = ExportRequest(INSTANCE, "vmdk", download=str(tmp_path))
    runs(request, wait=False)
    box.client("ec2").terminate_instances(InstanceIds=[INSTANCE])
    box.client("s3").delete_bucket_policy(Bucket=BUCKET)
    moved = runs.operation(request, Settings(export_prefix="elsewhere/"))
    moved.plan()
    done = carry_out(moved)
    assert done.status == "completed"
    assert len(done.downloaded) == 1


# --- once, and only once -----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["reset", "500"])
@pytest.mark.parametrize("source", [INSTANCE, IMAGE])
def test_a_lost_answer_makes_no_second_task(runs: Runs, box: Sandbox, source: str, how: str) -> None:
    action = "CreateInstanceExportTask" if source == INSTANCE else "ExportImage"
    box.faults.lose(action, times=1, how=how)
    assert runs(ExportRequest(source, "vmdk")).status == "completed"
    assert sum(box.stats.tasks.values()) == 1


def test_a_task_that_shows_late_after_a_lost_answer_is_waited_for(runs: Runs, box: Sandbox) -> None:
    box.faults.visible_after = 6.0
    box.faults.lose("CreateInstanceExportTask", times=1)
    assert runs(ExportRequest(INSTANCE, "vmdk")).status == "completed"
    assert box.stats.tasks["export-instance"] == 1


def test_a_process_that_dies_before_the_answer_finds_its_task_again(runs: Runs, box: Sandbox) -> None:
    request = ExportRequest(INSTANCE, "vmdk")
    begun = runs(request, wait=False)
    # What a crash leaves: the intent is written, the answer never was.
    runs.journal.put("submit", {})
    done = runs(request)
    assert done.task_id == begun.task_id
    assert box.stats.tasks["export-instance"] == 1
    assert "made by an earlier call" in runs.notes()


def test_a_process_that_dies_in_exportimage_is_not_stopped_by_its_own_task(runs: Runs, box: Sandbox) -> None:
    request = ExportRequest(IMAGE, "vmdk")
    begun = runs(request, wait=False)
    runs.journal.put("submit", {})
    assert runs(request).task_id == begun.task_id


def test_the_same_token_twice_is_one_instance_export(aws: Aws, pace: SandboxClock, box: Sandbox) -> None:
    request = ExportRequest(INSTANCE, "vmdk", client_token="mine")
    first, second = Runs(aws, pace), Runs(aws, pace)
    second.journal = MemoryJournal("job-2")
    assert first(request).task_id == second(request).task_id


def test_two_jobs_are_two_exports(aws: Aws, pace: SandboxClock, box: Sandbox) -> None:
    first, second = Runs(aws, pace), Runs(aws, pace)
    second.journal = MemoryJournal("job-2")
    request = ExportRequest(INSTANCE, "vmdk")
    assert first(request).task_id != second(request).task_id


# --- what goes wrong on the way ----------------------------------------------------------------------------


def test_throttled_describes_do_not_end_the_wait(runs: Runs, box: Sandbox) -> None:
    begun = runs(ExportRequest(INSTANCE, "vmdk"), wait=False)
    box.faults.throttle("DescribeExportTasks", times=30)
    assert runs(ExportRequest(INSTANCE, "vmdk")).task_id == begun.task_id


def test_a_task_that_fails_is_told_with_its_message_and_a_new_run_starts_anew(runs: Runs, box: Sandbox) -> None:
    box.faults.fail_task("ClientError: something in the guest", kind=TaskKind.EXPORT_IMAGE, at="")
    with pytest.raises(TaskFailed) as failed:
        runs(ExportRequest(IMAGE, "vmdk"))
    assert "something in the guest" in failed.value.cause
    assert failed.value.exit_code == 1
    assert failed.value.result["task_id"].startswith("export-ami-")
    assert runs(ExportRequest(IMAGE, "vmdk")).task_id != failed.value.result["task_id"]


def test_a_full_quota_is_waited_out(runs: Runs, box: Sandbox) -> None:
    box.limits.exports = 1
    other = box.client("ec2").export_image(
        ImageId=IMAGE, DiskImageFormat="RAW", S3ExportLocation={"S3Bucket": BUCKET, "S3Prefix": "x/"}
    )["ExportImageTaskId"]
    result = runs(ExportRequest(INSTANCE, "vmdk"))
    assert result.status == "completed"
    assert result.task_id != other
    assert max(box.stats.peak.values()) == 1


def test_five_exports_of_others_hold_ours_back_without_asking_in_vain(runs: Runs, box: Sandbox) -> None:
    client = box.client("ec2")
    for number in range(5):
        client.create_instance_export_task(
            InstanceId=INSTANCE,
            TargetEnvironment="vmware",
            ExportToS3Task={"DiskImageFormat": "VMDK", "S3Bucket": BUCKET, "S3Prefix": f"{number}/"},
        )
    before = box.stats.calls["ec2:CreateInstanceExportTask"]
    runs(ExportRequest(INSTANCE, "vmdk"))
    assert box.stats.calls["ec2:CreateInstanceExportTask"] - before == 1
    assert "5 of 5" in runs.notes()


def test_ctrl_c_leaves_the_task_and_says_how_to_go_on(runs: Runs, box: Sandbox) -> None:
    class Impatient(SandboxClock):
        def sleep(self, seconds: float) -> None:
            raise KeyboardInterrupt

    usual, runs.pace = runs.pace, Impatient(box)
    with pytest.raises(Interrupted) as stopped:
        runs(ExportRequest(INSTANCE, "vmdk"))
    assert stopped.value.exit_code == 130
    assert "vmie resume job-1" in stopped.value.cure
    assert stopped.value.result["task_id"] in stopped.value.cause
    runs.pace = usual
    assert runs(ExportRequest(INSTANCE, "vmdk")).task_id == stopped.value.result["task_id"]


def test_an_unknown_instance_is_aws_s_refusal(runs: Runs) -> None:
    with pytest.raises(AwsRefused) as refused:
        runs(ExportRequest("i-00000000000000001", "vmdk"))
    assert refused.value.exit_code == 5
    assert refused.value.code == "InvalidInstanceID.NotFound"


def test_giving_up_cancels_the_task(runs: Runs, box: Sandbox) -> None:
    begun = runs(ExportRequest(INSTANCE, "vmdk"), wait=False)
    ended = runs.operation(ExportRequest(INSTANCE, "vmdk")).undo(reason="no need")
    assert ended == {"task_id": begun.task_id, "task_status": "cancelled"}


# --- looked at before it is asked for ----------------------------------------------------------------------


def refused(runs: Runs, request: ExportRequest, box: Sandbox) -> PreflightError:
    with pytest.raises(PreflightError) as stopped:
        runs(request)
    assert stopped.value.exit_code == 4
    assert sum(box.stats.tasks.values()) == 0
    assert stopped.value.cure
    return stopped.value


def test_a_data_volume_blocks_an_instance_but_not_its_ami(runs: Runs, box: Sandbox) -> None:
    client = box.client("ec2")
    zone = client.describe_instances(InstanceIds=[INSTANCE])["Reservations"][0]["Instances"][0]["Placement"]
    volume = client.create_volume(AvailabilityZone=zone["AvailabilityZone"], Size=1)["VolumeId"]
    client.attach_volume(InstanceId=INSTANCE, VolumeId=volume, Device="/dev/sdf")
    error = refused(runs, ExportRequest(INSTANCE, "vmdk"), box)
    assert error.code == "VMIE-EXPORT-001"
    assert volume in error.message
    assert "create-image" in error.cure
    assert "multiple volumes" in next(one.predicts for one in error.findings if one.rule == error.code)
    assert runs(ExportRequest(IMAGE, "vmdk")).status == "completed"


def test_raw_of_an_instance_and_ova_of_an_ami_are_refused(runs: Runs, box: Sandbox) -> None:
    assert refused(runs, ExportRequest(INSTANCE, "raw"), box).code == "VMIE-EXPORT-008"
    assert refused(runs, ExportRequest(IMAGE, "ova"), box).code == "VMIE-EXPORT-009"


def test_a_bucket_of_another_region_is_a_finding(runs: Runs, box: Sandbox) -> None:
    box.client("s3", region="eu-west-1").create_bucket(
        Bucket="far-away", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    error = refused(runs, ExportRequest(INSTANCE, "vmdk", bucket="far-away"), box)
    assert error.code == "VMIE-EXPORT-011"
    assert "eu-west-1" in error.message


def test_a_bucket_without_the_grant_is_refused_with_the_command_that_grants(runs: Runs, box: Sandbox) -> None:
    box.client("s3").delete_bucket_policy(Bucket=BUCKET)
    error = refused(runs, ExportRequest(INSTANCE, "vmdk"), box)
    assert error.code == "VMIE-EXPORT-013"
    assert error.cure == f"vmie setup-role --export-bucket {BUCKET}"
    assert runs(ExportRequest(IMAGE, "vmdk")).status == "completed"


def test_a_bucket_under_kms_is_refused(runs: Runs, box: Sandbox) -> None:
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}
    box.client("s3").put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration={"Rules": [rule]})
    assert refused(runs, ExportRequest(IMAGE, "vmdk"), box).code == "VMIE-EXPORT-012"


def test_one_export_of_an_ami_at_a_time(runs: Runs, aws: Aws, pace: SandboxClock) -> None:
    begun = runs(ExportRequest(IMAGE, "vmdk"), wait=False)
    other = Runs(aws, pace)
    other.journal = MemoryJournal("job-2")
    with pytest.raises(PreflightError) as stopped:
        other(ExportRequest(IMAGE, "vhd"))
    assert stopped.value.code == "VMIE-EXPORT-014"
    assert begun.task_id in stopped.value.message


def test_a_rule_can_be_skipped(aws: Aws) -> None:
    request = ExportRequest(INSTANCE, "raw", skip_check=("VMIE-EXPORT-008",))
    plan = export.operation(Context(aws, SETTINGS), request).plan()
    assert plan.blocking == ()
    assert any(finding.verdict is Verdict.FAIL for finding in plan.findings)


def test_no_bucket_anywhere_is_a_usage_error(runs: Runs, box: Sandbox) -> None:
    box.client("iam").delete_role_policy(RoleName="vmimport", PolicyName="vmimport")
    with pytest.raises(UsageError):
        runs(ExportRequest(INSTANCE, "vmdk"))


def test_a_role_that_may_not_write_is_refused_with_the_command_that_lets_it(runs: Runs, box: Sandbox) -> None:
    box.client("iam").delete_role_policy(RoleName="vmimport", PolicyName="vmimport")
    error = refused(runs, ExportRequest(IMAGE, "vmdk", bucket=BUCKET), box)
    assert error.code == "VMIE-EXPORT-022"
    assert error.cure == f"vmie setup-role --export-bucket {BUCKET}"


def test_no_role_is_aws_s_refusal(runs: Runs, box: Sandbox) -> None:
    with pytest.raises(AwsRefused) as failed:
        runs(ExportRequest(IMAGE, "vmdk", bucket=BUCKET, role_name="another"))
    assert failed.value.code == "NoSuchRole"


def test_who_may_not_read_roles_may_export(runs: Runs, box: Sandbox) -> None:
    for action in ("GetRole", "ListRolePolicies"):
        box.faults.fail(action, code="AccessDenied", status=403, times=None)
    assert runs(ExportRequest(IMAGE, "vmdk", bucket=BUCKET)).status == "completed"


# --- the command -------------------------------------------------------------------------------------------


def vmie(arguments: Sequence[str], home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vmie", "--sandbox", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={"HOME": str(home), "PATH": "/usr/bin:/bin"},
    )


def test_export_works_with_no_option_but_the_format(tmp_path: Path) -> None:
    done = vmie(
        ["--output", "json", "export", INSTANCE, "--format", "vmdk", "--download", str(tmp_path / "d")], tmp_path
    )
    assert done.returncode == 0, done.stderr
    envelope = json.loads(done.stdout)
    assert (envelope["command"], envelope["status"]) == ("export", "success")
    result = envelope["result"]
    assert {"job", "status", "task_id", "location", "objects", "downloaded"} <= result.keys()
    assert result["objects"] == [result["location"]]
    same_disk(Path(result["downloaded"][0]), form="vmdk")


def test_a_refused_export_exits_with_4_and_names_the_rule(tmp_path: Path) -> None:
    done = vmie(["--output", "json", "export", INSTANCE, "--format", "raw"], tmp_path)
    assert done.returncode == 4
    envelope = json.loads(done.stdout)
    assert envelope["error"]["code"] == "VMIE-EXPORT-008"
    assert any(finding["rule"] == "VMIE-EXPORT-008" for finding in envelope["findings"])


def test_a_dry_run_shows_the_plan_and_does_nothing(tmp_path: Path) -> None:
    done = vmie(["--dry-run", "export", INSTANCE, "--format", "ova"], tmp_path)
    assert done.returncode == 0
    assert "CreateInstanceExportTask" in done.stdout
    assert "vmie-sandbox" in done.stdout
