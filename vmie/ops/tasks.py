"""The tasks of an account and Region, whoever started them: list, show, watch, cancel."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from vmie import events, poll
from vmie.aws import ec2
from vmie.aws.session import Aws
from vmie.errors import AwsRefused, Run, TaskFailed, UsageError, VmieError, says
from vmie.model import Task, TaskKind, TaskState
from vmie.ops import waiting
from vmie.ops.context import Context

#: seconds that a task which is named may be unknown: it was made elsewhere, a while ago
_SEEN_WITHIN = 20.0


def listing(
    aws: Aws,
    *,
    kinds: Collection[TaskKind] = (),
    states: Collection[TaskState] = (),
    reporter: events.Reporter = events.silent,
) -> list[Task]:
    """The tasks that AWS shows (active ones, and those that ended within seven days), by kind and id.

    Of all kinds unless `kinds` names some: then a kind that may not be described is reported and left out,
    because the seed's own user policy lacks some of these permissions. Raises AwsRefused.
    """
    found: list[Task] = []
    refused: list[AwsRefused] = []
    wanted = [kind for kind in TaskKind if not kinds or kind in kinds]
    only_active = set(states) == {TaskState.ACTIVE}
    for kind in wanted:
        try:
            found += ec2.describe(aws, kind, active_only=only_active)
        except AwsRefused as error:
            if kinds:
                raise
            refused.append(error)
            reporter(events.Note(f"{kind.value} tasks cannot be listed: {error}", "warning"))
    if len(refused) == len(wanted):
        raise refused[0]
    order = list(TaskKind)
    shown = [task for task in found if not states or task.state in states]
    return sorted(shown, key=lambda task: (order.index(task.kind), task.state is not TaskState.ACTIVE, task.id))


def show(aws: Aws, task_id: str) -> Task:
    """One task as AWS describes it now. Raises UsageError for no task id, VmieError when AWS does not know it."""
    kind = kind_of(task_id)
    found = ec2.describe(aws, kind, [task_id])
    if not found:
        raise VmieError(
            f"AWS does not know {task_id}",
            cause=f"no such task is shown in {aws.region}; AWS shows a task for seven days after it ended",
            cure=(says("check the id, {region} and {profile}"), Run(("vmie", "tasks", "list"), "shows what there is")),
            code="TaskNotFound",
        )
    return found[0]


def kind_of(task_id: str) -> TaskKind:
    """The kind of task behind an id; raises UsageError where there is none."""
    try:
        return TaskKind.of(task_id)
    except ValueError as error:
        raise UsageError(str(error), cure=Run(("vmie", "tasks", "list"), "shows the ids"), code="NoTaskId") from error


@dataclass(frozen=True, slots=True)
class Watched:
    """What a watch ended with: every task as last seen, and the failures among them."""

    tasks: tuple[Task, ...]
    failures: tuple[VmieError, ...]


def watch(context: Context, task_ids: Sequence[str] = ()) -> Watched:
    """Follow tasks (all active ones unless named) until each is terminal; changes are reported as `TaskSeen`.

    A watch only looks: it never cancels a task, however old. Failures are returned, not raised.
    """
    ids = list(dict.fromkeys(task_ids))
    for task_id in ids:
        kind_of(task_id)
    active = [TaskState.ACTIVE]
    begun: list[Task | str] = list(ids) or list(listing(context.aws, states=active, reporter=context.reporter))
    pace = waiting.wait_settings(context.settings)
    poller = _poller(context, replace(pace, deadline=math.inf, visible_within=_SEEN_WITHIN))
    watches = [poller.watch(task, settle=True) for task in begun]
    poll.run(poller, clock=context.clock)
    return Watched(
        tuple(one.task for one in watches if one.task is not None),
        tuple(
            waiting.explained(one.error) if isinstance(one.error, TaskFailed) else one.error
            for one in watches
            if one.error is not None
        ),
    )


def _poller(context: Context, settings: poll.WaitSettings | None = None) -> poll.Poller:
    """One that never cancels a task for its age."""
    return waiting.poller(
        context.aws,
        settings=settings or waiting.wait_settings(context.settings),
        clock=context.clock,
        cancels=False,
        reporter=context.reporter,
    )


def cancel(context: Context, task_id: str, *, reason: str = "", wait: bool = False) -> Task:
    """Ask AWS to give a task up and return it as then described, or, with `wait`, when it has ended.

    A task that is being cancelled already, or ended so, is no error. Raises UsageError for no task id, AwsRefused
    when the task is completed or too far on.
    """
    kind_of(task_id)
    try:
        ec2.cancel(context.aws, task_id, reason)
    except AwsRefused:
        # Cancelling twice, or after it failed: what was wanted is so.
        if not show(context.aws, task_id).state.failed:
            raise
        context.reporter(events.Note(f"{task_id} has ended already"))
    if not wait:
        return show(context.aws, task_id)
    poller = _poller(context)
    watched = poller.watch(task_id, settle=True)
    poller.expect_cancel(task_id, reason)
    poll.run(poller, clock=context.clock)
    if watched.task is not None and watched.task.state.failed:
        return watched.task
    return watched.result()
