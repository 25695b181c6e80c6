"""One task per attempt, whatever becomes of AWS's answer.

Where the API takes a ClientToken, the token is derived from the job and the attempt: the same call gives the same task.
ImportInstance, ImportVolume and CreateInstanceExportTask take none (aws-facts 1.5): there a marker stands in the task's
description, and whenever an earlier call may have reached AWS - its answer was lost, or the process died - the task
with the marker is looked for before another is asked for. Both are journalled before the call.

A job has one task, or one per disk: the journal's steps of task `number` are ``attempt``, ``intent`` and ``submit``
for the first, ``submit 1`` and so on for the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from vmie import events, poll
from vmie.aws import ec2
from vmie.aws.conversions import zone_of
from vmie.errors import AwsRefused, VmieError
from vmie.model import Task, TaskKind
from vmie.ops import waiting
from vmie.ops.context import Context
from vmie.ops.journal import Journal

#: on every task that a job starts
JOB_TAG = "vmie:job"
#: how long a task that may have been made is looked for before it is asked for again
_SEARCH = {"unseen": poll.Patience(within=20, first=1.0, most=8.0)}
#: far above the 21 disks that AWS takes in one VM
_MOST_TASKS = 1000


def step(name: str, number: int) -> str:
    """The journal's step of task `number`; the first task's is what `vmie jobs` shows."""
    return name if number == 0 else f"{name} {number}"


def attempt(journal: Journal, number: int = 0) -> int:
    """1 for the first task; a failed one is followed by another, with another token or marker."""
    return int((journal.get(step("attempt", number)) or {}).get("number", 1))


def start_over(journal: Journal, number: int = 0) -> None:
    """The task is over without a result: the next one is another attempt."""
    journal.put(step("attempt", number), {"number": attempt(journal, number) + 1})


def submitted(journal: Journal, number: int = 0) -> dict[str, Any] | None:
    """What the journal keeps of the present attempt's task, None before AWS has it."""
    found = journal.get(step("submit", number))
    now = attempt(journal, number)
    # Exports of earlier versions kept no attempt, and nothing of one that had failed.
    return found if found and found.get("attempt", now) == now else None


def token_of(journal: Journal, number: int = 0) -> str:
    """The ClientToken of the present attempt."""
    return f"vmie-{_digest(f'{journal.job}/{attempt(journal, number)}')[:40]}"


def marker_of(text: str) -> str:
    """What in a description distinguishes a task from every other; `text` is unique to the attempt."""
    return f"[vmie {_digest(text)[:16]}]"


def submit(
    context: Context,
    kind: TaskKind,
    call: Callable[[], Task],
    *,
    number: int = 0,
    token: str = "",
    marker: str = "",
    shared: bool = False,
    keep: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Start task `number` when there is room for it; what the journal then keeps of it, and `keep`.

    `call` sends the `token`, or has the `marker` in its description; `shared` says that others may have asked for
    the same. What is kept: ``task_id``, ``at``, ``attempt``, and where known ``expires``, ``zone``, ``instance_id``.
    Raises AwsRefused, DeadlineExceeded.
    """
    journal = context.journal
    known = journal.get(step("intent", number)) or {}
    intent = {name: value for name, value in (("token", token), ("marker", marker), ("kind", kind.value)) if value}
    # Earlier versions kept the token alone, or the marker alone.
    unsure = bool(marker) and (shared or any(known.get(name) == intent[name] for name in intent if name != "kind"))

    def once() -> Task:
        nonlocal unsure
        if unsure and (found := _find(context, kind, marker)) is not None:
            context.reporter(events.Note(f"{found.id} was made by an earlier call: it is used"))
            return found
        # Recorded before the call: whatever happens to the answer, the same token or marker follows.
        journal.put(step("intent", number), intent)
        try:
            return call()
        except AwsRefused:
            raise
        except VmieError:
            # No answer, or a fault of AWS: the task may be there.
            unsure = bool(marker)
            raise

    task = waiting.submit(context, kind, once)
    expires = task.expires.isoformat() if task.expires else ""
    shown = {"expires": expires, "zone": zone_of(task), "instance_id": task.instance_id}
    kept = {
        "task_id": task.id,
        "at": context.clock.now().isoformat(),
        "attempt": attempt(journal, number),
        **{name: value for name, value in shown.items() if value},
        **(keep or {}),
    }
    journal.put(step("submit", number), kept)
    context.reporter(events.TaskSeen(task))
    return kept


def task_ids(context: Context, *, present: bool = False) -> list[str]:
    """Every task that the job started, the last attempt's of each disk; also those whose answer was never read.

    `present` leaves out tasks of attempts that are over.
    """
    journal, found = context.journal, list[str]()
    for number in range(_MOST_TASKS):
        last = journal.get(step("submit", number)) or {}
        intent = journal.get(step("intent", number)) or {}
        if not last and not intent:
            break
        known = submitted(journal, number)
        if last and (known or not present):
            found.append(str(last["task_id"]))
        if intent and known is None:
            shown = ec2.describe(context.aws, TaskKind(intent["kind"]))
            ours = [task for task in shown if _is_of(task, journal.job, intent) and not (present and task.state.failed)]
            found += [task.id for task in ours if task.id not in found]
    return found


def _is_of(task: Task, job: str, intent: Mapping[str, Any]) -> bool:
    marker = intent.get("marker")
    return marker in task.description if marker else task.tags.get(JOB_TAG) == job


def _find(context: Context, kind: TaskKind, marker: str) -> Task | None:
    """The task with the marker that has not failed; looked for a while, since a new task may not be shown at once."""

    def look() -> Task:
        for task in ec2.describe(context.aws, kind):
            if marker in task.description and not task.state.failed:
                return task
        raise VmieError("not seen", code="unseen")

    def classify(error: BaseException) -> str:
        return "unseen" if isinstance(error, VmieError) and error.code == "unseen" else ""

    try:
        return poll.retrying(look, clock=context.clock, classify=classify, patience=_SEARCH)
    except VmieError as error:
        if error.code != "unseen":
            raise
        return None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
