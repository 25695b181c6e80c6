"""A task as the service keeps it, and the two exceptions of its steps."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

from vmie.model import TaskKind, TaskState
from vmie.sandbox.service.timeline import OF_KIND, TimelineStep


class TaskFailure(Exception):  # noqa: N818 - the task's end, not a fault of ours
    """The task fails; the text becomes its StatusMessage."""


class StepPending(Exception):  # noqa: N818 - a reason to try again later
    """The step is not done: the task stays where it is."""


@dataclass
class SourceView:
    """One entry of SnapshotDetails: where a disk comes from and what it became."""

    description: str = ""
    format: str = ""
    url: str = ""
    bucket: str = ""
    key: str = ""
    device: str = ""
    size: int = 0  #: bytes of the object, "DiskImageSize" (aws-facts 1.1: bytes, whatever the model says)
    status: str = ""
    snapshot_id: str = ""


@dataclass
class SandboxTask:
    """An import or export task; `request` holds the parameters as they came."""

    id: str
    kind: TaskKind
    account: str
    region: str
    request: dict[str, Any]
    serial: int
    created: dt.datetime
    born: float  #: calendar seconds of the sandbox, for what is visible when
    started: float  #: seconds of work, for what is done when
    state: TaskState = TaskState.ACTIVE
    message: str = ""
    progress: str = ""
    step: int = 0
    gone_at: float | None = None  #: seconds of work at which `deleting` becomes `deleted`
    ended: float | None = None  #: calendar seconds
    cancel_reason: str = ""
    injected_failure: tuple[str, str] | None = None  #: (step, message): fails there, by an injected fault
    stalled_step: str | None = None  #: never leaves this step, by an injected fault
    sources: list[SourceView] = field(default_factory=list)
    image_id: str = ""
    key: str = ""  #: of the exported object
    origin: str = ""  #: what it reads, and how many bytes that is: its duration hangs on them
    size: int = 0
    pace: float = 1.0  #: how many times as long as the timeline says it takes
    platform: str = ""
    architecture: str = ""
    firmware: str = ""
    work: dict[str, Any] = field(default_factory=dict)  #: what the steps of its kind share

    @property
    def active(self) -> bool:
        """True while it counts against a quota."""
        return self.state in (TaskState.ACTIVE, TaskState.DELETING, TaskState.CANCELLING)

    @property
    def steps(self) -> tuple[TimelineStep, ...]:
        """What it goes through."""
        return OF_KIND[self.kind]

    def at(self, step: TimelineStep) -> float:
        """Seconds of work after which it comes to `step`."""
        return step.at * self.pace

    @property
    def is_legacy(self) -> bool:
        """True for the older kinds: cancelling and cancelled where others have deleting and deleted."""
        return self.kind in (TaskKind.CONVERSION, TaskKind.EXPORT_INSTANCE)
