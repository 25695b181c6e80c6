"""The report of 500 machines: failures first, rows labelled, small, and readable on a phone."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing

import pytest

from vmie.batch.model import BatchPlan, ItemKind, PlanItem
from vmie.batch.report import html, svg
from vmie.batch.store.locations import Locations
from vmie.poll import SystemClock

CLOCK = SystemClock()
BATCH = "batch-20260102-030405-aaaaaa"
MANY = 500


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Every hundredth item failed, the others came through."""
    locations = Locations(tmp_path_factory.mktemp("state"))
    names = [f"web-{number:03}-in-the-data-centre-of-frankfurt" for number in range(MANY)]
    items = tuple(PlanItem(name, ItemKind.IMPORT, f"s3://images/{name}.vmdk", {}) for name in names)
    with locations.create(BATCH, "plan").open(CLOCK.now) as store:
        store.begin(BATCH, BatchPlan("many", items), fingerprint="plan", account="123456789012", region="eu-west-1")
    made = json.dumps({"image_id": "ami-0123456789abcdef0", "snapshot_ids": ["snap-0123456789abcdef0"]})
    why = json.dumps({"code": "ClientError", "message": "no partition table", "cause": "none", "cure": "add one"})
    with closing(sqlite3.connect(locations.state / "batches" / BATCH / "state.db")) as db:
        db.execute("UPDATE vmie_items SET state='completed', task_id='import-ami-0123456789abcdef0', result=?", [made])
        db.execute("UPDATE vmie_items SET state='failed', error=? WHERE position % 100 = 99", [why])
        db.commit()
    return html.render(locations, BATCH, "html", clock=CLOCK)


def test_failures_come_first_and_are_grouped(page: str) -> None:
    order = [page.index(one) for one in ('id="failures"', "<h3>5 items</h3>", 'id="all"', 'id="charts"', 'id="times"')]
    assert order == sorted(order)
    states = re.findall(r'<tr class="(\w+)"', page)
    assert states == ["failed"] * 5 + ["completed"] * (MANY - 5)


def test_it_is_small_and_needs_no_script(page: str) -> None:
    assert len(page.encode()) < 400_000
    assert "<script" not in page


def test_its_sections_can_be_reached(page: str) -> None:
    wanted = re.findall(r'<a href="#(\w+)"', page)
    assert len(wanted) == 5
    for name in wanted:
        assert page.count(f'id="{name}"') == 1
    ids = re.findall(r' id="(\w+)"', page)
    assert len(ids) == len(set(ids))


def test_the_rows_of_the_timeline_have_their_names(page: str) -> None:
    chart = page[page.index('<svg id="timeline"') :]
    chart = chart[: chart.index("</svg>")]
    heights = re.findall(r'viewBox="0 0 \d+ (\d+)"', chart)
    assert int(heights[0]) <= svg.MOST_ROWS * 16 + 24
