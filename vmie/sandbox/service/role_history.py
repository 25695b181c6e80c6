"""The roles as the service sees them. IAM is eventually consistent (aws-facts 6): with a propagation delay the
history answers as the documents were that long ago. What the service does with a role is `vmie.policy.service`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from vmie.policy.service import RoleDocuments
from vmie.sandbox.clock import SandboxClock
from vmie.sandbox.fault_injection import FaultInjector

RoleKey = tuple[str, str, str]  #: account, partition, name


class RoleHistory:
    """Roles as they were, some seconds ago."""

    def __init__(
        self, read: Callable[[], Mapping[RoleKey, RoleDocuments]], *, clock: SandboxClock, faults: FaultInjector
    ) -> None:
        self._read = read
        self._clock = clock
        self._faults = faults
        self._history: list[tuple[float, Mapping[RoleKey, RoleDocuments]]] = []
        self._lock = threading.Lock()
        self.restart()

    def restart(self) -> None:
        """What IAM holds now has been so for ever."""
        now = dict(self._read())
        with self._lock:
            self._history[:] = [(float("-inf"), now)]

    def record(self) -> None:
        """Record what IAM holds now; called after whatever may have changed it."""
        now = dict(self._read())
        with self._lock:
            if now != self._history[-1][1]:
                self._history.append((self._clock.elapsed(), now))
                del self._history[:-1000]

    def effective(self, key: RoleKey) -> RoleDocuments | None:
        """The role as it was `propagation` seconds ago; None when it was not there."""
        if self._faults.propagation <= 0:
            return self._read().get(key)
        then = self._clock.elapsed() - self._faults.propagation
        with self._lock:
            past = [roles for at, roles in self._history if at <= then]
        return past[-1].get(key) if past else None
