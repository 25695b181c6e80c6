"""Batch databases that are damaged, or that something else than vmie has written: listed, shown and reported."""

from __future__ import annotations

import base64
import json
import pickle
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from dbos._serialization import deserialize_args, deserialize_value

from tests.clocks import ManualClock
from tests.fuzz import harness, mutations
from tests.fuzz.sizes import inputs
from tests.unit.batch.test_serialization import Payload, StateLost, connect
from vmie.batch.context import BatchContext
from vmie.batch.model import BatchPlan, ItemKind, PlanItem, State
from vmie.batch.report import html, status, summary
from vmie.batch.run import api
from vmie.batch.run.serialization import JsonSerializer
from vmie.batch.store import workflow_rows
from vmie.batch.store.journal import ItemJournal
from vmie.batch.store.locations import Locations
from vmie.cli import batch_text, render
from vmie.cli.jobs import _row as job_row
from vmie.errors import VmieError
from vmie.settings import Settings

_BATCH = "batch-20260102-030405-a1b2c3"
_JOBS = tuple(json.loads(path.read_text()) for path in sorted((Path(__file__).parent / "seeds").glob("import-*.json")))
_OURS = ("vmie_batches", "vmie_items", "vmie_steps", "vmie_marks", "vmie_workers", "vmie_shape")
_ENDLESS = (
    "WITH RECURSIVE n(x) AS (VALUES(1) UNION ALL SELECT x+1 FROM n)"
    " SELECT x AS number, 'b' AS batch, 'k' AS key, 'sent' AS state, 'a' AS at, '' AS worker FROM n"
)
_SQL = (
    "DROP TABLE vmie_items",
    "DROP TABLE vmie_shape",
    "DELETE FROM vmie_items",
    "DELETE FROM vmie_batches",
    "ALTER TABLE vmie_items DROP COLUMN worker",
    f"DROP TABLE vmie_marks; CREATE VIEW vmie_marks AS {_ENDLESS}",
    "CREATE TRIGGER endless AFTER UPDATE ON vmie_items BEGIN UPDATE vmie_items SET wave = wave + 1; END",
    "UPDATE vmie_shape SET version = 99",
    "UPDATE vmie_shape SET version = 'x'",
    "UPDATE vmie_marks SET key = 'nobody'",
    "UPDATE vmie_items SET batch = 'batch-20260102-030405-ffffff'",
)


@pytest.fixture(scope="module")
def seed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A batch stopped on its way, DBOS's tables among ours, with items of every state and their steps."""
    locations = Locations(tmp_path_factory.mktemp("seed"))
    context = BatchContext(locations, connect, Settings(), poll_every=0.05)
    items = tuple(PlanItem(f"vm-{state}", ItemKind.IMPORT, "s3://b/k.raw", _JOBS[0]["request"]) for state in State)
    batch = api.begin(context, BatchPlan("spring", items))
    with pytest.raises(VmieError):
        api.run(context, batch, stages=StateLost)
    with locations.of(batch).open(ManualClock().now) as store:
        for item, job in zip(store.items(batch), _JOBS * 4, strict=False):
            for name, step in job["steps"].items():
                store.put_step(item, name, step)
            error = {"code": "c", "message": "m", "cause": "w", "cure": "d", "request_id": "r"}
            store.move(item, State(item.key[3:]), result=job.get("result") or {}, error=error, task_id="import-ami-1")
    path = locations.state / "batches" / batch / "state.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA foreign_keys = OFF")
        for table in _OURS:
            if "batch" in {row[1] for row in db.execute(f"PRAGMA table_info({table})")}:
                db.execute(f"UPDATE {table} SET batch = ?", (_BATCH,))
        db.commit()
        db.execute("PRAGMA journal_mode = DELETE")
        db.execute("VACUUM")
    return path.read_bytes()


def _value(rng: random.Random) -> Any:
    made = mutations.hostile(rng)
    if isinstance(made, dict | list):
        with suppress(RecursionError):
            return json.dumps(made)
        return "[" * 20_000
    if isinstance(made, int) and not isinstance(made, bool) and abs(made) >= 1 << 63:
        return "9" * 5000
    if isinstance(made, str) and rng.random() < 0.3:
        return made.encode("utf-8", errors="surrogatepass")
    return made.encode("utf-8", "replace").decode() if isinstance(made, str) else made


def _changed(rng: random.Random, path: Path) -> None:
    """Change some cells, by SQL: whatever a program could have put there."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA synchronous = OFF")
        if rng.random() < 0.1:
            db.executescript(rng.choice(_SQL))
        tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        ours = [name for name in tables if name in _OURS]
        for _ in range(rng.choice((0, 1, 1, 2, 4))):
            table = rng.choice(ours if rng.random() < 0.8 else tables)
            columns = [row[1] for row in db.execute(f'PRAGMA table_info("{table}")')]
            if table == "workflow_status" and rng.random() < 0.3:
                planted = base64.b64encode(pickle.dumps(Payload(path.parent / "canary"))).decode()
                db.execute("UPDATE workflow_status SET inputs = ?, serialization = 'py_pickle'", (planted,))
                continue
            column, value = rng.choice(columns), _value(rng)
            if rng.random() < 0.3 and table in ours:
                held = db.execute(f'SELECT "{column}" FROM "{table}" ORDER BY random() LIMIT 1').fetchone()
                with suppress(ValueError, TypeError):
                    value = mutations.as_json(rng, mutations.tree(rng, json.loads(held[0]))).decode(errors="replace")
            where = "" if rng.random() < 0.5 else f' WHERE rowid = (SELECT rowid FROM "{table}" LIMIT 1)'
            with suppress(sqlite3.Error, UnicodeError):
                db.execute(f'UPDATE "{table}" SET "{column}" = ?{where}', (value,))
        db.commit()


def _maker(path: Path, seed: bytes) -> Callable[[random.Random], None]:
    def make(rng: random.Random) -> None:
        for name in ("state.db-wal", "state.db-shm", "state.db-journal"):
            path.with_name(name).unlink(missing_ok=True)
        path.write_bytes(seed)
        if rng.random() < 0.7:
            _changed(rng, path)
        if rng.random() < 0.4:
            data = bytearray(path.read_bytes())
            for _ in range(rng.choice((1, 3, 20))):
                data[rng.randrange(len(data) if rng.random() < 0.7 else 100)] = rng.randrange(256)
            path.write_bytes(data[: rng.randrange(len(data))] if rng.random() < 0.2 else data)
        path.chmod(0o600)

    return make


def _empty(path: Path) -> bool:
    """Whether a database can be read and lists no batch: one that was never begun."""
    with closing(sqlite3.connect(path)) as db, suppress(sqlite3.Error, UnicodeError):
        return not db.execute("SELECT count(*) FROM vmie_batches").fetchone()[0]
    return False


def _reader(state: Path) -> Callable[[None], None]:
    locations, clock = Locations(state), ManualClock()

    def listed() -> None:
        found = summary.summaries(locations, clock=clock)
        assert found or _empty(state / "batches" / _BATCH / "state.db"), "a batch is hidden"
        harness.printed({"jobs": [one.as_json() for one in found]}, render.table(["a"] * 7, map(job_row, found)))
        short = status.batches(locations, clock=clock)
        harness.printed({"batches": short}, batch_text.batches(short))

    def shown() -> None:
        found = status.status(locations, _BATCH, clock=clock)
        harness.printed(found.as_json(), batch_text.status(found))

    def reported(form: str) -> Callable[[], None]:
        return lambda: harness.utf8(html.render(locations, _BATCH, form, clock=clock))

    def loaded() -> None:
        with locations.of(_BATCH).open(clock.now) as store:
            workflow_rows.check(store.engine)
            for item in store.items(_BATCH):
                ItemJournal(store, item)
            with store.engine.connect() as db, suppress(ValueError, KeyError, TypeError, RecursionError):
                for inputs_, output, kind in db.exec_driver_sql(
                    "SELECT inputs, output, serialization FROM workflow_status"
                ):
                    deserialize_args(inputs_, kind, JsonSerializer())
                    deserialize_value(output, kind, JsonSerializer())

    def read(_: None) -> None:
        last: VmieError | None = None
        for step in (listed, shown, *map(reported, ("html", "csv", "json")), loaded):
            try:
                step()
            except VmieError as error:
                harness.refused(error)
                last = error
        if last is not None:
            raise last

    return read


@pytest.mark.parametrize("count", inputs("databases"))
def test_databases(tmp_path: Path, seed: bytes, count: int) -> None:
    path = tmp_path / "here" / "state" / "batches" / _BATCH / "state.db"
    path.parent.mkdir(parents=True, mode=0o700)
    read = _reader(tmp_path / "here" / "state")
    tally = harness.run("databases", count, folder=tmp_path / "here", make=_maker(path, seed), read=read)
    harness.expect_no_fault(tally)
