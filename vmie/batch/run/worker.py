"""One process that carries batches out, from its lease to its end; again when a shared state was lost and found."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeVar

from vmie import events
from vmie.batch.context import BatchContext
from vmie.batch.model import ItemKind, State
from vmie.batch.report.workers import live_workers, unserved
from vmie.batch.run.context import RunContext
from vmie.batch.run.retry_policy import UNSETTLED, affects_all_items
from vmie.batch.run.scheduler import Scheduler
from vmie.batch.run.stages import Stages
from vmie.batch.run.workflows import StagesOf, Workflows
from vmie.batch.store import leases, workflow_rows
from vmie.batch.store.leases import Lease
from vmie.batch.store.locations import Location
from vmie.batch.store.state_errors import STATE_LOST, reported
from vmie.batch.store.store import Store
from vmie.errors import Cure, Interrupted, VmieError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Worker:
    """One process at work: on one batch, or on all of a shared location when `batch` is ""."""

    context: BatchContext
    location: Location
    store: Store
    lease: Lease
    name: str
    queues: Sequence[str]
    batch: str = ""
    stay: bool = False
    only_undo: bool = False
    kinds: tuple[ItemKind, ...] = tuple(ItemKind)
    stages: StagesOf = Stages
    #: labels that were reported as served by nobody, and when that was; "" for the next check
    _unserved: dict[str, float] = field(default_factory=dict)

    def work(self) -> None:
        """Until nothing is left to do. Raises what every item would meet, and VmieError for rows of another program."""
        context = RunContext(self.context, self.store)
        context.cancellation.cancelling(self.store.cancelling())
        workflows = Workflows(
            context,
            url=self.location.url,
            worker=self.name,
            queues=self.queues,
            pause=self.context.pause,
            stages=self.stages,
            only_undo=self.only_undo,
            reconnect_within=self.context.reconnect_within if self.location.shared else 0.0,
            kinds=self.kinds,
        )
        try:
            workflow_rows.check(self.store.engine, batch=self.batch)
            with workflows:
                scheduler = Scheduler(context, workflows, own=self.batch)
                while self._round(context, workflows, scheduler) or self.stay:
                    self.context.clock.sleep(self.context.pause)
        except Exception as error:
            if workflows.settled or not (why := affects_all_items(error)):
                raise
            # Something is still in the middle of a call: this process is not to begin anything anew.
            raise VmieError(why.what, cause=why.cause, cure=why.actions, code=UNSETTLED) from error
        finally:
            if workflows.settled:
                with suppress(VmieError), reported():
                    leases.mark_gone(self.store, [self.name])

    def _round(self, context: RunContext, workflows: Workflows, scheduler: Scheduler) -> bool:
        """One round of the main thread; False when there is nothing left to do."""
        if context.cancellation.fault is not None:
            raise context.cancellation.fault
        cancelling = self.store.cancelling()
        context.cancellation.cancelling(cancelling)
        workflows.return_refused()
        self._report_unserved()
        active = self.store.active()
        if self.lease.is_leader():
            scheduler.requeue_of_dead(self.lease.live_workers)
            scheduler.schedule(active, cancelling=cancelling, now=self.context.clock.now().timestamp())
            active = self.store.active()
        return self.batch in active if self.batch else bool(set(active) - scheduler.damaged)

    def _report_unserved(self) -> None:
        """Report, once for each label, that items wait for a worker that is not there."""
        now = self.context.clock.now().timestamp()
        if not (self.batch and self.location.shared) or now < self._unserved.get("", 0.0):
            return
        self._unserved[""] = now + 10 * self.context.pause
        labels = {label for one in live_workers(self.store, self.location, ()) for label in one.queues}
        waiting = self.store.items(self.batch, states=[State.WAITING, State.QUEUED])
        for label, line in unserved(waiting, labels).items():
            if label not in self._unserved:
                self._unserved[label] = now
                self.context.reporter(events.Note(line, "warning"))


@contextmanager
def open_store(context: BatchContext, location: Location) -> Iterator[tuple[Store, str]]:
    """The store of a location under a worker's name that was never used: a host's name and number would come back."""
    name = f"{socket.gethostname()[:40]}-{secrets.token_hex(6)}"
    with location.open(context.clock.now, worker=name) as store:
        yield store, name


@contextmanager
def leased(
    context: BatchContext, location: Location, store: Store, worker: str, queues: Sequence[str]
) -> Iterator[Lease]:
    """A lease at a location, known to the other workers. Raises UsageError (BatchLocked) when there is none."""
    with location.lease(store, worker, pause=context.pause) as lease:
        leases.register(store, worker, host=socket.gethostname(), queues=list(queues), uploads=context.uploads)
        yield lease


def reconnecting(context: BatchContext, location: Location, work: Callable[[], T], *, cure: Cure, batch: str = "") -> T:
    """`work()`, again while a shared state is lost and found; with `cure` as the way on when it is not found.

    Raises Interrupted for Ctrl-C, and what stopped the work.
    """
    if location.shared:
        # An address that nobody answers at from the start is a mistake, not a loss.
        location.engine().dispose()
    lost: float | None = None
    while True:
        began = time.monotonic()
        try:
            return work()
        except KeyboardInterrupt:
            raise Interrupted(
                "interrupted",
                cause="AWS continues what it has; what was done is recorded",
                cure=cure,
                result={"batch": batch} if batch else {},
            ) from None
        except VmieError as error:
            if batch and error.code != "BatchLocked":
                error.result = {"batch": batch, **error.result}
            if affects_all_items(error) is None:
                raise
            now = time.monotonic()
            lost = now if lost is None or now - began > context.reconnect_within else lost
            if not (location.shared and error.code in STATE_LOST and now - lost < context.reconnect_within):
                error.add_cure(cure)
                raise
            context.reporter(events.Note(f"{error.message} ({error.cause}); trying again", "warning"))
            time.sleep(min(5.0, 5 * context.pause))
