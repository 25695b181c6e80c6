"""An import, given up: the task first, then - once AWS needs it no more - what was uploaded for it."""

from __future__ import annotations

from typing import Any

from vmie import events
from vmie.aws import ec2, objects, parts_upload
from vmie.aws.session import Aws
from vmie.errors import TaskFailed
from vmie.model import S3Object, TaskKind, TaskState
from vmie.ops import upload_state, waiting
from vmie.ops.import_ import idempotency, parts
from vmie.ops.journal import Journal
from vmie.poll import Clock
from vmie.settings import Settings


def undo(
    aws: Aws,
    journal: Journal,
    *,
    settings: Settings,
    clock: Clock,
    reason: str = "",
    reporter: events.Reporter = events.silent,
) -> dict[str, Any]:
    """Cancel the job's tasks and remove its uploads; ``{"task_id", "removed": [urls]}``. Can be repeated."""
    ids = idempotency.task_ids(aws, journal)
    for task_id in ids:
        _cancel_task(aws, journal, task_id, settings=settings, clock=clock, reason=reason, reporter=reporter)
    removed: list[str] = []
    for number in range(_MOST_DISKS):
        step = journal.get(f"upload {number}")
        if step is None:
            break
        target = S3Object(step["bucket"], step["key"])
        parts_upload.remove(aws, parts.listed(step))
        if step.get("token") or step.get("upload_id"):
            upload_state.remove(aws, step)
        else:
            objects.delete(aws, target)
        reporter(events.Note(f"{target.url} removed"))
        removed.append(target.url)
    return {"task_id": ids[0] if ids else None, "removed": removed}


#: far above the 21 disks that AWS takes in one VM
_MOST_DISKS = 1000


def _cancel_task(
    aws: Aws,
    journal: Journal,
    task_id: str,
    *,
    settings: Settings,
    clock: Clock,
    reason: str,
    reporter: events.Reporter,
) -> None:
    found = ec2.describe(aws, TaskKind.of(task_id), [task_id])
    if found and found[0].state is TaskState.COMPLETED:
        made = [found[0].image_id, found[0].instance_id, *found[0].volume_ids, *found[0].snapshot_ids]
        reporter(events.Note(f"{task_id} was completed: {', '.join(filter(None, made))} stays", "warning"))
    if not found or found[0].state.terminal:
        return
    ec2.cancel(aws, task_id, reason or f"cancelled with {journal.job}")
    try:
        waiting.wait(aws, task_id, settings=settings, clock=clock, reporter=reporter)
    except TaskFailed:
        reporter(events.Note(f"{task_id} is cancelled"))
