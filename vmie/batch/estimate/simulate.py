"""When each item would begin and end: the batch simulated with estimated durations.

As the engine does it: waves one after the other, `after`, uploads of a machine at once, no further ahead of AWS than
asked, the largest first, and a slot of AWS held while its task is active.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vmie.batch.model import ItemPool, Limits


@dataclass(frozen=True, slots=True)
class SimulatedItem:
    """One item. `upload` and `task` are hours; `lost` items end at once, and so does what comes after them."""

    key: str
    pool: ItemPool
    wave: int
    after: tuple[str, ...]
    size: int
    upload: float
    task: float
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Timing:
    """Hours from the batch's beginning: the upload begins, AWS's task begins, all is done."""

    begin: float
    task: float
    end: float


def forecast(items: Iterable[SimulatedItem], limits: Limits) -> dict[str, Timing]:
    """The span of each item that is not lost; keys of `items` are unique, `after` has no circle."""
    play = _Play({item.key: item for item in items}, limits)
    play.over([key for key, item in play.items.items() if item.lost])
    play.open_wave()
    while play.step():
        pass
    return play.spans


class _Play:
    """The batch at one moment: `now` in hours."""

    def __init__(self, items: Mapping[str, SimulatedItem], limits: Limits) -> None:
        self.items = items
        self.spans: dict[str, Timing] = {}
        self._limits = limits
        self._now = 0.0
        self._number = 0
        self._waits = {key: {one for one in item.after if one in items} for key, item in items.items()}
        self._followers: defaultdict[str, list[str]] = defaultdict(list)
        for key, names in self._waits.items():
            for name in names:
                self._followers[name].append(key)
        self._left = Counter(item.wave for item in items.values())
        self._waves: defaultdict[int, list[str]] = defaultdict(list)
        for key, item in items.items():
            self._waves[item.wave].append(key)
        self._closed = sorted(self._waves, reverse=True)
        self._wave = -1
        self._over: set[str] = set()
        #: (when, number, what, item)
        self._events: list[tuple[float, int, str, str]] = []
        self._ready: defaultdict[ItemPool, list[tuple[int, int, str]]] = defaultdict(list)
        self._queues: defaultdict[ItemPool, list[tuple[int, str]]] = defaultdict(list)
        self._ahead: Counter[ItemPool] = Counter()
        self._uploading: Counter[str] = Counter()
        self._held: Counter[tuple[str, str, str]] = Counter()
        self._begun: dict[str, float] = {}
        self._tasks: dict[str, float] = {}

    def step(self) -> bool:
        """Begin what can, then move on to the next event; False when there is none."""
        self._start()
        if not self._events:
            return False
        self._now, _, what, key = heapq.heappop(self._events)
        pool = self.items[key].pool
        if what == "uploaded":
            self._uploading[pool.queue] -= 1
            heapq.heappush(self._queues[pool], (self._next(), key))
            return True
        self._held[_slots(pool)] -= 1
        self.spans[key] = Timing(self._begun[key], self._tasks[key], self._now)
        self.over([key])
        self.open_wave()
        return True

    def over(self, keys: list[str]) -> None:
        """Items have ended: let go what came after them, and lose what came after lost ones."""
        while keys:
            key = keys.pop()
            if key in self._over:
                continue
            self._over.add(key)
            self._left[self.items[key].wave] -= 1
            for follower in self._followers[key]:
                self._waits[follower].discard(key)
                if key not in self.spans:
                    keys.append(follower)
                elif self.items[follower].wave == self._wave:
                    self._offer(follower)

    def open_wave(self) -> None:
        """Begin the next wave, and the next, while all of the last one have ended."""
        while self._closed and not self._left[self._wave]:
            self._wave = self._closed.pop()
            for key in self._waves[self._wave]:
                self._offer(key)

    def _offer(self, key: str) -> None:
        """Let an item go, if it waits for nothing: the largest first, then in the plan's order."""
        item = self.items[key]
        if not self._waits[key] and key not in self._over:
            heapq.heappush(self._ready[item.pool], (-item.size, self._next(), key))

    def _start(self) -> None:
        """Begin every task and every upload that there is room for; a task that begins makes room ahead of AWS."""
        for pool, queue in self._queues.items():
            while queue and self._held[_slots(pool)] < self._limits.of(pool.kind):
                key = heapq.heappop(queue)[1]
                self._ahead[pool] -= 1
                self._held[_slots(pool)] += 1
                self._tasks[key] = self._now
                self._later(self.items[key].task, "done", key)
        most = max(self._limits.ahead, self._limits.uploads)
        for pool, waiting in self._ready.items():
            while waiting and self._uploading[pool.queue] < self._limits.uploads and self._ahead[pool] < most:
                key = heapq.heappop(waiting)[2]
                self._begun[key] = self._now
                self._uploading[pool.queue] += 1
                self._ahead[pool] += 1
                self._later(self.items[key].upload, "uploaded", key)

    def _later(self, hours: float, what: str, key: str) -> None:
        heapq.heappush(self._events, (self._now + hours, self._next(), what, key))

    def _next(self) -> int:
        self._number += 1
        return self._number


def _slots(pool: ItemPool) -> tuple[str, str, str]:
    """AWS counts by account, Region and kind, whoever sends."""
    return pool.account, pool.region, pool.kind.value
