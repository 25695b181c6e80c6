"""One job, from its file to its end: begun once, resumed after a crash, known to `vmie jobs`.

What is done is the operation's; here is what every kind of job has in common.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from vmie import events
from vmie.errors import Action, Cancel, Interrupted, Resume, Run, UsageError, VmieError, says
from vmie.jobs.store import CANCELLED, DONE, FAILED, RUNNING, SUBMITTED, Job, JobStore
from vmie.ops import codec, expired_tasks, operations
from vmie.ops.context import Context
from vmie.ops.doctor import diagnosis
from vmie.ops.operation import Operation, carry_out
from vmie.ops.protocols import Plan, Request, Result
from vmie.poll import Clock

RequestT = TypeVar("RequestT", bound=Request)
PlanT = TypeVar("PlanT", bound=Plan)
ResultT = TypeVar("ResultT", bound=Result)


@dataclass(frozen=True, slots=True)
class JobOutcome(Generic[PlanT, ResultT]):
    """The plan of a job, and what came of it (None after a dry run)."""

    plan: PlanT
    result: ResultT | None


def store(state: Path, clock: Clock) -> JobStore:
    """The jobs in the state folder."""
    return JobStore(state, now=clock.now, token_hex=secrets.token_hex)


def run(
    operation: Operation[RequestT, PlanT, ResultT], *, wait: bool = True, dry_run: bool = False
) -> JobOutcome[PlanT, ResultT]:
    """Carry an operation out as a job; the same command after an interruption or a failure goes on with its job.

    Raises what the operation's steps raise.
    """
    with diagnosis.explained(operation):
        if dry_run:
            return JobOutcome(operation.plan(), None)
        with _begun(operation) as held:
            # An equal command may have ended while this one waited for its job.
            ended = _ended(operation, held) if held.status == DONE else None
            return ended or _carry_out(operation.on(held), held, wait=wait)


def resume(context: Context, job: str, *, wait: bool = True) -> JobOutcome[Any, Any]:
    """Go on with `job`; when it is done, what it came to. Raises UsageError when it is cancelled or locked."""
    with _stored(context).open(job) as held:
        operation = operations.read(context, held.kind, held.request).on(held)
        if held.status == DONE and (ended := _ended(operation, held)) is not None:
            return ended
        if held.status in (DONE, CANCELLED):
            cause = "the version of vmie that ended it kept no results" if held.status == DONE else ""
            cure = Run(("vmie", "jobs"), "lists what can go on")
            raise UsageError(f"{job} is {held.status}", cause=cause, cure=cure)
        held.finish(RUNNING)
        with diagnosis.explained(operation):
            return _carry_out(operation, held, wait=wait)


def cancel(context: Context, job: str, *, reason: str = "") -> dict[str, Any]:
    """Give `job` up: its tasks are cancelled and waited out, then what it uploaded goes.

    Raises UsageError when the job is done, VmieError when AWS does not let go of a task.
    """
    with _stored(context).open(job) as held:
        operation = operations.read(context, held.kind, held.request).on(held)
        if held.status == DONE:
            made, cure = operation.made
            raise UsageError(f"{job} is done", cause=made, cure=cure)
        undone = operation.undo(reason=reason)
        held.finish(CANCELLED)
    return {"job": job, "status": CANCELLED, **undone}


def _stored(context: Context) -> JobStore:
    if context.state is None:
        raise UsageError("there is no folder of jobs to look in", cure="give the context a state folder")
    return store(context.state, context.clock)


@contextmanager
def _begun(operation: Operation[Any, Any, Any]) -> Iterator[Job]:
    """A new job, or the one of the same request and content in the same account and Region; see `JobStore.begin`."""
    context, request, aws = operation.context, operation.request, operation.context.aws
    identity = [aws.bucket_owner, aws.region, aws.endpoint_url, request.lasting(), operation.content()]
    held, again = _stored(context).begin(
        operation.verb,
        source=operation.source,
        fingerprint=hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest(),
        request=request.as_json(),
        ended_too=operation.repeatable,
    )
    with held:
        if again:
            context.reporter(events.Note(f"going on with {held.job}"))
        yield held


def _carry_out(operation: Operation[Any, PlanT, ResultT], held: Job, *, wait: bool) -> JobOutcome[PlanT, ResultT]:
    """Plan and act as `held`, and record how it ended; a job refused before its first step is forgotten.

    Every failure after that says how to go on.
    """
    try:
        plan = operation.resumed(held.plan)
        if plan is None:
            plan = operation.plan()
            operation = operation.settled()
            with suppress(ValueError):  # a path that is no Unicode cannot be kept
                held.keep_plan(operation.dump())
    except BaseException:
        if not held.begun:
            held.remove()
        raise
    try:
        result = carry_out(operation, wait=wait)
    except Interrupted:
        raise
    except VmieError as error:
        held.finish(FAILED)
        if held.begun and not any(isinstance(action, Resume | Cancel) for action in error.actions):
            error.add_cure(_way_on(held.job, error))
        raise
    done = wait or not operation.tasks
    held.finish(DONE if done else SUBMITTED, codec.dump(result) if done else None)
    return JobOutcome(plan, result)


def _ended(operation: Operation[Any, PlanT, ResultT], held: Job) -> JobOutcome[PlanT, ResultT] | None:
    """What a job that is done came to, from its file; None when that does not hold it."""
    if held.plan is None or held.result is None:
        return None
    try:
        return JobOutcome(operation.load(held.plan).planned, codec.load(operation.result_type, held.result))
    except (KeyError, TypeError, ValueError):  # of another version
        return None


def _way_on(job: str, error: VmieError) -> tuple[Action, ...]:
    """What to do next with a job that failed; going on would meet some failures again."""
    anew = "removes what it uploaded; then the same command begins anew"
    match error.code:
        case expired_tasks.UNKNOWN:
            return (Cancel(job, f"if this is the account and the Region that it was started in; {anew}"),)
        case "NotProved":
            return ()
        case "IdempotentParameterMismatch":
            return (
                Run(("vmie", "tasks", "list"), "shows the first task"),
                Cancel(job, says(f"{anew}, with another {{client_token}} if you gave one")),
            )
        case _:
            return (Resume(job, "goes on, once the cause is mended"), Cancel(job, "gives it up"))
