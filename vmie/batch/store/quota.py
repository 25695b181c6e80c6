"""AWS's limits on active tasks: an item holds a slot while it is submitting or converting, whoever works on it.

The slot is the item's state, not the process's or the workflow's: it outlives both, and is counted over all batches of
a store. So a dead worker's tasks, which AWS continues, still count, and a limit holds whoever started first.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

import sqlalchemy as sa

from vmie.batch.model import HOLDING, Item, ItemKind, Limits, State
from vmie.batch.store.leases import lock_number
from vmie.batch.store.rows import limits_of
from vmie.batch.store.store import OPEN, Store
from vmie.batch.store.tables import BATCHES, ITEMS
from vmie.errors import VmieError

_HELD = [state.value for state in HOLDING]


class Quota:
    """The slots of a store. Threads may share it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()

    def take(self, item: Item) -> bool:
        """Take the item from `sent` to `submitting` if the limit of its pool leaves room.

        True, too, where there is nothing to take: it holds a slot already, or needs none any more.
        """
        with self._lock:
            if self._store.move(item, State.SUBMITTING, origins=(State.SENT,), only_if=lambda db: self._room(db, item)):
                return True
        return self._store.item(item.batch, item.key).state is not State.SENT

    def usage(self, item: Item) -> tuple[int, int]:
        """How many slots of the item's pool are held now, by items of any batch, and how many may be."""
        with self._store.engine.connect() as db:
            return _usage(db, item)

    def _room(self, db: sa.Connection, item: Item) -> bool:
        if db.dialect.name == "postgresql":
            # One at a time for a pool, over all processes; on SQLite there is one process, and our lock.
            name = f"pool/{item.account}/{item.region}/{item.kind.value}"
            db.execute(sa.select(sa.func.pg_advisory_xact_lock(lock_number(name))))
        used, limit = _usage(db, item)
        return used < limit


def smallest(limits: Iterable[Limits], kind: ItemKind) -> int:
    """What batches that share a pool may use of it together."""
    return min((one.of(kind) for one in limits), default=Limits().of(kind))


def _usage(db: sa.Connection, item: Item) -> tuple[int, int]:
    pool = (ITEMS.c.account == item.account, ITEMS.c.region == item.region, ITEMS.c.kind == item.kind.value)
    limits = _limits(db, pool)
    used = sa.select(sa.func.count()).select_from(ITEMS)
    used = used.where(ITEMS.c.batch.in_(limits), ITEMS.c.state.in_(_HELD), *pool)
    return int(db.execute(used).scalar() or 0), smallest(limits.values(), item.kind)


def _limits(db: sa.Connection, pool: tuple[sa.ColumnElement[bool], ...]) -> Mapping[str, Limits]:
    """The limits of each batch with something left in the pool."""
    left = sa.select(ITEMS.c.key).where(ITEMS.c.batch == BATCHES.c.batch, ITEMS.c.state.in_(OPEN), *pool).exists()
    found: dict[str, Limits] = {}
    for batch, limits in db.execute(sa.select(BATCHES.c.batch, BATCHES.c.limits).where(left)):
        try:
            found[batch] = limits_of(limits)
        except VmieError:  # what another batch has lost is no limit of this one
            found[batch] = Limits()
    return found
