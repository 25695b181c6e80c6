"""How many calls at once, and how many a second: what the link carries and what the account may ask for, found out.

AWS tells no limit: it refuses what is over it (1,000 blocks a second per snapshot and per account, where nobody raised
or shares it). Two numbers are steered, each by what it shows:

* calls under way: twice the blocks that fit on the way (their rate times the shortest time that one took), so that a
  link of any length is full and a slow one is not swamped (the "bandwidth-delay product" of TCP BBR);
* calls a second: 1,200 until the first refusal, then half of what it was; from there up along CUBIC's curve
  (RFC 9438), slowly near the old limit and past it in a few seconds, and a step down at each refusal. AWS saves up
  what was not asked for, so the average over such a tooth is the limit itself. Clients that share a limit each step
  down by a share of their rate and up by time: they come to equal rates.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

#: calls under way at once, at the most: 1,000 a second with 100 ms each, and some (EBS guide, "ebsapi-performance")
MOST = 128
_FEWEST, _FIRST, _GAIN = 8, 64, 1.5
#: calls in a second at the most: AWS takes 1,000 for a snapshot, and raises that for nobody
_MOST_RATE = 1200.0
#: a client that lost time may send so many seconds' calls at once
_CATCH_UP = 0.05
#: the part of the rate that is kept at a refusal by the snapshot's own limit, and by the account's, which others share
_KEPT, _KEPT_SHARED, _FIRST_KEPT = 0.95, 0.9, 0.4
#: seconds until the rate is back where it was refused
_RECOVERY = 2.0
#: the part of the rate by which it rises in as long again: who shared the limit may have gone
_BEYOND = 0.2
#: seconds for which a new rate is held
_HOLD = 0.25
#: so many seconds and calls between two refusals tell the limit
_SPAN, _CALLS = 0.1, 10
#: seconds over which the link is measured
_WINDOW = 0.1


class Ticket(NamedTuple):
    """A call that is sent at `at`, the `number`th of all."""

    at: float
    number: int


class CallPace:
    """The pace of one kind of call. Threads share it; `monotonic` is in seconds."""

    def __init__(self, *, most: int = MOST, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._row = threading.Lock()
        self._under_way = 0
        self._link = _Link(most)
        self._rate = _Rate()

    @property
    def limit(self) -> int:
        """Calls allowed at once just now."""
        return self._link.limit

    @property
    def rate(self) -> float:
        """Calls allowed in a second just now."""
        with self._changed:
            return self._rate.at(self._monotonic())

    def enter(self) -> None:
        """Come back when another call may be under way; each is ended with `leave`."""
        with self._changed:
            while self._under_way >= self._link.limit:
                self._changed.wait()
            self._under_way += 1

    def leave(self) -> None:
        """A call has ended."""
        with self._changed:
            self._under_way -= 1
            self._changed.notify()

    def turn(self) -> Ticket | float:
        """A ticket for a call that may be sent now, or the seconds to wait before asking again.

        Nobody is promised a place in the future: a cut takes effect at once.
        """
        with self._changed:
            return self._rate.turn(self._monotonic())

    def wait(self, sleep: Callable[[float], object]) -> Ticket:
        """A ticket for a call, once it may be sent; who waits, waits in a row."""
        with self._row:
            while not isinstance(turn := self.turn(), Ticket):
                sleep(turn)
            return turn

    def taken(self, ticket: Ticket) -> None:
        """AWS took a call."""
        with self._changed:
            now = self._monotonic()
            if self._link.taken(now, now - ticket.at):
                self._changed.notify_all()

    def refused(self, ticket: Ticket, *, shared: bool) -> None:
        """AWS refused it as one too many: for the snapshot, or for the account that others share."""
        with self._changed:
            self._rate.refused(ticket, self._monotonic(), _KEPT_SHARED if shared else _KEPT)

    def broke(self) -> None:
        """A connection broke, or died away: the link carries less, perhaps."""
        with self._changed:
            self._link.broke(self._monotonic())


class _Link:
    """Calls under way at once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.limit = min(_FIRST, most)
        self._began = float("-inf")
        self._count = 0
        #: (calls a second, shortest seconds) of the last windows
        self._windows: deque[tuple[float, float]] = deque(maxlen=50)
        self._shortest = float("inf")
        self._broke = float("-inf")

    def taken(self, now: float, seconds: float) -> bool:
        """One more arrived; whether the limit rose."""
        if self._began == float("-inf"):
            self._began = now - seconds
        self._count += 1
        self._shortest = min(self._shortest, seconds)
        if now - self._began < _WINDOW or self._count < 4:
            return False
        self._windows.append((self._count / (now - self._began), self._shortest))
        self._began, self._count, self._shortest = now, 0, float("inf")
        on_the_way = max(rate for rate, _ in self._windows) * min(shortest for _, shortest in self._windows)
        before = self.limit
        self.limit = max(_FEWEST, min(self._most, round(_GAIN * on_the_way)))
        return self.limit > before

    def broke(self, now: float) -> None:
        """Half as many; connections that break together are one sign."""
        if now - self._broke >= 1.0:
            self._broke = now
            self.limit = max(1, self.limit // 2)
            self._windows.clear()
            self._began, self._count, self._shortest = float("-inf"), 0, float("inf")


class _Empty(NamedTuple):
    """A moment when AWS had nothing left to give: a refused call, and the refusals until then."""

    at: float
    number: int
    refusals: int


class _Rate:
    """Calls a second.

    Between two refusals AWS took as much as it gives: that is the limit, whatever the rate was in between.
    """

    def __init__(self) -> None:
        self._low = self._high = _MOST_RATE
        self._cut = float("-inf")
        self._free = 0.0
        self._number = 0
        #: calls of this number and before were sent at a rate that was given up
        self._given_up = 0
        self._refusals = 0
        self._empty: _Empty | None = None
        #: when the last calls were sent: what the rate really is
        self._sent: deque[float] = deque(maxlen=1000)

    def at(self, now: float) -> float:
        if self._empty is None:
            return _MOST_RATE
        past = (max(now, self._cut + _HOLD) - self._cut - _HOLD - _RECOVERY) / _RECOVERY
        step = self._high - self._low
        return min(_MOST_RATE, self._high + (step if past < 0 else max(step, _BEYOND * self._high)) * past**3)

    def turn(self, now: float) -> Ticket | float:
        if self._free > now:
            return self._free - now
        self._free = max(self._free, now - _CATCH_UP) + 1 / self.at(now)
        self._sent.append(now)
        self._number += 1
        return Ticket(now, self._number)

    def refused(self, ticket: Ticket, now: float, kept: float) -> None:
        self._refusals += 1
        empty, peak = self._empty, min(self.at(now), self._measured(now))
        if empty is None:
            self._set(ticket, now, _FIRST_KEPT * peak, peak)
            return
        span, sent = ticket.at - empty.at, ticket.number - empty.number
        if ticket.number <= self._given_up or span < _SPAN or sent < _CALLS:
            return
        limit = (sent - self._refusals + empty.refusals) / span
        # a service that saves nothing up took less than it gives: then the rate that it refused is nearer
        high = (limit + max(limit, peak)) / 2
        self._set(ticket, now, kept * min(high, 1.05 * limit), high)

    def _set(self, ticket: Ticket, now: float, low: float, high: float) -> None:
        self._low, self._high, self._cut = max(1.0, low), max(1.0, high), now
        self._empty = _Empty(ticket.at, ticket.number, self._refusals)
        self._given_up = self._number
        self._free = now + 1 / self._low

    def _measured(self, now: float) -> float:
        """Calls really sent in the last half second, per second."""
        span = min(0.5, max(0.1, now - self._sent[0]))
        return max(1.0, sum(1 for one in self._sent if one >= now - span) / span)
