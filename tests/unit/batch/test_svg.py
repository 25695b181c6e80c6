"""Failures are told once per cause, and charts stay small and readable however many items there are."""

from __future__ import annotations

import re
from typing import Any

import pytest

from vmie.batch.report import svg
from vmie.batch.report.failures import grouped
from vmie.batch.report.history import Span


def failed(key: str, message: str, *, task: str | None = None, source: str = "", cause: str = "") -> dict[str, Any]:
    error = {"code": "TaskFailed", "message": message, "cause": cause, "cure": "mend it", "request_id": key}
    return {"key": key, "task_id": task, "source": source or f"disks/{key}.ova", "error": error}


def test_failures_that_differ_only_in_names_are_one() -> None:
    found = grouped(
        [
            failed("db", "the disk is too large"),
            failed("web-1", "import-ami-1 failed: /mnt/web-1.ova has no system", task="import-ami-1"),
            failed("web-2", "import-ami-2 failed: /mnt/web-2.ova has no system", task="import-ami-2"),
        ]
    )
    assert [one.keys for one in found] == [("web-1", "web-2"), ("db",)]
    assert found[0].error["message"] == "import-ami-1 failed: /mnt/web-1.ova has no system"


def test_failures_of_different_causes_stay_apart() -> None:
    found = grouped([failed("web-1", "no", cause="one"), failed("web-2", "no", cause="another")])
    assert len(found) == 2


def test_a_key_that_is_a_common_word_part_takes_nothing_away() -> None:
    found = grouped([failed("1", "part 1 of 2", source="1"), failed("2", "part 2 of 2", source="2")])
    assert len(found) == 2


def test_named_says_how_many_are_left_out() -> None:
    (found,) = grouped([failed(f"vm-{number}", "no role") for number in range(12)])
    assert found.named(2) == "vm-0, vm-1 and 10 more"
    assert found.named(12).count(",") == 11


@pytest.mark.parametrize(
    ("total", "first", "last"),
    [
        (0.4, "0.0 s", "0.4 s"),
        (14.1, "0 s", "14 s"),
        (600, "0:00 h", "0:10 h"),
        (3 * 3600, "0:00 h", "3:00 h"),
        (40 * 3600, "0:00 h", "1 d 12:00 h"),
        (30 * 86400, "0 d", "28 d"),
    ],
)
def test_the_axis_counts_in_round_numbers(total: float, first: str, last: str) -> None:
    drawn = svg.timeline([], ["a"], failed=frozenset(), total=total)
    ticks = re.findall(r'text-anchor="\w+">([^<]+)<', drawn)
    assert (ticks[0], ticks[-1]) == (first, last)
    assert 3 <= len(ticks) <= 9


def test_usage_of_thousands_of_tasks_keeps_its_peak_and_stays_small() -> None:
    curve = [(float(at), 19 + at % 2) for at in range(100_000)]
    drawn = svg.usage({("import", "us-east-1"): curve}, {"import": 20}, total=100_000)
    assert len(drawn) < 120_000
    highest = min(float(y) for y in re.findall(r"L[\d.]+,([\d.]+)", drawn))
    assert highest == pytest.approx(10, abs=0.1), "20 of 20 slots reach the line of the limit"


def test_progress_counts_failures_on_top_of_successes() -> None:
    drawn = svg.progress([(1, False), (2, True), (3, False)], items=4, total=4)
    lost, good = re.findall(r'class="(?:lost|good)" d="([^"]+)"', drawn)
    top = {name: min(float(y) for y in re.findall(r",([\d.]+)", path)) for name, path in (("l", lost), ("g", good))}
    assert top == {"l": pytest.approx(120 - 3 * 27.5), "g": pytest.approx(120 - 2 * 27.5)}


def test_a_failed_item_is_marked_where_it_ended() -> None:
    drawn = svg.timeline([Span("a", "finish", 0, 5, "")], ["a", "b"], failed=frozenset({"a", "b"}), total=10)
    assert drawn.count('<rect class="lost"') == 1, "what never began has no end"
    assert 'x="580.0"' in drawn
