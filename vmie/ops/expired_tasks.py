"""A task that AWS no longer shows: the result it left, so that nobody starts a second one for it.

Seven days after its end a task is forgotten (aws-facts 1.3), its result is not: an imported AMI is named after its
task, a snapshot is described by it.
"""

from __future__ import annotations

from vmie.aws.errors import refusals
from vmie.aws.session import Aws
from vmie.errors import VmieError
from vmie.model import Task, TaskKind, TaskState

#: the code of the failure that says so
UNKNOWN = "TaskNotFound"


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
        error.add_cause(f"no AMI or snapshot of {aws.account} in {aws.region} names it")
        raise error
    return found


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
    wanted = [{"Name": "description", "Values": [f"*{task_id}*"]}]
    with refusals("DescribeSnapshots", operand=task_id):
        answer = aws.client("ec2").describe_snapshots(OwnerIds=["self"], Filters=wanted)  # type: ignore[arg-type]
    made = tuple(one["SnapshotId"] for one in answer["Snapshots"] if one.get("State") != "error")
    if len(made) != 1:
        return None
    return Task(id=task_id, kind=TaskKind.IMPORT_SNAPSHOT, state=TaskState.COMPLETED, snapshot_ids=made)
