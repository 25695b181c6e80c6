"""How long conversions take: what the timeline says, or times drawn anew for every task.

In the field the time of a conversion grows with the disk and is scattered about that by a factor, so it is drawn
from a log-normal distribution about a time that the source's size says.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from dataclasses import dataclass, field

from vmie.limits import GIB


@dataclass
class Durations:
    """Plain numbers that a test may change; they hold for tasks made afterwards.

    `median` is the seconds that half of the tasks with an empty source need at most, 0 for the timeline's own;
    `per_gib` is added for each GiB of the source (an import's objects, an export's volumes). `spread` is the sigma of
    the log-normal distribution about the sum: at 0.5 one task in forty takes 2.7 times as long, at 0 none.
    """

    median: float = 0.0
    per_gib: float = 0.0
    spread: float = 0.0
    seed: int = 0
    _drawn: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def restart(self, numbers: Durations) -> None:
        """Take the numbers of another one, and draw as if nothing had been drawn."""
        self.median, self.per_gib, self.spread, self.seed = (
            numbers.median,
            numbers.per_gib,
            numbers.spread,
            numbers.seed,
        )
        with self._lock:
            self._drawn.clear()

    def draw(self, usual: float, *, origin: str, size: int) -> float:
        """The seconds of a new task that reads `size` bytes from `origin`, whose timeline says `usual`.

        They depend on the origin and on how many tasks it had before, not on the tasks of other origins: a
        batch takes the same times in whatever order its items come.
        """
        middle = (self.median or usual) + self.per_gib * size / GIB
        if self.spread <= 0:
            return middle
        with self._lock:
            self._drawn[origin] += 1
            count = self._drawn[origin]
        chance = random.Random(f"{self.seed}/{origin}/{count}")  # noqa: S311 - how long it takes is no secret
        return middle * chance.lognormvariate(0.0, self.spread)
