"""Batches in short, as `vmie jobs` lists them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from vmie.batch.model import State
from vmie.batch.store.locations import Location, Locations
from vmie.batch.store.overview import Overview
from vmie.batch.store.rows import Batch
from vmie.model import DAMAGED, JobSummary
from vmie.poll import Clock


def summaries(locations: Locations, *, clock: Clock) -> list[JobSummary]:
    """Every batch that is kept there. Raises VmieError when a shared database cannot be reached."""
    return [one for location in locations.all() for one in _read(location, clock)]


def _read(location: Location, clock: Clock) -> list[JobSummary]:
    found = location.overview(clock.now)
    if found is None:
        # One bad file must not hide the others; a shared database has no name, and nothing in it yet.
        return [_damaged(location)] if location.folder is not None else []
    at_work = location.shared or location.in_use()
    return [_summary(one, location, at_work=at_work) for one in found]


def _damaged(location: Location, name: str = "") -> JobSummary:
    source = str(location.folder or "")
    name = name or (location.folder.name if location.folder else "")
    return JobSummary(job=name, status=DAMAGED, kind="batch", source=source, task_id=None, updated="")


def _summary(one: Overview, location: Location, *, at_work: bool) -> JobSummary:
    batch = one.known
    if batch is None:
        return _damaged(location, one.name if location.shared else "")
    return JobSummary(
        job=batch.batch,
        status=word(one.counts, batch, at_work=at_work),
        kind="batch",
        source=batch.source or batch.name,
        task_id=None,
        updated=dt.datetime.fromisoformat(one.updated or batch.created).isoformat(timespec="seconds"),
        progress=f"{one.counts.get(State.COMPLETED, 0)}/{sum(one.counts.values())}",
    )


def word(counts: Mapping[State, int], batch: Batch, *, at_work: bool) -> str:
    """The status of a batch with so many items in each state."""
    if any(count for state, count in counts.items() if not state.ended):
        if batch.cancelling or batch.paused:
            return "cancelling" if batch.cancelling else "paused"
        return "running" if at_work else "interrupted"
    if counts.get(State.FAILED):
        return "partial"
    return "cancelled" if counts.get(State.CANCELLED) else "completed"
