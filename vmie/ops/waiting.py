"""Submitting through the gate and waiting for tasks: `poll`, put together with an account's doors.

Shared by every verb that starts or follows a task, so that all of them keep the same limits and the same pace.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping

from vmie import catalogue, events, poll
from vmie.aws import ec2
from vmie.aws.session import Aws
from vmie.errors import DeadlineExceeded, TaskFailed, VmieError, actions
from vmie.model import Task, TaskKind
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


def gate_of(aws: Aws, settings: Settings, *, clock: Clock, reporter: events.Reporter = events.silent) -> poll.Gate:
    """The gate of this account and Region: counts every active task, also those that others started."""

    def active(kind: TaskKind) -> Iterable[str]:
        return [task.id for task in ec2.describe(aws, kind, active_only=True)]

    return poll.Gate(active, clock=clock, settings=gate_settings(settings), report=reporter)


def classify(error: BaseException) -> str:
    """The catalogue's retry class of an error: "retry", "propagation", "wait-for-quota", "permanent"."""
    if not isinstance(error, VmieError):
        return "permanent"
    return catalogue.explain(error.message, error.code).retry


def passing(error: BaseException) -> bool:
    """Whether a failed look says nothing of the task: a throttle, or AWS out of reach or in trouble."""
    return isinstance(error, VmieError) and error.passing


def submit(
    aws: Aws,
    kind: TaskKind,
    call: Callable[[], Task],
    *,
    settings: Settings,
    clock: Clock,
    reporter: events.Reporter = events.silent,
    gate: poll.Gate | None = None,
) -> Task:
    """Start a task when there is room for it; `gate` is one that other submissions share.

    `call` must be idempotent (a ClientToken): a role that AWS does not know yet is tried again for two minutes,
    faults of AWS likewise. Raises AwsRefused, DeadlineExceeded.
    """
    patience: Mapping[str, poll.Patience] = {"propagation": poll.ROLE, "retry": poll.TRANSIENT}

    def patient() -> Task:
        return poll.retrying(call, clock=clock, classify=classify, patience=patience, report=reporter)

    shared = gate or gate_of(aws, settings, clock=clock, reporter=reporter)
    return shared.submit(kind, patient)


def wait(
    aws: Aws,
    task_id: str,
    *,
    settings: Settings,
    clock: Clock,
    reporter: events.Reporter = events.silent,
    started: dt.datetime | None = None,
) -> Task:
    """Wait until the task is over, seven days from `started` at most; the completed task.

    Raises TaskFailed with the catalogue's cause and cure, DeadlineExceeded (the task is then cancelled).
    """
    try:
        done = poll.wait_for(
            [task_id],
            lambda kind, ids: ec2.describe(aws, kind, ids, patient=False),
            clock=clock,
            settings=wait_settings(settings),
            transient=passing,
            cancel=lambda task, reason: ec2.cancel(aws, task, reason),
            report=reporter,
            started=started,
            settle=True,
        )
    except TaskFailed as error:
        raise explained(error) from error
    return done[0]


def explained(error: TaskFailed) -> TaskFailed:
    """The same failure with what the catalogue knows of its message."""
    known = catalogue.explain(error.cause)
    if known.known:
        if known.causes:
            error.add_cause(known.causes[0])
        error.actions = actions(known.cure) or error.actions
    return error


def snapshot_ready(
    aws: Aws, snapshot_id: str, *, settings: Settings, clock: Clock, reporter: events.Reporter = events.silent
) -> None:
    """Wait until an EBS snapshot is complete: a finished import task may name one that is still pending.

    Raises TaskFailed when the snapshot is in error, DeadlineExceeded after an hour.
    """
    pause = settings.poll_seconds or 5.0
    began = clock.now()
    while (state := ec2.snapshot_state(aws, snapshot_id)) != "completed":
        if state == "error":
            raise TaskFailed(f"snapshot {snapshot_id} is in error", cure="import the disk again")
        if (clock.now() - began).total_seconds() > _SNAPSHOT_SECONDS:
            raise DeadlineExceeded(f"snapshot {snapshot_id} is still {state} after an hour", cure="look at it in EC2")
        reporter(events.Note(f"snapshot {snapshot_id} is {state}", "debug"))
        clock.sleep(clock.uniform(pause, 2 * pause))


_SNAPSHOT_SECONDS = 3600.0
