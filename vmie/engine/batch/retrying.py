"""What is tried again within a batch, by the catalogue's class of the failure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from vmie import catalogue, events, poll
from vmie.errors import AwsRefused, TaskFailed, VmieError
from vmie.ops import waiting
from vmie.poll import Clock, Patience

T = TypeVar("T")

#: beyond the SDK's own attempts: an hour's trouble at AWS does not fail the items it meets
PATIENCE: Mapping[str, Patience] = {
    "retry": Patience(within=3600, first=2, most=120, note="in passing"),
    "propagation": poll.ROLE,
    "wait-for-quota": Patience(within=6 * 3600, first=30, most=600, note="a quota of AWS is full"),
}


def persistently(call: Callable[[], T], *, clock: Clock, report: events.Reporter) -> T:
    """`call()`'s result; it must be idempotent. What no repetition cures is raised at once."""
    return poll.retrying(call, clock=clock, classify=classify, patience=PATIENCE, report=report)


def classify(error: BaseException) -> str:
    """The catalogue's class of a failed call; "permanent" for everything that is not AWS's answer."""
    if isinstance(error, AwsRefused):
        return waiting.classify(error)
    return "retry" if type(error) is VmieError and waiting.passing(error) else "permanent"


def another_task(error: TaskFailed) -> bool:
    """Whether a second task may succeed where this one failed: the fault was AWS's own, not the image's."""
    return catalogue.explain(error.cause.partition("\n")[0]).retry in ("retry", "wait-for-quota")
