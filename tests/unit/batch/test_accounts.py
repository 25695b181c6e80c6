"""Items of several accounts: what they share and what not; states that another vmie wrote."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from vmie.aws.session import Aws
from vmie.batch.context import BatchContext
from vmie.batch.model import BatchPlan, Item, ItemKind, Limits, PlanItem, State
from vmie.batch.run.context import RunContext
from vmie.batch.store.locations import Locations
from vmie.batch.store.store import Store
from vmie.batch.store.tables import SHAPE
from vmie.errors import UsageError
from vmie.settings import Settings

ACCOUNTS = {"": "111111111111", "prod": "222222222222", "prod-admin": "222222222222"}
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def door(region: str, profile: str = "", /) -> Aws:
    return Aws.of({"ec2": None}, region=region, account=ACCOUNTS[profile])


ENGINES: list[sa.Engine] = []


def store_in(folder: Path) -> Store:
    ENGINES.append(sa.create_engine(f"sqlite:///{folder / 'state.db'}"))
    return Store(ENGINES[-1], now=lambda: NOW)


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while ENGINES:
        ENGINES.pop().dispose()


def item(key: str, *, profile: str, account: str, region: str = "eu-west-1") -> Item:
    at = NOW.isoformat()
    return Item(
        "b",
        key,
        0,
        ItemKind.IMPORT,
        "x",
        {},
        region,
        "default",
        0,
        (),
        0,
        State.SENT,
        1,
        at,
        profile=profile,
        account=account,
    )


@pytest.fixture
def context(tmp_path: Path) -> RunContext:
    store = store_in(tmp_path)
    store.prepare()
    plan = BatchPlan(
        "b",
        (PlanItem("a", ItemKind.IMPORT, "x", {}), PlanItem("p", ItemKind.IMPORT, "x", {}, profile="prod")),
        Limits(),
    )
    store.begin(
        "b", plan, fingerprint="f", account=ACCOUNTS[""], region="eu-west-1", accounts={"prod": ACCOUNTS["prod"]}
    )
    return RunContext(BatchContext(Locations(tmp_path), door, Settings()), store)


def test_items_know_their_accounts(context: RunContext) -> None:
    assert [(one.key, one.profile, one.account) for one in context.store.items("b")] == [
        ("a", "", ACCOUNTS[""]),
        ("p", "prod", ACCOUNTS["prod"]),
    ]
    pools = {pool.account for _, pool, _ in context.store.counts("b")}
    assert pools == {ACCOUNTS[""], ACCOUNTS["prod"]}


def test_two_profiles_of_an_account_share_its_slots(context: RunContext) -> None:
    one = item("1", profile="prod", account=ACCOUNTS["prod"])
    two = item("2", profile="prod-admin", account=ACCOUNTS["prod"])
    other = item("3", profile="", account=ACCOUNTS[""])
    far = item("4", profile="prod", account=ACCOUNTS["prod"], region="us-east-1")
    assert context.gate(one) is context.gate(two)
    assert context.task_poller(one) is context.task_poller(two)
    assert len({id(context.gate(each)) for each in (one, other, far)}) == 3
    assert context.aws(one) is not context.aws(two), "each is asked with its own credentials"


def test_a_profile_that_leads_elsewhere_now_is_refused(context: RunContext) -> None:
    with pytest.raises(UsageError, match="profile prod is in the account 222222222222") as caught:
        context.aws(item("1", profile="prod", account="333333333333"))
    assert caught.value.code == "OtherAccount"


def test_a_state_of_the_first_vmie_is_brought_up_to_date(tmp_path: Path) -> None:
    first = store_in(tmp_path)
    first.prepare()
    plan = BatchPlan("b", (PlanItem("a", ItemKind.IMPORT, "x", {}),), Limits())
    first.begin("b", plan, fingerprint="f", account="111111111111", region="eu-west-1")
    with first.engine.begin() as db:
        db.execute(sa.text("DROP INDEX vmie_items_next"))
        db.execute(sa.text("CREATE INDEX vmie_items_state ON vmie_items (batch, state, wave)"))
        for column in ("profile", "account"):
            db.execute(sa.text(f"ALTER TABLE vmie_items DROP COLUMN {column}"))
        db.execute(sa.text("DROP TABLE vmie_shape"))
    first.engine.dispose()
    again = store_in(tmp_path)
    again.prepare()
    assert [(one.key, one.profile, one.account) for one in again.items("b")] == [("a", "", "111111111111")]
    again.prepare()
    assert [index["name"] for index in sa.inspect(again.engine).get_indexes("vmie_items")] == ["vmie_items_next"]


def test_a_state_of_a_newer_vmie_is_refused(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    store.prepare()
    with store.engine.begin() as db:
        db.execute(SHAPE.update().values(version=99))
    with pytest.raises(UsageError, match="newer vmie") as caught:
        store.prepare()
    assert caught.value.cure
