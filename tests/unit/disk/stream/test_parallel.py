"""The ordered, bounded pipeline, and the cutting of extents into units of work."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmie.disk.stream import spans
from vmie.disk.stream.parallel import cores, ordered
from vmie.model import Extent, ExtentKind


@pytest.mark.parametrize("workers", [1, 2, 5, None])
def test_results_come_in_the_order_of_their_tasks(workers: int | None) -> None:
    def work(number: int) -> int:
        time.sleep(0.002 * (number % 3))
        return number * number

    assert list(ordered(work, range(50), workers=workers)) == [number * number for number in range(50)]


@pytest.mark.parametrize("workers", [1, 3])
def test_an_error_comes_out_at_its_place(workers: int) -> None:
    def work(number: int) -> int:
        if number == 7:
            raise KeyError(number)
        return number

    results = ordered(work, range(20), workers=workers)
    assert [next(results) for _ in range(7)] == list(range(7))
    with pytest.raises(KeyError):
        next(results)


def test_tasks_are_drawn_no_further_than_the_workers_need() -> None:
    drawn: list[int] = []

    def tasks() -> Iterator[int]:
        for number in range(1000):
            drawn.append(number)
            yield number

    results = ordered(lambda number: number, tasks(), workers=2)
    next(results)
    assert len(drawn) <= 6
    results.close()  # type: ignore[attr-defined]


def test_all_workers_work_at_once() -> None:
    together = threading.Barrier(4, timeout=10)
    assert list(ordered(lambda _: together.wait() >= 0, range(4), workers=4)) == [True] * 4


def test_there_is_always_a_core() -> None:
    assert 1 <= cores() <= 32


def extent(offset: int, length: int, kind: ExtentKind = ExtentKind.ALLOCATED) -> Extent:
    return Extent(offset, length, kind)


def test_units_touched_by_neighbouring_extents_are_counted_once() -> None:
    found = spans.touched([extent(0, 1), extent(9, 2), extent(20, 5), extent(40, 10), extent(50, 1)], unit=10)
    assert list(found) == [(0, 3), (4, 6)]


def test_zeros_and_holes_touch_nothing() -> None:
    kinds = [extent(0, 10, ExtentKind.ZERO), extent(10, 10, ExtentKind.HOLE), extent(20, 1)]
    assert list(spans.touched(kinds, unit=10)) == [(2, 3)]


some_spans = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 80)), max_size=8).map(
    lambda steps: [
        (sum(gap + length for gap, length in steps[:index]) + steps[index][0], sum(map(sum, steps[: index + 1])))
        for index in range(len(steps))
    ]
)


@given(some_spans, st.integers(1, 20), st.integers(1, 40))
def test_batches_hold_every_unit_once_and_cross_no_fence(cut: list[spans.Span], most: int, fence: int) -> None:
    batches = list(spans.batches(cut, most=most, fence=fence))
    units = [[unit for first, stop in batch for unit in range(first, stop)] for batch in batches]
    assert [unit for batch in units for unit in batch] == [u for first, stop in cut for u in range(first, stop)]
    assert all(1 <= len(batch) <= most for batch in units)
    assert all(len({unit // fence for unit in batch}) == 1 for batch in units)
