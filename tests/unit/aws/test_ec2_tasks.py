"""Five shapes of answer, one noun: the field's own samples."""

from __future__ import annotations

import json

import pytest

from vmie.aws.ec2_tasks import state_of, task_of
from vmie.model import TaskKind, TaskState

IMAGE = {
    "ImportTaskId": "import-ami-0f1e2d3c4b5a69788",
    "Status": "active",
    "StatusMessage": "booting",
    "Progress": "62",
    "SnapshotDetails": [
        {
            "DiskImageSize": 705638400.0,
            "Format": "VMDK",
            "SnapshotId": "",
            "Url": "https://bucket.s3.amazonaws.com/disk?X-Amz-Signature=secret",
            "UserBucket": {"S3Bucket": "images", "S3Key": "disk.ova"},
        }
    ],
    "Tags": [{"Key": "Name", "Value": "web"}],
    "ResponseMetadata": {"RequestId": "r"},
}


def test_import_image_while_it_runs() -> None:
    task = task_of(TaskKind.IMPORT_IMAGE, IMAGE)
    assert (task.state, task.stage, task.progress) == (TaskState.ACTIVE, "booting", 62)
    assert task.snapshot_ids == ()
    assert (task.bucket, task.prefix_or_key) == ("images", "disk.ova")
    assert task.tags == {"Name": "web"}


def test_no_presigned_url_is_kept() -> None:
    task = task_of(TaskKind.IMPORT_IMAGE, IMAGE)
    assert "secret" not in json.dumps(task.raw)
    assert "ResponseMetadata" not in task.raw
    volume = {"Image": {"ImportManifestUrl": "https://x?Signature=secret", "Size": 1}, "BytesConverted": 0}
    conversion = {"ConversionTaskId": "import-vol-fggu8ihs", "State": "active", "ImportVolume": volume}
    assert "secret" not in json.dumps(task_of(TaskKind.CONVERSION, conversion).raw)


@pytest.mark.parametrize("details", [None, [], [{}]])
def test_import_image_before_anything_is_known(details: object) -> None:
    task = task_of(TaskKind.IMPORT_IMAGE, {"ImportTaskId": "import-ami-1", "SnapshotDetails": details})
    assert task.state is TaskState.ACTIVE
    assert task.progress is None
    assert task.image_id is None


def test_import_image_completed_has_neither_progress_nor_message() -> None:
    raw = {
        "ImportTaskId": "import-ami-1",
        "Status": "completed",
        "ImageId": "ami-9",
        "SnapshotDetails": [{"SnapshotId": "snap-1"}, {"SnapshotId": "snap-2"}],
    }
    task = task_of(TaskKind.IMPORT_IMAGE, raw)
    assert (task.state, task.image_id, task.snapshot_ids) == (TaskState.COMPLETED, "ami-9", ("snap-1", "snap-2"))


def test_a_failed_import_says_why_in_message_not_in_stage() -> None:
    said = "CLIENT_ERROR : ClientError: Unknown OS / Missing OS files."
    task = task_of(TaskKind.IMPORT_IMAGE, {"ImportTaskId": "import-ami-1", "Status": "deleting", "StatusMessage": said})
    assert (task.state, task.stage, task.message) == (TaskState.DELETING, "", said)


def test_a_failure_told_only_by_the_disk_is_found() -> None:
    raw = {
        "ImportTaskId": "import-ami-1",
        "Status": "deleted",
        "SnapshotDetails": [{"StatusMessage": "ClientError: Footers not identical"}],
    }
    assert task_of(TaskKind.IMPORT_IMAGE, raw).message == "ClientError: Footers not identical"


def test_import_snapshot() -> None:
    detail = {"Status": "active", "StatusMessage": "downloading/converting", "Progress": "19", "SnapshotId": ""}
    raw = {"ImportTaskId": "import-snap-ffvko9js", "SnapshotTaskDetail": detail, "Description": "d"}
    task = task_of(TaskKind.IMPORT_SNAPSHOT, raw)
    assert (task.stage, task.progress, task.snapshot_ids) == ("downloading/converting", 19, ())
    done = task_of(
        TaskKind.IMPORT_SNAPSHOT,
        {**raw, "SnapshotTaskDetail": {"Status": "completed", "SnapshotId": "snap-1"}},
    )
    assert (done.state, done.snapshot_ids) == (TaskState.COMPLETED, ("snap-1",))


def test_export_image() -> None:
    raw = {
        "ExportImageTaskId": "export-ami-1",
        "ImageId": "ami-1",
        "Progress": "21",
        "S3ExportLocation": {"S3Bucket": "b", "S3Prefix": "exports/"},
        "Status": "active",
        "StatusMessage": "updating",
    }
    task = task_of(TaskKind.EXPORT_IMAGE, raw)
    assert (task.stage, task.progress, task.bucket, task.prefix_or_key) == ("updating", 21, "b", "exports/")


def test_export_instance_with_empty_details_and_its_field_failure() -> None:
    raw = {"ExportTaskId": "export-i-1", "State": "active", "InstanceExportDetails": {}, "ExportToS3Task": {}}
    assert task_of(TaskKind.EXPORT_INSTANCE, raw).instance_id is None
    expired = {**raw, "State": "cancelled", "StatusMessage": "Task expired and automatically canceled"}
    task = task_of(TaskKind.EXPORT_INSTANCE, expired)
    assert task.state.failed
    assert task.message == "Task expired and automatically canceled"


def test_a_conversion_counts_bytes_over_its_volumes() -> None:
    volumes = [
        {"BytesConverted": 50, "Image": {"Size": 100}, "Volume": {"Id": "vol-1"}, "StatusMessage": ""},
        {"BytesConverted": 0, "Image": {"Size": 100}, "Volume": {}, "StatusMessage": "ClientError: bad"},
    ]
    raw = {
        "ConversionTaskId": "import-i-fggu8ihs",
        "State": "cancelled",
        "ExpirationTime": "2026-01-08T00:00:00Z",
        "ImportInstance": {"InstanceId": "i-1", "Volumes": volumes},
    }
    task = task_of(TaskKind.CONVERSION, raw)
    assert (task.progress, task.instance_id, task.volume_ids) == (25, "i-1", ("vol-1",))
    assert task.message == "ClientError: bad"
    assert task.expires is not None
    assert task.expires.year == 2026
    assert task_of(TaskKind.CONVERSION, {**raw, "ExpirationTime": "soon"}).expires is None


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("active", TaskState.ACTIVE),
        ("validating", TaskState.ACTIVE),
        ("COMPLETED", TaskState.COMPLETED),
        ("error", TaskState.DELETED),
        ("", TaskState.ACTIVE),
        ("frozen", TaskState.UNKNOWN),
    ],
)
def test_words_of_aws(word: str, state: TaskState) -> None:
    assert state_of(word) is state


@pytest.mark.parametrize(("text", "percent"), [("62", 62), ("62%", 62), ("", None), ("soon", None), ("250", 100)])
def test_progress_is_whatever_aws_writes(text: str, percent: int | None) -> None:
    assert task_of(TaskKind.IMPORT_IMAGE, {**IMAGE, "Progress": text}).progress == percent
