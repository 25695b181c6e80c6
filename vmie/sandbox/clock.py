"""Two times: the calendar, which is real, and the work, which the sandbox accelerates.

The calendar (`now`) dates tasks and ends their seven days of being listed: clients compare it with
their own clock, so it is never scaled. The work (`worked`) is what an import takes: at ``speed``
1200 half an hour of AWS's work passes in a second and a half. A speed of 0 stands still until a
test calls `advance`, which moves both.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable


class SandboxClock:
    """Thread-safe; `speed` is seconds of work per real second, 0 for a clock moved by `advance` only."""

    def __init__(
        self,
        *,
        speed: float,
        monotonic: Callable[[], float] = time.monotonic,
        today: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        if speed < 0:
            raise ValueError("speed is seconds of work per second: 0 (advanced by hand) or more")
        self.speed = speed
        self._monotonic = monotonic
        self._today = today
        self._lock = threading.Lock()
        self.restart()

    def restart(self) -> None:
        """Begin anew: today, no second passed, no work done."""
        with self._lock:
            self._epoch = self._today()
            self._started = self._monotonic()
            self._ahead = 0.0

    def elapsed(self) -> float:
        """Calendar seconds since the sandbox began: real ones plus those given to `advance`."""
        real = self._monotonic() - self._started if self.speed else 0.0
        with self._lock:
            return real + self._ahead

    def now(self) -> dt.datetime:
        """The date, aware and UTC."""
        return self._epoch + dt.timedelta(seconds=self.elapsed())

    def worked(self) -> float:
        """Seconds of AWS's work done since the sandbox began."""
        real = self._monotonic() - self._started
        with self._lock:
            return real * self.speed + self._ahead

    def measured(self) -> float:
        """Seconds as they pass for a client, whatever the speed, for rates: real ones and those given to `advance`."""
        with self._lock:
            return self._monotonic() + self._ahead

    def advance(self, seconds: float) -> None:
        """Move both times forward by `seconds`."""
        if seconds < 0:
            raise ValueError("time only moves forward")
        with self._lock:
            self._ahead += seconds
