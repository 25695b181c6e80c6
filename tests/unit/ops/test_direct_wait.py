"""A snapshot is made only when it is completed and holds what was written; all else fails, at once where it can."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.clocks import ManualClock
from vmie.aws.session import Aws
from vmie.errors import DeadlineExceeded
from vmie.ops.context import Context
from vmie.ops.import_ import direct_wait

BLOCK = 524288


class Ec2:
    """Answers DescribeSnapshots with one after another of `states`, then with the last again; None: it is not shown."""

    def __init__(self, *states: dict[str, Any] | None) -> None:
        self._states = list(states)
        self.looks = 0

    def get_paginator(self, _: str) -> Ec2:
        return self

    def paginate(self, **asked: Any) -> Iterator[dict[str, Any]]:
        if "OwnerIds" not in asked:
            self.looks += 1
            if self.looks > 1 and len(self._states) > 1:
                del self._states[0]
        shown = self._states[0]
        pending = any(one["Name"] == "status" for one in asked["Filters"])
        found = shown if shown and (not pending or shown["State"] == "pending") else None
        yield {"Snapshots": [{"SnapshotId": "snap-1", **found}] if found else []}


def ended(*states: dict[str, Any] | None, written: int = 4) -> tuple[str, str, float]:
    """Code and cause of the failure, and the seconds that were waited."""
    clock = ManualClock()
    began = clock.now()
    context = Context(Aws.of({"ec2": Ec2(*states)}), clock=clock)
    failed = direct_wait.completed(context, {"snap-1": written})
    waited = (clock.now() - began).total_seconds()
    if not failed:
        return "", "", waited
    return failed["snap-1"].code, failed["snap-1"].cause, waited


def test_one_that_is_completed_and_whole() -> None:
    assert ended({"State": "completed"}) == ("", "", 0)
    assert ended({"State": "completed", "FullSnapshotSizeInBytes": 4 * BLOCK}) == ("", "", 0)
    # its parent's blocks count too
    assert ended({"State": "completed", "FullSnapshotSizeInBytes": 9 * BLOCK}) == ("", "", 0)


def test_one_in_error_fails_at_once_with_what_ebs_says() -> None:
    assert ended({"State": "error", "StateMessage": "it timed out"}) == ("SnapshotError", "it timed out", 0)


def test_one_that_lacks_what_was_written_is_not_taken() -> None:
    assert ended({"State": "completed", "FullSnapshotSizeInBytes": 3 * BLOCK})[0] == "SnapshotIncomplete"


def test_one_that_is_gone_is_looked_for_before_it_is_given_up() -> None:
    code, cause, waited = ended(None)
    assert (code, cause) == ("SnapshotError", "somebody deleted it")
    assert 120 < waited < 240
    assert ended(None, {"State": "completed"})[0] == ""


def test_one_in_the_recycle_bin_was_deleted_and_one_that_comes_back_is_waited_for() -> None:
    assert ended({"State": "recoverable"}) == ("SnapshotError", "somebody deleted it", 0)
    assert ended({"State": "recovering"}, {"State": "completed"})[0] == ""
    with pytest.raises(DeadlineExceeded):
        ended({"State": "pending"})
