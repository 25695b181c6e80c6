"""What the stages of one process share: doors, watchers and gates by account and Region, the store, the reporter."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol, TypeVar

from vmie import events, poll
from vmie.aws.session import Aws
from vmie.engine.batch.control import Control
from vmie.engine.batch.model import Item, Limits, State
from vmie.engine.batch.store import Store
from vmie.engine.batch.watching import Watcher, shared_gate
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
        limits: Limits,
        control: Control,
        reporter: events.Reporter,
    ) -> None:
        self.store = store
        self.settings = replace(
            settings,
            import_limit=limits.imports,
            export_limit=limits.exports,
            conversion_limit=limits.conversions,
        )
        self.limits = limits
        self.control = control
        self.reporter = reporter
        self._doors = doors
        self._lock = threading.RLock()
        self._aws: dict[str, Aws] = {}
        self._watchers: dict[str, Watcher] = {}
        self._gates: dict[str, poll.Gate] = {}

    def aws(self, item: Item) -> Aws:
        """The door to an item's account and Region.

        Raises UsageError when the item's profile leads to another account than when the batch began.
        """
        return self._once(self._aws, f"{item.profile}/{item.region}", lambda: self._door(item))

    def _door(self, item: Item) -> Aws:
        aws = self._doors(item.region, item.profile) if item.profile else self._doors(item.region)
        if item.account and aws.account != item.account:
            raise UsageError(
                f"{f'the profile {item.profile}' if item.profile else 'the session'} is in the account {aws.account}",
                cause=f"{item.batch} was begun in {item.account}; what was sent and started is there",
                cure="use the credentials of that account",
                code="OtherAccount",
            )
        return aws

    def watcher(self, item: Item) -> Watcher:
        """The one that looks at the tasks of the item's account and Region."""
        return self._once(
            self._watchers,
            self.partition(item),
            lambda: Watcher(self.aws(item), settings=self.settings, control=self.control, report=self.reporter),
        )

    def gate(self, item: Item) -> poll.Gate:
        """The gate that every submission to the item's account and Region goes through."""
        return self._once(
            self._gates,
            self.partition(item),
            lambda: shared_gate(self.aws(item), settings=self.settings, control=self.control, report=self.reporter),
        )

    def partition(self, item: Item) -> str:
        """What AWS counts an item's task in: the account and the Region; the pool is the queue's."""
        return f"{item.account}/{item.region}"

    def move(self, item: Item, state: State, **given: object) -> bool:
        """Take an item to a state, and tell."""
        moved = self.store.move(item, state, **given)  # type: ignore[arg-type] # passed on
        if moved:
            error = given.get("error")
            detail = str(error.get("message", "")) if isinstance(error, dict) else str(given.get("task_id") or "")
            self.reporter(events.ItemSeen(item.batch, item.key, state.value, detail))
        return moved

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
