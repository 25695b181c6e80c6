"""Submitting through the gate and waiting for tasks: `poll`, put together with an account's doors.

Shared by every verb that starts or follows a task, so that all of them keep the same limits and the same pace.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from vmie import catalogue, events, poll
from vmie.aws import ec2
from vmie.aws.session import Aws
from vmie.errors import DeadlineExceeded, TaskFailed, VmieError, actions
from vmie.model import Task, TaskKind
from vmie.ops.context import Context
from vmie.poll import Clock
from vmie.settings import Settings


def wait_settings(settings: Settings) -> poll.WaitSettings:
    """The pace and the deadline that the settings ask for."""
    usual = poll.WaitSettings(deadline=settings.deadline_seconds)
    return usual if settings.poll_seconds is None else usual.faster(usual.low / settings.poll_seconds)


def gate_settings(settings: Settings) -> poll.GateSettings:
    """The limits and the pace of asking that the settings ask for."""
    usual = poll.GateSettings(
        imports=settings.import_limit, conversions=settings.conversion_limit, exports=settings.export_limit
    )
    return usual if settings.poll_seconds is None else usual.faster(usual.low / settings.poll_seconds)


def gate_of(context: Context) -> poll.Gate:
    """The gate of this account and Region: counts every active task, also those that others started."""

    def active(kind: TaskKind) -> Iterable[str]:
        return [task.id for task in ec2.describe(context.aws, kind, active_only=True)]

    return poll.Gate(
        active,
        clock=context.clock,
        settings=gate_settings(context.settings),
        classify=classify,
        report=context.reporter,
    )


def classify(error: BaseException) -> str:
    """The catalogue's retry class of an error: "retry", "propagation", "wait-for-quota", "permanent"."""
    if not isinstance(error, VmieError):
        return "permanent"
    return catalogue.explain(error.message, error.code).retry


def passing(error: BaseException) -> bool:
    """Whether a failed look says nothing of the task: a throttle, or AWS out of reach or in trouble."""
    return isinstance(error, VmieError) and error.passing


def submit(context: Context, kind: TaskKind, call: Callable[[], Task]) -> Task:
    """Start a task when there is room for it, by the context's gate or one of its own.

    `call` must be idempotent (a ClientToken): a role that AWS does not know yet is tried again for two minutes,
    faults of AWS likewise. Raises AwsRefused, DeadlineExceeded.
    """
    patience: Mapping[str, poll.Patience] = {"propagation": poll.ROLE, "retry": poll.TRANSIENT}

    def patient() -> Task:
        return poll.retrying(call, clock=context.clock, classify=classify, patience=patience, report=context.reporter)

    return (context.gate or gate_of(context)).submit(kind, patient)


def poller(
    aws: Aws,
    *,
    settings: poll.WaitSettings,
    clock: Clock,
    cancels: bool = True,
    reporter: events.Reporter = events.silent,
) -> poll.Poller:
    """One that looks at the tasks of an account; with `cancels` it cancels those whose time is up."""
    return poll.Poller(
        lambda kind, ids: ec2.describe(aws, kind, ids, patient=False),
        clock=clock,
        settings=settings,
        transient=passing,
        cancel=(lambda task, reason: ec2.cancel(aws, task, reason)) if cancels else None,
        report=reporter,
    )


def wait(context: Context, tasks: Sequence[Mapping[str, Any]]) -> list[Task | VmieError]:
    """How each of the tasks ended, by the context's own way of waiting or a poller for these alone.

    `tasks` are what a journal keeps of them (`idempotency.submit`): seven days from ``at`` at most, or until AWS lets
    them expire. A failure is a TaskFailed, or a DeadlineExceeded (the task is then cancelled).
    """
    if context.wait is not None:
        return context.wait(tasks)
    deadline = _deadline(context.settings.deadline_seconds, tasks)
    looking = poller(
        context.aws,
        settings=wait_settings(replace(context.settings, deadline_seconds=deadline)),
        clock=context.clock,
        reporter=context.reporter,
    )
    watches = [
        looking.watch(str(task["task_id"]), started=dt.datetime.fromisoformat(task["at"]), settle=True)
        for task in tasks
    ]
    poll.run(looking, clock=context.clock)
    return [ended(watch) for watch in watches]


def ended(watch: poll.Watch) -> Task | VmieError:
    """How a watch that is done ended."""
    try:
        return watch.result()
    except VmieError as error:
        return error


def _deadline(wanted: float, tasks: Sequence[Mapping[str, Any]]) -> float:
    """The seconds that the longest-lived task has: AWS ends one at its ExpirationTime, whatever we would allow."""
    lives = [
        (dt.datetime.fromisoformat(task["expires"]) - dt.datetime.fromisoformat(task["at"])).total_seconds()
        for task in tasks
        if task.get("expires")
    ]
    return min(wanted, max(1.0, max(lives) + _EXPIRY_SECONDS)) if lives and len(lives) == len(tasks) else wanted


#: the service ends a task itself when it expires; it is given this long to say so
_EXPIRY_SECONDS = 900.0


def explained(error: TaskFailed) -> TaskFailed:
    """The same failure with what the catalogue knows of its message."""
    known = catalogue.explain(error.cause)
    if known.known:
        if known.causes:
            error.add_cause(known.causes[0])
        error.actions = actions(known.cure) or error.actions
    return error


def snapshot_ready(context: Context, snapshot_id: str) -> None:
    """Wait until an EBS snapshot is complete: a finished import task may name one that is still pending.

    Raises TaskFailed when the snapshot is in error, DeadlineExceeded after an hour.
    """
    clock, pause = context.clock, context.settings.poll_seconds or 5.0
    began = clock.now()
    while (state := ec2.snapshot_state(context.aws, snapshot_id)) != "completed":
        if state == "error":
            raise TaskFailed(f"snapshot {snapshot_id} is in error", cure="import the disk again")
        if (clock.now() - began).total_seconds() > _SNAPSHOT_SECONDS:
            raise DeadlineExceeded(f"snapshot {snapshot_id} is still {state} after an hour", cure="look at it in EC2")
        context.reporter(events.Note(f"snapshot {snapshot_id} is {state}", "debug"))
        clock.sleep(clock.uniform(pause, 2 * pause))


_SNAPSHOT_SECONDS = 3600.0
