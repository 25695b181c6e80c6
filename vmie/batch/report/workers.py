"""Who is at work on a batch, at what, and which items wait for somebody who is not there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from vmie.batch.model import ENDED, Item, State
from vmie.batch.run.leases import seated
from vmie.batch.store.locations import Place
from vmie.batch.store.store import Store
from vmie.batch.store.tables import WORKERS

#: an item in one of these needs a worker of its label
_NEEDS_LABEL = (State.WAITING, State.QUEUED)
#: and in one of these somebody is, or was, at it
_IN_HAND = tuple(state for state in State if state not in (*ENDED, *_NEEDS_LABEL, State.BLOCKED, State.SENT))


@dataclass(frozen=True, slots=True)
class Present:
    """A process at work. `at`: (key, state) of the batch's items that it has in hand."""

    worker: str
    host: str
    queues: tuple[str, ...]
    since: str
    at: tuple[tuple[str, str], ...]

    def as_json(self) -> dict[str, Any]:
        """One element of ``workers[]``."""
        return {
            "worker": self.worker,
            "host": self.host,
            "queues": list(self.queues),
            "since": self.since,
            "items": [{"key": key, "status": state} for key, state in self.at],
        }


def present(store: Store, place: Place, items: Sequence[Item]) -> list[Present]:
    """The living, longest at work first."""
    if not place.shared and not place.held():
        return []
    wanted = sa.select(WORKERS).where(WORKERS.c.gone.is_(False)).order_by(WORKERS.c.started)
    with store.engine.connect() as db:
        rows = db.execute(wanted).mappings().all()
    # A lock beside a file has one holder: who came last.
    living = seated(store) if place.shared else {row["worker"] for row in rows[-1:]}
    return [
        Present(
            row["worker"],
            row["host"],
            tuple(row["queues"]),
            row["started"],
            tuple(
                (item.key, item.state.value)
                for item in items
                if item.worker == row["worker"] and item.state in _IN_HAND
            ),
        )
        for row in rows
        if row["worker"] in living
    ]


def unserved(items: Sequence[Item], labels: Collection[str]) -> list[str]:
    """What to say of items that wait for a worker of a label which none of the living serves."""
    waiting = Counter(item.queue for item in items if item.state in _NEEDS_LABEL and item.queue not in labels)
    return [
        f"{count} {'item waits' if count == 1 else 'items wait'} for a worker{_option(label)}"
        for label, count in sorted(waiting.items())
    ]


def _option(label: str) -> str:
    return ": start vmie worker" if label == "default" else f" with --queue {label}"
