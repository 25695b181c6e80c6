"""Everything that was begun and can be named: single jobs and batches, by one id for all verbs."""

from __future__ import annotations

import difflib
import secrets
from collections.abc import Sequence
from pathlib import Path

from vmie.errors import UsageError
from vmie.jobs.store import JobStore
from vmie.model import JobSummary
from vmie.poll import Clock


def everything(state: Path, *, clock: Clock, shared: str = "") -> list[JobSummary]:
    """All jobs and batches of the folder `state`, and the batches in the database `shared`; newest first.

    Raises VmieError when that cannot be reached.
    """
    found = JobStore(state, now=clock.now, token_hex=secrets.token_hex).list()
    if _batches(state):
        found += _summaries(state, clock)
    if shared:
        found += _summaries(state, clock, shared)
    return sorted(found, key=lambda one: one.updated, reverse=True)


def find(name: str, state: Path, *, clock: Clock, shared: str = "") -> JobSummary:
    """The job or batch of that id. Raises UsageError, naming the one that was probably meant."""
    found = everything(state, clock=clock, shared=shared)
    known = next((one for one in found if one.job == name), None)
    if known is None:
        noun = "batch" if name.startswith("batch-") else "job"
        raise UsageError(f"there is no {noun} {name!r}", cure=meant(name, found), code="NoSuchJob")
    return known


def meant(name: str, among: Sequence[JobSummary]) -> str:
    """The cure for an id that is none: whose task it is, or the one whose name is nearest."""
    if (owner := next((one for one in among if one.task_id == name), None)) is not None:
        return f"this is the task of {owner.job}: give that"
    near = difflib.get_close_matches(name, [one.job for one in among], n=1, cutoff=0.6)
    return f"did you mean {near[0]}? (`vmie jobs` lists them)" if near else "`vmie jobs` lists them"


def home(name: str, state: Path, *, shared: str = "") -> str:
    """Where batch `name` is kept: "" for the folder `state`, else the address of the database."""
    return "" if name in _batches(state) else shared


def _batches(state: Path) -> frozenset[str]:
    root = state / "batches"
    return frozenset(path.name for path in root.glob("batch-*"))


def _summaries(state: Path, clock: Clock, shared: str = "") -> list[JobSummary]:
    # SQLAlchemy costs a third of a second: only where there are batches to read.
    from vmie.batch.report.summary import summaries
    from vmie.batch.store.locations import Locations

    return summaries(Locations(state, shared), clock=clock)
