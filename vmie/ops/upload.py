"""Upload: the import's pipeline alone - a file to an S3 object in the form EC2 takes, and no EC2 call."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vmie import events
from vmie.aws import objects, s3
from vmie.aws.attempts import OCCUPIED
from vmie.aws.parts import part_size_for
from vmie.aws.session import Aws
from vmie.aws.upload import Uploaded, UploadOptions, upload
from vmie.disk.reading import DAMAGED
from vmie.errors import AwsRefused, Cancel, Set, UsageError, VmieError
from vmie.guest import free
from vmie.model import S3Object, Task
from vmie.ops import ingest, payloads, transfer_options, upload_state
from vmie.ops.context import Context
from vmie.ops.file_identity import FileIdentity
from vmie.ops.operation import Operation
from vmie.ops.same_content import same_content
from vmie.ops.upload_plan import SOURCE_CHANGED, UploadPlan, WatchedPayload, source_changed
from vmie.ops.upload_state import SOURCE, Sent
from vmie.options import UploadRequest

#: the step of the journal
STEP = "upload 0"


@dataclass(frozen=True, slots=True)
class UploadResult:
    """What an upload came to (contract: ``upload``).

    `bytes_source` is the size of the disk or file, `bytes_read` what was read of it, `bytes_sent` what crossed the
    wire this time, `bytes_total` the object, `bytes_left_out` data that lay in free space.
    """

    job: str
    object: str
    format: str
    bytes_source: int
    bytes_sent: int
    bytes_total: int
    seconds: float
    bytes_read: int = 0
    bytes_left_out: int = 0

    def as_json(self) -> dict[str, Any]:
        """The contracted shape."""
        return {
            "job": self.job,
            "object": self.object,
            "format": self.format,
            "bytes_source": self.bytes_source,
            "bytes_sent": self.bytes_sent,
            "bytes_total": self.bytes_total,
            "bytes_read": self.bytes_read,
            "bytes_left_out": self.bytes_left_out,
            "seconds": round(self.seconds, 3),
        }


class UploadOperation(Operation[UploadRequest, UploadPlan, UploadResult]):
    """One upload: an operation without a task."""

    verb = "upload"
    plan_type = UploadPlan
    result_type = UploadResult
    made = ("its object exists", "delete that with `aws s3 rm`")

    def __init__(self, context: Context, request: UploadRequest) -> None:
        super().__init__(context, request)
        self._sent: tuple[Uploaded, int] | None = None

    @property
    def source(self) -> str:
        """See `Operation.source`."""
        return self.request.path

    def content(self) -> list[Any]:
        """See `Operation.content`."""
        return [FileIdentity.of(Path(self.request.path)).as_json()]

    @property
    def repeatable(self) -> bool:
        """See `Operation.repeatable`: what is there already is not sent again."""
        return True

    @property
    def tasks(self) -> int:
        """See `Operation.tasks`."""
        return 0

    def _planned(self) -> UploadPlan:
        request = self.request
        return plan(self.context.aws, Path(request.path), request)

    def uploads(self) -> Iterator[Callable[[], None]]:
        """See `Operation.uploads`."""
        yield self._send

    def _send(self) -> None:
        context = self.context
        for note in self.planned.notes:
            context.reporter(events.Note(note, "warning"))
        options = transfer_options.upload_options(self.request, context.aws, context.settings)
        options = replace(options, exclusive=not self.request.force)
        verify = not self.request.skip_verify
        self._sent = send(context, self.planned, step=STEP, options=options, verify=verify)

    def finish(self, done: Sequence[Task], *, began: dt.datetime) -> UploadResult:
        """See `Operation.finish`."""
        return self.begun(began=began)

    def begun(self, *, began: dt.datetime) -> UploadResult:
        """See `Operation.begun`: with the sending it is done."""
        if self._sent is None:
            raise RuntimeError("nothing was sent yet")
        uploaded, read = self._sent
        return UploadResult(
            job=self.journal.job,
            object=self.planned.target.url,
            format=self.planned.choice.aws_format,
            bytes_source=self.planned.source_size,
            bytes_sent=uploaded.bytes_sent,
            bytes_total=uploaded.bytes_total,
            seconds=self._seconds(began),
            bytes_read=read,
            bytes_left_out=self.planned.left_out,
        )

    def reached(self) -> dict[str, Any]:
        """See `Operation.reached`."""
        return {"job": self.journal.job, "object": self.planned.target.url}

    def undo(self, *, reason: str = "") -> dict[str, Any]:
        """What S3 holds of it goes; ``{"task_id", "removed": [urls]}``."""
        step = self.journal.get(STEP)
        url = upload_state.remove(self.context.aws, step) if step else None
        if url:
            self.context.reporter(events.Note(f"{url} removed"))
        return {"task_id": None, "removed": [url] if url else []}


def plan(aws: Aws, path: Path, request: UploadRequest) -> UploadPlan:
    """Decide how `path` goes to S3; reads only. A key that ends in / is completed with the file's name.

    Raises ImageError, UsageError, AwsRefused.
    """
    target, wanted, index = request.object, request.format, request.disk
    identity = FileIdentity.of(path)
    what = ingest.look(path, request, as_is=request.as_is)
    choice = ingest.choose(what, as_is=request.as_is, wanted=wanted)
    if choice.method != "as-is" and index is None and what.disks > 1:
        raise UsageError(
            f"{path} holds {what.disks} disks",
            cure=(Set("disk", note="one of them"), Set("as_is", note="the whole file")),
            fields=("disk",),
        )
    if choice.method == "as-is" and index is not None and what.container:
        choice = ingest.Choice("vmdk", "VMDK", ("one disk of the appliance was asked for",))
    bucket = s3.expect(aws, target.bucket)
    notes: tuple[str, ...] = ()
    if bucket.region != aws.region:
        notes = (f"{bucket.name} is in {bucket.region}: EC2 can import the object there, not in {aws.region}",)
    if choice.method == "as-is":
        size = bound = identity.size
        left_out = 0
        part_size_for(bound)
    else:
        with ingest.to_send(path, request, index=index) as opened:
            size, left_out = opened.size, free.left_out(opened)
            choice, bound = ingest.settle(opened, choice, asked=wanted is not None)
    any_bytes = what.variant == ingest.NO_DISK
    if not target.key or target.key.endswith("/"):
        name = path.name if any_bytes else ingest.named_for(path.name, choice.aws_format)
        target = S3Object(target.bucket, target.key + name)
    elif not any_bytes and ingest.promises_another(target.key, choice.aws_format):
        raise _misnamed(target, choice)
    return UploadPlan(
        path,
        target,
        choice,
        identity,
        size,
        bound,
        index=index,
        machine=request.machine,
        empty_disks=request.empty_disks,
        region=bucket.region,
        notes=notes,
        keep_free=request.keep_free,
        left_out=left_out,
    )


def _misnamed(target: S3Object, choice: ingest.Choice) -> UsageError:
    right = ingest.named_for(target.key, choice.aws_format)
    forms = [form for form in ("vmdk", "vhd", "raw") if not ingest.promises_another(target.key, form.upper())]
    return UsageError(
        f"{target.url} would hold {choice.aws_format}, and its name says another form",
        cause=f"the file is sent as {choice.aws_format} ({choice.reasons[0]}); whoever goes by the name is misled",
        cure=(f"name it s3://{target.bucket}/{right}", *(Set("format", form, "sends that form") for form in forms)),
        fields=("url",),
    )


def send(
    context: Context, plan: UploadPlan, *, step: str, options: UploadOptions, verify: bool = True
) -> tuple[Uploaded, int]:
    """One file to one object, remembered under `step`: what came of it, and the bytes read of the source.

    Raises ImageError when the file is another than the one the upload began with, or changes meanwhile
    (SourceChanged), and with `verify` when it is damaged (DamagedImage): no object is then made of it. Raises
    UsageError (ObjectExists) where `options` are exclusive and another object has that key.
    """
    aws, journal, reporter = context.aws, context.journal, context.reporter
    known = journal.get(step) or {}
    identity = plan.identity.as_json()
    if known.get("identity", identity) != identity:
        raise source_changed(plan.path, "since the upload began", Cancel(journal.job, "then begin anew"))
    options = replace(options, region=plan.region or options.region, metadata={**options.metadata, SOURCE: plan.token})
    state = Sent(journal, step, plan.target, token=plan.token, region=plan.region, more={"identity": identity})
    found = _found(aws, plan)
    same = found is not None and (
        found.metadata.get(SOURCE) == plan.token or same_content(plan, found, reporter=reporter)
    )
    if found is not None and same and options.accepts(found.storage, found.encryption):
        reporter(events.Note(f"{plan.target.url} is already uploaded"))
        return state.done(Uploaded(replace(plan.target, size=found.size), found.size, 0, found.etag)), 0
    if found is not None and not same and options.exclusive:
        raise _occupied(plan, found.size)
    options = replace(options, exclusive=options.exclusive and not same)
    state.begin()
    reporter(events.Stage("upload", f"{plan.path.name} → {plan.target.url} ({plan.choice.reasons[0]})"))
    if plan.left_out:
        reporter(events.Note(payloads.left_out(plan.left_out), "debug"))
    payload: WatchedPayload | None = None
    try:
        payload = _payload(plan, reporter, verify=verify)
        done = upload(
            aws, plan.target, payload, state=state, options=options, settled=payload.settled, reporter=reporter
        )
    except VmieError as error:
        if error.code == SOURCE_CHANGED or plan.identity.touched(plan.path):
            state.give_up(aws)
            raise source_changed(
                plan.path, "while it was uploaded", "stop what writes to it, then run the command again"
            ) from error
        if error.code == OCCUPIED and options.exclusive:
            state.give_up(aws)
            raise _occupied(plan) from error
        if error.code == DAMAGED:
            state.give_up(aws)
            error.add_cure(payloads.UNVERIFIED if verify else ())
        raise
    finally:
        if payload is not None:
            payload.close()
    return state.done(done), payload.read


def _payload(plan: UploadPlan, reporter: events.Reporter, *, verify: bool) -> WatchedPayload:
    how: dict[str, Any] = {"size": plan.source_size, "index": plan.index, "verify": verify}
    made = payloads.payload(plan.path, plan, plan.choice, **how, layer=plan.identity.layer)
    for note in made.notes:
        reporter(events.Note(note, "warning"))
    return WatchedPayload(plan, made)


def _found(aws: Aws, plan: UploadPlan) -> objects.ObjectFacts | None:
    """What is at that key; None where nothing is, or it may not be seen."""
    try:
        return objects.facts(aws, plan.target, region=plan.region)
    except AwsRefused as error:
        # Without s3:ListBucket an absent object is refused too; and who may only write can still upload.
        if error.code in ("AccessDenied", "BadRequest"):
            return None
        raise


def _occupied(plan: UploadPlan, size: int | None = None) -> UsageError:
    what = f" ({size:,} bytes)" if size is not None else ""
    return UsageError(
        f"{plan.target.url} is there already, and is another object{what}",
        cause="an upload replaces nothing that it did not make of the same content",
        cure=(Set("force", note="replaces it"), "or choose another key"),
        code="ObjectExists",
        fields=("url",),
    )
