"""How fast to send: parts on the wire at once, and bytes per second.

Congestion is answered as TCP answers it: one more part in flight after a round that went well, half as many when
S3 says SlowDown or a connection breaks.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: a burst of failures is one sign, not many
_SAME_SIGN_SECONDS = 1.0


class Pace:
    """A limit on parts in flight that adapts, `most` at the most. Threads share it."""

    def __init__(self, most: int, *, start: int = 4, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._limit = min(start, most)
        self._monotonic = monotonic
        self._in_flight = 0
        self._went_well = 0
        self._slowed = float("-inf")
        self._changed = threading.Condition()

    @property
    def limit(self) -> int:
        """Parts allowed on the wire just now."""
        return self._limit

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Hold one of the places on the wire."""
        with self._changed:
            while self._in_flight >= self._limit:
                self._changed.wait()
            self._in_flight += 1
        try:
            yield
        finally:
            with self._changed:
                self._in_flight -= 1
                self._changed.notify_all()

    def went_well(self) -> None:
        """A part arrived."""
        with self._changed:
            self._went_well += 1
            if self._went_well >= self._limit:
                self._went_well = 0
                self._limit = min(self._most, self._limit + 1)
                self._changed.notify_all()

    def slow_down(self) -> None:
        """S3 asked for less, or the network could not carry it."""
        with self._changed:
            now = self._monotonic()
            if now - self._slowed >= _SAME_SIGN_SECONDS:
                self._slowed = now
                self._went_well = 0
                self._limit = max(1, self._limit // 2)


class Rate:
    """At most `per_second` bytes, shared by all threads; `sleep` is interrupted when the upload stops."""

    def __init__(
        self,
        per_second: float,
        *,
        sleep: Callable[[float], object],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.per_second = per_second
        self._sleep = sleep
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._free_at = monotonic()

    def take(self, amount: int) -> None:
        """Come back when `amount` bytes may go."""
        with self._lock:
            now = self._monotonic()
            begins = max(now, self._free_at)
            self._free_at = begins + amount / self.per_second
            pause = begins - now
        if pause > 0:
            self._sleep(pause)
