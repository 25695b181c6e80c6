"""Batches in short, as `vmie jobs` lists them: read with SQLAlchemy alone, for DBOS takes a second to import."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from vmie.batch.model import State
from vmie.batch.store.locations import Place, Places
from vmie.batch.store.tables import BATCHES, ITEMS
from vmie.model import DAMAGED, JobSummary


def summaries(places: Places) -> list[JobSummary]:
    """Every batch that is kept there. Raises VmieError when a shared database cannot be reached."""
    return [one for place in places.all() for one in _read(place)]


def _read(place: Place) -> list[JobSummary]:
    engine = place.engine()
    try:
        with engine.connect() as db:
            batches = db.execute(sa.select(BATCHES)).mappings().all()
            wanted = sa.select(ITEMS.c.batch, ITEMS.c.state, sa.func.count(), sa.func.max(ITEMS.c.updated))
            rows = db.execute(wanted.group_by(ITEMS.c.batch, ITEMS.c.state)).all()
        counts: dict[str, dict[State, int]] = {}
        updated: dict[str, str] = {}
        for batch, state, count, at in rows:
            counts.setdefault(batch, {})[State(state)] = count
            updated[batch] = max(at, updated.get(batch, ""))
    except (sa.exc.SQLAlchemyError, ValueError):
        # One bad file must not hide the others; a shared place has no name, and nothing in it yet.
        return [_damaged(place)] if place.folder is not None else []
    finally:
        engine.dispose()
    return [_summary(place, dict(one), counts.get(one["batch"], {}), updated.get(one["batch"], "")) for one in batches]


def _damaged(place: Place) -> JobSummary:
    name = place.folder.name if place.folder else ""
    return JobSummary(job=name, status=DAMAGED, kind="batch", source=str(place.folder), task_id=None, updated="")


def _summary(place: Place, row: Mapping[str, Any], counts: Mapping[State, int], updated: str) -> JobSummary:
    return JobSummary(
        job=row["batch"],
        status=word(counts, cancelling=bool(row["cancelling"]), at_work=place.shared or place.held()),
        kind="batch",
        source=row["source"] or row["name"],
        task_id=None,
        updated=dt.datetime.fromisoformat(updated or row["created"]).isoformat(timespec="seconds"),
        progress=f"{counts.get(State.COMPLETED, 0)}/{sum(counts.values())}",
    )


def word(counts: Mapping[State, int], *, cancelling: bool, at_work: bool) -> str:
    """What is said of a batch with so many items in each state."""
    if any(count for state, count in counts.items() if not state.ended):
        return "cancelling" if cancelling else "running" if at_work else "interrupted"
    if counts.get(State.FAILED):
        return "partial"
    return "cancelled" if counts.get(State.CANCELLED) else "completed"
