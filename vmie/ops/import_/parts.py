"""The parts of an import by the older calls: sent once, listed in a manifest, removed in the end."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

from vmie import events
from vmie.aws import manifest, objects, parts_upload, presign
from vmie.aws.conversions import DiskImage
from vmie.aws.errors import refusals
from vmie.aws.manifest import ImportManifest, ManifestPart
from vmie.aws.parts_upload import Parts
from vmie.disk.reading import DAMAGED
from vmie.errors import Cancel, Cure, ImageError
from vmie.model import S3Object
from vmie.ops import payloads, transfer_options
from vmie.ops.context import Context
from vmie.ops.file_identity import FileIdentity
from vmie.ops.import_.conversion_plan import ConversionDisk
from vmie.options import ImportRequest


def send(context: Context, request: ImportRequest, number: int, planned: ConversionDisk) -> None:
    """Send the parts of disk `number`, or see that they are there.

    Raises ImageError when the file changed, or is damaged: none of its parts stay then.
    """
    if planned.path is None or planned.identity is None:
        return
    step = _step(number)
    known = context.journal.get(step) or {}
    identity = planned.identity.as_json()
    if known.get("identity", identity) != identity:
        raise _changed(planned, Cancel(context.journal.job, "then begin anew"))
    if "done" in known and parts_upload.present(context.aws, _sent_parts(planned, known)):
        context.reporter(events.Note(f"{planned.object.url}: all parts are uploaded"))
        return
    base = {
        "bucket": planned.object.bucket,
        "key": planned.object.key,
        "stem": planned.stem,
        "parts": len(planned.most_parts.ranges()),
        "identity": identity,
    }
    context.journal.put(step, {**base, "sent": known.get("sent", 0)})
    detail = f"{planned.path.name} → s3://{planned.object.bucket}/{planned.stem}.part… ({planned.choice.reasons[0]})"
    context.reporter(events.Stage("upload", detail))
    if planned.left_out:
        context.reporter(events.Note(payloads.left_out(planned.left_out), "debug"))
    try:
        sent, count = _send(context, request, planned, planned.path, resumed=bool(known))
    except ImageError as error:
        if error.code == DAMAGED:
            remove(context, number, planned)
            error.add_cure(() if request.skip_verify else payloads.UNVERIFIED)
        raise
    if FileIdentity.of(planned.path) != planned.identity:
        remove(context, number, planned)
        raise _changed(planned, "stop what writes to it, then run the command again")
    exact = {"parts": len(sent.ranges()), "done": sent.size, "sent": int(known.get("sent", 0)) + count}
    context.journal.put(step, {**base, **exact})


def _send(
    context: Context, request: ImportRequest, planned: ConversionDisk, path: Path, *, resumed: bool
) -> tuple[Parts, int]:
    verify = not request.skip_verify
    how: dict[str, Any] = {"size": planned.bound, "index": planned.index, "verify": verify}
    layer = planned.identity.layer if planned.identity is not None else None
    made = payloads.payload(path, request, planned.choice, **how, layer=layer)
    for note in made.notes:
        context.reporter(events.Note(note, "warning"))
    with closing(made):
        sent = parts_upload.send(
            context.aws,
            planned.object.bucket,
            planned.stem,
            made,
            options=transfer_options.upload_options(request, context.aws, context.settings),
            resumed=resumed,
            reporter=context.reporter,
        )
        made.settle()
        return sent


def image(context: Context, request: ImportRequest, number: int, planned: ConversionDisk) -> DiskImage:
    """Write the manifest with URLs signed now; what the call is given of the disk.

    Raises AwsRefused (CredentialsExpire) when the session that signs would end before the task's deadline.
    """
    # The plan has looked, but the upload and the queue took their time.
    seconds = context.settings.deadline_seconds
    if warning := presign.expect_lasting(context.aws, seconds=seconds, now=context.clock.now()):
        context.reporter(events.Note(warning, "debug"))
    signer = presign.Presigner(context.aws, seconds=seconds)
    keep = request.keep_object
    if planned.stored is not None:
        size = planned.source_size
        listed: tuple[ManifestPart, ...] = (_part(signer, planned.stored, (0, size - 1), delete=False),)
    else:
        there = _sent_parts(planned, context.journal.get(_step(number)) or {})
        size = there.size
        spans = enumerate(there.ranges())
        listed = tuple(_part(signer, there.object(index), span, delete=not keep) for index, span in spans)
    made = ImportManifest(
        format=planned.choice.aws_format,
        size=size,
        volume_gib=planned.volume_gib,
        parts=listed,
        self_destruct_url=signer.delete(planned.object),
    )
    with refusals("PutObject", operand=planned.object.url):
        context.aws.client("s3").put_object(
            Bucket=planned.object.bucket,
            Key=planned.object.key,
            Body=manifest.write(made),
            ContentType="application/xml",
            **context.aws.owned(),
        )
    return DiskImage(made.format, size, signer.get(planned.object), planned.volume_gib)


def drop_manifest(context: Context, planned: ConversionDisk) -> None:
    """Remove the manifest: its URLs open the parts to whoever reads it. The next attempt writes another."""
    objects.delete(context.aws, planned.object)


def remove(context: Context, number: int, planned: ConversionDisk) -> None:
    """Remove manifest and parts; the service has done it already where it could."""
    parts_upload.remove(context.aws, [*listed(context.journal.get(_step(number)) or {}), planned.object])


def listed(step: dict[str, Any]) -> list[S3Object]:
    """The parts that a journal's upload step says may lie in S3; [] for an upload of another kind."""
    if "stem" not in step:
        return []
    stem = Parts(step["bucket"], step["stem"], 0)
    return [stem.object(index) for index in range(int(step["parts"]))]


def _step(number: int) -> str:
    return f"upload {number}"


def _sent_parts(planned: ConversionDisk, step: dict[str, Any]) -> Parts:
    return Parts(planned.object.bucket, planned.stem, int(step.get("done", 0)))


def _part(signer: presign.Presigner, item: S3Object, span: tuple[int, int], *, delete: bool) -> ManifestPart:
    return ManifestPart(
        *span,
        key=item.key,
        head_url=signer.head(item),
        get_url=signer.get(item),
        delete_url=signer.delete(item) if delete else "",
    )


def _changed(planned: ConversionDisk, cure: Cure) -> ImageError:
    return ImageError(
        f"{planned.path} was changed since the upload began",
        cause="parts of two contents would be mixed",
        cure=cure,
        code="SourceChanged",
    )
