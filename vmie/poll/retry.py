"""Retrying one call: how long, and for which kind of failure, is the caller's to say."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import tenacity

from vmie.errors import VmieError
from vmie.events import Note, Reporter, silent
from vmie.poll.clock import Clock

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """For how many seconds to go on, with pauses that double from `first` to `most` seconds."""

    within: float
    first: float = 2.0
    most: float = 15.0
    note: str = ""


#: A role is used before IAM has propagated it to every Region; AWS asks for seconds, rarely a minute (aws-facts 6).
ROLE = Patience(within=120, note="the role is not ready yet")
#: Throttles, 5xx and broken connections, beyond what the SDK has already retried.
TRANSIENT = Patience(within=120, note="AWS did not answer")
#: A thing just made that another part of AWS does not see yet.
VISIBILITY = Patience(within=60, first=1.0, most=10.0)


def retrying(
    call: Callable[[], T],
    *,
    clock: Clock,
    classify: Callable[[BaseException], str],
    patience: Mapping[str, Patience],
    report: Reporter = silent,
) -> T:
    """`call()`'s result, tried again while `classify` names a class of failure that `patience` knows.

    Each class has its own time, counted from its first failure. The last error is raised as it is; a
    `VmieError` says in its cause for how long AWS kept to it.
    """
    first_seen: dict[str, dt.datetime] = {}

    def pause(state: tenacity.RetryCallState) -> float:
        known = patience[classify(_error(state))]
        length = min(known.most, known.first * 2 ** min(state.attempt_number - 1, 16))
        return clock.uniform(length / 2, length)

    def worth(error: BaseException) -> bool:
        return classify(error) in patience

    def over(state: tenacity.RetryCallState) -> bool:
        error = _error(state)
        kind = classify(error)
        since = first_seen.setdefault(kind, clock.now())
        waited = (clock.now() - since).total_seconds()
        if waited + state.upcoming_sleep <= patience[kind].within:
            return False
        if isinstance(error, VmieError):
            lasted = f"it still said so after {waited:.0f} s"
            error.add_cause(lasted)
        return True

    def tell(state: tenacity.RetryCallState) -> None:
        error = _error(state)
        known = patience[classify(error)]
        if known.note:
            report(Note(f"{known.note} ({error}); trying again in {state.upcoming_sleep:.0f} s"))

    again = tenacity.Retrying(
        retry=tenacity.retry_if_exception(worth),
        wait=pause,
        stop=over,
        sleep=clock.sleep,
        before_sleep=tell,
        reraise=True,
    )
    return again(call)


def _error(state: tenacity.RetryCallState) -> BaseException:
    error = state.outcome.exception() if state.outcome else None
    return error if error is not None else AssertionError("a retry without a failure")
