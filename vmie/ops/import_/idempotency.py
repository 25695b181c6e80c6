"""One task per disk, whatever becomes of AWS's answer: ImportInstance and ImportVolume take no token (aws-facts 1.5).

Before the call its marker is journalled; the marker is in the task's description. Whenever an earlier call may have
reached AWS - its answer was lost, or the process died - the task with the marker is looked for before another is
asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from vmie import events, poll
from vmie.aws import ec2
from vmie.aws.conversions import zone_of
from vmie.aws.session import Aws
from vmie.errors import AwsRefused, VmieError
from vmie.model import Task, TaskKind
from vmie.ops import waiting
from vmie.ops.import_.context import Work
from vmie.ops.journal import Journal

#: how long a task that may have been made is looked for before it is asked for again
_SEARCH = {"unseen": poll.Patience(within=20, first=1.0, most=8.0)}
_DESCRIPTION = 200
#: far above the 21 disks that AWS takes in one VM
_MOST_DISKS = 1000


def step(name: str, number: int) -> str:
    """The journal's step of disk `number`; the first disk's is what `vmie jobs` shows."""
    return name if number == 0 else f"{name} {number}"


def attempt(work: Work, number: int) -> int:
    """1 for the disk's first task; a failed one is followed by another, with another marker."""
    return int((work.journal.get(step("attempt", number)) or {}).get("number", 1))


def failed(work: Work, number: int) -> None:
    """The disk's task is over without a result: the next is another attempt."""
    work.journal.put(step("attempt", number), {"number": attempt(work, number) + 1})


def submitted(work: Work, number: int) -> dict[str, Any] | None:
    """What the journal keeps of the disk's task of this attempt, None before AWS has it."""
    found = work.journal.get(step("submit", number))
    return found if found is not None and found.get("attempt") == attempt(work, number) else None


def marker(work: Work, number: int) -> str:
    """What in a description tells this task from every other."""
    meant = f"{work.aws.account}/{work.journal.job}/{number}/{attempt(work, number)}"
    return f"[vmie {hashlib.sha256(meant.encode()).hexdigest()[:16]}]"


def submit(work: Work, number: int, call: Callable[[str], Task]) -> dict[str, Any]:
    """Start the disk's task when there is room for it; `call` is given its description. Raises AwsRefused.

    What the journal then keeps: ``task_id``, ``at``, ``attempt``, ``expires`` and the task's zone and instance.
    """
    mark = marker(work, number)
    base = work.plan.request.description or f"vmie {work.journal.job}"
    unsure = (work.journal.get(step("intent", number)) or {}).get("marker") == mark

    def once() -> Task:
        nonlocal unsure
        if unsure and (found := _find(work, mark)) is not None:
            work.reporter(events.Note(f"{found.id} was made by an earlier call: it is used"))
            return found
        # Recorded before the call: whatever happens to the answer, the same marker is looked for.
        work.journal.put(step("intent", number), {"marker": mark, "kind": TaskKind.CONVERSION.value})
        try:
            return call(f"{base[:_DESCRIPTION]} {mark}")
        except AwsRefused:
            raise
        except VmieError:
            # No answer, or a fault of AWS: the task may be there.
            unsure = True
            raise

    task = waiting.submit(
        work.aws,
        TaskKind.CONVERSION,
        once,
        settings=work.settings,
        clock=work.clock,
        reporter=work.reporter,
        gate=work.gate,
    )
    kept = {
        "task_id": task.id,
        "at": work.clock.now().isoformat(),
        "attempt": attempt(work, number),
        "expires": task.expires.isoformat() if task.expires else None,
        "zone": zone_of(task),
        "instance_id": task.instance_id,
    }
    work.journal.put(step("submit", number), kept)
    work.reporter(events.TaskSeen(task))
    return kept


def task_ids(aws: Aws, journal: Journal) -> list[str]:
    """Every task that the job started, the last attempt's of each disk; also those whose answer was never read."""
    found: list[str] = []
    for number in range(_MOST_DISKS):
        known = journal.get(step("submit", number))
        intent = journal.get(step("intent", number)) or {}
        if known is None and not intent:
            break
        if known is not None:
            found.append(str(known["task_id"]))
        if "marker" in intent:
            shown = ec2.describe(aws, TaskKind.CONVERSION)
            found += [task.id for task in shown if intent["marker"] in task.description and task.id not in found]
    return found


def _find(work: Work, mark: str) -> Task | None:
    """The task with the marker; looked for a while, since a new task may not be shown at once."""

    def look() -> Task:
        for task in ec2.describe(work.aws, TaskKind.CONVERSION):
            if mark in task.description:
                return task
        raise VmieError("not seen", code="unseen")

    def classify(error: BaseException) -> str:
        return "unseen" if isinstance(error, VmieError) and error.code == "unseen" else ""

    try:
        return poll.retrying(look, clock=work.clock, classify=classify, patience=_SEARCH)
    except VmieError as error:
        if error.code != "unseen":
            raise
        return None
