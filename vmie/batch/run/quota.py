"""AWS's slots: an item holds one while it is submitting or converting, whichever process works on it.

The slot is the item's state, not the process's or the workflow's: it outlives both, and is counted over all batches of
a place. So a dead worker's tasks, which AWS goes on with, still count, and a limit holds whoever started first.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Mapping

import sqlalchemy as sa

from vmie.batch.model import ENDED, HOLDING, Item, Kind, Limits, State
from vmie.batch.store.rows import limits_of
from vmie.batch.store.store import Store
from vmie.batch.store.tables import BATCHES, ITEMS

#: named, not "all but the ended", so that the index on states can be used
_OPEN = [state.value for state in State if state not in ENDED]
_HELD = [state.value for state in HOLDING]


class Slots:
    """The slots of a place. Threads may share it."""

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

    def limit(self, item: Item) -> int:
        """The most active tasks in the item's pool now."""
        return self.standing(item)[1]

    def standing(self, item: Item) -> tuple[int, int]:
        """How many slots of the item's pool are held now, by items of any batch, and how many may be."""
        with self._store.engine.connect() as db:
            return _standing(db, item)

    def _room(self, db: sa.Connection, item: Item) -> bool:
        if db.dialect.name == "postgresql":
            # One at a time for a pool, over all processes; on SQLite there is one process, and our lock.
            db.execute(sa.select(sa.func.pg_advisory_xact_lock(_number(item))))
        used, limit = _standing(db, item)
        return used < limit


def smallest(limits: Iterable[Limits], kind: Kind) -> int:
    """What batches that share a pool may use of it together."""
    return min((one.of(kind) for one in limits), default=Limits().of(kind))


def _standing(db: sa.Connection, item: Item) -> tuple[int, int]:
    named = _limits(db, item)
    used = (
        sa.select(sa.func.count())
        .select_from(ITEMS)
        .where(ITEMS.c.batch.in_(named), ITEMS.c.state.in_(_HELD), *_pool(item))
    )
    return int(db.execute(used).scalar() or 0), smallest(named.values(), item.kind)


def _limits(db: sa.Connection, item: Item) -> Mapping[str, Limits]:
    """What each batch with something left in the item's pool names."""
    left = (
        sa.select(ITEMS.c.key).where(ITEMS.c.batch == BATCHES.c.batch, ITEMS.c.state.in_(_OPEN), *_pool(item)).exists()
    )
    rows = db.execute(sa.select(BATCHES.c.batch, BATCHES.c.limits).where(left))
    return {batch: limits_of(limits) for batch, limits in rows}


def _pool(item: Item) -> tuple[sa.ColumnElement[bool], ...]:
    return ITEMS.c.account == item.account, ITEMS.c.region == item.region, ITEMS.c.kind == item.kind.value


def _number(item: Item) -> int:
    """A lock's number: advisory locks have no names."""
    name = f"vmie/pool/{item.account}/{item.region}/{item.kind.value}"
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
