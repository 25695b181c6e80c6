"""How long EBS waits for a block follows from what would be lost; a snapshot is kept alive where nothing differs."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import Any

import pytest

from vmie import events
from vmie.ops.block_hashes import BlockHashes
from vmie.ops.import_.direct_progress import BlocksSent, timeout

MIB = 1 << 20


@pytest.mark.parametrize(
    ("gib", "known", "rate", "minutes"),
    [
        (0, {}, None, 60),
        (8, {}, None, 87),
        (100, {}, None, 401),
        (16384, {}, None, 4320),
        (8, {}, 1 * MIB, 1425),
        (8, {"sent": 1 << 30, "seconds": 2.0}, 1 * MIB, 62),
        (8, {"sent": 1 << 20, "seconds": 3600.0}, None, 4320),
    ],
)
def test_the_timeout_follows_the_forecast(gib: int, known: dict[str, Any], rate: float | None, minutes: int) -> None:
    assert timeout(gib * 2048, known, rate=rate) == minutes


def test_a_block_is_due_once_half_of_the_timeout_went_by() -> None:
    now = [dt.datetime(2026, 1, 1, tzinfo=dt.UTC)]
    context: Any = SimpleNamespace(reporter=events.silent, clock=SimpleNamespace(now=lambda: now[0]))
    with BlockHashes(None, snapshot_id="snap-1", count=10) as hashes:
        sent = BlocksSent(hashes, 10, context, within=60)
        due = []
        for minutes, put in ((29, False), (2, False), (29, True), (29, False), (2, False), (1, False)):
            now[0] += dt.timedelta(minutes=minutes)
            due.append(sent.due())
            if put:
                sent.done(1, b"d" * 32)
    assert due == [False, True, False, False, True, False]
