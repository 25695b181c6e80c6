"""What the stages of one process share: doors, watchers and gates by account and Region, the store, the reporter."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Protocol, TypeVar

from vmie import events, poll
from vmie.aws.cache import Kept
from vmie.aws.session import Aws
from vmie.batch.model import Item, Kind, Limits, State, Stopped
from vmie.batch.run.cancellation import Control
from vmie.batch.run.quota import Slots
from vmie.batch.run.retry_policy import strikes_all
from vmie.batch.run.task_poller import Watcher, shared_gate
from vmie.batch.store.store import Store
from vmie.errors import UsageError
from vmie.settings import Settings

T = TypeVar("T")


class Doors(Protocol):
    """Opens a Region with the credentials of a profile; "" for the session's own Region and credentials."""

    def __call__(self, region: str, profile: str = "", /) -> Aws:
        """Raises UsageError for a profile that is not configured, AwsRefused when it has no credentials."""


class Crew:
    """Threads share it. A door is made once for a profile and Region; watcher and gate for an account and Region."""

    def __init__(
        self,
        doors: Doors,
        *,
        store: Store,
        settings: Settings,
        control: Control,
        reporter: events.Reporter,
        pause: float = 1.0,
        uploads: int | None = None,
    ) -> None:
        self.store = store
        self.settings = settings
        self.control = control
        self.reporter = reporter
        self._slots = Slots(store)
        self._pause = pause
        self._uploads = uploads
        self._uploading = 0
        self._limits: dict[str, Limits] = {}
        self._doors = doors
        self._lock = threading.RLock()
        self._aws: dict[str, Aws] = {}
        self._watchers: dict[str, Watcher] = {}
        self._gates: dict[str, poll.Gate] = {}

    def aws(self, item: Item) -> Aws:
        """The door to an item's account and Region.

        Raises UsageError when the item's profile leads to another account than when the batch began.
        """
        aws = self._once(self._aws, f"{item.profile}/{item.region}", lambda: self._door(item))
        if item.account and aws.account != item.account:
            raise UsageError(
                f"{f'the profile {item.profile}' if item.profile else 'the session'} is in the account {aws.account}",
                cause=f"{item.batch} was begun in {item.account}; what was sent and started is there",
                cure="use the credentials of that account",
                code="OtherAccount",
            )
        return aws

    def _door(self, item: Item) -> Aws:
        opened = self._doors(item.region, item.profile) if item.profile else self._doors(item.region)
        return opened.keeping(Kept(self.control.now))

    def watcher(self, item: Item) -> Watcher:
        """The one that looks at the tasks of the item's account and Region."""
        return self._once(
            self._watchers,
            self.partition(item),
            lambda: Watcher(self.aws(item), settings=self.settings, control=self.control, report=self.reporter),
        )

    def gate(self, item: Item) -> poll.Gate:
        """The gate that every submission to the item's pool goes through: it counts other people's tasks, too.

        Ours alone are bound by `take_slot`. A batch that asks for more than the settings say knows of a higher quota.
        """
        most = max(self._slots.limit(item), _SETTING[item.kind](self.settings))
        settings = replace(self.settings, import_limit=most, conversion_limit=most, export_limit=most)
        return self._once(
            self._gates,
            f"{self.partition(item)}/{item.kind}/{most}",
            lambda: shared_gate(self.aws(item), settings=settings, control=self.control, report=self.reporter),
        )

    def limits_of(self, batch: str) -> Limits:
        """The limits that a batch was begun with."""
        return self._once(self._limits, batch, lambda: self.store.batch(batch).limits)

    def take_slot(self, item: Item) -> None:
        """Wait until the item's pool has room, and take the item to `submitting`; raises Stopped, Cancelled."""
        while not self._slots.take(item):
            self.control.pause(self._pause)
        if item.state is State.SENT:
            self._tell(item, State.SUBMITTING)

    @contextmanager
    def uploading(self, batch: str) -> Iterator[bool]:
        """Whether this machine has room for one more upload, which it then holds: its own number, or the batch's."""
        most = self._uploads or self.limits_of(batch).uploads
        with self._lock:
            room = self._uploading < most
            self._uploading += room
        try:
            yield room
        finally:
            with self._lock:
                self._uploading -= room

    @contextmanager
    def heeding(self) -> Iterator[None]:
        """Stop the whole process for a failure in here that every item would meet: this one is left as it is."""
        try:
            yield
        except Exception as error:
            why = strikes_all(error)
            if why is None:
                raise
            self.control.fail(why)
            raise Stopped from error

    def partition(self, item: Item) -> str:
        """What AWS counts an item's task in: the account and the Region; the pool is the queue's."""
        return f"{item.account}/{item.region}"

    def move(self, item: Item, state: State, **given: object) -> bool:
        """Take an item to a state, and tell."""
        moved = self.store.move(item, state, **given)  # type: ignore[arg-type] # passed on
        if moved:
            error = given.get("error")
            self._tell(
                item, state, str(error.get("message", "") if isinstance(error, dict) else given.get("task_id") or "")
            )
        return moved

    def _tell(self, item: Item, state: State, detail: str = "") -> None:
        self.reporter(events.ItemSeen(item.batch, item.key, state.value, detail))

    def report_of(self, item: Item) -> events.Reporter:
        """A reporter for what is done for one item: names it, and stops the work when it is to stop."""

        def report(event: events.Event, /) -> None:
            match event:
                case events.Progress():
                    # An upload has no other place to look up from its work.
                    self.control.check(item.batch)
                case events.Note(text, level):
                    self.reporter(events.Note(f"{item.key}: {text}", level))
                case events.AwsCall():
                    self.reporter(event)

        return report

    def _once(self, made: dict[str, T], key: str, make: Callable[[], T]) -> T:
        with self._lock:
            if key not in made:
                made[key] = make()
            return made[key]


_SETTING: Mapping[Kind, Callable[[Settings], int]] = {
    Kind.IMPORT: lambda settings: settings.import_limit,
    Kind.CONVERSION: lambda settings: settings.conversion_limit,
    Kind.EXPORT: lambda settings: settings.export_limit,
}
