"""The leader: puts items on their way - waves, dependencies, and no further ahead of AWS than asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

from vmie.batch.model import AHEAD, ENDED, HOLDING, Item, Kind, Limits, Pool, State
from vmie.batch.run.quota import smallest
from vmie.batch.run.resources import Crew
from vmie.batch.run.workflows import Flows

#: seconds between two searches for items that no workflow stands for
_AUDIT = 60.0

#: how many items there are per wave, pool and state
Counts = Mapping[tuple[int, Pool, State], int]


class Leader:
    """One per store at a time; `look` is called again and again."""

    def __init__(self, crew: Crew, flows: Flows) -> None:
        self._crew = crew
        self._flows = flows
        self._audited: dict[str, float] = {}
        self._living: set[str] | None = None

    def look(self, batches: Sequence[str], *, cancelling: Collection[str], now: float) -> None:
        """Do what is to be done for the batches that have something left."""
        counts = {batch: self._crew.store.counts(batch) for batch in batches}
        if batches:
            self._bound(counts)
        for batch, standing in counts.items():
            self._audit(batch, now=now)
            if batch in cancelling:
                self._cancel_waiting(batch)
                self._flows.give_up(batch)
            else:
                self._feed(batch, standing)

    def adopt(self, living: Callable[[], set[str]]) -> None:
        """See that no workflow belongs to somebody who is gone; costs nothing while nobody goes."""
        now = living()
        if self._living is None or self._living - now:
            self._flows.adopt(living)
        self._living = now

    def _bound(self, counts: Mapping[str, Counts]) -> None:
        """Let as many be under way as the batches ask for: the smallest number for a pool, the largest for a queue."""
        asked: dict[tuple[str, str, Kind], list[Limits]] = {}
        uploads: dict[str, int] = {}
        own = self._crew.store.uploads()
        for batch, standing in counts.items():
            limits = self._crew.limits_of(batch)
            for pool in {pool for _, pool, state in standing if state not in ENDED}:
                asked.setdefault((pool.account, pool.region, pool.kind), []).append(limits)
                uploads[pool.queue] = max(uploads.get(pool.queue, own.get(pool.queue, 0)), limits.uploads)
        slots: dict[Kind, int] = {}
        for (_, _, kind), named in asked.items():
            slots[kind] = max(slots.get(kind, 0), smallest(named, kind))
        self._flows.limit(slots=slots, uploads=uploads)

    def _feed(self, batch: str, counts: Counts) -> None:
        """Put on its way what can go."""
        if not any(state not in ENDED for *_, state in counts):
            return
        if any(state is State.BLOCKED for *_, state in counts):
            self._unblock(batch)
        wave = min(wave for wave, _, state in counts if state not in ENDED)
        ahead: Counter[Pool] = Counter()
        waiting: set[Pool] = set()
        for (of_wave, pool, state), count in counts.items():
            if state in AHEAD:
                ahead[pool] += count
            if state is State.WAITING and of_wave == wave:
                waiting.add(pool)
        for pool in waiting:
            room = self._crew.limits_of(batch).ahead - ahead[pool]
            if room > 0:
                for item in self._crew.store.waiting(batch, pool, wave=wave, most=room):
                    self._flows.send(item)
                    self._crew.move(item, State.QUEUED, origins=(State.WAITING,))

    def _audit(self, batch: str, *, now: float) -> None:
        """Begin anew what was left between two records by a crash: an item under way for which no workflow stands."""
        if now - self._audited.get(batch, -_AUDIT) < _AUDIT:
            return
        self._audited[batch] = now
        going = [state for state in State if state not in (*ENDED, State.WAITING, State.BLOCKED)]
        items = self._crew.store.items(batch, states=going)
        if not items:
            return
        known = self._flows.under_way(batch)
        for item in items:
            if f"{item.key}/{item.round}" in known:
                continue
            # What holds one of AWS's slots keeps it.
            beyond = item.state in (*HOLDING, State.FINISHING)
            again = self._crew.store.requeue(item, item.state if beyond else State.WAITING)
            if again is not None and beyond:
                self._flows.go_on(again)

    def _unblock(self, batch: str) -> None:
        """Let items go whose `after` are completed; fail those for which that cannot come any more."""
        blocked = self._crew.store.items(batch, states=[State.BLOCKED])
        ended = {item.key: item.state for item in self._crew.store.items(batch, states=ENDED)}
        for item in blocked:
            lost = [key for key in item.after if ended.get(key, State.COMPLETED) is not State.COMPLETED]
            if lost:
                self._crew.move(item, State.FAILED, error=_dependency(item, lost, ended[lost[0]]))
            elif all(key in ended for key in item.after):
                self._crew.move(item, State.WAITING, origins=(State.BLOCKED,))

    def _cancel_waiting(self, batch: str) -> None:
        for item in self._crew.store.items(batch, states=[State.BLOCKED, State.WAITING]):
            if item.round == 1:
                self._crew.move(item, State.CANCELLED, origins=(State.BLOCKED, State.WAITING))
            else:
                # An earlier round may have left an upload: its workflow undoes that.
                self._flows.send(item, undo=True)
                self._crew.move(item, State.QUEUED, origins=(State.BLOCKED, State.WAITING))


def _dependency(item: Item, lost: list[str], state: State) -> dict[str, str]:
    return {
        "code": "DependencyFailed",
        "message": f"{item.key} comes after {', '.join(lost)}, which {'was' if state is State.CANCELLED else 'has'} "
        f"{state.value}",
        "cause": "nothing was done for it",
        "cure": f"mend {lost[0]}, then: vmie batch resume {item.batch} --retry-failed",
        "request_id": "",
    }
