"""What happened, as values. A `Reporter` shows them; the library itself never prints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from vmie.model import Task


@dataclass(frozen=True, slots=True)
class Stage:
    """A new stage of the work begins: "check", "upload", "submit", "convert", "finish"."""

    name: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` bytes in the current stage (absolute, may fall back on a retry); `sent` bytes on the wire."""

    stage: str
    done: int
    total: int | None = None
    sent: int | None = None


@dataclass(frozen=True, slots=True)
class Note:
    """Something worth saying: `level` is info, warning or debug."""

    text: str
    level: str = "info"


@dataclass(frozen=True, slots=True)
class TaskSeen:
    """A task as a Describe just showed it."""

    task: Task


@dataclass(frozen=True, slots=True)
class AwsCall:
    """One answered AWS call; never carries parameters (they may hold secrets)."""

    service: str
    operation: str
    status: int
    request_id: str
    seconds: float
    error: str = ""


@dataclass(frozen=True, slots=True)
class ItemSeen:
    """An item of a batch came to `state`; `detail` is its task's id, or what went wrong."""

    batch: str
    item: str
    state: str
    detail: str = ""


Event = Stage | Progress | Note | TaskSeen | AwsCall | ItemSeen


class Reporter(Protocol):
    """Takes events; must be cheap and safe to call from any thread."""

    def __call__(self, event: Event, /) -> None:
        """Show, log or drop `event`."""


def silent(event: Event, /) -> None:
    """The default reporter: drops everything."""
