"""Damage in one batch's database hides no other batch; a database's address never shows a password."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from vmie.batch.model import BatchPlan, ItemKind, PlanItem, State
from vmie.batch.plan import validate
from vmie.batch.report import html, status, summary
from vmie.batch.store import address
from vmie.batch.store.locations import Locations
from vmie.errors import VmieError
from vmie.model import DAMAGED
from vmie.poll import SystemClock
from vmie.settings import Settings

CLOCK = SystemClock()
WHOLE, BROKEN = "batch-20260102-030405-aaaaaa", "batch-20260102-030405-bbbbbb"
PLAN = BatchPlan("few", (PlanItem("vm", ItemKind.IMPORT, "s3://b/k.raw", {}),))


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


@pytest.mark.parametrize("form", ["html", "csv", "json"])
def test_a_report_is_utf_8_whatever_it_is_told(locations: Locations, form: str) -> None:
    odd = {"code": "c", "message": "\udc80 \x1b[2J", "cause": "\u202eback", "cure": "\ud800", "request_id": ""}
    with locations.of(WHOLE).open(CLOCK.now) as store:
        (item,) = store.items(WHOLE)
        store.move(item, State.FAILED, error=odd, result={"image_id": "\udcff", "objects": ["\udc80"]})
    report = html.render(locations, WHOLE, form, clock=CLOCK)
    report.encode("utf-8")
    assert "udc80" in report
    assert not set("\x1b\u202e") & set(report)


@pytest.mark.parametrize(
    "damage",
    [
        'UPDATE vmie_items SET result = \'{"bytes_sent": "much"}\'',
        "UPDATE vmie_items SET error = '{\"message\": 7}'",
        "UPDATE vmie_items SET updated = 'never'",
        "UPDATE vmie_items SET updated = '2026-01-02T03:04:05'",
        "UPDATE vmie_items SET size = 'large'",
        "UPDATE vmie_items SET key = x'ff'",
        "UPDATE vmie_batches SET limits = '{\"imports\": 0}'",
        "UPDATE vmie_batches SET name = x'ff'",
        "UPDATE vmie_marks SET at = 'once'",
        "UPDATE vmie_marks SET state = 'bogus'",
        "UPDATE vmie_shape SET version = 'x'",
        f"UPDATE vmie_items SET request = '{'[' * 50_000}'",
        "DROP TABLE vmie_marks",
        "ALTER TABLE vmie_marks RENAME TO m; CREATE VIEW vmie_marks AS SELECT * FROM m",
        "CREATE TRIGGER t AFTER UPDATE ON vmie_items BEGIN DELETE FROM vmie_items; END",
    ],
)
def test_a_row_that_no_vmie_has_written_is_damage_and_no_fault(locations: Locations, damage: str) -> None:
    with closing(sqlite3.connect(locations.state / "batches" / BROKEN / "state.db")) as db:
        mark = (BROKEN, "vm", "sent", "2026-01-02T03:04:05+00:00", "")
        db.execute("INSERT INTO vmie_marks (batch, key, state, at, worker) VALUES (?, ?, ?, ?, ?)", mark)
        db.executescript(damage)
        db.commit()
    with pytest.raises(VmieError) as caught:
        html.render(locations, BROKEN, "html", clock=CLOCK)
    assert caught.value.code in ("DamagedState", "NoState")
    assert caught.value.cause
    assert caught.value.cure
    assert {one.job for one in summary.summaries(locations, clock=CLOCK)} == {WHOLE, BROKEN}


def test_a_change_of_an_item_that_is_not_there_is_left_out_of_a_report(locations: Locations) -> None:
    with closing(sqlite3.connect(locations.state / "batches" / BROKEN / "state.db")) as db:
        values = (BROKEN, "nobody", "converting", "2026-01-02T03:04:05+00:00", "")
        db.execute("INSERT INTO vmie_marks (batch, key, state, at, worker) VALUES (?, ?, ?, ?, ?)", values)
        db.commit()
    assert "nobody" not in html.render(locations, BROKEN, "html", clock=CLOCK)
