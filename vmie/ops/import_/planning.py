"""An import, planned: which bytes, to which object, by which call. Reads only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from vmie import events
from vmie.aws import ec2, kms, objects, role_check, s3
from vmie.aws.session import Aws
from vmie.errors import AwsRefused, ImageError, PreflightError, Run, Set, UsageError
from vmie.guest import free
from vmie.model import Finding, Route, S3Object
from vmie.ops import bucket as buckets
from vmie.ops import check, codec, ingest, mending
from vmie.ops.context import Context
from vmie.ops.copying import CopyPlan
from vmie.ops.file_identity import FileIdentity
from vmie.ops.import_ import after_import, registering, stored
from vmie.ops.import_.after_import import TypeGuard
from vmie.options import ImportRequest


@dataclass(frozen=True, slots=True)
class PlannedDisk:
    """One disk container of the call.

    `object` is where AWS will read it. `path` is the local file, None when the object is already there;
    `index` names one disk of an OVA whose disks are sent one by one. Sizes are bytes; `bound` is the most that
    will be sent, `left_out` data in free space that is not.
    """

    object: S3Object
    choice: ingest.Choice
    path: Path | None = None
    index: int | None = None
    identity: FileIdentity | None = None
    source_size: int = 0
    bound: int = 0
    copied: CopyPlan | None = None
    left_out: int = 0

    @property
    def ours(self) -> bool:
        """Whether the object is made by this import: then it goes when it is needed no more."""
        return self.path is not None or self.copied is not None

    def as_json(self) -> dict[str, Any]:
        """For --dry-run."""
        return {
            "source": str(self.path) if self.path else (self.copied.source if self.copied else self.object).url,
            "disk": self.index,
            "object": self.object.url,
            **self.choice.as_json(),
            "upload": self.path is not None,
            "copy": self.copied is not None,
            "bytes_source": self.source_size,
            "bytes_at_most": self.bound,
            "bytes_left_out": self.left_out,
        }


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """What an import will do, all of it."""

    request: ImportRequest
    role_name: str
    bucket: buckets.ChosenBucket | None
    disks: tuple[PlannedDisk, ...]
    report: check.CheckReport | None = field(default=None, metadata=codec.PASSING)
    notes: tuple[str, ...] = ()
    #: whether an AMI that is registered from the snapshot is said to have ENA
    ena: bool = True
    #: the statement of a repair on the way, {} without one
    repaired: Mapping[str, Any] = field(default_factory=dict)
    #: the instance types that the AMI may be launched as, and may not
    guard: TypeGuard = field(default_factory=TypeGuard)

    @property
    def object_url(self) -> str:
        """Where the first disk is, or will be."""
        return self.disks[0].object.url

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What the check found."""
        return self.report.findings if self.report else ()

    def as_json(self) -> dict[str, Any]:
        """For --dry-run."""
        request = self.request
        return {
            "route": request.route.value,
            "role": self.role_name,
            "bucket": {"name": self.bucket.name, "from": self.bucket.origin} if self.bucket else None,
            "disks": [planned.as_json() for planned in self.disks],
            "call": "ImportImage" if request.route is Route.IMAGE else "ImportSnapshot",
            **request.described(),
            "register": request.register or None,
            "prove": request.prove,
            "guard_types": request.guard_types,
            "delete_object_after": not request.keep_object and any(planned.ours for planned in self.disks),
            "notes": list(self.notes),
            **({"repaired": self.repaired} if self.repaired else {}),
        }


def plan(context: Context, request: ImportRequest, *, begun: bool = False) -> ImportPlan:
    """Plan an import: the cheap local checks first, then what AWS can be asked, nothing is sent.

    With `begun` AWS has the task already: then nothing of the account may stop the wait for it.
    Raises UsageError, ImageError (exit 2), PreflightError (exit 4) and AwsRefused (exit 5).
    """
    aws, settings = context.aws, context.settings
    local = [Path(source) for source in request.sources if not source.startswith("s3://")]
    report = checked(context, request, local) if local else None
    repaired = mending.of(request) if request.repair_of else None
    request, notes = from_image(report, request)
    role_name = request.role_name or settings.role_name
    chosen = None
    if local or request.copy:
        chosen = buckets.resolve(aws, settings, option=request.bucket, role_name=role_name)
    prefix = settings.prefix if request.prefix is None else request.prefix
    disks: list[PlannedDisk] = []
    for number, source in enumerate(request.sources, start=1):
        # Two disks of one machine may have the same file name, in different folders.
        several = f"{number}-" if len(request.sources) > 1 else ""
        folder = S3Object(chosen.name, f"{prefix}{context.journal.job}/{several}") if chosen else None
        if source.startswith("s3://"):
            disks.append(_stored(context, S3Object.parse(source), request, folder if request.copy else None))
        elif folder is not None:
            disks += _local(Path(source), request, folder, repaired)
    if len(disks) > 1 and request.route is Route.SNAPSHOT:
        raise _several(request.sources[0], len(disks))
    if not begun:
        _expect(aws, request, role_name, [planned.object for planned in disks])
    lost = registering.losses(report) if request.register else ()
    for one in lost:
        context.reporter(events.Note(one, "warning"))
    ena, mended = registering.has_ena(report), repaired.as_json() if repaired else {}
    guard = after_import.guard_of(report, request)
    told = (*notes, *lost, *after_import.plan_notes(request))
    return ImportPlan(request, role_name, chosen, tuple(disks), report, told, ena, mended, guard)


def _expect(aws: Aws, request: ImportRequest, role_name: str, read: list[S3Object]) -> None:
    """See that the key, the role and the AMI's name will do; raises AwsRefused with the one thing that is amiss."""
    if request.register:
        ec2.expect_free_name(aws, request.register)
    key = kms.expect_key(aws, request.kms_key) if request.kms_key else None
    role_check.expect_reader(
        aws,
        role_name,
        read,
        image=request.route is Route.IMAGE,
        licensed=bool(request.license_configurations),
        key=key,
    )


def checked(
    context: Context,
    request: ImportRequest,
    paths: list[Path],
    *,
    route: Route | None = None,
    skip: Sequence[str] = (),
) -> check.CheckReport | None:
    """The preflight; raises PreflightError when `route`, by default the request's, is blocked.

    `skip` are rules that say nothing of how the disks go.
    """
    if "all" in request.skip_check:
        return None
    route = route or request.route
    context.reporter(events.Stage("check", ", ".join(path.name for path in paths)))
    report = check.check(
        paths,
        profile=request.rules,
        routes=(route,),
        as_is=request.as_is,
        together=len(paths) > 1,
        machine=request.machine,
        empty_disks=request.empty_disks,
        repair=request.repair,
        clock=context.clock,
        reporter=context.reporter,
    )
    blocking = check.blocking(report, route, skip=(*request.skip_check, *skip), strict=request.strict)
    if not blocking:
        return report
    first = blocking[0]
    message, cause = check.named(blocking)
    raise PreflightError(
        f"AWS would refuse this image: {message}",
        cause=cause,
        cure=(*first.actions, Run(("vmie", "check", str(paths[0])), "shows all findings"), *check.skipping(blocking)),
        code=first.rule,
        findings=report.findings,
    )


def from_image(report: check.CheckReport | None, request: ImportRequest) -> tuple[ImportRequest, tuple[str, ...]]:
    """Fill in from the guest what the user left open: AWS stalls or guesses wrong without it (peers.md 3.2)."""
    if report is None or not report.images:
        return request, ()
    facts = report.images[0]
    filled, found = request.filled(
        architecture=facts.architecture, platform=facts.guest_family.capitalize(), firmware=facts.firmware
    )
    return filled, tuple(f"{name.replace('_', ' ')} {value}: read from the image" for name, value in found.items())


def _stored(context: Context, source: S3Object, request: ImportRequest, folder: S3Object | None) -> PlannedDisk:
    """A source that is in S3 already: it must be there, and a disk that AWS takes. With `folder` it is copied there."""
    aws, reporter = context.aws, context.reporter
    copied = None
    if folder is not None and folder.bucket != source.bucket:
        region = s3.region_of(aws, source.bucket)
        found = objects.existing(aws, source, own=False, region=region)
        what = stored.look(aws, source, request, found=found, own=False, region=region, reporter=reporter)
        name = ingest.named_for(PurePosixPath(source.key).name, what.format)
        target = S3Object(folder.bucket, folder.key + plain(name), found.size)
        copied = CopyPlan(source, target, found)
    else:
        _expect_local(aws, source.bucket)
        found = objects.existing(aws, source)
        what = stored.look(aws, source, request, found=found, reporter=reporter)
    if copied is not None:
        choice = ingest.Choice("as-is", what.format, ("copied inside S3, as was asked", *what.reasons))
        return PlannedDisk(copied.target, choice, source_size=found.size, copied=copied)
    choice = ingest.Choice("as-is", what.format, ("already in S3", *what.reasons))
    return PlannedDisk(replace(source, size=found.size), choice, source_size=found.size)


def _expect_local(aws: Aws, name: str) -> None:
    """Raise AwsRefused for a bucket that AWS cannot import from; a copy may help."""
    try:
        s3.expect_local(aws, name)
    except AwsRefused as error:
        if error.code in ("BucketElsewhere", "BucketNotOwned"):
            error.add_cure(Set("copy", note="S3 then copies the object into the import bucket, and nothing comes here"))
        raise


def choose(whole: ingest.Look, request: ImportRequest) -> ingest.Choice:
    """How a file goes that was looked at: re-streamed where it is mended on the way. Raises UsageError."""
    if request.repair and request.format is None:
        return ingest.Choice("vmdk", "VMDK", ("mended on the way: re-streamed",))
    return ingest.choose(whole, route=request.route, as_is=request.as_is, wanted=request.format)


def _local(
    path: Path, request: ImportRequest, folder: S3Object, repaired: mending.MachineRepair | None
) -> list[PlannedDisk]:
    """The containers that a local file becomes: one, or one per disk of an OVA that cannot go whole."""
    identity = FileIdentity.of(path)
    whole = ingest.look(path, request, as_is=request.as_is)
    choice = choose(whole, request)
    if choice.method == "as-is":
        target = S3Object(folder.bucket, folder.key + plain(ingest.named_for(path.name, choice.aws_format)))
        return [PlannedDisk(target, choice, path, None, identity, identity.size, identity.size)]
    indexes: list[int | None] = list(range(whole.disks)) if whole.container else [None]
    if len(indexes) > 1 and request.route is Route.SNAPSHOT:
        raise _several(str(path), len(indexes))
    planned = []
    for index in indexes:
        with ingest.to_send(path, request, index=index) as one:
            settled, bound = ingest.settle(one, choice, asked=request.format is not None)
            suffix = f"-disk{index + 1}" if index is not None and len(indexes) > 1 else ""
            target = S3Object(folder.bucket, f"{folder.key}{plain(path.stem)}{suffix}.{settled.method}")
            own = mending.layered(identity, path, index, repaired)
            planned.append(PlannedDisk(target, settled, path, index, own, one.size, bound, left_out=free.left_out(one)))
    return planned


def _several(source: str, count: int) -> UsageError:
    return UsageError(
        f"{source} holds {count} disks and ImportSnapshot takes one",
        cure=(
            Set("route", "image", "takes them all"),
            Run(("vmie", "convert", source, "OUT.vmdk", "--disk", "N"), "then import that one"),
        ),
        fields=("route",),
    )


def plain(name: str) -> str:
    """A key that needs no escaping anywhere: AWS's own tools stumble over others."""
    kept = "".join(char if char.isascii() and (char.isalnum() or char in "._-") else "-" for char in name)
    if not kept.strip(".-"):
        raise ImageError(f"{name!r} makes no name for an object", cure="rename the file")
    return kept[-200:]
