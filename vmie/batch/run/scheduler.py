"""The scheduler: which items begin next - waves, dependencies, and no further ahead of AWS than asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

from vmie import events
from vmie.batch.model import AHEAD, ENDED, HOLDING, Item, ItemKind, ItemPool, Limits, State
from vmie.batch.run.context import RunContext
from vmie.batch.run.workflows import Workflows
from vmie.batch.store import leases
from vmie.batch.store.quota import smallest
from vmie.batch.store.state_errors import DAMAGED
from vmie.errors import Run, VmieError

#: seconds between two searches for items that have no workflow
_AUDIT_EVERY = 60.0

#: how many items there are per wave, pool and state
Counts = Mapping[tuple[int, ItemPool, State], int]


class Scheduler:
    """Works in one process of a store at a time, its leader; `schedule` is called again and again.

    `own` is the batch that the process is for, "" for a worker of any. `damaged` are those that it leaves alone.
    """

    def __init__(self, context: RunContext, workflows: Workflows, *, own: str = "") -> None:
        self.damaged: set[str] = set()
        self._own = own
        self._context = context
        self._workflows = workflows
        self._audited: dict[str, float] = {}
        self._alive: set[str] | None = None

    def schedule(self, batches: Sequence[str], *, cancelling: Collection[str], now: float) -> None:
        """Do what is to be done for the batches that have something left."""
        counts: dict[str, Counts] = {}
        paused = self._context.store.paused()
        for batch in batches:
            with self._by_itself(batch):
                self._context.limits_of(batch)
                counts[batch] = self._context.store.counts(batch)
        if counts:
            self._set_limits(counts)
        for batch, standing in counts.items():
            with self._by_itself(batch):
                self._audit(batch, now=now)
                if batch in cancelling:
                    self._cancel_waiting(batch)
                    self._workflows.undo_waiting(batch)
                elif batch not in paused:
                    self._start_next(batch, standing)

    @contextmanager
    def _by_itself(self, batch: str) -> Iterator[None]:
        """Damage in a batch of others is reported once, and leaves the rest as they are."""
        try:
            yield
        except VmieError as error:
            if error.code != DAMAGED or batch == self._own:
                raise
            if batch not in self.damaged:
                self.damaged.add(batch)
                self._context.reporter(events.Note(f"{batch} is left alone: {error.message}: {error.cause}", "warning"))

    def requeue_of_dead(self, live_workers: Callable[[], set[str]]) -> None:
        """See that no workflow belongs to a worker that has died; costs nothing while none does."""
        alive = live_workers()
        if self._alive is None or self._alive - alive:
            self._workflows.requeue_of_dead(live_workers)
        self._alive = alive

    def _set_limits(self, counts: Mapping[str, Counts]) -> None:
        """Let as many be under way as the batches ask for: the smallest number for a pool, the largest for a queue."""
        asked: dict[tuple[str, str, ItemKind], list[Limits]] = {}
        uploads: dict[str, int] = {}
        own = leases.uploads(self._context.store)
        for batch, standing in counts.items():
            limits = self._context.limits_of(batch)
            for pool in {pool for _, pool, state in standing if state not in ENDED}:
                asked.setdefault((pool.account, pool.region, pool.kind), []).append(limits)
                uploads[pool.queue] = max(uploads.get(pool.queue, own.get(pool.queue, 0)), limits.uploads)
        slots: dict[ItemKind, int] = {}
        for (_, _, kind), named in asked.items():
            slots[kind] = max(slots.get(kind, 0), smallest(named, kind))
        self._workflows.set_limits(slots=slots, uploads=uploads)

    def _start_next(self, batch: str, counts: Counts) -> None:
        """Enqueue what may begin: of the first wave that has not ended, largest first."""
        if not any(state not in ENDED for *_, state in counts):
            return
        if any(state is State.BLOCKED for *_, state in counts):
            self._unblock(batch)
        wave = min(wave for wave, _, state in counts if state not in ENDED)
        ahead: Counter[ItemPool] = Counter()
        waiting: set[ItemPool] = set()
        for (of_wave, pool, state), count in counts.items():
            if state in AHEAD:
                ahead[pool] += count
            if state is State.WAITING and of_wave == wave:
                waiting.add(pool)
        for pool in waiting:
            room = self._context.limits_of(batch).ahead - ahead[pool]
            if room > 0:
                for item in self._context.store.waiting(batch, pool, wave=wave, most=room):
                    self._workflows.send(item)
                    self._context.move(item, State.QUEUED, origins=(State.WAITING,))

    def _audit(self, batch: str, *, now: float) -> None:
        """Begin anew what a crash left between two records: an item under way that has no workflow."""
        if now - self._audited.get(batch, -_AUDIT_EVERY) < _AUDIT_EVERY:
            return
        self._audited[batch] = now
        going = [state for state in State if state not in (*ENDED, State.WAITING, State.BLOCKED)]
        items = self._context.store.items(batch, states=going)
        if not items:
            return
        known = self._workflows.under_way(batch)
        for item in items:
            if f"{item.key}/{item.round}" in known:
                continue
            # What holds one of AWS's slots keeps it.
            beyond = item.state in (*HOLDING, State.FINISHING)
            again = self._context.store.requeue(item, item.state if beyond else State.WAITING)
            if again is not None and beyond:
                self._workflows.resume(again)

    def _unblock(self, batch: str) -> None:
        """Release items whose `after` are completed; fail those for which that cannot happen any more."""
        blocked = self._context.store.items(batch, states=[State.BLOCKED])
        ended = {item.key: item.state for item in self._context.store.items(batch, states=ENDED)}
        for item in blocked:
            lost = [key for key in item.after if ended.get(key, State.COMPLETED) is not State.COMPLETED]
            if lost:
                self._context.move(item, State.FAILED, error=_dependency_failed(item, lost, ended[lost[0]]).as_json())
            elif all(key in ended for key in item.after):
                self._context.move(item, State.WAITING, origins=(State.BLOCKED,))

    def _cancel_waiting(self, batch: str) -> None:
        for item in self._context.store.items(batch, states=[State.BLOCKED, State.WAITING]):
            if item.round == 1:
                self._context.move(item, State.CANCELLED, origins=(State.BLOCKED, State.WAITING))
            else:
                # An earlier round may have left an upload: its workflow undoes that.
                self._workflows.send(item, undo=True)
                self._context.move(item, State.QUEUED, origins=(State.BLOCKED, State.WAITING))


def _dependency_failed(item: Item, lost: list[str], state: State) -> VmieError:
    what = f"{'was' if state is State.CANCELLED else 'has'} {state.value}"
    return VmieError(
        f"{item.key} comes after {', '.join(lost)}, which {what}",
        cause="nothing was done for it",
        cure=(f"fix {lost[0]}, then:", Run(("vmie", "batch", "resume", item.batch, "--retry-failed"))),
        code="DependencyFailed",
    )
