"""Every VM Import/Export call, and the few EC2 calls around them. Requests: `ec2_requests`; answers: `Task`.

ImportImage, ImportSnapshot and ExportImage take a ClientToken; CreateInstanceExportTask and RegisterImage do not,
so the first is sent without the SDK's own retries (a retry after a lost answer would make a second task) and the
second looks for the name first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vmie.aws.ec2_requests import ExportImage, ExportInstance, ImportImage, ImportSnapshot, RegisterImage, tag_list
from vmie.aws.ec2_tasks import task_of
from vmie.aws.errors import refusals
from vmie.errors import AwsRefused, UsageError, VmieError, says
from vmie.model import Task, TaskKind, TaskState
from vmie.poll import VISIBILITY, Clock, retrying

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import FilterTypeDef, ImageTypeDef

    from vmie.aws.session import Aws

#: Ids in one Describe. AWS states no bound for these calls; far above any quota of active tasks.
IDS_PER_DESCRIBE = 500

_NO_REASON = "cancelled with vmie"

_NAME = re.compile(r"[A-Za-z0-9()\[\] ./\-'@_]{3,128}")

#: kind -> (method, key of the ids, key of the answers, paginated and filtered by task-state)
_DESCRIBE: Mapping[TaskKind, tuple[str, str, str, bool]] = {
    TaskKind.IMPORT_IMAGE: ("describe_import_image_tasks", "ImportTaskIds", "ImportImageTasks", True),
    TaskKind.IMPORT_SNAPSHOT: ("describe_import_snapshot_tasks", "ImportTaskIds", "ImportSnapshotTasks", True),
    TaskKind.EXPORT_IMAGE: ("describe_export_image_tasks", "ExportImageTaskIds", "ExportImageTasks", True),
    TaskKind.EXPORT_INSTANCE: ("describe_export_tasks", "ExportTaskIds", "ExportTasks", False),
    TaskKind.CONVERSION: ("describe_conversion_tasks", "ConversionTaskIds", "ConversionTasks", False),
}

#: What AWS says of an id that it does not show (yet, or any more): aws-facts 1.3, 5.1.
_UNSEEN = ("InvalidConversionTaskId", "InvalidExportTaskID", "InvalidExportTaskId", "InvalidExportImageTaskId")


def unseen(error: BaseException) -> bool:
    """Whether AWS said that it does not know the task: not yet visible, or older than seven days."""
    return isinstance(error, VmieError) and error.code.startswith(_UNSEEN)


def import_image(aws: Aws, request: ImportImage) -> Task:
    """Start ImportImage; the same token gives the same task. Raises AwsRefused."""
    with refusals("ImportImage", operand=_operand(request.disks[0].object)):
        answer = aws.client("ec2").import_image(**request.as_boto())
    return task_of(TaskKind.IMPORT_IMAGE, answer)


def import_snapshot(aws: Aws, request: ImportSnapshot) -> Task:
    """Start ImportSnapshot; the same token gives the same task. Raises AwsRefused."""
    with refusals("ImportSnapshot", operand=_operand(request.disk.object)):
        answer = aws.client("ec2").import_snapshot(**request.as_boto())
    return task_of(TaskKind.IMPORT_SNAPSHOT, answer)


def export_image(aws: Aws, request: ExportImage) -> Task:
    """Start ExportImage; the same token gives the same task. Raises AwsRefused."""
    with refusals("ExportImage", operand=request.image_id):
        answer = aws.client("ec2").export_image(**request.as_boto())
    return task_of(TaskKind.EXPORT_IMAGE, answer)


def export_instance(aws: Aws, request: ExportInstance) -> Task:
    """Start CreateInstanceExportTask, one attempt only: on a lost answer look for `description` first."""
    with refusals("CreateInstanceExportTask", operand=request.instance_id):
        answer = aws.once("ec2").create_instance_export_task(**request.as_boto())
    return task_of(TaskKind.EXPORT_INSTANCE, answer["ExportTask"])


def _operand(item: object) -> str:
    return str(getattr(item, "url", "") or "")


def describe(
    aws: Aws, kind: TaskKind, ids: Sequence[str] = (), *, active_only: bool = False, patient: bool = True
) -> list[Task]:
    """The tasks of a kind that AWS shows: those with `ids`, or all (active, and ended within seven days).

    One call for all ids. An id that AWS does not know is absent from the result: since one such id makes AWS
    refuse the whole call, all tasks are then asked for and picked from. A wait that will look again anyway is not
    `patient`: the SDK's own retries would only add to a throttle.
    """
    wanted = list(dict.fromkeys(ids))
    try:
        tasks = list(_pages(aws, kind, wanted, active_only=active_only, patient=patient))
    except VmieError as error:
        if not wanted or not unseen(error):
            raise
        tasks = list(_pages(aws, kind, [], active_only=False, patient=patient))
    if wanted:
        asked = set(wanted)
        tasks = [task for task in tasks if task.id in asked]
    if active_only:
        tasks = [task for task in tasks if task.state is TaskState.ACTIVE]
    return tasks


def _pages(aws: Aws, kind: TaskKind, ids: list[str], *, active_only: bool, patient: bool) -> Iterator[Task]:
    method, ids_key, answers_key, filtered = _DESCRIBE[kind]
    call = getattr(aws.client("ec2") if patient else aws.once("ec2"), method)
    operation = "".join(word.title() for word in method.split("_"))
    for start in range(0, len(ids) or 1, IDS_PER_DESCRIBE):
        page: dict[str, Any] = {}
        if ids:
            page[ids_key] = ids[start : start + IDS_PER_DESCRIBE]
        elif active_only and filtered:
            page["Filters"] = [{"Name": "task-state", "Values": ["active"]}]
        while True:
            with refusals(operation, operand=", ".join(ids[:3])):
                answer = call(**page)
            for raw in answer.get(answers_key) or ():
                yield task_of(kind, raw)
            if not answer.get("NextToken"):
                break
            page["NextToken"] = answer["NextToken"]


def cancel(aws: Aws, task_id: str, reason: str = "") -> None:
    """Ask AWS to give the task up. Raises AwsRefused, also when it is too late. ValueError for no task id."""
    kind = TaskKind.of(task_id)
    ec2 = aws.client("ec2")
    if kind in (TaskKind.IMPORT_IMAGE, TaskKind.IMPORT_SNAPSHOT):
        with refusals("CancelImportTask", operand=task_id):
            ec2.cancel_import_task(ImportTaskId=task_id, CancelReason=reason or _NO_REASON)
    elif kind is TaskKind.CONVERSION:
        with refusals("CancelConversionTask", operand=task_id):
            ec2.cancel_conversion_task(ConversionTaskId=task_id, ReasonMessage=reason or _NO_REASON)
    else:
        with refusals("CancelExportTask", operand=task_id):
            ec2.cancel_export_task(ExportTaskId=task_id)


def register_image(aws: Aws, request: RegisterImage, *, clock: Clock) -> str:
    """The id of the AMI `request.name`, registered now or found: RegisterImage has no token, its name is unique.

    Waits out a snapshot, and an AMI whose answer was lost, that cannot be seen everywhere yet. Raises UsageError for a
    name that EC2 does not take, AwsRefused when the name belongs to another snapshot.
    """
    _expect_name(request.name)
    if (found := _registered(aws, request)) is not None:
        return found

    def call() -> str:
        with refusals("RegisterImage", operand=request.name):
            return str(aws.client("ec2").register_image(**request.as_boto())["ImageId"])

    try:
        return retrying(call, clock=clock, classify=_unsettled, patience={"unsettled": VISIBILITY})
    except AwsRefused as error:
        if error.code != "InvalidAMIName.Duplicate":
            raise
        refusal = error

    def own() -> str:
        # A retry by the SDK after a lost answer meets its own image.
        if (found := _registered(aws, request)) is None:
            raise refusal
        return found

    unseen = {"unsettled": VISIBILITY}
    return retrying(own, clock=clock, classify=lambda one: "unsettled" if one is refusal else "", patience=unseen)


def platform_of(aws: Aws, image_id: str, *, clock: Clock) -> str:
    """The AMI's PlatformDetails, by which AWS bills ("Linux/UNIX", "Windows" …); "" where AWS does not say."""

    def call() -> Sequence[ImageTypeDef]:
        with refusals("DescribeImages", operand=image_id):
            return aws.client("ec2").describe_images(ImageIds=[image_id]).get("Images") or ()

    try:
        found = retrying(call, clock=clock, classify=_unsettled, patience={"unsettled": VISIBILITY})
    except AwsRefused:
        return ""
    return next((str(image.get("PlatformDetails") or "") for image in found), "")


def expect_free_name(aws: Aws, name: str) -> None:
    """Tell before hours of conversion what RegisterImage would tell after them.

    Raises UsageError for a name that EC2 does not take, AwsRefused when an AMI of this account and Region has it.
    """
    _expect_name(name)
    for image in _named(aws, name):
        raise _taken(name, image, cause="an account has one AMI of a name in a Region")


def _expect_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is no name for an AMI",
            cause="a name has 3 to 128 letters, digits, spaces and ()[]./-'@_",
            cure="give another name",
        )


def _named(aws: Aws, name: str) -> Sequence[ImageTypeDef]:
    ours: Sequence[FilterTypeDef] = [{"Name": "name", "Values": [name]}]
    with refusals("DescribeImages", operand=name):
        return aws.client("ec2").describe_images(Owners=["self"], Filters=ours).get("Images") or ()


def _taken(name: str, image: ImageTypeDef, *, cause: str) -> AwsRefused:
    return AwsRefused(
        f"the AMI name {name!r} is taken by {image['ImageId']}",
        cause=cause,
        cure=says("give {name} or {register} another name, or deregister that AMI"),
        code="InvalidAMIName.Duplicate",
    )


def _registered(aws: Aws, request: RegisterImage) -> str | None:
    for image in _named(aws, request.name):
        snapshots = {mapping.get("Ebs", {}).get("SnapshotId") for mapping in image.get("BlockDeviceMappings") or ()}
        if request.snapshot_id in snapshots:
            return str(image["ImageId"])
        raise _taken(request.name, image, cause=f"it was not registered from {request.snapshot_id}")
    return None


def tag(aws: Aws, resources: Sequence[str], tags: Mapping[str, str], *, clock: Clock) -> None:
    """Put `tags` on all `resources`; waits out a tag race and ids that are not visible yet. Raises AwsRefused."""
    ids = [resource for resource in resources if resource]
    if not ids or not tags:
        return

    def call() -> None:
        with refusals("CreateTags", operand=", ".join(ids)):
            aws.client("ec2").create_tags(Resources=list(ids), Tags=tag_list(tags))

    retrying(call, clock=clock, classify=_unsettled, patience={"unsettled": VISIBILITY})


def _unsettled(error: BaseException) -> str:
    """Two taggings at once, or a snapshot or image so new that CreateTags does not see it (aws-facts 1.15)."""
    code = error.code if isinstance(error, VmieError) else ""
    return "unsettled" if code == "ConcurrentTagAccess" or code.endswith(".NotFound") else ""


def snapshot_state(aws: Aws, snapshot_id: str) -> str:
    """pending, completed or error; "pending" too while a snapshot just made is not visible yet. Raises AwsRefused."""
    try:
        with refusals("DescribeSnapshots", operand=snapshot_id):
            found = aws.client("ec2").describe_snapshots(SnapshotIds=[snapshot_id]).get("Snapshots") or []
    except AwsRefused as error:
        if error.code == "InvalidSnapshot.NotFound":
            return "pending"
        raise
    return str(found[0].get("State", "pending")) if found else "pending"
