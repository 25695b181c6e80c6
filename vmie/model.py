"""START HERE: every noun of vmie, frozen.

    file ──► Disk ──► guest facts ──► Finding(s) ──► Verdict per Route        (no AWS)
      │
      └────► stream ──► S3Object ──► Task ──► poll ──► image / snapshot / …   (AWS)

A *route* is a way into EC2 (one API call of VM Import/Export). A *task* is what that call
returns: AWS has five kinds with five shapes, `Task` is the one view of them all.
Sizes are bytes unless a name ends in ``_gib``; times are UTC and aware.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from vmie.errors import PYTHON, Action, Run, Terms, lines_of


class Route(StrEnum):
    """The ways in: ImportImage, ImportSnapshot, ImportInstance, ImportVolume."""

    IMAGE = "image"
    SNAPSHOT = "snapshot"
    INSTANCE = "instance"
    VOLUME = "volume"

    @property
    def call(self) -> str:
        """The API's operation: ``ImportImage`` and the like."""
        return f"Import{self.capitalize()}"


class Profile(StrEnum):
    """Whose rules a check applies: today's service, or the 2016 prerequisites page to the letter."""

    CURRENT = "current"
    Y2016 = "2016"


class Verdict(StrEnum):
    """What a rule, or all rules of a route together, say. Worst first: fail, unknown, warn, pass."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    WARN = "warn"
    UNKNOWN = "unknown"
    FAIL = "fail"


class ExtentKind(StrEnum):
    """What a range of a disk holds.

    `ZERO` was written as zeros, `HOLE` never. Both read as zeros, but only a caller that knows the target may drop
    zeros as if they were holes: what is never written to an encrypted EBS volume reads back as garbage (peers.md 3.7).
    """

    ALLOCATED = "allocated"
    ZERO = "zero"
    HOLE = "hole"


@dataclass(frozen=True, slots=True)
class Extent:
    """A range of a disk: `offset` and `length` in bytes."""

    offset: int
    length: int
    kind: ExtentKind

    @property
    def end(self) -> int:
        """The first byte after the extent."""
        return self.offset + self.length


@dataclass(frozen=True, slots=True)
class S3Object:
    """An object's address; `size` in bytes where it is known."""

    bucket: str
    key: str
    size: int | None = None

    @property
    def url(self) -> str:
        """``s3://bucket/key``."""
        return f"s3://{self.bucket}/{self.key}"

    @classmethod
    def parse(cls, url: str) -> S3Object:
        """Read ``s3://bucket/key``; raises ValueError when either part is missing."""
        if not url.startswith("s3://"):
            raise ValueError(f"{url!r} is not an s3:// address")
        bucket, _, key = url.removeprefix("s3://").partition("/")
        if not bucket or not key:
            raise ValueError(f"{url!r} must name a bucket and a key: s3://bucket/key")
        return cls(bucket, key)


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule's verdict on one image (contract: docs/reference/json.md).

    `predicts` is what the service itself would answer, "" where it would say nothing. `actions` are the cure: an option
    in them is named by its field, and written by whoever shows the finding. `without` is what a machine that came by
    a route would be without: boot, network or login. A `note` passes, and says what is worth knowing. What is `mended`
    an import re-streams into another form on its way: `strict` does not stop for it.
    """

    rule: str
    verdict: Verdict
    message: str
    actions: tuple[Action, ...] = ()
    source: str = ""
    routes: tuple[Route, ...] = ()
    predicts: str = ""
    path: str = ""
    without: tuple[tuple[Route, str], ...] = ()
    note: bool = False
    mended: bool = False
    #: the command that mends it in a layer over the image, where there is one
    repair: Run | None = None

    @property
    def cure(self) -> str:
        """What to do, in the library's own terms: one line each."""
        return self.cure_text()

    def cure_text(self, terms: Terms = PYTHON) -> str:
        """What to do as one place writes it, one line each."""
        return lines_of(self.actions, terms)

    def as_json(self, terms: Terms = PYTHON) -> dict[str, Any]:
        """The contracted shape of one element of ``findings[]``."""
        out: dict[str, Any] = {
            "rule": self.rule,
            "verdict": self.verdict.value,
            "message": self.message,
            "cure": self.cure_text(terms),
            "source": self.source,
            "routes": [route.value for route in self.routes],
            "predicts": self.predicts,
        }
        more = {
            "path": self.path,
            "leaves_without": {route.value: what for route, what in self.without},
            "mended": self.mended,
            "repair": self.repair.text(terms) if self.repair else "",
        }
        return out | {name: value for name, value in more.items() if value}


class TaskKind(StrEnum):
    """The five kinds of task, named after the Describe call that shows them."""

    IMPORT_IMAGE = "import-image"
    IMPORT_SNAPSHOT = "import-snapshot"
    CONVERSION = "conversion"
    EXPORT_IMAGE = "export-image"
    EXPORT_INSTANCE = "export-instance"

    @classmethod
    def of(cls, task_id: str) -> TaskKind:
        """The kind of task by its id's prefix; raises ValueError. The suffix is not looked at (aws-facts 1.10)."""
        for prefix, kind in _KIND_OF_PREFIX.items():
            if task_id.startswith(prefix):
                return kind
        raise ValueError(
            f"{task_id!r} is not the id of an import or export task (they begin with {', '.join(_KIND_OF_PREFIX)})"
        )


_KIND_OF_PREFIX = {
    "import-ami-": TaskKind.IMPORT_IMAGE,
    "import-snap-": TaskKind.IMPORT_SNAPSHOT,
    "import-i-": TaskKind.CONVERSION,
    "import-vol-": TaskKind.CONVERSION,
    "export-ami-": TaskKind.EXPORT_IMAGE,
    "export-i-": TaskKind.EXPORT_INSTANCE,
}


class TaskState(StrEnum):
    """One vocabulary for Status (image, snapshot) and State (conversion, instance export)."""

    ACTIVE = "active"
    COMPLETED = "completed"
    DELETING = "deleting"
    DELETED = "deleted"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    #: a word that AWS did not have when this was written: an error of that task, never a wait
    UNKNOWN = "unknown"

    @property
    def failed(self) -> bool:
        """True the moment the task can no longer succeed (law 4)."""
        return self in _FAILED

    @property
    def terminal(self) -> bool:
        """True when AWS holds nothing of the task any more: its source object may go."""
        return self in (TaskState.COMPLETED, TaskState.DELETED, TaskState.CANCELLED)


_FAILED = frozenset((TaskState.DELETING, TaskState.DELETED, TaskState.CANCELLING, TaskState.CANCELLED))


@dataclass(frozen=True, slots=True)
class Task:
    """An import or export task as AWS last described it.

    `stage` is the StatusMessage while active ("converting"); `message` is the StatusMessage once
    failed. `progress` is percent, None where AWS gives none. Ids are None until AWS names them
    (an empty SnapshotId counts as none: aws-facts 1.2).
    """

    id: str
    kind: TaskKind
    state: TaskState
    stage: str = ""
    message: str = ""
    progress: int | None = None
    description: str = ""
    image_id: str | None = None
    snapshot_ids: tuple[str, ...] = ()
    instance_id: str | None = None
    volume_ids: tuple[str, ...] = ()
    bucket: str | None = None
    prefix_or_key: str | None = None
    expires: dt.datetime | None = None
    tags: dict[str, str] = field(default_factory=dict)
    raw: dict[str, Any] = field(default_factory=dict, repr=False)

    def as_json(self) -> dict[str, Any]:
        """The contracted shape of one element of ``tasks[]``."""
        return {
            "task_id": self.id,
            "kind": self.kind.value,
            "status": self.state.value,
            "stage": self.stage,
            "message": self.message,
            "progress": self.progress,
            "description": self.description,
            "image_id": self.image_id,
            "snapshot_ids": list(self.snapshot_ids),
            "instance_id": self.instance_id,
            "volume_ids": list(self.volume_ids),
            "tags": dict(self.tags),
        }


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that a plan would do, or did: `action` is create, update, keep, delete or conflict.

    `before` and `after` are texts to show as a diff (JSON documents, canonical), "" where there is none.
    """

    action: str
    resource: str
    detail: str = ""
    before: str = ""
    after: str = ""

    def as_json(self) -> dict[str, Any]:
        """The contracted shape of one element of ``changes[]``."""
        return asdict(self)


DAMAGED = "damaged"  #: status of a job whose file cannot be read


@dataclass(frozen=True, slots=True)
class JobSummary:
    """One line of `vmie jobs`. `kind` is import, export, upload, boot or batch.

    `status` is running, interrupted or damaged (unreadable); submitted, done, failed or cancelled of a single job;
    completed, partial, paused, cancelling or cancelled of a batch. `object` is where the (first) upload goes,
    `bytes_held` about what S3 holds of incomplete uploads, None for none. `progress` is how many items of a batch are
    completed ("37/500"), None for a single job.
    """

    job: str
    status: str
    kind: str
    source: str
    task_id: str | None
    updated: str
    object: str | None = None
    bytes_held: int | None = None
    progress: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The contracted shape."""
        return asdict(self)
