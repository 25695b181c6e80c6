"""Rows of the tables as nouns, and nouns as rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from vmie.batch.model import Item, Kind, Limits, PlanItem, State
from vmie.batch.store.state_errors import intact


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as begun. `region` is the one of items that name none."""

    batch: str
    name: str
    source: str
    limits: Limits
    account: str
    region: str
    cancelling: bool
    created: str


def row_of(batch: str, number: int, item: PlanItem, *, region: str, account: str, now: str) -> dict[str, Any]:
    """A new item, as it is inserted."""
    return {
        **{one.name: getattr(item, one.name) for one in fields(item)},
        "batch": batch,
        "position": number,
        "kind": item.kind.value,
        "request": dict(item.request),
        "region": item.region or region,
        "account": account,
        "after": list(item.after),
        "state": (State.BLOCKED if item.after else State.WAITING).value,
        "round": 1,
        "updated": now,
        "worker": "",
        "result": {},
        "error": {},
    }


def item_of(row: Any) -> Item:
    """An item, from a row with all columns."""
    values = dict(row)
    with intact():
        values |= {"kind": Kind(values["kind"]), "state": State(values["state"]), "after": tuple(values["after"])}
        return Item(**values)


def limits_of(recorded: Mapping[str, int]) -> Limits:
    """The limits of a batch as recorded, by this vmie or another one."""
    known = {f.name for f in fields(Limits)}
    return Limits(**{name: value for name, value in recorded.items() if name in known})


def batch_of(row: Any) -> Batch:
    """A batch, from a row with all columns."""
    values = {one.name: row[one.name] for one in fields(Batch)}
    with intact():
        dt.datetime.fromisoformat(values["created"])
        return Batch(**values | {"limits": limits_of(row["limits"])})
