"""The way in: begin, go on with, cancel and look at batches; work as one of many."""

from __future__ import annotations

import hashlib
import json
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import sqlalchemy as sa

from vmie import events
from vmie.engine.batch.control import Control
from vmie.engine.batch.crew import Crew, Doors
from vmie.engine.batch.feeding import Leader
from vmie.engine.batch.flows import Flows, StagesOf
from vmie.engine.batch.model import Item, Kind, Plan, State
from vmie.engine.batch.places import Place, Places
from vmie.engine.batch.retrying import no_state, strikes_all
from vmie.engine.batch.rollcall import present, unserved
from vmie.engine.batch.seat import FileSeat, Seat, SessionSeat, sit_down
from vmie.engine.batch.stages import Stages
from vmie.engine.batch.store import Store
from vmie.errors import Interrupted, UsageError, VmieError
from vmie.poll import Clock, SystemClock
from vmie.settings import Settings

T = TypeVar("T")

#: seconds between two looks of the leader, and of DBOS at its queues
_PAUSE = 1.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a batch came to, or where it stands."""

    batch: str
    items: tuple[Item, ...]

    def count(self, state: State) -> int:
        """How many items are in a state."""
        return sum(item.state is state for item in self.items)

    @property
    def ended(self) -> bool:
        """Nothing is left to do."""
        return all(item.state.ended for item in self.items)

    def as_json(self) -> dict[str, Any]:
        """The contracted shape."""
        return {
            "batch": self.batch,
            "total": len(self.items),
            "completed": self.count(State.COMPLETED),
            "failed": self.count(State.FAILED),
            "cancelled": self.count(State.CANCELLED),
            "items": [item.as_json() for item in self.items],
        }


@dataclass(frozen=True, slots=True)
class Company:
    """What every run needs: where batches are kept, the doors to AWS, settings, who is told, the time."""

    places: Places
    doors: Doors
    settings: Settings
    reporter: events.Reporter = events.silent
    clock: Clock = field(default_factory=SystemClock)
    stages: StagesOf = Stages
    looks_every: float = _PAUSE
    #: uploads at once on this machine, instead of as many as each batch says
    uploads: int | None = None
    #: for how many seconds a shared state that is lost is looked for
    regain: float = 600.0

    @property
    def pause(self) -> float:
        """Seconds between two looks; shorter where time runs faster."""
        return min(self.looks_every, self.settings.poll_seconds or self.looks_every)


def begin(company: Company, plan: Plan) -> str:
    """Record a batch, or find the unfinished one of the same plan in the same account; its id.

    Raises VmieError when it cannot be recorded.
    """
    aws = company.doors("")
    accounts = _accounts(company.doors, plan)
    meant = [asdict(plan), aws.account, aws.region, aws.endpoint_url, accounts]
    fingerprint = hashlib.sha256(json.dumps(meant, sort_keys=True).encode()).hexdigest()
    # Two may begin the same plan at the same moment.
    with _recorded(), company.places.alone(fingerprint):
        known = company.places.unfinished(fingerprint, now=company.clock.now)
        if known is not None:
            company.reporter(events.Note(f"going on with {known}"))
            return known
        batch = f"batch-{company.clock.now():%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
        with opened(company, company.places.create(batch, fingerprint)) as store:
            store.begin(batch, plan, fingerprint=fingerprint, account=aws.account, region=aws.region, accounts=accounts)
    return batch


def _accounts(doors: Doors, plan: Plan) -> dict[str, str]:
    """The account of each profile that an item names. Raises UsageError for one that is not configured."""
    named = {item.profile: item.region for item in plan.items if item.profile}
    return {profile: doors(region, profile).account for profile, region in sorted(named.items())}


def run(company: Company, batch: str, *, retry_failed: bool = False) -> Outcome:
    """Carry a batch out, from wherever it stands, to its end.

    Raises UsageError when there is none of that name or another process is at it, Interrupted (130), AwsRefused when
    the credentials are not taken any more, VmieError when the state is lost.
    """
    place = company.places.of(batch)

    def shift() -> Outcome:
        nonlocal retry_failed
        with opened(company, place, worker=(worker := _name())) as store:
            store.batch(batch)
            labels = ["default"] if place.shared else sorted({item.queue for item in store.items(batch)})
            with _seated(company, place, store, worker, labels) as seat:
                if retry_failed:
                    for item in store.items(batch, states=[State.FAILED]):
                        store.begin_again(item)
                    retry_failed = False
                # A place of its own has no other batches; into a shared one anything may come.
                kinds = tuple(Kind) if place.shared else tuple({item.kind for item in store.items(batch)})
                _Shift(company, store, seat, worker, labels, batch=batch, kinds=kinds).work(place.url)
            return Outcome(batch, tuple(store.items(batch)))

    return _again_and_again(company, place, shift, cure=f"vmie batch resume {batch}", batch=batch)


def work(company: Company, *, queues: Sequence[str], until_idle: bool = False) -> None:
    """Work on whatever batches there are in a shared place, until interrupted (or, if asked, until none is left)."""
    place = company.places.shared()

    def shift() -> None:
        with (
            opened(company, place, worker=(worker := _name())) as store,
            _seated(company, place, store, worker, queues) as seat,
        ):
            _Shift(company, store, seat, worker, queues, stay=not until_idle).work(place.url)

    _again_and_again(company, place, shift, cure="start the worker again")


def cancel(company: Company, batch: str) -> Outcome:
    """Give a batch up: no new item begins, tasks are cancelled, uploads removed - also those of failed items.

    Waits until all of it has ended; does it itself where nobody else does. Raises what `run` does.
    """
    place = company.places.of(batch)

    def shift() -> Outcome:
        with opened(company, place, worker=(worker := _name())) as store:
            store.batch(batch)
            store.cancel(batch)
            for item in store.items(batch, states=[State.FAILED]):
                # It may have left an upload for the next try: there will be none.
                store.begin_again(item, forgive=False)
            while batch in store.active():
                try:
                    with _seated(company, place, store, worker, ()) as seat:
                        _Shift(company, store, seat, worker, (), batch=batch, only_undo=True).work(place.url)
                except UsageError as error:
                    if error.code != "BatchLocked":
                        raise
                    company.clock.sleep(company.pause)
            return Outcome(batch, tuple(store.items(batch)))

    return _again_and_again(company, place, shift, cure=f"vmie batch cancel {batch}", batch=batch)


def told(company: Company, batch: str) -> None:
    """Remember that somebody was told how it ended: the same plan given again is then a new batch."""
    with opened(company, company.places.of(batch)) as store:
        if batch not in store.active():
            store.tell(batch)


def look(company: Company, batch: str) -> Outcome:
    """Where a batch stands; changes nothing."""
    with opened(company, company.places.of(batch)) as store:
        store.batch(batch)
        return Outcome(batch, tuple(store.items(batch)))


@contextmanager
def opened(company: Company, place: Place, *, worker: str = "") -> Iterator[Store]:
    """The store of a place, closed afterwards. Raises VmieError when it cannot be read or written."""
    with _recorded():
        engine = place.engine()
        try:
            store = Store(engine, now=company.clock.now, worker=worker)
            store.prepare()
            yield store
        finally:
            engine.dispose()


@contextmanager
def _recorded() -> Iterator[None]:
    try:
        yield
    except (sa.exc.SQLAlchemyError, OSError) as error:
        raise no_state(error) from error


@contextmanager
def _seated(company: Company, place: Place, store: Store, worker: str, queues: Sequence[str]) -> Iterator[Seat]:
    with ExitStack() as stack:
        seat: Seat
        if place.folder is not None:
            seat = stack.enter_context(FileSeat(place.folder, store, worker))
        else:
            seat = stack.enter_context(SessionSeat(store, worker, pause=company.pause))
        sit_down(store, worker, host=socket.gethostname(), queues=list(queues), uploads=company.uploads)
        yield seat


def _again_and_again(company: Company, place: Place, shift: Callable[[], T], *, cure: str, batch: str = "") -> T:
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
                error.cure = f"{error.cure}\nthen: {cure}" if error.cure else cure
                raise
            company.reporter(events.Note(f"{error.message} ({error.cause}); trying again", "warning"))
            _sleep(company)


def _sleep(company: Company) -> None:
    time.sleep(min(5.0, 5 * company.pause))


@dataclass(frozen=True, slots=True)
class _Shift:
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


def _name() -> str:
    """A process' name, never used twice: a host's name and number would come back."""
    return f"{socket.gethostname()[:40]}-{secrets.token_hex(6)}"
