"""The way in: begin, go on with, cancel and look at batches; work as one of many."""

from __future__ import annotations

import hashlib
import json
import secrets
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from vmie import events
from vmie.engine.batch.control import Control
from vmie.engine.batch.crew import Crew, Doors
from vmie.engine.batch.feeding import Leader
from vmie.engine.batch.flows import Flows, StagesOf
from vmie.engine.batch.model import Item, Limits, Plan, State
from vmie.engine.batch.places import Place, Places
from vmie.engine.batch.seat import FileSeat, Seat, SessionSeat, sit_down
from vmie.engine.batch.stages import Stages
from vmie.engine.batch.store import Store
from vmie.errors import Interrupted
from vmie.poll import Clock, SystemClock
from vmie.settings import Settings

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

    @property
    def pause(self) -> float:
        """Seconds between two looks; shorter where time runs faster."""
        return min(self.looks_every, self.settings.poll_seconds or self.looks_every)


def begin(company: Company, plan: Plan) -> str:
    """Record a batch, or find the unfinished one of the same plan in the same account; its id."""
    aws = company.doors("")
    accounts = _accounts(company.doors, plan)
    meant = [asdict(plan), aws.account, aws.region, aws.endpoint_url, accounts]
    fingerprint = hashlib.sha256(json.dumps(meant, sort_keys=True).encode()).hexdigest()
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

    Raises UsageError when there is none of that name or another process is at it, Interrupted (130).
    """
    place = company.places.of(batch)
    with opened(company, place, worker=(worker := _name())) as store:
        limits = store.batch(batch).limits
        with _seated(place, store, worker, ["default"]) as seat:
            if retry_failed:
                for item in store.items(batch, states=[State.FAILED]):
                    store.begin_again(item)
            queues = sorted({item.queue for item in store.items(batch)})
            if place.shared:
                queues = ["default"]
            _Shift(company, store, seat, worker, queues, limits, batch=batch).work(place.url)
        outcome = Outcome(batch, tuple(store.items(batch)))
        store.tell(batch)
        return outcome


def work(company: Company, *, queues: Sequence[str], until_idle: bool = False) -> None:
    """Work on whatever batches there are in a shared place, until interrupted (or, if asked, until none is left)."""
    place = company.places.shared()
    with opened(company, place, worker=(worker := _name())) as store, _seated(place, store, worker, queues) as seat:
        settings = company.settings
        limits = Limits(
            imports=settings.import_limit, exports=settings.export_limit, conversions=settings.conversion_limit
        )
        _Shift(company, store, seat, worker, queues, limits, stay=not until_idle).work(place.url)


def cancel(company: Company, batch: str) -> Outcome:
    """Give a batch up: no new item begins, tasks are cancelled, uploads removed - also those of failed items.

    Waits until all of it has ended.
    """
    place = company.places.of(batch)
    with opened(company, place) as store:
        store.batch(batch)
        store.cancel(batch)
        for item in store.items(batch, states=[State.FAILED]):
            # It may have left an upload for the next try: there will be none.
            store.begin_again(item, forgive=False)
        while place.shared or place.held():
            outcome = Outcome(batch, tuple(store.items(batch)))
            if outcome.ended:
                return outcome
            company.clock.sleep(company.pause)
    return run(company, batch)


def look(company: Company, batch: str) -> Outcome:
    """Where a batch stands; changes nothing."""
    with opened(company, company.places.of(batch)) as store:
        store.batch(batch)
        return Outcome(batch, tuple(store.items(batch)))


@contextmanager
def opened(company: Company, place: Place, *, worker: str = "") -> Iterator[Store]:
    """The store of a place, closed afterwards."""
    engine = place.engine()
    try:
        store = Store(engine, now=company.clock.now, worker=worker)
        store.prepare()
        yield store
    finally:
        engine.dispose()


@contextmanager
def _seated(place: Place, store: Store, worker: str, queues: Sequence[str]) -> Iterator[Seat]:
    with ExitStack() as stack:
        seat: Seat
        if place.folder is not None:
            seat = stack.enter_context(FileSeat(place.folder, store, worker))
        else:
            seat = stack.enter_context(SessionSeat(store, worker))
        sit_down(store, worker, host=socket.gethostname(), queues=list(queues))
        yield seat


@dataclass(frozen=True, slots=True)
class _Shift:
    """One process at work: on one batch, or on all of a shared place when `batch` is ""."""

    company: Company
    store: Store
    seat: Seat
    worker: str
    queues: Sequence[str]
    limits: Limits
    batch: str = ""
    stay: bool = False

    def work(self, url: str) -> None:
        """Until nothing is left to do. Raises Interrupted."""
        company = self.company
        control = Control(company.clock)
        crew = Crew(
            company.doors,
            store=self.store,
            settings=company.settings,
            limits=self.limits,
            control=control,
            reporter=company.reporter,
        )
        control.cancelling(self.store.cancelling())
        with Flows(
            crew, url=url, worker=self.worker, queues=self.queues, pause=company.pause, stages=company.stages
        ) as flows:
            leader = Leader(crew, flows)
            try:
                while self._tick(flows, leader, control) or self.stay:
                    company.clock.sleep(company.pause)
            except KeyboardInterrupt:
                raise _interrupted(self.batch) from None

    def _tick(self, flows: Flows, leader: Leader, control: Control) -> bool:
        """One look of the main thread; False when there is nothing left to do."""
        cancelling = self.store.cancelling()
        control.cancelling(cancelling)
        if self.seat.leads():
            if dead := self.seat.dead():
                flows.adopt(dead)
                self.seat.bury(dead)
            now = self.company.clock.now().timestamp()
            for one in self.store.active():
                leader.audit(one, now=now)
                leader.feed(one, cancelling=one in cancelling)
        active = self.store.active()
        return self.batch in active if self.batch else bool(active)


def _interrupted(batch: str) -> Interrupted:
    cure = f"vmie batch resume {batch} goes on, vmie batch cancel {batch} gives it up" if batch else "start it again"
    return Interrupted(
        "interrupted",
        cause="what AWS has goes on there; what was done is recorded",
        cure=cure,
        result={"batch": batch} if batch else {},
    )


def _name() -> str:
    """A process' name, never used twice: a host's name and number would come back."""
    return f"{socket.gethostname()[:40]}-{secrets.token_hex(6)}"
