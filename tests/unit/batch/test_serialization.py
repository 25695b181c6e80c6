"""What DBOS records is JSON, and no row of another kind is ever loaded: a planted one would run its writer's code."""

from __future__ import annotations

import base64
import json
import os
import pickle
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from dbos._serialization import DBOSDefaultSerializer

from tests.unit.batch.idle_stages import NoWork
from vmie.aws.session import Aws
from vmie.batch.context import BatchContext
from vmie.batch.model import BatchPlan, ItemKind, PlanItem, State
from vmie.batch.run import api
from vmie.batch.run.serialization import JsonSerializer, refuse_pickles
from vmie.batch.store import state_errors, workflow_rows
from vmie.batch.store.locations import Locations
from vmie.errors import VmieError
from vmie.ops.ownership import UNTRUSTED
from vmie.settings import Settings


class StateLost(NoWork):
    """Stops the process in the middle of its first item, which leaves workflows that have not ended."""

    def upload(self) -> None:
        self._context.cancellation.fail(state_errors.lease_lost())
        self._context.cancellation.check()


class Payload:
    """Unpickled, it makes a folder."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self._mark),)


def connect(region: str, profile: str = "", /) -> Aws:
    return Aws.of({}, region=region or "eu-west-1", account="123456789012")


@pytest.fixture
def context(tmp_path: Path) -> BatchContext:
    return BatchContext(Locations(tmp_path / "state"), connect, Settings(), poll_every=0.05)


@pytest.fixture
def interrupted(context: BatchContext) -> str:
    """A batch of two items, stopped on its way."""
    items = tuple(PlanItem(f"vm-{number}", ItemKind.IMPORT, "s3://b/k.raw", {}) for number in range(2))
    batch = api.begin(context, BatchPlan("few", items))
    with pytest.raises(VmieError):
        api.run(context, batch, stages=StateLost)
    return batch


@pytest.fixture
def database(context: BatchContext, interrupted: str) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(context.locations.state / "batches" / interrupted / "state.db")) as db:
        yield db


def _plant(db: sqlite3.Connection, column: str, mark: Path, serializer: str | None) -> None:
    """Put a payload where DBOS keeps the inputs, the output or the error of a workflow, or a step's result."""
    planted = base64.b64encode(pickle.dumps(Payload(mark))).decode()
    if column == "step":
        (workflow,) = db.execute("SELECT workflow_uuid FROM workflow_status LIMIT 1").fetchone()
        db.execute(
            "INSERT INTO operation_outputs (workflow_uuid, function_id, function_name, output, serialization,"
            " retention_timestamp) VALUES (?, 1, 'DBOS.enqueue', ?, ?, 0)",
            (workflow, planted, serializer),
        )
    else:
        status = "ENQUEUED" if column == "inputs" else "SUCCESS" if column == "output" else "ERROR"
        values = (planted, serializer, status)
        db.execute(f"UPDATE workflow_status SET {column} = ?, serialization = ?, status = ?", values)
    db.commit()


@pytest.mark.parametrize("column", ["inputs", "output", "error", "step"])
def test_a_planted_row_runs_nothing_and_is_named(
    context: BatchContext, interrupted: str, database: sqlite3.Connection, tmp_path: Path, column: str
) -> None:
    mark = tmp_path / "mark"
    _plant(database, column, mark, "py_pickle")
    with pytest.raises(VmieError) as caught:
        api.run(context, interrupted, stages=NoWork)
    assert caught.value.code == UNTRUSTED
    assert "py_pickle" in caught.value.message
    assert f"vmie batch resume {interrupted} --requeue" in caught.value.cure
    assert not mark.exists()
    done = api.run(context, interrupted, requeue=True, stages=NoWork)
    assert done.count(State.COMPLETED) == 2
    assert not mark.exists()


def test_a_row_planted_while_the_batch_runs_is_not_unpickled(
    context: BatchContext,
    interrupted: str,
    database: sqlite3.Connection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mark = tmp_path / "mark"
    _plant(database, "inputs", mark, "py_pickle")
    # As if it had been written just after the look.
    monkeypatch.setattr(workflow_rows, "check", lambda engine, batch: None)
    with pytest.raises(VmieError) as caught:
        api.run(context, interrupted, stages=NoWork)
    assert caught.value.code == UNTRUSTED
    assert not mark.exists()


def test_dbos_has_no_pickle_left(tmp_path: Path) -> None:
    reported: list[VmieError] = []
    refuse_pickles(reported.append)
    planted = base64.b64encode(pickle.dumps(Payload(tmp_path / "mark"))).decode()
    with pytest.raises(VmieError) as caught:
        DBOSDefaultSerializer.deserialize(planted)
    assert reported == [caught.value]
    assert caught.value.code == UNTRUSTED
    with pytest.raises(VmieError):
        DBOSDefaultSerializer.serialize({})
    assert not (tmp_path / "mark").exists()


def test_what_a_batch_records_is_json(context: BatchContext, interrupted: str, database: sqlite3.Connection) -> None:
    api.run(context, interrupted, stages=NoWork)
    named = database.execute("SELECT DISTINCT serialization FROM workflow_status").fetchall()
    assert named == [(workflow_rows.SERIALIZER,)]
    texts = database.execute("SELECT inputs, output, error FROM workflow_status").fetchall()
    texts += database.execute("SELECT output, error, NULL FROM operation_outputs").fetchall()
    assert all(json.loads(text) is not None for row in texts for text in row if text is not None)
    for table, columns in _JSON.items():
        for row in database.execute(f"SELECT {', '.join(columns)} FROM {table}"):
            assert all(isinstance(json.loads(text), dict | list) for text in row)


_JSON = {
    "vmie_batches": ("limits",),
    "vmie_items": ("request", "after", "result", "error"),
    "vmie_steps": ("value",),
    "vmie_workers": ("queues",),
}


def test_values_come_back_and_an_exception_as_its_words() -> None:
    serializer = JsonSerializer()
    for value in (None, 1, "é", ["a", {"b": True}], {"error": "a word"}):
        assert serializer.deserialize(serializer.serialize(value)) == value
    assert serializer.serialize({"b": 1, "a": 2}) == serializer.serialize({"a": 2, "b": 1})
    read = serializer.deserialize(serializer.serialize(KeyError("x")))
    assert isinstance(read, Exception)
    assert str(read) == "KeyError: 'x'"
    with pytest.raises(TypeError):
        serializer.serialize(object())
