"""A disk that is in S3 already: what it is shows its content, read by range. Its name is never believed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from vmie import disk, events
from vmie.aws import objects
from vmie.aws.object_source import S3ObjectSource
from vmie.aws.session import Aws
from vmie.disk.foreign import expected_disk, is_partitioned
from vmie.errors import AwsRefused, PreflightError, Run, Set, UsageError, says
from vmie.model import Route, S3Object
from vmie.ops.ingest import AWS_FORMATS, TAKEN
from vmie.options import ImportRequest

#: a disk whose bytes are the object's: what its name may say without promising another format
_RAW_NAMES = (".raw", ".img", ".bin", ".dd")
#: formats that hold one disk: opened, so that their variant and size are known
_SINGLE = ("vmdk", "vhd", "vhdx", "qcow2", "vdi", "raw")
_OLDER = ("vmdk", "vhd", "raw")


@dataclass(frozen=True, slots=True)
class Stored:
    """What an object is: its `format` as AWS calls it, its disk's bytes (None where that was not seen), and why."""

    format: str
    disk_size: int | None
    reasons: tuple[str, ...]


def look(
    aws: Aws,
    source: S3Object,
    request: ImportRequest,
    *,
    found: objects.ObjectFacts,
    own: bool = True,
    region: str | None = None,
    reporter: events.Reporter = events.silent,
) -> Stored:
    """What the request to AWS says that `source` is: the format that was asked for, or what its content shows.

    Raises UsageError where the two differ or neither is known, ImageError for what is no disk, PreflightError for a
    disk that AWS does not take as it is, AwsRefused when the object may not be read and no format is given.
    """
    bytes_ = S3ObjectSource(aws, source, found, own=own, region=region)
    try:
        kind, variant, size = _seen(bytes_, request)
    except AwsRefused as error:
        if error.code not in ("AccessDenied", "AllAccessDisabled"):
            raise
        if request.format is None:
            error.add_cause(f"what {source.url} holds has to be seen before it is imported, and its name shows nothing")
            error.add_cure(Set("format", note="the form that it is in: it is then imported unseen"))
            raise
        reporter(events.Note(f"{source.url} may not be read: taken for {request.format}, as was asked", "warning"))
        return Stored(AWS_FORMATS[request.format], None, (f"unseen, and {request.format} was asked for",))
    finally:
        bytes_.close()
    if "all" in request.skip_check and request.format:
        return Stored(AWS_FORMATS[request.format], size, (f"{request.format} was asked for",))
    _expect_asked(source, request, kind)
    _expect_taken(source, request, kind, variant)
    said = " ".join(dict.fromkeys((kind, variant)))
    suffix = PurePosixPath(source.key).suffix.lower()
    if suffix and suffix[1:] in AWS_FORMATS and suffix[1:] != kind:
        reporter(events.Note(f"{source.url} is {said}, whatever its name says: imported as that", "warning"))
    return Stored(AWS_FORMATS[kind], size, (f"its content is {said}",))


def _seen(source: S3ObjectSource, request: ImportRequest) -> tuple[str, str, int | None]:
    """Format, variant and virtual size in bytes; "" for the format of bytes that show none."""
    kind = disk.detect(source) if source.size else "raw"
    if kind not in _SINGLE:
        return kind, "", None
    with disk.open_source(source) as opened:
        if kind == "raw" and "all" not in request.skip_check:
            expected_disk(source, opened.facts)
        if kind == "raw" and request.format != "raw":
            named = PurePosixPath(source.name).suffix.lower() in _RAW_NAMES
            if not named and not is_partitioned(source):
                return "", "", None
        return opened.format, opened.variant, opened.size


def _expect_asked(source: S3Object, request: ImportRequest, kind: str) -> None:
    asked = request.format
    if not kind and asked is None:
        raise UsageError(
            f"{source.url}: its content shows no format",
            cause="it has no signature of one, and no partition table; what its name says is not believed",
            cure=Set("format", "raw", "if it is the bytes of a disk"),
            fields=("format",),
        )
    if asked is None or asked == kind:
        return
    right: tuple[Set, ...] = (Set("format", kind),) if kind in AWS_FORMATS else ()
    raise UsageError(
        says(
            f"{{format={asked}}}: {{_url}} {{_is}}", _url=source.url, _is=f"is {kind}" if kind else "has no sign of it"
        ),
        cause="AWS would take the bytes of the file itself for the disk" if asked == "raw" else "AWS would refuse it",
        cure=(*right, Set("skip_check", "all", "sends it as you say all the same")),
        fields=("format",),
    )


def _expect_taken(source: S3Object, request: ImportRequest, kind: str, variant: str) -> None:
    """Raise PreflightError for what the route's call does not take; nothing of S3 is converted."""
    route = request.route
    older = route in (Route.INSTANCE, Route.VOLUME)
    said = " ".join(filter(None, dict.fromkeys((kind, variant))))
    if kind == "ova" and route is not Route.IMAGE:
        raise UsageError(
            f"{source.url}: {route.call} takes no OVA", cure=Set("route", "image", "or give the disk itself")
        )
    taken = kind in ("ova", "raw") or (kind, variant) in TAKEN
    if "all" in request.skip_check and kind in AWS_FORMATS:
        return
    if not taken or (older and kind not in _OLDER):
        raise PreflightError(
            f"{source.url} is {said}, which {route.call} does not take",
            cause="what is in S3 is imported as it is: nothing is converted there",
            cure=Run(("aws", "s3", "cp", source.url, "FILE"), "then import that file: it is converted on its way"),
            code="UnsupportedFormat",
            fields=("sources",),
        )
