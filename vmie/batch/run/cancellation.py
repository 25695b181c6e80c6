"""Stopping and cancelling: one place that every wait, every upload and every retry of a batch checks."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from vmie.batch.model import Cancelled, Stopped
from vmie.errors import Run, VmieError
from vmie.poll import Clock

T = TypeVar("T")

#: a wait of hours checks this often, in seconds
_SLICE = 0.25


class Cancellation:
    """A `vmie.poll.Clock` whose sleeps end when the work is to end. Shared by the threads of one process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._stop = threading.Event()
        self._fault: VmieError | None = None
        self._cancelling: frozenset[str] = frozenset()
        self._batch: ContextVar[str] = ContextVar("batch", default="")
        self._exempt: ContextVar[bool] = ContextVar("exempt", default=False)

    def stop(self) -> None:
        """Let every thread stop."""
        self._stop.set()

    def fail(self, error: VmieError) -> None:
        """Let every thread stop for a failure that all items would meet; the first such error is kept."""
        self._fault = self._fault or error
        self.stop()

    @property
    def fault(self) -> VmieError | None:
        """What `fail` was called with."""
        return self._fault

    def pause(self, seconds: float) -> None:
        """Wait so long in this machine's time, whatever time the clock keeps; raises as `check` does."""
        self._stop.wait(seconds)
        self.check()

    def cancelling(self, batches: frozenset[str]) -> None:
        """Set which batches are being cancelled."""
        self._cancelling = batches

    @contextmanager
    def working_for(self, batch: str) -> Iterator[None]:
        """What this thread does in here is for `batch`."""
        with _set(self._batch, batch):
            yield

    @contextmanager
    def undoing(self) -> Iterator[None]:
        """What this thread does in here continues although the batch is being cancelled."""
        with _set(self._exempt, True):
            yield

    def check(self, batch: str = "") -> None:
        """Raise Stopped or Cancelled when the thread is to stop."""
        if self._stop.is_set():
            raise Stopped
        if (batch or self._batch.get()) in self._cancelling and not self._exempt.get():
            raise Cancelled(
                "the batch is being cancelled", cure=Run(("vmie", "batch", "run", "PLAN"), "begins it anew")
            )

    def wait(self, event: threading.Event) -> None:
        """Wait until `event` is set; raises as `check` does."""
        while not event.wait(_SLICE):
            self.check()

    # --- vmie.poll.Clock ------------------------------------------------------------------------

    def now(self) -> dt.datetime:
        """See `Clock.now`."""
        return self._clock.now()

    def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`; raises as `check` does."""
        end = self.now() + dt.timedelta(seconds=seconds)
        self.check()
        while (left := (end - self.now()).total_seconds()) > 0:
            self._clock.sleep(min(left, _SLICE))
            self.check()

    def uniform(self, low: float, high: float) -> float:
        """See `Clock.uniform`."""
        return self._clock.uniform(low, high)


@contextmanager
def _set(variable: ContextVar[T], value: T) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)
