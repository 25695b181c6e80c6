"""Damage in one batch's database hides no other batch; a database's address never shows a password."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from vmie.batch.model import BatchPlan, Kind, PlanItem
from vmie.batch.plan import validate
from vmie.batch.report import status, summary
from vmie.batch.store import address
from vmie.batch.store.locations import Locations
from vmie.errors import VmieError
from vmie.model import DAMAGED
from vmie.poll import SystemClock
from vmie.settings import Settings

CLOCK = SystemClock()
WHOLE, BROKEN = "batch-20260102-030405-aaaaaa", "batch-20260102-030405-bbbbbb"
PLAN = BatchPlan("few", (PlanItem("vm", Kind.IMPORT, "s3://b/k.raw", {}),))


@pytest.fixture
def locations(tmp_path: Path) -> Locations:
    """Two batches of the same plan."""
    made = Locations(tmp_path)
    for batch in (WHOLE, BROKEN):
        with made.create(batch, "plan").open(CLOCK.now) as store:
            store.begin(batch, PLAN, fingerprint="plan", account="123456789012", region="eu-west-1")
    return made


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE vmie_batches SET limits = '[]'",
        "UPDATE vmie_batches SET limits = '{'",
        "UPDATE vmie_batches SET created = 'yesterday'",
        "UPDATE vmie_items SET state = 'bogus'",
        "DROP TABLE vmie_items",
        "",
    ],
)
def test_a_damaged_batch_hides_no_other(locations: Locations, damage: str) -> None:
    database = locations.state / "batches" / BROKEN / "state.db"
    if damage:
        with closing(sqlite3.connect(database)) as db:
            db.execute(damage)
            db.commit()
    else:
        database.write_bytes(b"no database" * 1000)
    found = {one.job: one.status for one in summary.summaries(locations, clock=CLOCK)}
    assert found == {WHOLE: "interrupted", BROKEN: DAMAGED}
    shown = {one["batch"]: one["status"] for one in status.batches(locations, clock=CLOCK)}
    assert shown[WHOLE] == "interrupted"


def test_a_batch_without_its_mark_keeps_no_other_from_being_found(locations: Locations) -> None:
    (locations.state / "batches" / BROKEN / "fingerprint").unlink()
    assert locations.unfinished("plan", now=CLOCK.now) == WHOLE


@pytest.mark.parametrize(
    "given",
    [
        "postgresql://u:hidden@127.0.0.1:1/db",
        "postgresql://u@127.0.0.1:1/db?password=hidden",
        "postgresql://u@127.0.0.1:1/db?passwrd=hidden",
        "postgresql://127.0.0.1:1/db?sslpassword=hidden",
        "postgresql://u:a@hidden@127.0.0.1:1/db",
        "postgresql://u:pw@127.0.0.1:hidden/db",
        "postgresql://u:hidden@[::1/db",
        "host=127.0.0.1 user=u password=hidden",
    ],
)
def test_an_address_is_never_shown_with_its_password(tmp_path: Path, given: str) -> None:
    with pytest.raises(VmieError) as caught, Locations(tmp_path, given).shared().open(CLOCK.now):
        pass
    error = caught.value
    assert "hidden" not in f"{error.as_json()} {error.result}"
    assert error.__suppress_context__ or "hidden" not in str(error.__cause__)


def test_an_address_is_shown_by_its_host_and_database() -> None:
    url = address.parsed("postgres://me:secret@db.example:6432/vmie?sslpassword=secret")
    assert address.shown(url) == "postgresql://db.example:6432/vmie"
    assert url.password == "secret"


def test_a_sheet_of_too_many_columns_is_refused_at_once(tmp_path: Path) -> None:
    plan = tmp_path / "plan.csv"
    plan.write_text("source," + ",".join(f"c{number}" for number in range(200_000)) + "\na.raw\n", encoding="utf-8")
    with pytest.raises(VmieError, match="200001 columns") as caught:
        validate.load(plan, settings=Settings())
    assert len(caught.value.result["mistakes"]) == 1


def test_columns_that_are_empty_to_the_right_do_not_count(folder: Path) -> None:
    plan = folder / "plan.csv"
    plan.write_text(f"source,bucket{',' * 16_000}\na.raw,some-bucket{',' * 16_000}\n", encoding="utf-8")
    assert len(validate.load(plan, settings=Settings()).items) == 1
