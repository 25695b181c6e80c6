"""What happened when: the transitions of a batch's items as spans, slots in use over time, and durations by stage."""

from __future__ import annotations

import datetime as dt
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from vmie.batch.model import Item, State
from vmie.batch.report.status import Status, of
from vmie.batch.store.locations import Location
from vmie.batch.store.rows import Batch
from vmie.batch.store.store import Store

#: what a person calls the states, in order
STAGES: Mapping[State, str] = {
    State.BLOCKED: "waiting",
    State.WAITING: "waiting",
    State.QUEUED: "waiting",
    State.SENDING: "check and upload",
    State.SENT: "waiting for a slot",
    State.SUBMITTING: "AWS at work",
    State.CONVERTING: "AWS at work",
    State.FINISHING: "finish",
}
NAMES = tuple(dict.fromkeys(STAGES.values()))
_HELD = "AWS at work"


@dataclass(frozen=True, slots=True)
class Span:
    """One item in one stage; `begin` and `end` in seconds since the batch began."""

    key: str
    stage: str
    begin: float
    end: float
    worker: str


@dataclass(frozen=True, slots=True)
class History:
    """A batch at a moment, and all that came before: `total` seconds since it began, or that it took."""

    batch: Batch
    status: Status
    spans: list[Span]
    total: float


@dataclass(frozen=True, slots=True)
class StageDurations:
    """How long a stage took over all items, in seconds."""

    stage: str
    count: int
    median: float
    p90: float
    longest: float


def read(store: Store, location: Location, batch: str, *, now: dt.datetime) -> History:
    """What became of a batch until now. Raises UsageError when there is none of that name."""
    known, items = store.batch(batch), store.items(batch)
    keys = {item.key for item in items}
    transitions = [one for one in store.transitions(batch) if one["key"] in keys]
    shown = of(known, items, now=now, at_work=location.shared or location.in_use())
    began = now.fromisoformat(known.created)
    until = max([now.fromisoformat(one["at"]) for one in transitions], default=now) if shown.ended else now
    found = spans(transitions, began=began, until=until)
    return History(known, shown, found, (until - began).total_seconds())


def spans(transitions: Sequence[Mapping[str, Any]], *, began: dt.datetime, until: dt.datetime) -> list[Span]:
    """The stages that items went through; what has not ended is open until `until`."""
    last: dict[str, tuple[str, float, str]] = {}
    out: list[Span] = []

    def close(key: str, at: float) -> None:
        stage, begin, worker = last.pop(key)
        out.append(Span(key, stage, begin, max(begin, at), worker))

    for one in transitions:
        key, at = one["key"], (dt.datetime.fromisoformat(one["at"]) - began).total_seconds()
        stage = STAGES.get(State(one["state"]), "")
        if key in last and last[key][0] != stage:
            close(key, at)
        if stage and key not in last:
            last[key] = (stage, at, one["worker"])
    for key in list(last):
        close(key, (until - began).total_seconds())
    return out


def slots(found: Iterable[Span], items: Sequence[Item]) -> dict[tuple[str, str], list[tuple[float, int]]]:
    """Per pool and place (the Region, with the account where there are several): (seconds, slots in use from then)."""
    several = len({item.account for item in items}) > 1
    of = {item.key: (item.kind.value, f"{item.account} {item.region}" if several else item.region) for item in items}
    changes: defaultdict[tuple[str, str], defaultdict[float, int]] = defaultdict(lambda: defaultdict(int))
    for span in found:
        if span.stage == _HELD:
            changes[of[span.key]][span.begin] += 1
            changes[of[span.key]][span.end] -= 1
    curves = {}
    for where, steps in sorted(changes.items()):
        used, curve = 0, []
        for at in sorted(steps):
            used += steps[at]
            curve.append((at, used))
        curves[where] = curve
    return curves


def durations(found: Iterable[Span]) -> list[StageDurations]:
    """Each stage's durations, in the order of the stages."""
    by: defaultdict[str, list[float]] = defaultdict(list)
    for span in found:
        by[span.stage].append(span.end - span.begin)
    return [
        StageDurations(stage, len(took), median(took), took[math.ceil(0.9 * len(took)) - 1], took[-1])
        for stage in NAMES
        if (took := sorted(by[stage]))
    ]
