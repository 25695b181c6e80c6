"""How a wait can end other than well: each as the error that says so."""

from __future__ import annotations

import datetime as dt

from vmie.errors import DeadlineExceeded, Run, TaskFailed, VmieError, says
from vmie.model import Task, TaskKind
from vmie.poll.watch import SHOWN_FOR, Watch


def lacks_ids(task: Task) -> bool:
    """Whether a completed task does not name yet what it made."""
    if task.kind is TaskKind.IMPORT_IMAGE:
        return task.image_id is None
    if task.kind is TaskKind.IMPORT_SNAPSHOT:
        return not task.snapshot_ids
    if task.kind is TaskKind.CONVERSION:
        return task.instance_id is None and not task.volume_ids
    return False


def failure(watch: Watch, task: Task) -> TaskFailed:
    """The task failed, in AWS's words, or was cancelled."""
    result = {"task_id": task.id, "status": task.state.value}
    if watch.cancelled is not None:
        return TaskFailed(
            f"{task.id} was cancelled", cause=watch.cancelled or "as asked", code="Cancelled", result=result
        )
    said = watch.message or (f"the last stage was {task.stage!r}" if task.stage else "AWS gave no reason")
    return TaskFailed(
        f"{task.id} failed: AWS is {task.state.value} it" if not task.state.terminal else f"{task.id} failed",
        cause=said,
        cure=Run(("vmie", "explain", task.id), "the same words come from a task that somebody else cancelled"),
        result=result,
    )


def unknown(task: Task) -> VmieError:
    """Its status is none that AWS documents."""
    return VmieError(
        f"{task.id} has a status that vmie does not know: {task.stage!r}",
        cause=task.message,
        cure="look at the task in AWS; a newer vmie may know it",
        code="UnknownTaskStatus",
        result={"task_id": task.id},
    )


def gone(watch: Watch, now: dt.datetime) -> VmieError:
    """AWS does not show it."""
    if now - watch.started >= SHOWN_FOR:
        cause = "AWS shows a task for seven days after it ended, and this one is older"
    elif watch.seen is not None:
        cause = "it was there and AWS shows it no longer"
    else:
        cause = "no task with this id was seen in this account and Region"
    return VmieError(
        f"AWS does not know {watch.id}",
        cause=cause,
        cure=says("check the id, {region} and {profile}"),
        code="TaskNotFound",
        result={"task_id": watch.id},
    )


def overdue(watch: Watch, deadline: float, *, cancelled: bool) -> DeadlineExceeded:
    """Its time is up."""
    stage = watch.task.stage or watch.task.state.value if watch.task else "never seen"
    return DeadlineExceeded(
        f"{watch.id} did not finish within {deadline / 86400:.3g} days of its start",
        cause=f"it was last seen {stage}; AWS gives a task seven days",
        cure=(
            "it was cancelled" if cancelled else Run(("vmie", "tasks", "cancel", watch.id)),
            "start it again, with a smaller or repaired image if it stalled in one stage",
        ),
        result={"task_id": watch.id},
    )
