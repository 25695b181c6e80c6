"""How many requests a second are taken: per snapshot, and per account over all of them.

Source: https://docs.aws.amazon.com/ebs/latest/userguide/ebs-resource-quotas.html
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from vmie.sandbox.service.ebs import errors

#: buckets kept, and the seconds after which one is full whatever its rate
_MOST, _FULL_AGAIN = 1000, 1.0


@dataclass
class EbsLimits:
    """The quotas of the EBS direct API, per account and Region; plain numbers that a test may change.

    The rates are requests per second. `completing` is how long a snapshot stays pending once it is completed, in
    seconds of AWS's work.
    """

    pending_snapshots: int = 100
    starts: float = 10.0
    completes: float = 10.0
    lists: float = 50.0
    snapshot_puts: float = 1000.0
    account_puts: float = 1000.0
    snapshot_gets: float = 1000.0
    account_gets: float = 1000.0
    completing: float = 30.0


@dataclass
class Throttle:
    """Token buckets of one second's worth; `now` is seconds that pass as they do for the client. Thread-safe."""

    now: Callable[[], float]
    _buckets: dict[tuple[str, ...], tuple[float, float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def require(self, account: tuple[str, ...], rate: float, *, snapshot: str = "", snapshot_rate: float = 0) -> None:
        """Count one request; raises ApiError where it is one too many, for the snapshot or for the account."""
        moment = self.now()
        with self._lock:
            self._prune(moment)
            mine = self._left((*account, snapshot), snapshot_rate, moment) if snapshot else 1.0
            all_ = self._left(account, rate, moment)
            if mine < 1:
                raise errors.snapshot_throttled()
            if all_ < 1:
                raise errors.account_throttled()
            self._buckets[account] = all_ - 1, moment
            if snapshot:
                self._buckets[*account, snapshot] = mine - 1, moment

    def restart(self) -> None:
        """Forget what was counted."""
        with self._lock:
            self._buckets.clear()

    def _prune(self, moment: float) -> None:
        """Forget what has been still for so long that it is full again."""
        if len(self._buckets) > _MOST:
            self._buckets = {key: one for key, one in self._buckets.items() if moment - one[1] < _FULL_AGAIN}

    def _left(self, key: tuple[str, ...], rate: float, moment: float) -> float:
        left, since = self._buckets.get(key, (rate, moment))
        return min(max(rate, 1), left + (moment - since) * rate)
