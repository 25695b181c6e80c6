"""One job, from its file to its end: what every kind of job has in common."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from vmie.engine.jobs import CANCELLED, DONE, FAILED, RUNNING, SUBMITTED, Job, JobStore
from vmie.errors import Interrupted, UsageError, VmieError
from vmie.ops import vanished
from vmie.poll import Clock

Plan = TypeVar("Plan")
Result = TypeVar("Result")


def store(state: Path, clock: Clock) -> JobStore:
    """The jobs in the state folder."""
    return JobStore(state, now=clock.now, token_hex=secrets.token_hex)


def reopened(job: Job) -> Job:
    """A job to go on with. Raises UsageError when it is done or cancelled."""
    if job.status in (DONE, CANCELLED):
        raise UsageError(f"{job.job} is {job.status}", cure="`vmie jobs` lists what can go on")
    job.finish(RUNNING)
    return job


def carry_out(
    held: Job, think: Callable[[], Plan], act: Callable[[Plan], Result], *, ends: bool = True
) -> tuple[Plan, Result]:
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
        then = _way_on(held.job, error)
        if held.begun and held.job not in error.cure:
            error.cure = f"{error.cure}\n{then}" if error.cure else then
        raise
    held.finish(DONE if ends else SUBMITTED)
    return plan, result


def _way_on(job: str, error: VmieError) -> str:
    """What to do next with a job that failed; going on would meet some failures again."""
    anew = f"`vmie cancel {job}` removes what it uploaded, then the same command begins anew"
    match error.code:
        case vanished.UNKNOWN:
            return f"if this is the account and the Region that it was started in: {anew}"
        case "IdempotentParameterMismatch":
            return f"look for the first task in `vmie tasks list`; {anew}, with another --client-token if you gave one"
        case _:
            return f"then: vmie resume {job} (or give it up: vmie cancel {job})"
