"""One job, from its file to its end: what every kind of job has in common."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from vmie import events
from vmie.aws.session import Aws
from vmie.errors import Action, Cancel, Interrupted, Resume, Run, UsageError, VmieError, says
from vmie.jobs.store import CANCELLED, DONE, FAILED, RUNNING, SUBMITTED, Job, JobStore
from vmie.ops import expired_tasks
from vmie.poll import Clock, SystemClock
from vmie.settings import Settings

Plan = TypeVar("Plan")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Desk:
    """Where jobs are worked on: the account, the state folder, settings, who is told, the time."""

    aws: Aws
    state: Path
    settings: Settings = field(default_factory=Settings)
    reporter: events.Reporter = events.silent
    clock: Clock = field(default_factory=SystemClock)


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Plan, Result]):
    """The plan of a job, and what came of it (None after a dry run)."""

    plan: Plan
    result: Result | None


def store(state: Path, clock: Clock) -> JobStore:
    """The jobs in the state folder."""
    return JobStore(state, now=clock.now, token_hex=secrets.token_hex)


@contextmanager
def begun(
    desk: Desk, kind: str, *, source: str, request: dict[str, Any], meant: list[Any], ended_too: bool
) -> Iterator[Job]:
    """A new job, or the one of the same command in the same account and Region; see `JobStore.begin`.

    `meant` is what makes it the same command: the request, and whatever stands for the content of its files.
    """
    aws = desk.aws
    identity = [aws.bucket_owner, aws.region, aws.endpoint_url, *meant]
    fingerprint = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    jobs = store(desk.state, desk.clock)
    held, again = jobs.begin(kind, source=source, fingerprint=fingerprint, request=request, ended_too=ended_too)
    with held:
        if again:
            desk.reporter(events.Note(f"going on with {held.job}"))
        yield held


@contextmanager
def reopened(desk: Desk, job: str) -> Iterator[Job]:
    """A job to go on with. Raises UsageError when it is done or cancelled, or in another process's hands."""
    with store(desk.state, desk.clock).open(job) as held:
        if held.status in (DONE, CANCELLED):
            raise UsageError(f"{job} is {held.status}", cure="`vmie jobs` lists what can go on")
        held.finish(RUNNING)
        yield held


def give_up(desk: Desk, job: str, undo: Callable[[Job], dict[str, Any]], *, made: str, cure: str) -> dict[str, Any]:
    """Have `undo` take back what a job did, and mark it cancelled.

    Raises UsageError when it is done: `made` says what stands then, `cure` how that goes.
    """
    with store(desk.state, desk.clock).open(job) as held:
        if held.status == DONE:
            raise UsageError(f"{job} is done", cause=made, cure=cure)
        undone = undo(held)
        held.finish(CANCELLED)
    return {"job": job, "status": CANCELLED, **undone}


def carry_out(
    held: Job, think: Callable[[], Plan], act: Callable[[Plan], Result], *, ends: bool = True
) -> Outcome[Plan, Result]:
    """Plan and act as `held`, and record how it ended; a job refused before its first step is forgotten.

    Every failure after that says how to go on.
    """
    try:
        plan = think()
    except BaseException:
        if not held.begun:
            held.remove()
        raise
    try:
        result = act(plan)
    except Interrupted:
        raise
    except VmieError as error:
        held.finish(FAILED)
        if held.begun and not any(isinstance(action, Resume | Cancel) for action in error.actions):
            error.add_cure(_way_on(held.job, error))
        raise
    held.finish(DONE if ends else SUBMITTED)
    return Outcome(plan, result)


def _way_on(job: str, error: VmieError) -> tuple[Action, ...]:
    """What to do next with a job that failed; going on would meet some failures again."""
    anew = "removes what it uploaded; then the same command begins anew"
    match error.code:
        case expired_tasks.UNKNOWN:
            return (Cancel(job, f"if this is the account and the Region that it was started in; {anew}"),)
        case "IdempotentParameterMismatch":
            return (
                Run(("vmie", "tasks", "list"), "shows the first task"),
                Cancel(job, says(f"{anew}, with another {{client_token}} if you gave one")),
            )
        case _:
            return (Resume(job, "goes on, once the cause is mended"), Cancel(job, "gives it up"))
