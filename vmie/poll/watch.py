"""One task being waited for, and the numbers of waiting."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from vmie.errors import VmieError
from vmie.model import Task, TaskKind

#: Describe shows a task for seven days after it ended (aws-facts 1.3).
SHOWN_FOR = dt.timedelta(days=7)


@dataclass(frozen=True, slots=True)
class WaitSettings:
    """The numbers of waiting, in seconds.

    A look every `low` to `high`; `slow` times that in the stages that last (pending, converting, booting), and
    `stale` times that once nothing has changed for `stale_after`. `deadline` is the seed's: a task has seven
    days from its start. `visible_within`: a new id may be unknown that long. `settle_within`: a completed task
    may lack its ids that long. `terminal_within`: a failed task may take that long to end.
    """

    low: float = 15.0
    high: float = 30.0
    slow: float = 2.0
    stale: float = 4.0
    stale_after: float = 3600.0
    slow_stages: tuple[str, ...] = ("pending", "downloading", "converting", "booting")
    outage_high: float = 300.0
    visible_within: float = 120.0
    settle_within: float = 90.0
    terminal_within: float = 3600.0
    deadline: float = 7 * 86400.0

    def faster(self, speed: float) -> WaitSettings:
        """The same patience for a world whose time runs `speed` times as fast: the sandbox."""
        return replace(self, low=self.low / speed, high=self.high / speed, outage_high=self.outage_high / speed)


@dataclass(slots=True)
class Watch:
    """One task being waited for. `done` turns true once; then `result()` gives the task or raises."""

    id: str
    kind: TaskKind
    started: dt.datetime
    since: dt.datetime
    settle: bool = False
    task: Task | None = None
    error: VmieError | None = None
    done: bool = False
    #: why we asked AWS to cancel it; None when we did not
    cancelled: str | None = None
    message: str = ""
    seen: dt.datetime | None = None
    changed: dt.datetime | None = None
    reported: int = 0
    ended: dt.datetime | None = None
    on_done: Callable[[Watch], None] | None = field(default=None, repr=False)

    def result(self) -> Task:
        """The completed task; raises TaskFailed, DeadlineExceeded or another VmieError."""
        if self.error is not None:
            raise self.error
        if self.task is None or not self.done:
            raise VmieError(f"{self.id} is still being waited for", code="StillActive")
        return self.task
