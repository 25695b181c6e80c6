"""Tasks as the API shows them; absent and empty members as seen in the field (aws-facts 1.1-1.13)."""

from __future__ import annotations

from typing import Any

from vmie.model import TaskState
from vmie.sandbox.service.imports import license_type, usage_operation
from vmie.sandbox.service.tasks import SandboxTask, SourceView

Shape = dict[str, Any]


def import_image(task: SandboxTask, tags: dict[str, str]) -> Shape:
    """An element of ImportImageTasks, and the answer of ImportImage."""
    request = task.request
    known = task.platform or request.get("Platform")
    return _present(
        {
            "ImportTaskId": task.id,
            "Architecture": task.architecture or request.get("Architecture"),
            "BootMode": task.firmware or request.get("BootMode"),
            "Description": request.get("Description"),
            "Encrypted": True if task.work.get("kms") else request.get("Encrypted"),
            "Hypervisor": request.get("Hypervisor"),
            "ImageId": task.image_id,
            "KmsKeyId": task.work.get("kms"),
            "LicenseType": None if request.get("UsageOperation") or not known else license_type(task),
            "LicenseSpecifications": request.get("LicenseSpecifications"),
            "Platform": known,
            "SnapshotDetails": [_snapshot_detail(source) for source in task.sources],
            "UsageOperation": request.get("UsageOperation") or (usage_operation(task) if task.image_id else None),
            "Tags": _tags(tags),
            **_status(task),
        }
    )


def import_snapshot(task: SandboxTask, tags: dict[str, str]) -> Shape:
    """An element of ImportSnapshotTasks, and the answer of ImportSnapshot."""
    source = task.sources[0]
    detail = _present(
        {
            "Description": task.request.get("Description") or source.description,
            "DiskImageSize": float(source.size),
            "Encrypted": bool(task.work.get("kms")),
            "Format": source.format,
            "KmsKeyId": task.work.get("kms"),
            "Url": source.url,
            "UserBucket": _user_bucket(source),
            **_status(task),
        }
    )
    # An empty string while it runs, not an absent member (aws-facts 1.2).
    detail["SnapshotId"] = source.snapshot_id if task.state is TaskState.COMPLETED else ""
    return _present(
        {
            "ImportTaskId": task.id,
            "Description": task.request.get("Description"),
            "SnapshotTaskDetail": detail,
            "Tags": _tags(tags),
        }
    )


def export_image(task: SandboxTask, tags: dict[str, str]) -> Shape:
    """An element of ExportImageTasks; the answer of ExportImage too."""
    where = task.request["S3ExportLocation"]
    return _present(
        {
            "ExportImageTaskId": task.id,
            "Description": task.request.get("Description"),
            "DiskImageFormat": task.request["DiskImageFormat"].upper(),
            "ImageId": task.request["ImageId"],
            "RoleName": task.request.get("RoleName"),
            "S3ExportLocation": _present({"S3Bucket": where["S3Bucket"], "S3Prefix": where.get("S3Prefix")}),
            "Tags": _tags(tags),
            **_status(task),
        }
    )


def export_instance(task: SandboxTask, tags: dict[str, str]) -> Shape:
    """An element of ExportTasks, and the ExportTask of CreateInstanceExportTask."""
    where = task.request["ExportToS3Task"]
    return _present(
        {
            "ExportTaskId": task.id,
            "Description": task.request.get("Description"),
            "ExportToS3Task": _present(
                {
                    "ContainerFormat": where.get("ContainerFormat"),
                    "DiskImageFormat": where["DiskImageFormat"].upper(),
                    "S3Bucket": where["S3Bucket"],
                    "S3Key": task.key,
                }
            ),
            "InstanceExportDetails": {
                "InstanceId": task.request["InstanceId"],
                "TargetEnvironment": task.request["TargetEnvironment"],
            },
            "State": task.state.value,
            "StatusMessage": task.message,
            "Tags": _tags(tags),
        }
    )


def _status(task: SandboxTask) -> Shape:
    return {"Status": task.state.value, "StatusMessage": task.message, "Progress": task.progress}


def _snapshot_detail(source: SourceView) -> Shape:
    return _present(
        {
            "Description": source.description,
            "DeviceName": source.device,
            "DiskImageSize": float(source.size),
            "Format": source.format,
            "SnapshotId": source.snapshot_id,
            "Status": source.status,
            "Url": source.url,
            "UserBucket": _user_bucket(source),
        }
    )


def _user_bucket(source: SourceView) -> Shape | None:
    return {"S3Bucket": source.bucket, "S3Key": source.key} if source.bucket else None


def _tags(tags: dict[str, str]) -> list[Shape]:
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


def _present(shape: Shape) -> Shape:
    """Without the members that are not there; False and 0 are."""
    return {name: value for name, value in shape.items() if value is not None and value not in ("", [])}
