"""Time, sleep and jitter, handed in: a wait of seven days runs in milliseconds in a test."""

from __future__ import annotations

import datetime as dt
import random
import time
from typing import Protocol


class Clock(Protocol):
    """What a wait needs of the world."""

    def now(self) -> dt.datetime:
        """The time, aware, UTC."""

    def sleep(self, seconds: float) -> None:
        """Come back `seconds` later; raises KeyboardInterrupt when the user stops it."""

    def uniform(self, low: float, high: float) -> float:
        """A number between `low` and `high`: the jitter."""


class SystemClock:
    """The real one."""

    def now(self) -> dt.datetime:
        """See `Clock.now`."""
        return dt.datetime.now(dt.UTC)

    def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        time.sleep(max(0.0, seconds))

    def uniform(self, low: float, high: float) -> float:
        """See `Clock.uniform`."""
        return random.uniform(low, high)  # noqa: S311 - jitter, not a secret
