"""What the sandbox counted: calls, tasks, how many were active at once, for how long, and how they failed."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vmie.model import TaskKind

if TYPE_CHECKING:
    from vmie.sandbox.fault_injection import ApiCall


@dataclass
class RegionStats:
    """The part of the `Stats` that belongs to one Region."""

    calls: Counter[str] = field(default_factory=Counter)
    tasks: Counter[str] = field(default_factory=Counter)
    peak: Counter[str] = field(default_factory=Counter)
    busy: Counter[str] = field(default_factory=Counter)

    def as_json(self) -> dict[str, Any]:
        """Each counter as an object."""
        return {name: dict(getattr(self, name)) for name in ("calls", "tasks", "peak", "busy")}


@dataclass
class Stats:
    """What the sandbox counted. Thread-safe.

    `calls` by ``service:Action``, `tasks` made by kind, `peak` of tasks active at once by quota group (of any Region),
    `errors` answered by code, `failed` tasks by their last message. `regions` has the first three for each Region, and
    `busy`: for how many seconds of AWS's work places of a quota group were held. `cpu` is the processor time, in
    seconds, that the sandbox itself took to answer.
    """

    calls: Counter[str] = field(default_factory=Counter)
    tasks: Counter[str] = field(default_factory=Counter)
    peak: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    regions: dict[str, RegionStats] = field(default_factory=dict)
    cpu: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def restart(self) -> None:
        """Nothing was counted."""
        with self._lock:
            for counted in (self.calls, self.tasks, self.peak, self.errors, self.failed, self.regions):
                counted.clear()
            self.cpu = 0.0

    def region(self, name: str) -> RegionStats:
        """The counts of one Region; zeros for one without calls."""
        with self._lock:
            return self.regions.setdefault(name, RegionStats())

    def called(self, call: ApiCall) -> None:
        """One more call of an action."""
        where = self.region(call.region)
        with self._lock:
            self.calls[f"{call.service}:{call.action}"] += 1
            where.calls[f"{call.service}:{call.action}"] += 1

    def refused(self, code: str) -> None:
        """One more error answered by VM Import/Export or by a fault."""
        with self._lock:
            self.errors[code] += 1

    def made(self, kind: TaskKind, group: str, *, region: str, active: int) -> None:
        """One more task; `active` of its quota group run now in the Region."""
        where = self.region(region)
        with self._lock:
            for counts in (self, where):
                counts.tasks[kind.value] += 1
                counts.peak[group] = max(counts.peak[group], active)

    def ended(self, group: str, *, region: str, held: float, failure: str = "") -> None:
        """One task less, which held its place for `held` seconds of work; `failure` is its message if it failed."""
        where = self.region(region)
        with self._lock:
            # typed as whole numbers, which a Counter need not hold
            where.busy[group] += held  # type: ignore[assignment]
            if failure:
                self.failed[failure] += 1

    @contextmanager
    def working(self) -> Iterator[None]:
        """What this thread does in here is the sandbox's own work."""
        begun = time.thread_time()
        try:
            yield
        finally:
            spent = time.thread_time() - begun
            with self._lock:
                self.cpu += spent

    def as_json(self) -> dict[str, Any]:
        """``{"calls": {"ec2:ImportImage": n}, "tasks": {kind: n}, "peak": {group: n}, "errors": {code: n}, …}``."""
        with self._lock:
            return {
                **{name: dict(getattr(self, name)) for name in ("calls", "tasks", "peak", "errors", "failed")},
                "regions": {name: counts.as_json() for name, counts in self.regions.items() if name},
                "cpu": round(self.cpu, 3),
            }
