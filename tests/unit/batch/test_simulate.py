"""The dry run's clock: waves, chains, slots and uploads, and prices with their sources."""

from __future__ import annotations

import datetime as dt
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmie.batch.estimate import prices
from vmie.batch.estimate.prices import Use
from vmie.batch.estimate.simulate import SimulatedItem, forecast
from vmie.batch.model import ItemKind, ItemPool, Limits

HERE = ItemPool("1", "eu-west-1", "default", ItemKind.IMPORT)


def job(
    key: str,
    *after: str,
    wave: int = 0,
    task: float = 1.0,
    upload: float = 0.0,
    lost: bool = False,
    pool: ItemPool = HERE,
) -> SimulatedItem:
    return SimulatedItem(key, pool, wave, after, 1, upload, task, lost)


def ends(jobs: list[SimulatedItem], limits: Limits | None = None) -> dict[str, float]:
    return {key: round(span.end, 6) for key, span in forecast(jobs, limits or Limits()).items()}


def test_a_chain_takes_the_sum() -> None:
    assert ends([job("c", "b", task=3), job("b", "a", task=2), job("a")]) == {"a": 1, "b": 3, "c": 6}


def test_a_wave_waits_for_all_of_the_last_one() -> None:
    assert ends([job("a"), job("b", task=5), job("c", wave=7), job("d", wave=7, task=2)]) == {
        "a": 1,
        "b": 5,
        "c": 6,
        "d": 7,
    }


def test_slots_bound_what_runs_at_once_in_each_account_and_region() -> None:
    jobs = [job(str(number)) for number in range(45)]
    assert max(ends(jobs).values()) == 3
    halves = [
        job(str(number), pool=ItemPool(str(number % 2), "eu-west-1", "default", ItemKind.IMPORT))
        for number in range(40)
    ]
    assert max(ends(halves).values()) == 1
    kinds = [job(str(n), pool=ItemPool("1", "eu-west-1", "default", kind)) for n, kind in enumerate([*ItemKind] * 5)]
    assert max(ends(kinds).values()) == 1
    labels = [job(str(n), pool=ItemPool("1", "eu-west-1", f"rack-{n % 2}", ItemKind.IMPORT)) for n in range(40)]
    assert max(ends(labels).values()) == 2, "AWS counts them together"


def test_uploads_share_a_machine_and_run_ahead_of_aws() -> None:
    jobs = [job(str(number), upload=1.0, task=0.0) for number in range(4)]
    assert max(ends(jobs, Limits(uploads=2)).values()) == 2
    far = [
        *jobs[:2],
        *(job(f"far{n}", upload=1.0, task=0.0, pool=ItemPool("1", "r", "far", ItemKind.IMPORT)) for n in (1, 2)),
    ]
    assert max(ends(far, Limits(uploads=2)).values()) == 1
    slow = [job(str(number), upload=0.1, task=10.0) for number in range(6)]
    spans = forecast(slow, Limits(imports=1, uploads=1, ahead=2))
    assert sorted(round(span.begin, 1) for span in spans.values()) == [0.0, 0.1, 0.2, 10.1, 20.1, 30.1]


def test_what_comes_after_a_lost_item_is_lost_and_holds_no_wave_up() -> None:
    jobs = [job("a", lost=True), job("b", "a"), job("c", "b"), job("d", wave=1), job("e", "d", "c", wave=2)]
    assert ends(jobs) == {"d": 1}


@settings(max_examples=60, deadline=None)
@given(
    shape=st.lists(
        st.tuples(
            st.integers(0, 3), st.lists(st.integers(0, 30), max_size=2), st.floats(0, 5), st.floats(0, 2), st.booleans()
        ),
        max_size=30,
    ),
    imports=st.integers(1, 4),
)
def test_every_item_ends_or_is_lost(shape: list[tuple[int, list[int], float, float, bool]], imports: int) -> None:
    jobs = []
    for number, (wave, after, task, upload, lost) in enumerate(shape):
        names = [str(one) for one in after if one < number and shape[one][0] <= wave]
        jobs.append(job(str(number), *names, wave=wave, task=task, upload=upload, lost=lost))
    spans = forecast(jobs, Limits(imports=imports))
    gone: set[str] = set()
    for one in jobs:
        if one.lost or gone & set(one.after):
            gone.add(one.key)
    assert spans.keys() == {one.key for one in jobs} - gone
    for one in jobs:
        if one.key in spans:
            span = spans[one.key]
            assert span.begin <= span.task <= span.end
            assert all(spans[name].end <= span.begin + 1e-9 for name in one.after)


def test_a_bill_is_made_of_each_regions_prices() -> None:
    bill = prices.bill(
        [
            Use("us-west-1", puts=2000, stored=10**9, hours=730, snapshots=10**10),
            Use("us-east-1", snapshots=10**10, volumes_gib=10),
        ]
    )
    amounts = {line.what: round(line.amount, 4) for line in bill.lines}
    assert amounts == {
        "S3 requests": 0.01,
        "S3 storage until AWS is done": 0.026,
        "snapshots, each month": 0.55 + 0.5,
        "volumes, each month": 1.0,
        "transfer into AWS": 0.0,
    }
    assert bill.borrowed == ("us-west-1",), "its price of requests is not known"
    assert {figure.region for figure in bill.figures} == {"us-west-1", "us-east-1"}


@pytest.mark.parametrize("region", prices.table())
def test_every_price_has_a_date_and_a_source(region: str) -> None:
    for figure in prices.table()[region].values():
        assert 0 < figure.usd < 1
        assert figure.date == "undated" or dt.date.fromisoformat(f"{figure.date}-01")
        assert len(figure.source) > 10
        assert re.fullmatch(r"[a-z]+-[a-z]+-\d", figure.region)


def test_us_east_1_has_every_price() -> None:
    names = {name for figures in prices.table().values() for name in figures}
    assert prices.table()["us-east-1"].keys() == names
