"""A task that AWS no longer shows: the result it left, so that nobody starts a second one for it.

Seven days after its end a task is forgotten (aws-facts 1.3), its result is not: an imported AMI is named after its
task, a snapshot is described by it. Where there is none of them the task failed, and another may be begun.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from typing import Any

from vmie.aws import s3
from vmie.aws.errors import refusals
from vmie.aws.session import Aws
from vmie.errors import VmieError
from vmie.model import Task, TaskKind, TaskState
from vmie.ops.context import Context
from vmie.poll.watch import SHOWN_FOR

#: the code of the failure that says so
UNKNOWN = "TaskNotFound"


def left_nothing(
    context: Context, known: Mapping[str, Any], *, buckets: Collection[str], snapshots: bool = True
) -> bool:
    """Whether a forgotten task, of which a journal keeps `known`, surely came to nothing in this account and Region.

    It did not when it may still be running, when `buckets`, which it used, are not this account's in this Region, or
    with `snapshots` when there are some that it made: then its AMI was deregistered. What may not be seen proves
    nothing.
    """
    if context.clock.now() - dt.datetime.fromisoformat(known["at"]) < SHOWN_FOR:
        return False
    try:
        found = [s3.find(context.aws, name) for name in buckets]
        ours = all(bucket is not None and bucket.region == context.aws.region for bucket in found)
        return ours and not (snapshots and _snapshots(context.aws, str(known["task_id"])))
    except VmieError:
        return False


def imported(aws: Aws, task_id: str, error: VmieError) -> Task:
    """The import as it must have ended, as its AMI or snapshot shows. Raises `error` where there is neither."""
    if error.code != UNKNOWN:
        raise error
    try:
        found = _image(aws, task_id) if task_id.startswith("import-ami-") else _snapshot(aws, task_id)
    except VmieError as refused:
        error.add_cause(f"whether it left a result cannot be known: {refused.message}")
        raise error from refused
    if found is None:
        error.add_cause(f"no AMI or snapshot of {aws.account} in {aws.region} names it{_but(aws, task_id)}")
        raise error
    return found


def _but(aws: Aws, task_id: str) -> str:
    try:
        made = ", ".join(_snapshots(aws, task_id)) if task_id.startswith("import-ami-") else ""
    except VmieError:
        return ""
    return f", but for {made}: its AMI was deregistered" if made else ""


def _image(aws: Aws, task_id: str) -> Task | None:
    with refusals("DescribeImages", operand=task_id):
        answer = aws.client("ec2").describe_images(Owners=["self"], Filters=[{"Name": "name", "Values": [task_id]}])
    for image in answer["Images"]:
        mapped = (mapping.get("Ebs", {}).get("SnapshotId") for mapping in image.get("BlockDeviceMappings", ()))
        snapshots = tuple(snapshot for snapshot in mapped if snapshot)
        return Task(
            id=task_id,
            kind=TaskKind.IMPORT_IMAGE,
            state=TaskState.COMPLETED,
            image_id=image["ImageId"],
            snapshot_ids=snapshots,
        )
    return None


def _snapshot(aws: Aws, task_id: str) -> Task | None:
    made = _snapshots(aws, task_id)
    if len(made) != 1:
        return None
    return Task(id=task_id, kind=TaskKind.IMPORT_SNAPSHOT, state=TaskState.COMPLETED, snapshot_ids=made)


def _snapshots(aws: Aws, task_id: str) -> tuple[str, ...]:
    """The snapshots that a task made."""
    wanted = [{"Name": "description", "Values": [f"*{task_id}*"]}]
    with refusals("DescribeSnapshots", operand=task_id):
        answer = aws.client("ec2").describe_snapshots(OwnerIds=["self"], Filters=wanted)  # type: ignore[arg-type]
    return tuple(one["SnapshotId"] for one in answer["Snapshots"] if one.get("State") != "error")
