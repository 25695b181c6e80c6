"""What the stages of one process share: connections, task pollers and gates by account and Region; store, reporter."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

from vmie import events, poll
from vmie.aws.cache import ReadCache
from vmie.aws.session import Aws
from vmie.batch.context import BatchContext
from vmie.batch.model import Item, ItemKind, Limits, State, Stopped
from vmie.batch.run.cancellation import Cancellation
from vmie.batch.run.diagnosis_cache import DiagnosisCache
from vmie.batch.run.retry_policy import affects_all_items
from vmie.batch.run.task_poller import TaskPoller, shared_gate
from vmie.batch.store.quota import Quota
from vmie.batch.store.store import Store
from vmie.errors import UsageError
from vmie.limits import EBS_PENDING_SNAPSHOTS
from vmie.ops.context import Context
from vmie.ops.journal import Journal
from vmie.settings import Settings

T = TypeVar("T")
#: seconds between two looks whether there is room for one more proof
_PROOF_PAUSE = 0.25


class RunContext:
    """Lives as long as one lease on one store; threads share it.

    A connection is made once for a profile and Region; task poller and gate for an account and Region.
    """

    def __init__(self, context: BatchContext, store: Store) -> None:
        self.store = store
        self.settings = context.settings
        self.reporter = context.reporter
        self.cancellation = Cancellation(context.clock)
        self.diagnoses = DiagnosisCache(settings=context.settings, clock=self.cancellation)
        self._context = context
        self._quota = Quota(store)
        self._uploading = self._proving = 0
        self._lock = threading.RLock()
        self._limits: dict[str, Limits] = {}
        self._aws: dict[str, Aws] = {}
        self._pollers: dict[str, TaskPoller] = {}
        self._gates: dict[str, poll.Gate] = {}

    def aws(self, item: Item) -> Aws:
        """The connection to an item's account and Region.

        Raises UsageError when the item's profile leads to another account than when the batch began.
        """
        aws = self._once(self._aws, f"{item.profile}/{item.region}", lambda: self._connect(item))
        if item.account and aws.account != item.account:
            raise UsageError(
                f"{f'the profile {item.profile}' if item.profile else 'the session'} is in the account {aws.account}",
                cause=f"{item.batch} was begun in {item.account}; what was sent and started is there",
                cure="use the credentials of that account",
                code="OtherAccount",
            )
        return aws

    def _connect(self, item: Item) -> Aws:
        connect = self._context.connect
        opened = connect(item.region, item.profile) if item.profile else connect(item.region)
        return opened.with_cache(ReadCache(self.cancellation.now))

    def context_of(self, item: Item, journal: Journal, report: events.Reporter) -> Context:
        """What the item's operation works with: it waits and submits through what all items share."""
        return Context(
            self.aws(item),
            self.settings,
            report,
            self.cancellation,
            journal,
            gate=self.gate(item),
            wait=self.task_poller(item).wait,
            state=self._context.locations.state,
        )

    def task_poller(self, item: Item) -> TaskPoller:
        """The one that polls the tasks of the item's account and Region."""
        return self._once(
            self._pollers,
            self.partition(item),
            lambda: TaskPoller(
                self.aws(item), settings=self.settings, cancellation=self.cancellation, report=self.reporter
            ),
        )

    def gate(self, item: Item) -> poll.Gate:
        """The gate that every submission to the item's pool goes through: it counts other people's tasks, too.

        Ours alone are bound by `take_slot`. A batch that asks for more than the settings say knows of a higher quota.
        """
        most = max(self._quota.usage(item)[1], _SETTING[item.kind](self.settings))
        settings = replace(self.settings, import_limit=most, conversion_limit=most, export_limit=most)
        return self._once(
            self._gates,
            f"{self.partition(item)}/{item.kind}/{most}",
            lambda: shared_gate(
                self.aws(item), settings=settings, cancellation=self.cancellation, report=self.reporter
            ),
        )

    def limits_of(self, batch: str) -> Limits:
        """The limits that a batch was begun with."""
        return self._once(self._limits, batch, lambda: self.store.batch(batch).limits)

    def take_slot(self, item: Item) -> None:
        """Wait until the item's pool has room, and take the item to `submitting`; raises Stopped, Cancelled."""
        while not self._quota.take(item):
            self.cancellation.pause(self._context.pause)
        if item.state is State.SENT:
            self._report_state(item, State.SUBMITTING)

    @contextmanager
    def uploading(self, batch: str) -> Iterator[bool]:
        """Whether this machine has room for one more upload, which it then holds: its own number, or the batch's."""
        most = self._context.uploads or self.limits_of(batch).uploads
        with self._lock:
            room = self._uploading < most
            self._uploading += room
        try:
            yield room
        finally:
            with self._lock:
                self._uploading -= room

    @contextmanager
    def proving(self, item: Item) -> Iterator[None]:
        """Hold one of the instances that this machine may prove AMIs with; waits for it where the item asks for one."""
        if not item.request.get("prove"):
            yield
            return
        while not self._take_proof(self.limits_of(item.batch).proofs):
            self.cancellation.pause(_PROOF_PAUSE)
        try:
            yield
        finally:
            with self._lock:
                self._proving -= 1

    def _take_proof(self, most: int) -> bool:
        with self._lock:
            room = self._proving < most
            self._proving += room
        return room

    @contextmanager
    def stopping_on_shared_failure(self) -> Iterator[None]:
        """Stop the whole process for a failure in here that every item would meet: this one is left as it is."""
        try:
            yield
        except Exception as error:
            why = affects_all_items(error)
            if why is None:
                raise
            self.cancellation.fail(why)
            raise Stopped from error

    def put_back(self, item: Item) -> bool:
        """Return an item to those that wait if its batch is paused and it has not begun; whether that was so."""
        begun = item.state not in (State.WAITING, State.QUEUED)
        if begun or item.batch not in self.store.paused():
            return False
        # As one of a new round, it is enqueued once the batch goes on.
        self.store.requeue(item, State.WAITING)
        return True

    def partition(self, item: Item) -> str:
        """What AWS counts an item's task in: the account and the Region; the pool is the queue's."""
        return f"{item.account}/{item.region}"

    def move(self, item: Item, state: State, **given: object) -> bool:
        """Take an item to a state, and report that."""
        moved = self.store.move(item, state, **given)  # type: ignore[arg-type] # passed on
        if moved:
            error = given.get("error")
            detail = error.get("message", "") if isinstance(error, dict) else given.get("task_id") or ""
            self._report_state(item, state, str(detail))
        return moved

    def _report_state(self, item: Item, state: State, detail: str = "") -> None:
        self.reporter(events.ItemSeen(item.batch, item.key, state.value, detail))

    def report_of(self, item: Item) -> events.Reporter:
        """A reporter for what is done for one item: names it, and stops the work when it is to stop."""

        def report(event: events.Event, /) -> None:
            match event:
                case events.Progress():
                    # During an upload there is no other place to check.
                    self.cancellation.check(item.batch)
                case events.Note(text, level):
                    # Of hundreds of items only what may need somebody's attention; the rest with --verbose.
                    self.reporter(events.Note(f"{item.key}: {text}", "debug" if level == "info" else level))
                case events.AwsCall():
                    self.reporter(event)

        return report

    def _once(self, made: dict[str, T], key: str, make: Callable[[], T]) -> T:
        with self._lock:
            if key not in made:
                made[key] = make()
            return made[key]


_SETTING: Mapping[ItemKind, Callable[[Settings], int]] = {
    ItemKind.IMPORT: lambda settings: settings.import_limit,
    ItemKind.CONVERSION: lambda settings: settings.conversion_limit,
    ItemKind.SNAPSHOT: lambda _: EBS_PENDING_SNAPSHOTS.value,
    ItemKind.EXPORT: lambda settings: settings.export_limit,
}
