"""Upload: the import's pipeline alone - a file to an S3 object in the form EC2 takes, and no EC2 call."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmie import disk, events
from vmie.aws import objects, s3
from vmie.aws.session import Aws
from vmie.aws.upload import UploadOptions, UploadState, upload
from vmie.errors import ImageError, Interrupted, UsageError, VmieError
from vmie.model import S3Object
from vmie.ops import ingest
from vmie.ops.journal import Journal
from vmie.poll import Clock


@dataclass(frozen=True, slots=True)
class UploadPlan:
    """What will be sent where. `index` picks a disk of an appliance; sizes are bytes."""

    path: Path
    target: S3Object
    choice: ingest.Choice
    identity: ingest.Identity
    source_size: int
    bound: int
    index: int | None = None

    def as_json(self) -> dict[str, Any]:
        """For --dry-run."""
        return {
            "source": str(self.path),
            "object": self.target.url,
            **self.choice.as_json(),
            "bytes_source": self.source_size,
            "bytes_at_most": self.bound,
        }


@dataclass(frozen=True, slots=True)
class UploadResult:
    """What an upload came to (contract: ``upload``)."""

    job: str
    object: str
    format: str
    bytes_source: int
    bytes_sent: int
    bytes_total: int
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """The contracted shape."""
        return {
            "job": self.job,
            "object": self.object,
            "format": self.format,
            "bytes_source": self.bytes_source,
            "bytes_sent": self.bytes_sent,
            "bytes_total": self.bytes_total,
            "seconds": round(self.seconds, 3),
        }


def plan(
    aws: Aws, path: Path, target: S3Object, *, as_is: bool = False, wanted: str | None = None, index: int | None = None
) -> UploadPlan:
    """Decide how `path` goes to `target`; reads only. A key that ends in / is completed with the file's name.

    Raises ImageError, UsageError, AwsRefused.
    """
    identity = ingest.Identity.of(path)
    what = ingest.look(path)
    choice = ingest.choose(what, as_is=as_is, wanted=wanted)
    if choice.method != "as-is" and index is None and what.disks > 1:
        raise UsageError(
            f"{path} holds {what.disks} disks", cure="choose one with --disk N, or send the whole file with --as-is"
        )
    s3.expect_local(aws, target.bucket)
    if target.key.endswith("/"):
        name = path.name if choice.method == "as-is" else f"{path.stem}.{choice.method}"
        target = S3Object(target.bucket, target.key + name)
    if choice.method == "as-is":
        return UploadPlan(path, target, choice, identity, identity.size, identity.size)
    with disk.open(path, index=index or 0) as opened:
        return UploadPlan(path, target, choice, identity, opened.size, ingest.bound(opened, choice.method), index=index)


def apply(
    aws: Aws,
    plan: UploadPlan,
    *,
    journal: Journal,
    clock: Clock,
    options: UploadOptions,
    reporter: events.Reporter = events.silent,
) -> UploadResult:
    """Send it, going on where `journal` says an earlier run stopped; nothing is sent that is there already.

    Raises AwsRefused, VmieError when the network does not come back, Interrupted with the way to go on.
    """
    started = clock.now()
    try:
        total, sent = send(aws, plan, journal=journal, step="upload 0", options=options, reporter=reporter)
    except KeyboardInterrupt:
        raise Interrupted(
            "interrupted",
            cause="what was uploaded so far is kept and not sent again",
            cure=f"vmie resume {journal.job} goes on, vmie cancel {journal.job} gives it up",
            result={"job": journal.job, "object": plan.target.url},
        ) from None
    except VmieError as error:
        error.result = {"job": journal.job, "object": plan.target.url, **error.result}
        raise
    seconds = (clock.now() - started).total_seconds()
    return UploadResult(journal.job, plan.target.url, plan.choice.aws_format, plan.source_size, sent, total, seconds)


def send(
    aws: Aws,
    plan: UploadPlan,
    *,
    journal: Journal,
    step: str,
    options: UploadOptions,
    reporter: events.Reporter = events.silent,
) -> tuple[int, int]:
    """One file to one object, remembered under `step`: bytes of the object, bytes sent over all runs.

    Raises ImageError when the file is another than the one the upload began with, or changes meanwhile.
    """
    known = journal.get(step) or {}
    identity = plan.identity.as_json()
    if known.get("identity", identity) != identity:
        raise _changed(plan.path, "since the upload began", f"vmie cancel {journal.job}, then begin anew")
    if "done" in known and objects.etag(aws, plan.target) == (known["done"], known["etag"]):
        reporter(events.Note(f"{plan.target.url} is already uploaded"))
        return int(known["done"]), int(known.get("sent", 0))
    base = {"bucket": plan.target.bucket, "key": plan.target.key, "identity": identity}
    journal.put(step, {**known, **base})
    reporter(events.Stage("upload", f"{plan.path.name} → {plan.target.url} ({plan.choice.reasons[0]})"))
    payload = _payload(plan)
    try:
        done = upload(aws, plan.target, payload, state=_State(journal, step), options=options, reporter=reporter)
    finally:
        payload.close()
    if ingest.Identity.of(plan.path) != plan.identity:
        objects.delete(aws, plan.target)
        raise _changed(plan.path, "while it was uploaded", "stop what writes to it, then run the command again")
    total_sent = int(known.get("sent", 0)) + done.bytes_sent
    journal.put(step, {**base, "done": done.bytes_total, "etag": done.etag, "sent": total_sent})
    return done.bytes_total, total_sent


class _State(UploadState):
    """The journal's memory of one multipart upload."""

    def __init__(self, journal: Journal, step: str) -> None:
        self._journal = journal
        self._step = step

    def get(self) -> str | None:
        return (self._journal.get(self._step) or {}).get("upload_id")

    def put(self, upload_id: str) -> None:
        self._journal.put(self._step, {**(self._journal.get(self._step) or {}), "upload_id": upload_id})


def _payload(plan: UploadPlan) -> ingest.FilePayload | ingest.StreamPayload:
    if plan.choice.method == "as-is":
        return ingest.FilePayload(plan.path, plan.source_size)
    return ingest.StreamPayload(disk.open(plan.path, index=plan.index or 0), plan.choice.method)


def _changed(path: Path, when: str, cure: str) -> ImageError:
    return ImageError(
        f"{path} was changed {when}",
        cause="an upload of two contents would mix them",
        cure=cure,
        code="SourceChanged",
    )
