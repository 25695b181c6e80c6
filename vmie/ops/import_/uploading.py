"""The upload of one disk of an import, resumable."""

from __future__ import annotations

from vmie import disk, events
from vmie.aws import objects
from vmie.aws.upload import Payload, UploadOptions, upload
from vmie.errors import ImageError
from vmie.ops import ingest
from vmie.ops.import_.planning import PlannedDisk
from vmie.ops.import_.work import Work
from vmie.ops.journal import Journal


class _UploadStep:
    """The journal's memory of one multipart upload."""

    def __init__(self, journal: Journal, number: int) -> None:
        self._journal = journal
        self._step = f"upload {number}"

    def get(self) -> str | None:
        return (self._journal.get(self._step) or {}).get("upload_id")

    def put(self, upload_id: str) -> None:
        self._journal.put(self._step, {**(self._journal.get(self._step) or {}), "upload_id": upload_id})


def upload_disk(work: Work, number: int, planned: PlannedDisk) -> None:
    """Send one disk of the plan, or see that it is there already. Raises ImageError when the file changed."""
    if planned.path is None or planned.identity is None:
        return
    step = work.journal.get(f"upload {number}") or {}
    if step.get("identity", planned.identity.as_json()) != planned.identity.as_json():
        raise ImageError(
            f"{planned.path} has changed since the upload began",
            cause="a resumed upload of another content would mix the two",
            cure=f"vmie cancel {work.journal.job}, then import it again",
            code="SourceChanged",
        )
    if "done" in step and objects.find(work.aws, planned.object) == step["done"]:
        work.reporter(events.Note(f"{planned.object.url} is already uploaded"))
        return
    where = {"bucket": planned.object.bucket, "key": planned.object.key}
    work.journal.put(f"upload {number}", {**step, **where, "identity": planned.identity.as_json()})
    work.reporter(events.Stage("upload", f"{planned.path.name} → {planned.object.url} ({planned.choice.reasons[0]})"))
    options = UploadOptions(owner=work.aws.account)
    payload, opened = _payload(planned)
    try:
        done = upload(
            work.aws,
            planned.object,
            payload,
            state=_UploadStep(work.journal, number),
            options=options,
            reporter=work.reporter,
        )
    finally:
        if opened is not None:
            opened.close()
    if ingest.Identity.of(planned.path) != planned.identity:
        objects.delete(work.aws, planned.object)
        raise ImageError(
            f"{planned.path} was changed while it was uploaded",
            cure="stop the virtual machine that writes to it, then run the command again",
            code="SourceChanged",
        )
    work.journal.put("sent", {"bytes": work.sent() + done.bytes_sent})
    step = work.journal.get(f"upload {number}") or {}
    work.journal.put(f"upload {number}", {**step, "done": done.bytes_total})


def _payload(planned: PlannedDisk) -> tuple[Payload, disk.Disk | None]:
    if planned.path is None:
        raise ValueError("nothing to send")
    if planned.choice.method == "as-is":
        return ingest.FilePayload(planned.path, planned.source_size), None
    opened = disk.open(planned.path, index=planned.index or 0)
    return ingest.StreamPayload(opened, planned.choice.method), opened
