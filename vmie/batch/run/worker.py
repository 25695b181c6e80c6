"""One process at work, from when it sits down to when it leaves; and again, where a shared state was lost and found."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeVar

import sqlalchemy as sa

from vmie import events
from vmie.batch.model import Kind, State
from vmie.batch.report.workers import present, unserved
from vmie.batch.run.cancellation import Control
from vmie.batch.run.context import Company
from vmie.batch.run.leases import FileSeat, Seat, SessionSeat, sit_down
from vmie.batch.run.resources import Crew
from vmie.batch.run.retry_policy import strikes_all
from vmie.batch.run.scheduler import Leader
from vmie.batch.run.workflows import Flows
from vmie.batch.store.locations import Place
from vmie.batch.store.store import Store
from vmie.errors import Interrupted, VmieError

T = TypeVar("T")


@contextmanager
def seated(company: Company, place: Place, store: Store, worker: str, queues: Sequence[str]) -> Iterator[Seat]:
    """A seat among those who work at a place, known to the others. Raises UsageError (BatchLocked) when it is taken."""
    with ExitStack() as stack:
        seat: Seat
        if place.folder is not None:
            seat = stack.enter_context(FileSeat(place.folder, store, worker))
        else:
            seat = stack.enter_context(SessionSeat(store, worker, pause=company.pause))
        sit_down(store, worker, host=socket.gethostname(), queues=list(queues), uploads=company.uploads)
        yield seat


def again_and_again(company: Company, place: Place, shift: Callable[[], T], *, cure: str, batch: str = "") -> T:
    """Work shift after shift while a shared state is lost and found again; say how to go on when it is not to be.

    Raises Interrupted for Ctrl-C, and what stopped the work with `cure` as the way on.
    """
    if place.shared:
        # An address that nobody answers at from the start is a mistake, not a loss.
        place.engine().dispose()
    lost: float | None = None
    while True:
        began = time.monotonic()
        try:
            return shift()
        except KeyboardInterrupt:
            raise Interrupted(
                "interrupted",
                cause="what AWS has goes on there; what was done is recorded",
                cure=f"{cure} goes on{f', vmie batch cancel {batch} gives it up' if 'resume' in cure else ''}",
                result={"batch": batch} if batch else {},
            ) from None
        except VmieError as error:
            if batch and error.code != "BatchLocked":
                error.result = {"batch": batch, **error.result}
            if strikes_all(error) is None:
                raise
            now = time.monotonic()
            lost = now if lost is None or now - began > company.regain else lost
            if not (place.shared and error.code in ("SeatLost", "NoState") and now - lost < company.regain):
                error.add_cure(cure)
                raise
            company.reporter(events.Note(f"{error.message} ({error.cause}); trying again", "warning"))
            _sleep(company)


def _sleep(company: Company) -> None:
    time.sleep(min(5.0, 5 * company.pause))


@dataclass(frozen=True, slots=True)
class Shift:
    """One process at work: on one batch, or on all of a shared place when `batch` is ""."""

    company: Company
    store: Store
    seat: Seat
    worker: str
    queues: Sequence[str]
    batch: str = ""
    stay: bool = False
    only_undo: bool = False
    kinds: tuple[Kind, ...] = tuple(Kind)
    #: when which label was told of as served by nobody; "" for the next look
    told: dict[str, float] = field(default_factory=dict)

    def work(self, url: str) -> None:
        """Until nothing is left to do. Raises what strikes every item alike."""
        company = self.company
        control = Control(company.clock)
        crew = Crew(
            company.doors,
            store=self.store,
            settings=company.settings,
            control=control,
            reporter=company.reporter,
            pause=company.pause,
            uploads=company.uploads,
        )
        control.cancelling(self.store.cancelling())
        flows = Flows(
            crew,
            url=url,
            worker=self.worker,
            queues=self.queues,
            pause=company.pause,
            stages=company.stages,
            only_undo=self.only_undo,
            regain=company.regain if company.places.address else 0.0,
            kinds=self.kinds,
        )
        try:
            with flows:
                leader = Leader(crew, flows)
                while self._tick(flows, leader, control) or self.stay:
                    company.clock.sleep(company.pause)
        except Exception as error:
            if flows.left or not (why := strikes_all(error)):
                raise
            # Something is still in the middle of a call: this process is not to begin anything anew.
            raise VmieError(why.message, cause=why.cause, cure=why.cure, code="Unsettled") from error
        finally:
            if flows.left:
                with suppress(sa.exc.SQLAlchemyError):
                    self.seat.rise()

    def _tick(self, flows: Flows, leader: Leader, control: Control) -> bool:
        """One look of the main thread; False when there is nothing left to do."""
        if control.fault is not None:
            raise control.fault
        cancelling = self.store.cancelling()
        control.cancelling(cancelling)
        flows.hand_back()
        self._tell_of_unserved(control)
        active = self.store.active()
        if self.seat.leads():
            leader.adopt(self.seat.living)
            leader.look(active, cancelling=cancelling, now=self.company.clock.now().timestamp())
            active = self.store.active()
        return self.batch in active if self.batch else bool(active)

    def _tell_of_unserved(self, control: Control) -> None:
        """Say, once for each label, that items wait for a worker that is not there."""
        now = control.now().timestamp()
        if not (self.batch and self.company.places.address) or now < self.told.get("", 0.0):
            return
        self.told[""] = now + 10 * self.company.pause
        labels = {label for one in present(self.store, self.company.places.shared(), ()) for label in one.queues}
        for line in unserved(self.store.items(self.batch, states=[State.WAITING, State.QUEUED]), labels):
            label = line.partition(" for ")[2]
            if label not in self.told:
                self.told[label] = now
                self.company.reporter(events.Note(line, "warning"))


def new_name() -> str:
    """A process' name, never used twice: a host's name and number would come back."""
    return f"{socket.gethostname()[:40]}-{secrets.token_hex(6)}"
