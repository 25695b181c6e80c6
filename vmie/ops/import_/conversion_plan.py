"""An import by ImportInstance or ImportVolume, planned: which disk by which call, and what speaks against."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from vmie import events
from vmie.aws import objects, presign, s3
from vmie.aws.parts_upload import Parts
from vmie.errors import Drop, Run, Set, UsageError, says
from vmie.guest import free
from vmie.limits import GIB
from vmie.model import Route, S3Object
from vmie.ops import bucket as buckets
from vmie.ops import ingest, mending
from vmie.ops.context import Context
from vmie.ops.file_identity import FileIdentity
from vmie.ops.import_ import placement, stored
from vmie.ops.import_.planning import ImportPlan, PlannedDisk, checked, choose, from_image, plain
from vmie.options import ImportRequest

#: devices for data volumes: EC2 recommends sdf to sdp
DEVICES = "fghijklmnop"
USER_DATA_BYTES = 16 << 10
_FORMATS = ("VMDK", "VHD", "RAW")
#: handled here: the first disk goes by ImportInstance, each of the others by ImportVolume
_ONE_DISK = "VMIE-LIM-004"


@dataclass(frozen=True, slots=True)
class ConversionDisk(PlannedDisk):
    """One disk, one task. `object` is the manifest; the parts lie beside it, or are the one object in S3 already."""

    volume_gib: int = 1
    stored: S3Object | None = None

    @property
    def stem(self) -> str:
        """What the keys of the parts and of the manifest begin with."""
        return self.object.key.removesuffix(".manifest.xml")

    @property
    def most_parts(self) -> Parts:
        """The parts that there can be at the most."""
        return Parts(self.object.bucket, self.stem, self.bound)

    def as_json(self) -> dict[str, Any]:
        """For --dry-run."""
        # Not super(): slots make a new class, whose methods do not know it.
        shown = PlannedDisk.as_json(self)
        return {**shown, "source": self.stored.url if self.stored else shown["source"], "volume_gib": self.volume_gib}


@dataclass(frozen=True, slots=True)
class ConversionPlan(ImportPlan):
    """What the import will do: `zone` is the Availability Zone, "" where AWS chooses."""

    disks: tuple[ConversionDisk, ...]
    zone: str = ""

    def as_json(self) -> dict[str, Any]:
        """For --dry-run; of the user data only the path."""
        request = self.request
        instance = request.route is Route.INSTANCE
        return {
            **ImportPlan.as_json(self),
            "role": None,
            "call": "ImportInstance" if instance else "ImportVolume",
            "then": [f"ImportVolume of disk {number + 2}" for number in range(len(self.disks) - 1)],
            "availability_zone": self.zone or None,
            "launch": request.group("Instance") if instance else None,
            "attach_data_disks": request.attach_data_disks,
        }


def plan(context: Context, request: ImportRequest) -> ConversionPlan:
    """Look at the Region, credentials, the disks, the place; nothing is sent.

    Raises UsageError, ImageError (exit 2), PreflightError (exit 4) and AwsRefused (exit 5).
    """
    aws, settings, reporter = context.aws, context.settings, context.reporter
    placement.expect_region(aws.region, request.route)
    warnings = [presign.expect_lasting(aws, seconds=settings.deadline_seconds, now=context.clock.now())]
    local = [Path(source) for source in request.sources if not source.startswith("s3://")]
    judged = (
        request.model_copy(update={"skip_check": (*request.skip_check, _ONE_DISK)})
        if request.route is Route.INSTANCE
        else request
    )
    report = checked(context, judged, local) if local else None
    repaired = mending.of(request) if request.repair_of else None
    request, notes = from_image(report, request)
    _expect_platform(request)
    if request.route is Route.INSTANCE:
        warnings.append(placement.expect_type(request))
        user_data(request)
    zone = placement.zone_of(aws, request, reporter=reporter)
    chosen = buckets.resolve(aws, settings, option=request.bucket, role_name=settings.role_name)
    prefix = settings.prefix if request.prefix is None else request.prefix
    folder = S3Object(chosen.name, f"{prefix}{context.journal.job}/")
    disks = _disks(context, request, repaired, folder=folder)
    _expect_count(request, disks)
    for warning in filter(None, warnings):
        reporter(events.Note(warning, "warning"))
    kept = tuple(note for note in notes if not note.startswith("boot mode"))
    statement = repaired.as_json() if repaired else {}
    return ConversionPlan(request, "", chosen, disks, report, kept, repaired=statement, zone=zone)


def user_data(request: ImportRequest) -> bytes:
    """The content of the user data file: a secret, never to be kept. Raises UsageError when it cannot be sent."""
    if not request.user_data:
        return b""
    try:
        with Path(request.user_data).open("rb") as file:
            data = file.read(USER_DATA_BYTES + 1)
    except OSError as error:
        said = says("cannot read {user_data} {path}: {why}", path=request.user_data, why=error.strerror)
        raise UsageError(said, cure=Set("user_data", note="a file that can be read")) from error
    if len(data) > USER_DATA_BYTES:
        raise UsageError(
            says("{user_data} {path} is larger than {most} KiB", path=request.user_data, most=USER_DATA_BYTES >> 10),
            cause="EC2 takes no more",
            cure="let it fetch the rest",
        )
    return data


def _expect_platform(request: ImportRequest) -> None:
    if request.route is Route.INSTANCE and not request.platform:
        raise UsageError(
            "whether the machine is Windows or Linux is not known",
            cause="ImportInstance has to be given it, and the disk does not show it",
            cure=Set("platform", note="Linux or Windows"),
            fields=("platform",),
        )


def _expect_count(request: ImportRequest, disks: tuple[ConversionDisk, ...]) -> None:
    if request.route is Route.VOLUME and len(disks) > 1:
        raise UsageError(
            f"{request.sources[0]} holds {len(disks)} disks and ImportVolume takes one",
            cure=(
                Run(("vmie", "convert", request.sources[0], "OUT.vmdk", "--disk", "N"), "then import that one"),
                Set("route", "instance", "the whole machine"),
            ),
            fields=("route",),
        )
    if request.attach_data_disks and len(disks) - 1 > len(DEVICES):
        raise UsageError(
            says(
                "{attach_data_disks}: {count} data disks are more than the {most} device names there are",
                count=len(disks) - 1,
                most=len(DEVICES),
            ),
            cure=Drop(("attach_data_disks",), "and attach the volumes under names of your own"),
        )


def _disks(
    context: Context, request: ImportRequest, repaired: mending.MachineRepair | None, *, folder: S3Object
) -> tuple[ConversionDisk, ...]:
    found: list[ConversionDisk] = []
    for source in request.sources:
        if source.startswith("s3://"):
            found.append(_stored(context, S3Object.parse(source), request, folder=folder, number=len(found)))
        else:
            found += _local(Path(source), request, repaired, folder=folder, first=len(found))
    if request.volume_size is not None:
        found[0] = replace(found[0], volume_gib=_grown(found[0], request.volume_size))
    return tuple(found)


def _grown(planned: ConversionDisk, wanted: int) -> int:
    if wanted < planned.volume_gib:
        raise UsageError(
            says("{volume_size} {wanted}: the disk needs {least} GiB", wanted=wanted, least=planned.volume_gib),
            cure=Drop(("volume_size",), "or choose more"),
        )
    return wanted


def _local(
    path: Path, request: ImportRequest, repaired: mending.MachineRepair | None, *, folder: S3Object, first: int
) -> list[ConversionDisk]:
    """Every disk of a file, each to be sent on its own."""
    identity = FileIdentity.of(path)
    whole = ingest.look(path, request, as_is=request.as_is)
    choice = choose(whole, request)
    if choice.aws_format not in _FORMATS:
        raise UsageError(
            says("{as_is}: {path} is {form}, which the older calls do not take", path=path, form=choice.aws_format),
            cure=Drop(("as_is",), "vmie sends a stream-optimised VMDK"),
        )
    if whole.container:
        choice = replace(choice, reasons=("the older calls take disks, not appliances: each goes alone",))
    planned = []
    for index in range(whole.disks) if whole.container else (None,):
        number = first + (index or 0)
        with (ingest.opened if choice.method == "as-is" else ingest.to_send)(path, request, index=index) as one:
            form, bound = choice, identity.size
            if choice.method != "as-is":
                form, bound = ingest.settle(one, choice, asked=request.format is not None)
            planned.append(
                ConversionDisk(
                    _manifest(folder, number, path.stem, form.aws_format.lower()),
                    form,
                    path,
                    index,
                    mending.layered(identity, path, index, repaired),
                    one.size,
                    bound,
                    volume_gib=_gib(one.size),
                    left_out=free.left_out(one),
                )
            )
    return planned


def _stored(
    context: Context, source: S3Object, request: ImportRequest, *, folder: S3Object, number: int
) -> ConversionDisk:
    """A disk that is one object already: a manifest of one part names it, as AWS's own second example does."""
    aws = context.aws
    s3.expect_local(aws, source.bucket)
    found = objects.existing(aws, source)
    what = stored.look(aws, source, request, found=found, reporter=context.reporter)
    if what.disk_size is None and (request.volume_size is None or number > 0):
        raise UsageError(
            f"{source.url}: how large its disk is was not seen",
            cause="ImportInstance and ImportVolume make a volume of a size that has to be named",
            cure=Set("volume_size", note="in GiB; or import the local file"),
        )
    return ConversionDisk(
        _manifest(folder, number, PurePosixPath(source.key).stem, what.format.lower()),
        ingest.Choice("as-is", what.format, ("already in S3", *what.reasons)),
        source_size=found.size,
        bound=0,
        volume_gib=_gib(what.disk_size or 0),
        stored=replace(source, size=found.size),
    )


def _manifest(folder: S3Object, number: int, stem: str, suffix: str) -> S3Object:
    """Numbered: two disks of one machine may have the same name."""
    return S3Object(folder.bucket, f"{folder.key}disk{number + 1}-{plain(stem)}.{suffix}.manifest.xml")


def _gib(size: int) -> int:
    return max(1, -(-size // GIB))
