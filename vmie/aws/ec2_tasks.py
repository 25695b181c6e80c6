"""Five shapes of task, one noun: what a Describe answers becomes `vmie.model.Task` (aws-facts 1.1-1.13)."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from vmie.catalogue import redact
from vmie.model import Task, TaskKind, TaskState

_STATES = {
    # Nothing said yet: the first answers may come without a status (aws-facts 1.12).
    "": TaskState.ACTIVE,
    "active": TaskState.ACTIVE,
    # Stages that AWS's guide lists as statuses: seen as StatusMessage only, taken as either (aws-facts 1.12).
    "pending": TaskState.ACTIVE,
    "validating": TaskState.ACTIVE,
    "validated": TaskState.ACTIVE,
    "converting": TaskState.ACTIVE,
    "updating": TaskState.ACTIVE,
    "updated": TaskState.ACTIVE,
    "completed": TaskState.COMPLETED,
    "deleting": TaskState.DELETING,
    "deleted": TaskState.DELETED,
    "cancelling": TaskState.CANCELLING,
    "cancelled": TaskState.CANCELLED,
    # botocore's snapshot_imported waiter tests for it; no other source names it.
    "error": TaskState.DELETED,
}

#: Never kept in `Task.raw`: presigned, so secret (law 10); or of the answer, not of the task.
_DROPPED = frozenset(("Url", "ImportManifestUrl", "ResponseMetadata"))


def state_of(word: str) -> TaskState:
    """The state behind AWS's word; a word nobody has heard of is UNKNOWN, which is an error and never a wait."""
    return _STATES.get(word.strip().lower(), TaskState.UNKNOWN)


def task_of(kind: TaskKind, raw: Mapping[str, Any]) -> Task:
    """One element of a Describe answer (or the answer of the call that made it) as a `Task`."""
    return _READERS[kind](raw)


def _tags(raw: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag.get("Value", "") for tag in raw.get("Tags") or () if tag.get("Key")}


def _percent(text: object) -> int | None:
    match = re.fullmatch(r"\s*(\d{1,3})(?:\.\d+)?\s*%?\s*", str(text)) if text is not None else None
    return min(100, int(match.group(1))) if match else None


def scrub(value: Any) -> Any:
    """A copy of an answer without its presigned URLs."""
    if isinstance(value, Mapping):
        return {key: scrub(item) for key, item in value.items() if key not in _DROPPED}
    if isinstance(value, list):
        return [scrub(item) for item in value]
    return value


def _words(state: TaskState, said: str, word: str) -> tuple[str, str]:
    """Stage while it runs, message once it failed; an unknown status is kept as the stage.

    What AWS quotes of a presigned URL is taken out.
    """
    said = redact(said)
    if state is TaskState.UNKNOWN:
        return word, said
    if state.failed:
        return "", said
    return said or (word if state is TaskState.ACTIVE and word.lower() != "active" else ""), ""


def _joined(parts: Iterable[object]) -> str:
    return "; ".join(dict.fromkeys(str(part) for part in parts if part))


def _task(
    kind: TaskKind,
    task_id: str,
    raw: Mapping[str, Any],
    *,
    word: str | None,
    said: str | None,
    place: Mapping[str, str] | None = None,
    **more: Any,
) -> Task:
    """What all kinds have in common: `word` is AWS's status, `said` its message, `place` names bucket and key."""
    state = state_of(word or "")
    stage, message = _words(state, said or "", word or "")
    where = place or {}
    shown: dict[str, Any] = {"description": raw.get("Description") or "", **more}
    return Task(
        id=task_id,
        kind=kind,
        state=state,
        stage=stage,
        message=message,
        bucket=where.get("S3Bucket"),
        prefix_or_key=where.get("S3Key") or where.get("S3Prefix"),
        tags=_tags(raw),
        raw=scrub(raw),
        **shown,
    )


def _import_image(raw: Mapping[str, Any]) -> Task:
    details = [detail for detail in raw.get("SnapshotDetails") or () if detail]
    said = raw.get("StatusMessage")
    if state_of(raw.get("Status") or "").failed and not said:
        said = _joined(detail.get("StatusMessage") for detail in details)
    return _task(
        TaskKind.IMPORT_IMAGE,
        raw["ImportTaskId"],
        raw,
        word=raw.get("Status"),
        said=said,
        place=next((detail["UserBucket"] for detail in details if detail.get("UserBucket")), None),
        progress=_percent(raw.get("Progress")),
        image_id=raw.get("ImageId") or None,
        # An empty SnapshotId while it runs means none (aws-facts 1.2).
        snapshot_ids=tuple(detail["SnapshotId"] for detail in details if detail.get("SnapshotId")),
    )


def _import_snapshot(raw: Mapping[str, Any]) -> Task:
    detail = raw.get("SnapshotTaskDetail") or {}
    return _task(
        TaskKind.IMPORT_SNAPSHOT,
        raw["ImportTaskId"],
        raw,
        word=detail.get("Status"),
        said=detail.get("StatusMessage"),
        place=detail.get("UserBucket"),
        progress=_percent(detail.get("Progress")),
        description=raw.get("Description") or detail.get("Description") or "",
        snapshot_ids=(detail["SnapshotId"],) if detail.get("SnapshotId") else (),
    )


def _export_image(raw: Mapping[str, Any]) -> Task:
    return _task(
        TaskKind.EXPORT_IMAGE,
        raw["ExportImageTaskId"],
        raw,
        word=raw.get("Status"),
        said=raw.get("StatusMessage"),
        place=raw.get("S3ExportLocation"),
        progress=_percent(raw.get("Progress")),
        image_id=raw.get("ImageId") or None,
    )


def _export_instance(raw: Mapping[str, Any]) -> Task:
    return _task(
        TaskKind.EXPORT_INSTANCE,
        raw["ExportTaskId"],
        raw,
        word=raw.get("State"),
        said=raw.get("StatusMessage"),
        place=raw.get("ExportToS3Task"),
        instance_id=(raw.get("InstanceExportDetails") or {}).get("InstanceId") or None,
    )


def _moment(text: object) -> dt.datetime | None:
    """ExpirationTime is a string in AWS's model; an unreadable one is no reason to lose the task."""
    if isinstance(text, dt.datetime):
        return text if text.tzinfo else text.replace(tzinfo=dt.UTC)
    try:
        moment = dt.datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def _conversion(raw: Mapping[str, Any]) -> Task:
    instance = raw.get("ImportInstance") or {}
    volumes = list(instance.get("Volumes") or ()) or ([raw["ImportVolume"]] if raw.get("ImportVolume") else [])
    total = sum((volume.get("Image") or {}).get("Size") or 0 for volume in volumes)
    done = sum(volume.get("BytesConverted") or 0 for volume in volumes)
    said = raw.get("StatusMessage")
    if state_of(raw.get("State") or "").failed:
        said = _joined([said, *(volume.get("StatusMessage") for volume in volumes)])
    made = [(volume.get("Volume") or {}).get("Id") for volume in volumes]
    return _task(
        TaskKind.CONVERSION,
        raw["ConversionTaskId"],
        raw,
        word=raw.get("State"),
        said=said,
        progress=min(100, 100 * done // total) if total else None,
        description=_joined([instance.get("Description"), *(volume.get("Description") for volume in volumes)]),
        instance_id=instance.get("InstanceId") or None,
        volume_ids=tuple(filter(None, made)),
        expires=_moment(raw.get("ExpirationTime")),
    )


_READERS: Mapping[TaskKind, Callable[[Mapping[str, Any]], Task]] = {
    TaskKind.IMPORT_IMAGE: _import_image,
    TaskKind.IMPORT_SNAPSHOT: _import_snapshot,
    TaskKind.CONVERSION: _conversion,
    TaskKind.EXPORT_IMAGE: _export_image,
    TaskKind.EXPORT_INSTANCE: _export_instance,
}
