"""A batch in short, each by itself: damage in one hides no other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from vmie.batch.model import State
from vmie.batch.store.rows import Batch, batch_of
from vmie.batch.store.state_errors import intact
from vmie.errors import VmieError


@dataclass(frozen=True, slots=True)
class Overview:
    """A batch in short: its items by state, and when the last of them changed. `known` is None where it is damaged."""

    name: str
    known: Batch | None
    counts: Mapping[State, int]
    updated: str


def overview_of(row: Mapping[str, Any], counted: Sequence[Any]) -> Overview:
    """From a batch's row, and its items' states with how many there are of each and the last change."""
    try:
        known = batch_of(row)
        with intact():
            counts = {State(one["state"]): int(one["count"]) for one in counted}
            updated = max((str(one["max"]) for one in counted), default="")
            datetime.fromisoformat(updated or known.created)
    except VmieError:
        return Overview(str(row["batch"]), None, {}, "")
    return Overview(known.batch, known, counts, updated)
