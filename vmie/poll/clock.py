"""Time, sleep and jitter, handed in: a wait of seven days runs in milliseconds in a test."""

from __future__ import annotations

import datetime as dt
import random
import time
from typing import Protocol

#: goes on while the machine sleeps: on Linux only CLOCK_BOOTTIME does (clock_gettime(2)), elsewhere CLOCK_MONOTONIC
_ELAPSED: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(Protocol):
    """What a wait needs of the world."""

    def now(self) -> dt.datetime:
        """The time, aware, UTC."""

    def sleep(self, seconds: float) -> None:
        """Come back `seconds` later; raises KeyboardInterrupt when the user stops it."""

    def uniform(self, low: float, high: float) -> float:
        """A number between `low` and `high`: the jitter."""


class SystemClock:
    """The real one: the wall clock as it was when this was made, and what has elapsed since.

    A wall clock that is set afterwards ends no deadline and prolongs no wait. Between processes there is only the
    wall clock: what one has recorded the next one compares with its own.
    """

    def __init__(self) -> None:
        self._began = dt.datetime.now(dt.UTC)
        self._ticks = time.clock_gettime(_ELAPSED)

    def now(self) -> dt.datetime:
        """See `Clock.now`."""
        return self._began + dt.timedelta(seconds=time.clock_gettime(_ELAPSED) - self._ticks)

    def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        time.sleep(max(0.0, seconds))

    def uniform(self, low: float, high: float) -> float:
        """See `Clock.uniform`."""
        return random.uniform(low, high)  # noqa: S311 - jitter, not a secret
