"""What a piece of work remembers, so that it can continue after a crash.

The library needs only this protocol; `vmie.jobs` and `vmie.batch` keep journals in files, and ask `damage` of what
they read there.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from vmie.model import TaskKind


class Journal(Protocol):
    """Named steps of one job, each a JSON-able dict, durable once `put` returns."""

    @property
    def job(self) -> str:
        """The job's id: what tokens and object keys are derived from."""

    def get(self, step: str) -> dict[str, Any] | None:
        """What `put` last recorded for `step`, None when nothing was."""

    def put(self, step: str, value: dict[str, Any]) -> None:
        """Record `value` (never a secret) before returning."""


class MemoryJournal:
    """A journal for callers who need no resumption: it is gone with the process."""

    def __init__(self, job: str = "JOB") -> None:
        self.job = job
        self._steps: dict[str, dict[str, Any]] = {}

    def get(self, step: str) -> dict[str, Any] | None:
        """See `Journal.get`."""
        return self._steps.get(step)

    def put(self, step: str, value: dict[str, Any]) -> None:
        """See `Journal.put`."""
        self._steps[step] = dict(value)


def bytes_held(step: Mapping[str, Any]) -> int | None:
    """Bytes that S3 holds for an upload that was begun and not completed, about; None when there is no such upload."""
    return int(step.get("held", 0)) if step.get("upload_id") and "done" not in step else None


# --- what steps hold -----------------------------------------------------------------------------------


def _dated(text: str) -> str:
    if dt.datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("it has no time zone")
    return text


def _of_task(text: str) -> str:
    if not _SNAPSHOT.fullmatch(text):  # written block by block: what is waited for is the snapshot
        TaskKind.of(text)
    return text


_SNAPSHOT = re.compile(r"snap-[0-9a-f]+")
_Name = Annotated[str, Field(min_length=1)]
_Bytes = Annotated[int, Field(ge=0, lt=1 << 60)]
_Time = Annotated[str, AfterValidator(_dated)]
_TaskId = Annotated[str, AfterValidator(_of_task)]
#: far above the attempts that there are
_Count = Annotated[int, Field(ge=1, le=1 << 20)]
#: of 10 MiB each: more than the largest disk has
_Parts = Annotated[int, Field(ge=0, le=1 << 21)]


class _Step(BaseModel):
    """Another version may keep more."""

    model_config = ConfigDict(strict=True, extra="ignore")


class _Upload(_Step):
    bucket: _Name
    key: _Name
    region: str | None = None
    token: str = ""
    upload_id: str = ""
    held: _Bytes | None = None
    sent: _Bytes | None = None
    done: _Bytes | None = None
    etag: str = ""
    stem: _Name | None = None
    parts: _Parts | None = None
    identity: dict[str, Any] = {}


class _Snapshot(_Step):
    snapshot_id: Annotated[str, Field(pattern=r"^(snap-[0-9a-f]+)?$")] = ""
    attempt: _Count = 1
    identity: dict[str, Any] = {}
    sent: _Bytes = 0
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    timeout: Annotated[int, Field(ge=0, le=4320)] = 0
    parent: str | None = None
    parent_deleted: bool = False
    written: _Bytes = 0
    skipped: _Bytes = 0
    completed: bool = False


class _Intent(_Step):
    kind: Annotated[str, AfterValidator(TaskKind)]
    token: str = ""
    marker: _Name | None = None


class _Submit(_Step):
    task_id: _TaskId
    at: _Time
    attempt: _Count | None = None
    expires: _Time | None = None
    zone: str = ""
    instance_id: str | None = None
    bucket: str = ""
    prefix: str = ""
    bucket_from: str = ""


class _Attempt(_Step):
    number: _Count


class _Way(_Step):
    via: Literal["s3", "ebs"]
    route: Literal["image", "snapshot", "instance", "volume"]
    ami_name: str = ""
    why: str = ""


class _Proof(_Step):
    instance_type: _Name
    attempt: _Count = 1
    at: _Time
    instance_id: Annotated[str, Field(pattern=r"^(i-[0-9a-f]+)?$")] = ""
    result: dict[str, Any] = {}
    ended: bool = False
    refused: str = ""


class _Finish(_Step):
    image_id: str | None = None
    instance_id: str | None = None
    snapshot_ids: list[str] = []
    volume_ids: list[str] = []


#: by the step's name without the number of its disk; the other steps hold a plan, or a task, read by `codec`
_SHAPES: Mapping[str, Any] = {
    "upload": _Upload,
    "snapshot": _Snapshot,
    "intent": _Intent,
    "submit": _Submit,
    "attempt": _Attempt,
    "way": _Way,
    "finish": _Finish,
    "proof": _Proof,
    "downloaded": dict[str, str],
}


def damage(step: str, value: Any) -> str:
    """What is wrong with a step that was read back, "" for nothing: no vmie has written it so."""
    if not isinstance(value, dict):
        return f"step {step}"
    shape = _SHAPES.get(step.partition(" ")[0])
    if shape is None:
        return ""
    try:
        _adapter(step.partition(" ")[0]).validate_python(value, strict=True)
    except ValidationError as error:
        places = sorted({".".join(map(str, one["loc"])) for one in error.errors(include_url=False)})
        return f"step {step} ({', '.join(filter(None, places))[:200]})"
    if shape is _Upload and "stem" in value and (value.get("done") or 0) > ((value.get("parts") or 0) << 20) * 10:
        return f"step {step} (parts)"
    return ""


@cache
def _adapter(name: str) -> TypeAdapter[Any]:
    return TypeAdapter(_SHAPES[name])
