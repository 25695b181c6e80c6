"""The way in: begin, go on with, cancel and look at batches; work as one of many."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vmie import events
from vmie.batch.model import Item, Kind, Plan, State
from vmie.batch.run.context import Company, opened, recorded
from vmie.batch.run.resources import Doors
from vmie.batch.run.worker import Shift, again_and_again, new_name, seated
from vmie.errors import UsageError


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


def begin(company: Company, plan: Plan) -> str:
    """Record a batch, or find the unfinished one of the same plan in the same account; its id.

    Raises VmieError when it cannot be recorded.
    """
    aws = company.doors("")
    accounts = _accounts(company.doors, plan)
    meant = [asdict(plan), aws.account, aws.region, aws.endpoint_url, accounts]
    fingerprint = hashlib.sha256(json.dumps(meant, sort_keys=True).encode()).hexdigest()
    # Two may begin the same plan at the same moment.
    with recorded(), company.places.alone(fingerprint):
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
        with opened(company, place, worker=(worker := new_name())) as store:
            store.batch(batch)
            labels = ["default"] if place.shared else sorted({item.queue for item in store.items(batch)})
            with seated(company, place, store, worker, labels) as seat:
                if retry_failed:
                    for item in store.items(batch, states=[State.FAILED]):
                        store.begin_again(item)
                    retry_failed = False
                # A place of its own has no other batches; into a shared one anything may come.
                kinds = tuple(Kind) if place.shared else tuple({item.kind for item in store.items(batch)})
                Shift(company, store, seat, worker, labels, batch=batch, kinds=kinds).work(place.url)
            return Outcome(batch, tuple(store.items(batch)))

    return again_and_again(company, place, shift, cure=f"vmie batch resume {batch}", batch=batch)


def work(company: Company, *, queues: Sequence[str], until_idle: bool = False) -> None:
    """Work on whatever batches there are in a shared place, until interrupted (or, if asked, until none is left)."""
    place = company.places.shared()

    def shift() -> None:
        with (
            opened(company, place, worker=(worker := new_name())) as store,
            seated(company, place, store, worker, queues) as seat,
        ):
            Shift(company, store, seat, worker, queues, stay=not until_idle).work(place.url)

    again_and_again(company, place, shift, cure="start the worker again")


def cancel(company: Company, batch: str) -> Outcome:
    """Give a batch up: no new item begins, tasks are cancelled, uploads removed - also those of failed items.

    Waits until all of it has ended; does it itself where nobody else does. Raises what `run` does.
    """
    place = company.places.of(batch)

    def shift() -> Outcome:
        with opened(company, place, worker=(worker := new_name())) as store:
            store.batch(batch)
            store.cancel(batch)
            for item in store.items(batch, states=[State.FAILED]):
                # It may have left an upload for the next try: there will be none.
                store.begin_again(item, forgive=False)
            while batch in store.active():
                try:
                    with seated(company, place, store, worker, ()) as seat:
                        Shift(company, store, seat, worker, (), batch=batch, only_undo=True).work(place.url)
                except UsageError as error:
                    if error.code != "BatchLocked":
                        raise
                    company.clock.sleep(company.pause)
            return Outcome(batch, tuple(store.items(batch)))

    return again_and_again(company, place, shift, cure=f"vmie batch cancel {batch}", batch=batch)


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
