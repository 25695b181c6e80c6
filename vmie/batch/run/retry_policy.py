"""What is tried again within a batch, by the catalogue's class of the failure; what affects all items alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from vmie import catalogue, events, poll
from vmie.aws.sdk_errors import about_caller
from vmie.batch.store import state_errors
from vmie.batch.store.state_errors import STATE_LOST
from vmie.errors import AwsRefused, TaskFailed, VmieError
from vmie.ops import waiting
from vmie.poll import Clock, Patience

T = TypeVar("T")

#: beyond the SDK's own attempts: an hour's trouble at AWS does not fail the items it meets
PATIENCE: Mapping[str, Patience] = {
    "retry": Patience(within=3600, first=2, most=120, note="in passing"),
    "propagation": poll.ROLE,
    "wait-for-quota": Patience(within=6 * 3600, first=30, most=600, note="a quota of AWS is full"),
    # Signed before the machine slept and sent after; signed anew, it is taken.
    "clock": Patience(within=60, first=1, most=15, note="signed at another time than AWS's"),
}


def persistently(call: Callable[[], T], *, clock: Clock, report: events.Reporter) -> T:
    """`call()`'s result; it must be idempotent. What no repetition cures is raised at once."""
    return poll.retrying(call, clock=clock, classify=classify, patience=PATIENCE, report=report)


def classify(error: BaseException) -> str:
    """The catalogue's class of a failed call; "permanent" for everything that is not AWS's answer."""
    if isinstance(error, AwsRefused):
        return "clock" if about_caller(error) == "clock-skew" else waiting.classify(error)
    return "retry" if waiting.passing(error) else "permanent"


def another_task(error: TaskFailed) -> bool:
    """Whether a second task may succeed where this one failed: the fault was AWS's own, not the image's."""
    return catalogue.explain(error.cause.partition("\n")[0]).retry in ("retry", "wait-for-quota")


#: stops this process, which still has a call under way, so that it begins nothing anew
UNSETTLED = "Unsettled"


def affects_all_items(error: BaseException) -> VmieError | None:
    """What to stop the process with when `error` would meet every item alike; None when it is the item's own.

    Credentials that ran out, are missing, unreadable, wrong or another account's; a setting of the SDK; a state that
    cannot be read or written.
    """
    if state_errors.is_database_error(error):
        return state_errors.unavailable(error)
    if isinstance(error, VmieError) and error.code in (*STATE_LOST, UNSETTLED):
        return error
    return error if isinstance(error, VmieError) and about_caller(error) else None
