"""Rows of the tables as nouns, and nouns as rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from vmie.batch.model import Item, ItemKind, Limits, PlanItem, State
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
    paused: bool
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
    """An item, from a row with all columns. Raises VmieError (DamagedState)."""
    values = dict(row)
    with intact():
        _ItemRow.model_validate(values)
        values |= {"kind": ItemKind(values["kind"]), "state": State(values["state"]), "after": tuple(values["after"])}
        return Item(**values)


def limits_of(recorded: Mapping[str, int]) -> Limits:
    """The limits of a batch as recorded, by this vmie or another one. Raises VmieError (DamagedState)."""
    with intact():
        names = {f.name for f in fields(Limits)}
        known = {name: value for name, value in recorded.items() if name in names}
        _LimitsRow.model_validate(known)
        return Limits(**known)


def batch_of(row: Any) -> Batch:
    """A batch, from a row with all columns. Raises VmieError (DamagedState)."""
    values = {one.name: row[one.name] for one in fields(Batch)}
    with intact():
        _BatchRow.model_validate(values)
    return Batch(**values | {"limits": limits_of(row["limits"])})


def transition_of(row: Any) -> dict[str, Any]:
    """One change of an item's state. Raises VmieError (DamagedState)."""
    values = dict(row)
    with intact():
        _MarkRow.model_validate(values)
        State(values["state"])
        return values


def worker_of(row: Any) -> dict[str, Any]:
    """A process that works on batches. Raises VmieError (DamagedState)."""
    values = dict(row)
    with intact():
        _WorkerRow.model_validate(values)
        return values


# --- what a row holds: SQLite keeps any value in any column -----------------------------------------------


def _dated(text: str) -> str:
    if dt.datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("it has no time zone")
    return text


_Time = Annotated[str, AfterValidator(_dated)]
_Count = Annotated[int, Field(ge=0, lt=1 << 60)]
_Most = Annotated[int, Field(ge=1, le=1 << 20)]


class _Row(BaseModel):
    """Another version may keep more."""

    model_config = ConfigDict(strict=True, extra="ignore")


class _Result(_Row):
    image_id: str | None = None
    instance_id: str | None = None
    snapshot_ids: list[str] = []
    volume_ids: list[str] = []
    objects: list[str] = []
    downloaded: list[str] = []
    bytes_source: _Count = 0
    bytes_sent: _Count = 0
    proof: dict[str, Any] | None = None


class _ItemRow(_Row):
    batch: str
    key: str
    position: int
    source: str
    request: dict[str, Any]
    region: str
    queue: str
    wave: int
    after: list[str]
    size: _Count
    round: _Count
    updated: _Time
    task_id: str | None
    worker: str
    result: _Result
    error: dict[str, str | None]
    profile: str
    account: str


class _LimitsRow(_Row):
    imports: _Most = 1
    exports: _Most = 1
    uploads: _Most = 1
    ahead: _Most = 1
    tries: _Most = 1
    conversions: _Most = 1
    snapshots: _Most = 1
    proofs: _Most = 1


class _BatchRow(_Row):
    batch: str
    name: str
    source: str
    account: str
    region: str
    cancelling: bool
    paused: bool
    created: _Time


class _MarkRow(_Row):
    key: str
    at: _Time
    worker: str


class _WorkerRow(_Row):
    worker: str
    host: str
    queues: list[str]
    started: str
    uploads: int | None = None
