"""Spans, slots and durations are counted from the marks alone."""

from __future__ import annotations

import datetime as dt

from vmie.batch.model import Item, ItemKind, State
from vmie.batch.report import history

BEGAN = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def at(seconds: float) -> str:
    return (BEGAN + dt.timedelta(seconds=seconds)).isoformat()


def item(key: str) -> Item:
    return Item("b", key, 0, ItemKind.IMPORT, "x", {}, "r", "default", 0, (), 0, State.COMPLETED, 1, at(0))


def mark(key: str, state: State, seconds: float) -> dict[str, str]:
    return {"key": key, "state": state.value, "at": at(seconds), "worker": "w"}


MARKS = [
    mark("a", State.QUEUED, 0),
    mark("a", State.SENDING, 1),
    mark("b", State.SENDING, 2),
    mark("a", State.SENT, 3),
    mark("a", State.SUBMITTING, 4),
    mark("a", State.CONVERTING, 5),
    mark("b", State.FAILED, 6),
    mark("c", State.SUBMITTING, 8),
    mark("a", State.FINISHING, 10),
    mark("a", State.COMPLETED, 11),
]


def test_spans_follow_each_other_and_the_open_one_lasts_until_now() -> None:
    found = history.spans(MARKS, began=BEGAN, until=BEGAN + dt.timedelta(seconds=20))
    of_a = [(span.stage, span.begin, span.end) for span in found if span.key == "a"]
    assert of_a == [
        ("waiting", 0, 1),
        ("check and upload", 1, 3),
        ("waiting for a slot", 3, 4),
        ("AWS at work", 4, 10),
        ("finish", 10, 11),
    ]
    assert [(span.stage, span.begin, span.end) for span in found if span.key == "b"] == [("check and upload", 2, 6)]
    assert [(span.begin, span.end) for span in found if span.key == "c"] == [(8, 20)]


def test_slots_in_use() -> None:
    found = history.spans(MARKS, began=BEGAN, until=BEGAN + dt.timedelta(seconds=20))
    curves = history.slots(found, [item("a"), item("b"), item("c")])
    assert curves == {("import", "r"): [(4, 1), (8, 2), (10, 1), (20, 0)]}


def test_durations_by_stage() -> None:
    found = history.spans(MARKS, began=BEGAN, until=BEGAN + dt.timedelta(seconds=20))
    work = {one.stage: one for one in history.durations(found)}["AWS at work"]
    assert (work.count, work.median, work.longest) == (2, 9, 12)
