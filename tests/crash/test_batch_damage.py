"""Damage in one batch of a shared state hides no other there, and holds none up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.crash import postgres
from tests.unit.batch.idle_stages import NoWork
from vmie import events
from vmie.aws.session import Aws
from vmie.batch.context import BatchContext
from vmie.batch.model import BatchPlan, ItemKind, PlanItem, State
from vmie.batch.report import status, summary
from vmie.batch.run import api
from vmie.batch.store.locations import Locations
from vmie.errors import VmieError
from vmie.model import DAMAGED
from vmie.poll import SystemClock
from vmie.settings import Settings

CLOCK = SystemClock()


def connect(region: str, profile: str = "", /) -> Aws:
    return Aws.of({}, region=region or "eu-west-1", account="123456789012")


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE vmie_batches SET limits = '[]' WHERE batch = %s",
        'UPDATE vmie_batches SET limits = \'{"imports": "many"}\' WHERE batch = %s',
        "UPDATE vmie_batches SET created = 'yesterday' WHERE batch = %s",
        "UPDATE vmie_items SET state = 'bogus' WHERE batch = %s",
        "UPDATE vmie_items SET updated = 'never' WHERE batch = %s",
    ],
    ids=["limits", "limit", "created", "state", "updated"],
)
def test_each_batch_of_a_shared_state_stands_by_itself(
    database: postgres.Postgres, tmp_path: Path, damage: str
) -> None:
    address, told = postgres.emptied(database.address), list[Any]()
    locations = Locations(tmp_path, address)
    context = BatchContext(locations, connect, Settings(), reporter=told.append, poll_every=0.05, reconnect_within=0.0)
    plans = (BatchPlan(name, (PlanItem(name, ItemKind.IMPORT, "s3://b/k.raw", {}),)) for name in ("broken", "whole"))
    broken, whole = (api.begin(context, plan) for plan in plans)
    with psycopg.connect(address) as db:
        assert db.execute(damage, (broken,)).rowcount == 1
    listed = {one.job: one.status for one in summary.summaries(locations, clock=CLOCK)}
    assert listed == {broken: DAMAGED, whole: "running"}
    assert {one["batch"]: one["status"] for one in status.batches(locations, clock=CLOCK)} == listed
    assert api.run(context, whole, stages=NoWork).count(State.COMPLETED) == 1
    # an item in no known state is none that is left to do
    assert "state" in damage or any(
        isinstance(one, events.Note) and f"{broken} is left alone" in one.text for one in told
    )
    with pytest.raises(VmieError) as caught:
        status.status(locations, broken, clock=CLOCK)
    assert caught.value.code == "DamagedState"
