"""Where and how work is done: one object for a command, and for each item of a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vmie import events, poll
from vmie.aws.session import Aws
from vmie.errors import VmieError
from vmie.model import Task
from vmie.ops.journal import Journal, MemoryJournal
from vmie.poll import Clock, SystemClock
from vmie.settings import Settings

#: what a journal keeps of a task (see `vmie.ops.idempotency`) → how each ended: the completed task, or its failure
Wait = Callable[[Sequence[Mapping[str, Any]]], list[Task | VmieError]]


@dataclass(frozen=True, slots=True)
class Context:
    """The account, the settings, who is informed, the time, and what is remembered of the work.

    `state` is the folder of jobs, None where there are none. `gate` and `wait` are shared by the items of a batch;
    without them each submission counts AWS's slots itself, and each wait polls for itself.
    """

    aws: Aws
    settings: Settings = field(default_factory=Settings)
    reporter: events.Reporter = events.silent
    clock: Clock = field(default_factory=SystemClock)
    journal: Journal = field(default_factory=MemoryJournal)
    state: Path | None = None
    gate: poll.Gate | None = None
    wait: Wait | None = None
