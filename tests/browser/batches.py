"""A batch of 500 machines as its state has it, without a run: failed, completed and still to come."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import timedelta

from vmie.batch.model import BatchPlan, ItemKind, PlanItem, State
from vmie.batch.store.locations import Locations
from vmie.poll import SystemClock

CLOCK = SystemClock()
BATCH = "batch-20260102-030405-aaaaaa"
MADE = {"image_id": "ami-0123456789abcdef0", "snapshot_ids": ["snap-0123456789abcdef0"], "bytes_sent": 7 << 30}
WHYS = (
    {"code": "ClientError", "message": "no partition table", "cause": "the disk is empty", "cure": "add one"},
    {
        "code": "ClientError",
        "message": "ClientError: Unsupported kernel version 6.99.0-rc1-a-long-word-without-any-place-to-end-a-line",
        "cause": "AWS lists the kernels it takes\nand this is none of them",
        "cure": "`vmie explain` names them",
        "request_id": "11111111-2222-3333-4444-555555555555",
    },
)


def write(locations: Locations, *, items: int = 500, ended: bool = True) -> None:
    """Every hundredth item failed, alike but for the last; the others came through, or half of them are still to do."""
    names = [f"web-{number:03}-in-the-data-centre-of-frankfurt" for number in range(items - 1)] + ["<b>odd & one</b>"]
    plan = tuple(PlanItem(name, ItemKind.IMPORT, f"s3://images/{name}.vmdk", {}) for name in names)
    with locations.create(BATCH, "plan").open(CLOCK.now) as store:
        store.begin(
            BATCH, BatchPlan("move <2026>", plan), fingerprint="plan", account="123456789012", region="eu-west-1"
        )
    began = CLOCK.now() - timedelta(hours=2)
    rows, marks = [], []
    for number, name in enumerate(names):
        state, error, result = State.COMPLETED, {}, MADE
        if number % 100 == 99 or number == items - 1:
            state, error, result = State.FAILED, dict(WHYS[number == items - 1]), {}
        elif not ended and number % 2:
            state, result = State.WAITING, {}
        at = began + timedelta(seconds=number * 10)
        if state is not State.WAITING:
            for step, to in enumerate((State.SENDING, State.SENT, State.SUBMITTING, State.CONVERTING, state)):
                marks.append((BATCH, name, to.value, (at + timedelta(minutes=step)).isoformat(), "host-1"))
        task = "import-ami-0123456789abcdef0" if state is State.COMPLETED else None
        rows.append((state.value, task, json.dumps(error), json.dumps(result), at.isoformat(), name))
    with closing(sqlite3.connect(locations.state / "batches" / BATCH / "state.db")) as db:
        db.execute("UPDATE vmie_batches SET created=?", [began.isoformat()])
        db.executemany("UPDATE vmie_items SET state=?, task_id=?, error=?, result=?, updated=? WHERE key=?", rows)
        db.executemany("INSERT INTO vmie_marks (batch, key, state, at, worker) VALUES (?,?,?,?,?)", marks)
        db.commit()
