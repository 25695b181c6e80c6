"""A shared state whose rows another program has written: refused before DBOS loads one, deleted unread on request."""

from __future__ import annotations

import base64
import os
import pickle
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.crash import postgres
from tests.unit.batch.idle_stages import NoWork
from vmie.aws.session import Aws
from vmie.batch.context import BatchContext
from vmie.batch.model import BatchPlan, ItemKind, PlanItem, State
from vmie.batch.run import api
from vmie.batch.store import state_errors
from vmie.batch.store.locations import Locations
from vmie.errors import VmieError
from vmie.ops.ownership import UNTRUSTED
from vmie.settings import Settings


class Failing(NoWork):
    """Stops the process in the middle of its first item."""

    def upload(self) -> None:
        self._context.cancellation.fail(state_errors.unavailable(OSError("disk full")))
        self._context.cancellation.check()


class Payload:
    """Unpickled, it makes a folder."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self._mark),)


def connect(region: str, profile: str = "", /) -> Aws:
    return Aws.of({}, region=region or "eu-west-1", account="123456789012")


def test_a_row_planted_in_a_postgresql_runs_nothing(database: postgres.Postgres, tmp_path: Path) -> None:
    address, mark = postgres.emptied(database.address), tmp_path / "mark"
    context = BatchContext(Locations(tmp_path, address), connect, Settings(), poll_every=0.05, reconnect_within=0.0)
    batch = api.begin(context, BatchPlan("few", (PlanItem("vm", ItemKind.IMPORT, "s3://b/k.raw", {}),)))
    with pytest.raises(VmieError):
        api.run(context, batch, stages=Failing)
    planted = base64.b64encode(pickle.dumps(Payload(mark))).decode()
    with psycopg.connect(address) as db:
        values = (planted, "py_pickle", "ENQUEUED")
        changed = db.execute("UPDATE dbos.workflow_status SET inputs = %s, serialization = %s, status = %s", values)
        assert changed.rowcount == 1
    with pytest.raises(VmieError) as caught:
        api.run(context, batch, stages=NoWork)
    assert caught.value.code == UNTRUSTED
    done = api.run(context, batch, requeue=True, stages=NoWork)
    assert done.count(State.COMPLETED) == 1
    assert not mark.exists()
