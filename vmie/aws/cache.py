"""What was read of an account, cached for some minutes: hundreds of items of a batch ask the same of it.

Only a batch caches anything: a single verb reads anew each time. What a reading says may then be as old as the limit;
that does no harm where AWS judges again itself when the call is made, which is so for roles, policies, keys and
buckets. A failure is never cached, so a mended one takes effect at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

T = TypeVar("T")

#: seconds for which a reading is good: a place of AWS falls free every few minutes, and each item that takes one asks
GOOD_FOR = 900.0
#: readings cached at once: far above what one batch asks of an account
_MOST = 1000


@dataclass(slots=True)
class ReadCache:
    """The readings of one account, Region and caller. Threads share it: who asks at the same time waits for one."""

    now: Callable[[], datetime]
    seconds: float = GOOD_FOR
    _found: dict[Hashable, tuple[datetime | None, Any]] = field(default_factory=dict)
    _reading: dict[Hashable, threading.Lock] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def forget(self) -> None:
        """Read everything anew: something of it was refused, and may be mended by now."""
        with self._lock:
            self._found.clear()

    def get(self, key: Hashable, read: Callable[[], T], *, seconds: float | None = None) -> T:
        """What `read` answers, or answered at most `seconds` ago; what it raises is not cached, nor None."""
        with self._lock:
            reading = self._reading.setdefault(key, threading.Lock())
        with reading:
            good_for = self.seconds if seconds is None else seconds
            at, found = self._found.get(key, (None, None))
            if at is not None and (self.now() - at).total_seconds() < good_for:
                known: T = found
                return known
            made = read()
            with self._lock:
                self._found.pop(key, None)
                if made is not None:
                    self._found[key] = (self.now(), made)
                while len(self._found) > _MOST:
                    oldest = next(iter(self._found))
                    del self._found[oldest]
                    self._reading.pop(oldest, None)
            return made
