"""What a batch reads of an account is read once in a while; failures and single verbs always ask anew."""

from __future__ import annotations

import datetime as dt
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from vmie.aws.cache import ReadCache
from vmie.aws.session import Aws
from vmie.errors import AwsRefused


class Clock:
    def __init__(self) -> None:
        self.at = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)

    def now(self) -> dt.datetime:
        return self.at

    def advance(self, seconds: float) -> None:
        self.at += dt.timedelta(seconds=seconds)


def test_a_reading_is_good_for_its_time() -> None:
    clock, read = Clock(), iter(range(10))
    kept = ReadCache(clock.now, seconds=300)
    assert [kept.get("role", lambda: next(read)) for _ in range(3)] == [0, 0, 0]
    clock.advance(299)
    assert kept.get("role", lambda: next(read)) == 0
    assert kept.get("role", lambda: next(read), seconds=15) == 1
    clock.advance(300)
    assert kept.get("role", lambda: next(read)) == 2
    assert kept.get("bucket", lambda: next(read)) == 3
    kept.forget()
    assert kept.get("role", lambda: next(read)) == 4


def test_a_failure_is_never_kept() -> None:
    kept, asked = ReadCache(Clock().now), []

    def refused() -> str:
        asked.append(1)
        raise AwsRefused("no", code="AccessDenied")

    for _ in range(2):
        with pytest.raises(AwsRefused):
            kept.get("role", refused)
    assert len(asked) == 2
    assert [kept.get("absent", lambda: asked.append(1)) for _ in range(2)] == [None, None]
    assert len(asked) == 4, "nor that something is not there: it may be made any moment"


def test_who_asks_at_the_same_time_waits_for_one_answer() -> None:
    kept, asked, all_there = ReadCache(Clock().now), [], threading.Barrier(8)

    def ask(_: int) -> str:
        all_there.wait(5)
        return kept.get("role", lambda: asked.append(1) or "arn")

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(8))) == {"arn"}
    assert len(asked) == 1


def test_memory_is_bounded() -> None:
    kept = ReadCache(Clock().now)
    for number in range(3000):
        kept.get(number, lambda: "x")
    assert len(kept._found) <= 1000
    assert len(kept._reading) <= 1001


def test_only_a_door_that_keeps_does_not_ask_each_time() -> None:
    clock, asked = Clock(), []
    plain = Aws.of({}, account="1")
    keeping = plain.with_cache(ReadCache(clock.now))
    for _ in range(2):
        plain.cached("role", lambda: asked.append("plain") or 1)
        keeping.cached("role", lambda: asked.append("keeping") or 1)
    assert asked == ["plain", "keeping", "plain"]
    keeping.forget()
    plain.forget()
    keeping.cached("role", lambda: asked.append("again") or 1)
    assert asked[-1] == "again"
