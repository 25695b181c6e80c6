"""A clock for waits against a sandbox that stands still: to sleep is to let AWS work that long."""

from __future__ import annotations

import datetime as dt
import random

from vmie.sandbox import Sandbox


class SandboxClock:
    """`vmie.poll.Clock` over a sandbox with speed 0."""

    def __init__(self, box: Sandbox) -> None:
        self._box = box
        self._random = random.Random(3)
        self.slept = 0.0

    def now(self) -> dt.datetime:
        return self._box.clock.now()

    def sleep(self, seconds: float) -> None:
        self.slept += seconds
        self._box.advance(seconds)

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)
