"""What a batch remembers: its items, their steps and every change of state. All processes of a batch share it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa

from vmie.batch.model import ENDED, BatchPlan, Item, ItemKind, ItemPool, Limits, State
from vmie.batch.store import migrations
from vmie.batch.store.overview import Overview, overview_of
from vmie.batch.store.rows import Batch, batch_of, item_of, row_of, transition_of
from vmie.batch.store.state_errors import damaged, intact, lease_lost
from vmie.batch.store.tables import BATCHES, ITEMS, MARKS, STEPS, WORKERS
from vmie.errors import Run, UsageError
from vmie.ops.journal import damage

#: any number that no other program's advisory lock is likely to have
_PREPARING = 0x766D6965
#: the step of an item's journal that holds the plan of the round before
EARLIER_PLAN = "earlier plan"
#: named, not "all but the ended", so that the index on states can be used
OPEN = [state.value for state in State if state not in ENDED]


class Store:
    """Reads and writes the tables; each method is one transaction. Threads may share it."""

    def __init__(self, engine: sa.Engine, *, now: Callable[[], datetime], worker: str = "") -> None:
        self.engine = engine
        self._now = now
        self._worker = worker

    def prepare(self) -> None:
        """Create the tables where they are missing; processes that start together do so one after the other."""
        with self.engine.begin() as db:
            if self.engine.dialect.name == "postgresql":
                db.execute(sa.select(sa.func.pg_advisory_xact_lock(_PREPARING)))
            migrations.prepare(db)

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        """A transaction of this worker's; raises LeaseLost when others declared it dead and continue its work."""
        with self.engine.begin() as db:
            if self._worker and self.engine.dialect.name == "postgresql":
                # FOR SHARE: who marks this worker as gone waits for the transaction, or the transaction sees the mark.
                mine = sa.select(WORKERS.c.gone).where(WORKERS.c.worker == self._worker).with_for_update(read=True)
                if db.execute(mine).scalar():
                    raise lease_lost()
            yield db

    # --- batches ------------------------------------------------------------------------------------

    def begin(
        self,
        batch: str,
        plan: BatchPlan,
        *,
        fingerprint: str,
        account: str,
        region: str,
        accounts: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Record a new batch with all its items, or nothing of it. `accounts`: of the profiles that items name."""
        now = self.now()
        rows = [
            row_of(batch, number, item, region=region, account=accounts.get(item.profile, account), now=now)
            for number, item in enumerate(plan.items)
        ]
        with self.engine.begin() as db:
            db.execute(
                BATCHES.insert().values(
                    batch=batch,
                    name=plan.name,
                    source=plan.source,
                    fingerprint=fingerprint,
                    limits={f.name: getattr(plan.limits, f.name) for f in fields(Limits)},
                    account=account,
                    region=region,
                    cancelling=False,
                    reported=False,
                    created=now,
                )
            )
            db.execute(ITEMS.insert(), rows)

    def overview(self) -> list[Overview]:
        """Every batch in this store, newest first; each by itself, whatever is damaged in another."""
        counted = sa.select(
            ITEMS.c.batch, ITEMS.c.state, sa.func.count().label("count"), sa.func.max(ITEMS.c.updated).label("max")
        )
        counts: dict[str, list[Any]] = {}
        for row in self._rows(counted.group_by(ITEMS.c.batch, ITEMS.c.state)):
            counts.setdefault(row["batch"], []).append(row)
        rows = self._rows(sa.select(*migrations.columns(self.engine)).order_by(BATCHES.c.created.desc()))
        return [overview_of(row, counts.get(row["batch"], [])) for row in rows]

    def batch(self, batch: str) -> Batch:
        """One batch; raises UsageError when there is none of that name."""
        for row in self._rows(sa.select(BATCHES).where(BATCHES.c.batch == batch)):
            return batch_of(row)
        raise UsageError(f"there is no batch {batch!r}", cure=Run(("vmie", "batch", "status"), "lists them"))

    def unfinished(self, fingerprint: str) -> str | None:
        """The batch of the same plan that has not ended, or whose end was never reported; None when there is none."""
        open_ = sa.or_(_has_items(ITEMS.c.state.not_in(ENDED)), BATCHES.c.reported.is_(False))
        wanted = sa.select(BATCHES.c.batch).where(BATCHES.c.fingerprint == fingerprint, open_)
        return next(iter(self._scalars(wanted.order_by(BATCHES.c.created.desc()))), None)

    def cancel(self, batch: str) -> None:
        """Mark the batch as being cancelled; whoever works on it will see that."""
        self._update_batch(batch, cancelling=True)

    def pause(self, batch: str, paused: bool) -> None:
        """Let none of the batch's items begin, or let them begin again; what is under way goes on in either case."""
        self._update_batch(batch, paused=paused)

    def mark_reported(self, batch: str) -> None:
        """Record that the end of the batch was reported to the one who ran it."""
        self._update_batch(batch, reported=True)

    def cancelling(self) -> frozenset[str]:
        """The batches that are being cancelled."""
        return frozenset(self._scalars(sa.select(BATCHES.c.batch).where(BATCHES.c.cancelling)))

    def paused(self) -> frozenset[str]:
        """The batches none of whose items is to begin."""
        return frozenset(self._scalars(sa.select(BATCHES.c.batch).where(BATCHES.c.paused)))

    def mark(self, batch: str) -> object:
        """Something that is another whenever the batch or an item of it has changed; costs little."""
        latest = (sa.func.max(ITEMS.c.updated), sa.func.sum(ITEMS.c.round), BATCHES.c.paused, BATCHES.c.cancelling)
        wanted = sa.select(*latest).where(ITEMS.c.batch == BATCHES.c.batch, BATCHES.c.batch == batch)
        return self._rows(wanted.group_by(BATCHES.c.batch))

    def active(self) -> list[str]:
        """The batches with items that have not ended, oldest first."""
        wanted = sa.select(BATCHES.c.batch).where(_has_items(ITEMS.c.state.in_(OPEN)))
        return self._scalars(wanted.order_by(BATCHES.c.created))

    def _update_batch(self, batch: str, **values: bool) -> None:
        with self.engine.begin() as db:
            db.execute(BATCHES.update().where(BATCHES.c.batch == batch).values(**values))

    # --- items --------------------------------------------------------------------------------------

    def items(self, batch: str, *, states: Iterable[State] = ()) -> list[Item]:
        """The items of a batch in the plan's order, of some states only where `states` names them."""
        wanted = sa.select(ITEMS).where(ITEMS.c.batch == batch).order_by(ITEMS.c.position)
        if chosen := [state.value for state in states]:
            wanted = wanted.where(ITEMS.c.state.in_(chosen))
        return [item_of(row) for row in self._rows(wanted)]

    def item(self, batch: str, key: str) -> Item:
        """One item; KeyError when there is none."""
        for row in self._rows(sa.select(ITEMS).where(ITEMS.c.batch == batch, ITEMS.c.key == key)):
            return item_of(row)
        raise KeyError(f"{batch} has no item {key}")

    def counts(self, batch: str) -> dict[tuple[int, ItemPool, State], int]:
        """How many items per wave, pool and state."""
        pool = (ITEMS.c.account, ITEMS.c.region, ITEMS.c.queue, ITEMS.c.kind)
        # in the order of the index, which is then all that is read
        columns = (ITEMS.c.state, ITEMS.c.wave, *pool)
        wanted = sa.select(*columns, sa.func.count()).where(ITEMS.c.batch == batch).group_by(*columns)
        with self.engine.connect() as db, intact():
            return {
                (wave, ItemPool(account, region, queue, ItemKind(kind)), State(state)): count
                for state, wave, account, region, queue, kind, count in db.execute(wanted)
            }

    def waiting(self, batch: str, pool: ItemPool, *, wave: int, most: int) -> list[Item]:
        """The next items to be sent, largest first: the long ones decide when the last one ends."""
        of_pool = (getattr(ITEMS.c, name) == getattr(pool, name) for name in ("account", "region", "queue", "kind"))
        wanted = sa.select(ITEMS).where(
            ITEMS.c.batch == batch, ITEMS.c.state == State.WAITING, ITEMS.c.wave == wave, *of_pool
        )
        return [item_of(row) for row in self._rows(wanted.order_by(ITEMS.c.size.desc(), ITEMS.c.position).limit(most))]

    def move(
        self,
        item: Item,
        state: State,
        *,
        origins: Sequence[State] = (),
        task_id: str | None = None,
        result: Mapping[str, Any] | None = None,
        error: Mapping[str, Any] | None = None,
        only_if: Callable[[sa.Connection], bool] | None = None,
    ) -> bool:
        """Take an item of this round to `state` and mark the time; False when it is not in one of `origins`.

        `only_if` is asked within the transaction: False leaves the item where it is.
        """
        values: dict[str, Any] = {"state": state.value, "updated": self.now(), "worker": self._worker}
        given = {"task_id": task_id, "result": result, "error": error}
        values |= {name: value for name, value in given.items() if value is not None}
        allowed = [ITEMS.c.state != state.value, ITEMS.c.state.not_in(ENDED)]
        if origins:
            allowed = [ITEMS.c.state.in_([origin.value for origin in origins])]
        with self._writing() as db:
            if only_if is not None and not only_if(db):
                return False
            moved = db.execute(_same_round(item).where(*allowed).values(**values)).rowcount > 0
            if moved:
                self._record_transition(db, item, state, at=values["updated"])
        return moved

    def retry(self, item: Item, *, forgive: bool = True) -> None:
        """Begin a failed item anew; what it has uploaded is kept. Its error is forgotten with `forgive`."""
        state = State.BLOCKED if item.after else State.WAITING
        error = {} if forgive else dict(item.error)
        with self._writing() as db:
            again = _same_round(item).where(ITEMS.c.state == State.FAILED)
            values = self._next_round(item, state)
            if db.execute(again.values(error=error, **values)).rowcount:
                self._set_plan_aside(db, item)
                self._record_transition(db, item, state, at=values["updated"], worker="")

    def _set_plan_aside(self, db: sa.Connection, item: Item) -> None:
        """Have the item planned anew; the plan is kept for steps that need nothing else."""
        plan = sa.select(STEPS.c.value).where(*_of(item), STEPS.c.step == "plan")
        if db.execute(plan).first() is not None:
            db.execute(STEPS.delete().where(*_of(item), STEPS.c.step == EARLIER_PLAN))
            db.execute(STEPS.update().where(*_of(item), STEPS.c.step == "plan").values(step=EARLIER_PLAN))

    def requeue(self, item: Item, state: State) -> Item | None:
        """Give an item that nobody works on a new round, from `state`; None when it has moved since it was read."""
        unmoved = _same_round(item).where(ITEMS.c.state == item.state.value, ITEMS.c.updated == item.updated)
        with self._writing() as db:
            again = db.execute(unmoved.values(**self._next_round(item, state)))
        return replace(item, state=state, round=item.round + 1) if again.rowcount else None

    def transitions(self, batch: str) -> list[dict[str, Any]]:
        """Every change of state, in order: key, state, at, worker."""
        columns = (MARKS.c.key, MARKS.c.state, MARKS.c.at, MARKS.c.worker)
        rows = self._rows(sa.select(*columns).where(MARKS.c.batch == batch).order_by(MARKS.c.number))
        return [transition_of(row) for row in rows]

    def _next_round(self, item: Item, state: State) -> dict[str, Any]:
        return {"state": state.value, "round": item.round + 1, "updated": self.now()}

    def _record_transition(
        self, db: sa.Connection, item: Item, state: State, *, at: str, worker: str | None = None
    ) -> None:
        by = self._worker if worker is None else worker
        db.execute(MARKS.insert().values(batch=item.batch, key=item.key, state=state.value, at=at, worker=by))

    # --- steps --------------------------------------------------------------------------------------

    def steps(self, item: Item) -> dict[str, dict[str, Any]]:
        """All that the item's journal holds."""
        rows = self._rows(sa.select(STEPS.c.step, STEPS.c.value).where(*_of(item)))
        for row in rows:
            if not isinstance(row["step"], str) or (wrong := damage(row["step"], row["value"])):
                raise damaged(f"{item.key}: {wrong or 'a step without a name'}")
        return {row["step"]: row["value"] for row in rows}

    def put_step(self, item: Item, step: str, value: Mapping[str, Any]) -> None:
        """Record one step of the item's journal; durable when this returns."""
        with self._writing() as db:
            done = db.execute(STEPS.update().where(*_of(item), STEPS.c.step == step).values(value=dict(value)))
            if not done.rowcount:
                db.execute(STEPS.insert().values(batch=item.batch, key=item.key, step=step, value=dict(value)))

    def drop_step(self, item: Item, step: str) -> None:
        """Forget one step."""
        with self._writing() as db:
            db.execute(STEPS.delete().where(*_of(item), STEPS.c.step == step))

    def now(self) -> str:
        """The time as the tables hold it."""
        return self._now().isoformat(timespec="milliseconds")

    def _rows(self, wanted: sa.Select[Any]) -> list[dict[str, Any]]:
        with self.engine.connect() as db, intact():
            return [dict(row) for row in db.execute(wanted).mappings()]

    def _scalars(self, wanted: sa.Select[Any]) -> list[str]:
        with self.engine.connect() as db:
            return list(db.execute(wanted).scalars())


def _of(item: Item) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return STEPS.c.batch == item.batch, STEPS.c.key == item.key


def _same_round(item: Item) -> sa.Update:
    return ITEMS.update().where(ITEMS.c.batch == item.batch, ITEMS.c.key == item.key, ITEMS.c.round == item.round)


def _has_items(*conditions: sa.ColumnElement[bool]) -> sa.Exists:
    return sa.select(ITEMS.c.key).where(ITEMS.c.batch == BATCHES.c.batch, *conditions).exists()
