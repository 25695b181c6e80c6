"""A clock that tests turn by hand: sleeping is instant and remembered."""

from __future__ import annotations

import datetime as dt
import random


class ManualClock:
    """Starts at a fixed moment; `sleep` moves it on. Jitter is seeded, so a test is the same every time."""

    def __init__(self, *, seed: int = 7) -> None:
        self.start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
        self.time = self.start
        self.sleeps: list[float] = []
        self._random = random.Random(seed)

    def now(self) -> dt.datetime:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.time += dt.timedelta(seconds=seconds)

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return (self.time - self.start).total_seconds()
