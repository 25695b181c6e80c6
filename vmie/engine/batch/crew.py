"""What the stages of one process share: doors, watchers and gates by Region, the store, the reporter."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from vmie import events, poll
from vmie.aws.session import Aws
from vmie.engine.batch.control import Control
from vmie.engine.batch.model import Item, Limits, State
from vmie.engine.batch.store import Store
from vmie.engine.batch.watching import Watcher, shared_gate
from vmie.settings import Settings

Doors = Callable[[str], Aws]
T = TypeVar("T")


class Crew:
    """Threads share it; a door, a watcher and a gate are made once for a Region."""

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
        self.settings = replace(settings, import_limit=limits.imports, export_limit=limits.exports)
        self.limits = limits
        self.control = control
        self.reporter = reporter
        self._doors = doors
        self._lock = threading.RLock()
        self._aws: dict[str, Aws] = {}
        self._watchers: dict[str, Watcher] = {}
        self._gates: dict[str, poll.Gate] = {}

    def aws(self, region: str) -> Aws:
        """The door to a Region."""
        return self._once(self._aws, region, lambda: self._doors(region))

    def watcher(self, region: str) -> Watcher:
        """The one that looks at the Region's tasks."""
        return self._once(
            self._watchers,
            region,
            lambda: Watcher(self.aws(region), settings=self.settings, control=self.control, report=self.reporter),
        )

    def gate(self, region: str) -> poll.Gate:
        """The gate that every submission to the Region goes through."""
        return self._once(
            self._gates,
            region,
            lambda: shared_gate(self.aws(region), settings=self.settings, control=self.control, report=self.reporter),
        )

    def partition(self, item: Item) -> str:
        """What AWS counts an item's task in: the account and the Region; the pool is the queue's."""
        return f"{self.aws(item.region).account}/{item.region}"

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

    def _once(self, made: dict[str, T], region: str, make: Callable[[], T]) -> T:
        with self._lock:
            if region not in made:
                made[region] = make()
            return made[region]
