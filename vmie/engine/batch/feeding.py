"""The leader: puts items on their way - waves, dependencies, and no further ahead of AWS than asked."""

from __future__ import annotations

from collections import Counter

from vmie.engine.batch.crew import Crew
from vmie.engine.batch.flows import Flows
from vmie.engine.batch.model import AHEAD, ENDED, Item, Pool, State

#: seconds between two searches for items that no workflow stands for
_AUDIT = 60.0


class Leader:
    """One per store at a time; `feed` is called again and again."""

    def __init__(self, crew: Crew, flows: Flows) -> None:
        self._crew = crew
        self._flows = flows
        self._audited: dict[str, float] = {}

    def feed(self, batch: str, *, cancelling: bool) -> bool:
        """Put what can go on its way; False when every item of the batch has ended."""
        counts = self._crew.store.counts(batch)
        if not any(state not in ENDED for *_, state in counts):
            return False
        if cancelling:
            self._cancel_waiting(batch)
            return True
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
            room = self._crew.limits.ahead - ahead[pool]
            if room > 0:
                for item in self._crew.store.waiting(batch, pool, wave=wave, most=room):
                    self._flows.send(item)
                    self._crew.move(item, State.QUEUED, origins=(State.WAITING,))
        return True

    def audit(self, batch: str, *, now: float, cancelling: bool = False) -> None:
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
            if f"{item.key}/{item.round}" not in known:
                self._crew.store.requeue(item)

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
                self._flows.send(item)
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
