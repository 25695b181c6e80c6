"""The nouns of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from vmie.errors import VmieError


class State(StrEnum):
    """Where an item stands, in the order in which it goes."""

    BLOCKED = "blocked"  #: waits for the items it names in `after`
    WAITING = "waiting"
    QUEUED = "queued"  #: will be sent as soon as a machine has room
    SENDING = "sending"
    SENT = "sent"  #: ready for AWS, waits for a slot
    SUBMITTING = "submitting"
    CONVERTING = "converting"
    FINISHING = "finishing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Nothing more will be done with it."""
        return self in ENDED


ENDED = (State.COMPLETED, State.FAILED, State.CANCELLED)
#: on its way to AWS and not there yet: what `Limits.ahead` bounds
AHEAD = (State.QUEUED, State.SENDING, State.SENT)
#: holds one of AWS's slots
HOLDING = (State.SUBMITTING, State.CONVERTING)


class ItemKind(StrEnum):
    """What an item asks for; also the name of the pool that AWS counts its task in."""

    IMPORT = "import"
    CONVERSION = "conversion"  #: an import by ImportInstance or ImportVolume
    SNAPSHOT = "snapshot"  #: an import that writes snapshots block by block, and asks for no task
    EXPORT = "export"

    @property
    def verb(self) -> str:
        """The verb of a single command that does the same."""
        return "export" if self is ItemKind.EXPORT else "import"


@dataclass(frozen=True, slots=True, order=True)
class ItemPool:
    """What competes: items of one account, Region and kind, sent by the workers of one label."""

    account: str
    region: str
    queue: str
    kind: ItemKind


@dataclass(frozen=True, slots=True)
class Limits:
    """Numbers of a batch: active tasks per account and Region, uploads at once per machine.

    `snapshots`: those that are written block by block and pending, by account and Region. `proofs`: AMIs that are
    launched to be proved, at once per machine.

    `ahead`: how many items of a Region may be sent or waiting to be sent before their task can start.
    `tries`: tasks per item when AWS fails one for a reason that a second task may not meet.
    """

    imports: int = 20
    exports: int = 5
    uploads: int = 2
    ahead: int = 10
    tries: int = 3
    conversions: int = 5
    snapshots: int = 100
    proofs: int = 5

    def of(self, kind: ItemKind) -> int:
        """The most active tasks of a pool."""
        return {
            ItemKind.IMPORT: self.imports,
            ItemKind.CONVERSION: self.conversions,
            ItemKind.SNAPSHOT: self.snapshots,
            ItemKind.EXPORT: self.exports,
        }[kind]


@dataclass(frozen=True, slots=True)
class PlanItem:
    """One VM of a plan: `request` is what `ImportRequest` or `ExportRequest` reads. `size` in bytes, 0 unknown.

    `region` and `profile` are "" for the session's; `queue` names the workers that are near its disks.
    """

    key: str
    kind: ItemKind
    source: str
    request: Mapping[str, Any]
    region: str = ""
    queue: str = "default"
    wave: int = 0
    after: tuple[str, ...] = ()
    size: int = 0
    profile: str = ""


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """A validated plan file: nothing in it is known to be wrong."""

    name: str
    items: tuple[PlanItem, ...]
    limits: Limits = field(default_factory=Limits)
    source: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """An item as the store has it. Times are ISO 8601, UTC. `profile` is "" for the session's, `account` known."""

    batch: str
    key: str
    position: int
    kind: ItemKind
    source: str
    request: Mapping[str, Any]
    region: str
    queue: str
    wave: int
    after: tuple[str, ...]
    size: int
    state: State
    round: int
    updated: str
    task_id: str | None = None
    worker: str = ""
    result: Mapping[str, Any] = field(default_factory=dict)
    error: Mapping[str, Any] = field(default_factory=dict)
    profile: str = ""
    account: str = ""

    @property
    def job(self) -> str:
        """What its tags, tokens and object keys are made from: the same however often it is tried."""
        return f"{self.batch}-{self.key}"

    def as_json(self) -> dict[str, Any]:
        """One element of ``items[]``."""
        return {
            "key": self.key,
            "status": self.state.value,
            "kind": self.kind.value,
            "source": self.source,
            "account": self.account,
            "region": self.region,
            "wave": self.wave,
            "task_id": self.task_id,
            "image_id": self.result.get("image_id"),
            "snapshot_ids": self.result.get("snapshot_ids", []),
            "instance_id": self.result.get("instance_id"),
            "volume_ids": self.result.get("volume_ids", []),
            "objects": self.result.get("objects", []),
            "downloaded": self.result.get("downloaded", []),
            "bytes_source": self.result.get("bytes_source", self.size),
            "bytes_sent": self.result.get("bytes_sent", 0),
            "updated": self.updated,
            "error": dict(self.error) or None,
            **({"proved": self.result["proof"]["verdict"]} if self.result.get("proof") else {}),
        }


class Stopped(BaseException):
    """This process is to stop: what is under way is left as it is, for the next one to continue.

    Not an Exception: DBOS records those as the workflow's outcome.
    """


class Cancelled(VmieError):  # noqa: N818
    """The batch is being cancelled."""

    default_code = "Cancelled"
