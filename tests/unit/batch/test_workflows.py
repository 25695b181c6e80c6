"""Many items in one process: waiting starves nobody, and a machine's own number of uploads is kept."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import Counter
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from vmie.aws.session import Aws
from vmie.batch.context import BatchContext
from vmie.batch.model import BatchPlan, Item, ItemKind, Limits, PlanItem, State
from vmie.batch.report.summary import summaries
from vmie.batch.run import api, workflows
from vmie.batch.run.context import RunContext
from vmie.batch.run.stages import Stages
from vmie.batch.store import state_errors
from vmie.batch.store.locations import Locations
from vmie.errors import UsageError, VmieError
from vmie.settings import Settings

REGIONS = [f"eu-west-{number}" for number in range(1, 5)]
SLOTS = 20


class Slow(Stages):
    """Tasks of six Regions last until `go`, those of the seventh no time at all."""

    def __init__(self, context: RunContext, item: Item, *, go: threading.Event) -> None:
        super().__init__(context, item)
        self._go = go

    def check(self) -> None:
        return

    def upload(self) -> None:
        return

    def submit(self) -> str:
        return "import-ami-00000000000000000"

    def wait(self, task_id: str) -> None:
        if self._item.region != REGIONS[-1]:
            self._context.cancellation.wait(self._go)

    def finish(self) -> dict[str, Any]:
        return {}


def door(region: str, profile: str = "", /) -> Aws:
    return Aws.of({}, region=region or REGIONS[0], account="123456789012")


def test_waiting_starves_nobody(tmp_path: Path) -> None:
    go = threading.Event()
    items = tuple(
        PlanItem(f"{region}-{number}", ItemKind.IMPORT, "s3://b/k.raw", {}, region=region)
        for region in REGIONS
        for number in range(SLOTS + 4)
    )
    context = BatchContext(Locations(tmp_path), door, Settings(), poll_every=0.1)
    batch = api.begin(context, BatchPlan("many", items, Limits(imports=SLOTS, uploads=8, ahead=40)))
    outcome: list[api.BatchResult] = []
    worker = threading.Thread(target=lambda: outcome.append(api.run(context, batch, stages=partial(Slow, go=go))))
    worker.start()
    try:
        expected = {(region, State.CONVERTING): SLOTS for region in REGIONS[:-1]}
        expected |= {(region, State.SENT): 4 for region in REGIONS[:-1]}
        expected[REGIONS[-1], State.COMPLETED] = SLOTS + 4
        end = time.monotonic() + 60
        while (counts := Counter((one.region, one.state) for one in api.look(context, batch).items)) != expected:
            assert time.monotonic() < end, counts
            time.sleep(0.2)
    finally:
        go.set()
        worker.join(60)
    assert outcome[0].count(State.COMPLETED) == len(items)


class Uploading(Slow):
    """Counts how many are being uploaded at once: each waits until `go`, which as many as expected set."""

    def __init__(
        self, context: RunContext, item: Item, *, go: threading.Event, seen: Counter[str], expected: int
    ) -> None:
        super().__init__(context, item, go=go)
        self._seen = seen
        self._expected = expected

    def upload(self) -> None:
        self._seen["now"] += 1
        self._seen["most"] = max(self._seen["most"], self._seen["now"])
        if self._seen["most"] >= self._expected:
            self._go.set()
        self._go.wait(20)
        time.sleep(0.05)
        self._seen["now"] -= 1


@pytest.mark.parametrize(("own", "most"), [(1, 1), (None, 3)])
def test_a_machine_keeps_to_its_own_number_of_uploads(tmp_path: Path, own: int | None, most: int) -> None:
    """The queue lets three through, as the batch says; who is to send one at a time gives the others back."""
    go, seen = threading.Event(), Counter[str]()
    items = tuple(PlanItem(f"vm-{number}", ItemKind.IMPORT, "s3://b/k.raw", {}) for number in range(8))
    context = BatchContext(
        Locations(tmp_path),
        door,
        Settings(),
        poll_every=0.05,
        uploads=own,
    )
    batch = api.begin(context, BatchPlan("few", items, Limits(uploads=3)))
    outcome = api.run(context, batch, stages=partial(Uploading, go=go, seen=seen, expected=most))
    assert outcome.count(State.COMPLETED) == 8
    assert seen["most"] == most


class Lost(Slow):
    """Loses the state in the middle of an upload, as when the database goes away."""

    def upload(self) -> None:
        self._context.cancellation.fail(state_errors.lease_lost())
        self._context.cancellation.check()


def test_what_an_older_vmie_began_is_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its workflows have another shape: DBOS runs none of them, and the items are found without one."""
    go = threading.Event()
    go.set()
    items = tuple(PlanItem(f"vm-{number}", ItemKind.IMPORT, "s3://b/k.raw", {}) for number in range(3))
    context = BatchContext(Locations(tmp_path), door, Settings(), poll_every=0.05)
    batch = api.begin(context, BatchPlan("few", items))
    with monkeypatch.context() as older:
        older.setattr(workflows, "SHAPE", "vmie-batch-1")
        with pytest.raises(VmieError) as caught:
            api.run(context, batch, stages=partial(Lost, go=go))
    assert caught.value.code == state_errors.LEASE_LOST
    assert {item.state for item in api.look(context, batch).items} & {State.SENDING}
    done = api.run(context, batch, stages=partial(Slow, go=go))
    assert done.count(State.COMPLETED) == 3
    assert {item.round for item in done.items} >= {2}


def test_a_paused_batch_begins_nothing_in_whatever_process_and_goes_on_when_told(tmp_path: Path) -> None:
    """One item is under way when the batch is paused: it ends, the others wait, and the pause outlives the process."""
    go = threading.Event()
    items = tuple(PlanItem(f"vm-{n}", ItemKind.IMPORT, "s3://b/k.raw", {}, region=REGIONS[0]) for n in range(6))
    said: list[str] = []
    context = BatchContext(Locations(tmp_path), door, Settings(), reporter=lambda one: said.append(str(one)))
    context = replace(context, poll_every=0.05)
    batch = api.begin(context, BatchPlan("few", items, Limits(imports=1, uploads=1, ahead=2)))

    def states() -> Counter[State]:
        return Counter(one.state for one in api.look(context, batch).items)

    def eventually(wanted: Counter[State]) -> None:
        end = time.monotonic() + 30
        while states() != wanted:
            assert time.monotonic() < end, states()
            time.sleep(0.05)

    outcome: list[api.BatchResult] = []
    worker = threading.Thread(target=lambda: outcome.append(api.run(context, batch, stages=partial(Slow, go=go))))
    with context.locations.of(batch).open(context.clock.now) as store:
        store.pause(batch, True)
    worker.start()
    try:
        while not any("is paused" in one for one in said):
            time.sleep(0.02)
        time.sleep(0.5)
        assert states() == {State.WAITING: 6}, "a run of a paused batch begins nothing"
        (listed,) = summaries(context.locations, clock=context.clock)
        assert listed.status == "paused"
        assert api.resume_elsewhere(context, batch) is not None, "the process that has it goes on"
        eventually(Counter({State.CONVERTING: 1, State.SENT: 2, State.WAITING: 3}))
        api.pause(context, batch)
        go.set()
        eventually(Counter({State.COMPLETED: 3, State.WAITING: 3}))
        time.sleep(0.3)
        assert states() == {State.COMPLETED: 3, State.WAITING: 3}
        api.resume_elsewhere(context, batch)
    finally:
        go.set()
        worker.join(30)
    assert outcome[0].completed == 6
    with pytest.raises(UsageError, match="has ended"):
        api.pause(context, batch)


def test_what_is_queued_when_a_batch_is_paused_waits_again(tmp_path: Path) -> None:
    context = BatchContext(Locations(tmp_path), door, Settings())
    batch = api.begin(context, BatchPlan("one", (PlanItem("vm", ItemKind.IMPORT, "s3://b/k.raw", {}),)))
    with context.locations.of(batch).open(context.clock.now) as store:
        run = RunContext(context, store)
        run.move(store.item(batch, "vm"), State.QUEUED)
        assert not run.put_back(store.item(batch, "vm"))
        store.pause(batch, True)
        assert run.put_back(store.item(batch, "vm"))
        again = store.item(batch, "vm")
        assert (again.state, again.round) == (State.WAITING, 2)
        run.move(again, State.SENDING)
        assert not run.put_back(store.item(batch, "vm")), "what has begun goes on"


def test_a_state_from_before_there_were_pauses_is_listed_and_brought_up_to_date(tmp_path: Path) -> None:
    context = BatchContext(Locations(tmp_path), door, Settings())
    batch = api.begin(context, BatchPlan("one", (PlanItem("vm", ItemKind.IMPORT, "s3://b/k.raw", {}),)))
    with closing(sqlite3.connect(tmp_path / "batches" / batch / "state.db")) as db:
        db.execute("ALTER TABLE vmie_batches DROP COLUMN paused")
        db.execute("UPDATE vmie_shape SET version = 4")
        db.commit()
    (listed,) = summaries(context.locations, clock=context.clock)
    assert listed.status == "interrupted", "read as it is"
    api.pause(context, batch)
    (listed,) = summaries(context.locations, clock=context.clock)
    assert listed.status == "paused"
