"""The entry points: begin, carry out, cancel and look at batches; work as one of many."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vmie import events
from vmie.batch.context import BatchContext, Connect
from vmie.batch.model import BatchPlan, Item, ItemKind, State
from vmie.batch.run.stages import Stages
from vmie.batch.run.worker import Worker, leased, open_store, reconnecting
from vmie.batch.run.workflows import StagesOf
from vmie.batch.store import workflow_rows
from vmie.batch.store.leases import Lease
from vmie.batch.store.locations import Location
from vmie.batch.store.state_errors import reported
from vmie.batch.store.store import Store
from vmie.errors import Run, UsageError


@dataclass(frozen=True, slots=True)
class BatchResult:
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

    @property
    def total(self) -> int:
        """How many items there are."""
        return len(self.items)

    @property
    def completed(self) -> int:
        """How many items were carried out."""
        return self.count(State.COMPLETED)

    @property
    def failed(self) -> int:
        """How many items failed."""
        return self.count(State.FAILED)

    @property
    def cancelled(self) -> int:
        """How many items were cancelled."""
        return self.count(State.CANCELLED)

    def as_json(self) -> dict[str, Any]:
        """The contracted shape."""
        counts = {name: getattr(self, name) for name in ("batch", "total", "completed", "failed", "cancelled")}
        return {**counts, "items": [item.as_json() for item in self.items]}


def begin(context: BatchContext, plan: BatchPlan) -> str:
    """Record a batch, or find the unfinished one of the same plan in the same account; its id.

    Raises VmieError when it cannot be recorded.
    """
    aws, now = context.connect(""), context.clock.now
    accounts = _accounts(context.connect, plan)
    identity = [asdict(plan), aws.account, aws.region, aws.endpoint_url, accounts]
    fingerprint = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    # Two may begin the same plan at the same moment.
    with reported(), context.locations.exclusive(fingerprint):
        known = context.locations.unfinished(fingerprint, now=now)
        if known is not None:
            context.reporter(events.Note(f"going on with {known}"))
            return known
        batch = f"batch-{now():%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
        with context.locations.create(batch, fingerprint).open(now) as store:
            store.begin(batch, plan, fingerprint=fingerprint, account=aws.account, region=aws.region, accounts=accounts)
    return batch


def _accounts(connect: Connect, plan: BatchPlan) -> dict[str, str]:
    """The account of each profile that an item names. Raises UsageError for one that is not configured."""
    named = {item.profile: item.region for item in plan.items if item.profile}
    return {profile: connect(region, profile).account for profile, region in sorted(named.items())}


def run(
    context: BatchContext, batch: str, *, retry_failed: bool = False, requeue: bool = False, stages: StagesOf = Stages
) -> BatchResult:
    """Carry a batch out, from wherever it stands, to its end.

    With `requeue` workflows that another program has written are deleted first, and their items queued anew.

    Raises UsageError when there is none of that name or another process works on it, Interrupted (130), AwsRefused when
    the credentials are not taken any more, VmieError when the state is lost.
    """
    location = context.locations.of(batch)

    def work() -> BatchResult:
        nonlocal retry_failed, requeue
        with open_store(context, location) as (store, name):
            if store.batch(batch).paused:
                way = Run(("vmie", "batch", "resume", batch), "lets it go on").text()
                context.reporter(events.Note(f"{batch} is paused: {way}", "warning"))
            labels = ["default"] if location.shared else sorted({item.queue for item in store.items(batch)})
            with leased(context, location, store, name, labels) as lease:
                if requeue:
                    _discard_foreign(store, lease, pause=context.pause)
                    requeue = False
                if retry_failed:
                    _retry_failed(store, batch)
                    retry_failed = False
                # A location of its own has no other batches; into a shared one anything may come.
                kinds = tuple(ItemKind) if location.shared else tuple({item.kind for item in store.items(batch)})
                Worker(context, location, store, lease, name, labels, batch=batch, kinds=kinds, stages=stages).work()
            return _result(store, batch)

    ways = (
        Run(("vmie", "batch", "resume", batch), "goes on"),
        Run(("vmie", "batch", "cancel", batch), "gives it up"),
    )
    return reconnecting(context, location, work, cure=ways, batch=batch)


def _discard_foreign(store: Store, lease: Lease, *, pause: float) -> None:
    """Delete the workflows of another program, once no other process can be at work on them."""
    # Who has just died counts as alive for ten pauses.
    end = time.monotonic() + 15 * pause
    while len(lease.live_workers()) > 1:
        if time.monotonic() > end:
            raise UsageError(
                "other workers are at work on this state",
                cause="what is deleted may be theirs",
                cure="stop them and run the command again",
            )
        time.sleep(pause)
    workflow_rows.discard(store.engine)


def work(context: BatchContext, *, queues: Sequence[str], until_idle: bool = False) -> None:
    """Work on whatever batches there are in a shared state, until interrupted (or, if asked, until none is left)."""
    location = context.locations.shared()

    def work() -> None:
        with (
            open_store(context, location) as (store, name),
            leased(context, location, store, name, queues) as lease,
        ):
            Worker(context, location, store, lease, name, queues, stay=not until_idle).work()

    reconnecting(context, location, work, cure="start the worker again")


def cancel(context: BatchContext, batch: str) -> BatchResult:
    """Give a batch up: no new item begins, tasks are cancelled, uploads removed - also those of failed items.

    Waits until all of it has ended; does it itself where nobody else does. Raises what `run` does.
    """
    location = context.locations.of(batch)

    def work() -> BatchResult:
        with open_store(context, location) as (store, name):
            store.batch(batch)
            store.cancel(batch)
            for item in store.items(batch, states=[State.FAILED]):
                # It may have left an upload for the next try: there will be none.
                store.retry(item, forgive=False)
            while batch in store.active():
                _undo(context, location, store, name, batch)
            return _result(store, batch)

    return reconnecting(context, location, work, cure=Run(("vmie", "batch", "cancel", batch)), batch=batch)


def _undo(context: BatchContext, location: Location, store: Store, name: str, batch: str) -> None:
    """Undo what is left of a batch; where another process has its lease, wait a moment for that one to do so."""
    try:
        with leased(context, location, store, name, ()) as lease:
            Worker(context, location, store, lease, name, (), batch=batch, only_undo=True).work()
    except UsageError as error:
        if error.code != "BatchLocked":
            raise
        context.clock.sleep(context.pause)


def pause(context: BatchContext, batch: str) -> BatchResult:
    """Let no further item of a batch begin, in whatever process, until it is resumed; what is under way goes on.

    Raises UsageError for a batch that has ended or is being cancelled.
    """
    with context.locations.of(batch).open(context.clock.now) as store:
        known = store.batch(batch)
        if known.cancelling or batch not in store.active():
            why = "is being cancelled" if known.cancelling else "has ended"
            raise UsageError(f"{batch} {why}: there is nothing to pause", cure=Run(("vmie", "batch", "status", batch)))
        store.pause(batch, True)
        return _result(store, batch)


def resume_elsewhere(context: BatchContext, batch: str, *, retry_failed: bool = False) -> BatchResult | None:
    """Let a batch go on where another process of this machine has it, its failed items too with `retry_failed`.

    None, with the pause taken back, where `run` is to carry it on: nobody has it, or any number may.
    """
    location = context.locations.of(batch)
    with location.open(context.clock.now) as store:
        paused = store.batch(batch).paused
        store.pause(batch, False)
        if not (location.in_use() and (paused or retry_failed)):
            return None
        if retry_failed:
            _retry_failed(store, batch)
        return _result(store, batch)


def _retry_failed(store: Store, batch: str) -> None:
    for item in store.items(batch, states=[State.FAILED]):
        store.retry(item)


def mark_reported(context: BatchContext, batch: str) -> None:
    """Record that the end of a batch was reported: the same plan given again is then a new batch."""
    with context.locations.of(batch).open(context.clock.now) as store:
        if batch not in store.active():
            store.mark_reported(batch)


def look(context: BatchContext, batch: str) -> BatchResult:
    """Where a batch stands; changes nothing."""
    with context.locations.of(batch).open(context.clock.now) as store:
        store.batch(batch)
        return _result(store, batch)


def _result(store: Store, batch: str) -> BatchResult:
    return BatchResult(batch, tuple(store.items(batch)))
