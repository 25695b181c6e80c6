"""Who works on a batch, on what, and which items wait for a worker that is not there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vmie.batch.model import ENDED, Item, State
from vmie.batch.store import leases
from vmie.batch.store.locations import Location
from vmie.batch.store.store import Store
from vmie.errors import Run

#: an item in one of these needs a worker of its label
_NEEDS_LABEL = (State.WAITING, State.QUEUED)
#: and in one of these a worker has it, or had
_IN_HAND = tuple(state for state in State if state not in (*ENDED, *_NEEDS_LABEL, State.BLOCKED, State.SENT))


@dataclass(frozen=True, slots=True)
class LiveWorker:
    """A process at work. `at`: (key, state) of the batch's items that it works on."""

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


def live_workers(store: Store, location: Location, items: Sequence[Item]) -> list[LiveWorker]:
    """Longest at work first."""
    if not location.shared and not location.in_use():
        return []
    rows = leases.registered(store)
    # A lock beside a file has one holder: who came last.
    alive = (
        leases.lease_holders(store, [row["worker"] for row in rows])
        if location.shared
        else {row["worker"] for row in rows[-1:]}
    )
    work: dict[str, list[tuple[str, str]]] = {}
    for item in items:
        if item.state in _IN_HAND:
            work.setdefault(item.worker, []).append((item.key, item.state.value))
    return [
        LiveWorker(name, row["host"], tuple(row["queues"]), row["started"], tuple(work.get(name, ())))
        for row in rows
        if (name := row["worker"]) in alive
    ]


def unserved(items: Sequence[Item], labels: Collection[str]) -> Mapping[str, str]:
    """What to say of items that wait for a worker of a label which none of the living serves: label → sentence."""
    waiting = Counter(item.queue for item in items if item.state in _NEEDS_LABEL and item.queue not in labels)
    return {
        label: f"{count} {'item waits' if count == 1 else 'items wait'} for a worker: {_start(label).text()}"
        for label, count in sorted(waiting.items())
    }


def _start(label: str) -> Run:
    return Run(("vmie", "worker", *(() if label == "default" else ("--queue", label))))
