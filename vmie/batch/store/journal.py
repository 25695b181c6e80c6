"""The journal of one item: what was done of it already, for the process that continues it."""

from __future__ import annotations

from typing import Any

from vmie.batch.model import Item
from vmie.batch.store.store import Store


class ItemJournal:
    """A `vmie.ops.journal.Journal` of one item; reads are answered from memory, writes go to the store first."""

    def __init__(self, store: Store, item: Item) -> None:
        self._store = store
        self._item = item
        self._steps = store.steps(item)
        self.job = item.job

    def get(self, step: str) -> dict[str, Any] | None:
        """See `Journal.get`."""
        found = self._steps.get(step)
        return dict(found) if found is not None else None

    def put(self, step: str, value: dict[str, Any]) -> None:
        """See `Journal.put`."""
        self._store.put_step(self._item, step, value)
        self._steps[step] = dict(value)

    def drop(self, step: str) -> None:
        """Forget a step."""
        self._store.drop_step(self._item, step)
        self._steps.pop(step, None)
