"""An import by EBS direct, planned: which disks become which snapshots, encrypted or not. Reads only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vmie import events
from vmie.aws import ec2, kms, role_check, snapshots
from vmie.aws.ebs import prices
from vmie.aws.session import Aws
from vmie.errors import AwsRefused, Drop, PreflightError, Set, UsageError, says
from vmie.limits import EBS_PENDING_SNAPSHOTS, EBS_VOLUME_GIB
from vmie.model import Finding, Route
from vmie.ops import bucket as buckets
from vmie.ops import check, codec, ingest, mending
from vmie.ops.context import Context
from vmie.ops.file_identity import FileIdentity
from vmie.ops.import_ import after_import, direct_blocks, direct_parent, placement, planning, registering
from vmie.ops.import_.after_import import TypeGuard
from vmie.ops.import_.direct_blocks import DirectDisk
from vmie.options import ImportRequest

#: of a disk whose zeros may be left out though somebody may encrypt it
UNSAFE_ZEROS = "unsafe-zeros"
#: the rules about the largest disk of a task
_SIZES = ("VMIE-LIM-001", "VMIE-LIM-002")


@dataclass(frozen=True, slots=True)
class DirectPlan:
    """What an import by EBS direct will do, all of it. `kms_key` is an ARN, "" for the account's default or none."""

    request: ImportRequest
    disks: tuple[DirectDisk, ...]
    encrypted: bool
    kms_key: str
    role_name: str = ""
    zone: str = ""
    report: check.CheckReport | None = field(default=None, metadata=codec.PASSING)
    notes: tuple[str, ...] = ()
    #: whether an AMI that is registered from the snapshot is said to have ENA
    ena: bool = True
    #: the instance types that the AMI may be launched as, and may not
    guard: TypeGuard = field(default_factory=TypeGuard)
    #: there is none
    bucket: buckets.ChosenBucket | None = None
    object_url: str | None = None
    #: the statement of a repair on the way, {} without one
    repaired: Mapping[str, Any] = field(default_factory=dict)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What the check found, but for what is about a task's disks where there is no task."""
        found = self.report.findings if self.report else ()
        return tuple(one for one in found if self.request.route is Route.IMAGE or one.rule not in _SIZES)

    def as_json(self) -> dict[str, Any]:
        """For --dry-run."""
        request = self.request
        then = {Route.IMAGE: ["ImportImage of the snapshots"], Route.VOLUME: [f"CreateVolume in {self.zone}"]}
        return {
            "route": request.route.value,
            "via": "ebs",
            "role": self.role_name or None,
            "bucket": None,
            "disks": [planned.as_json() for planned in self.disks],
            "call": "StartSnapshot",
            "then": then.get(request.route, []),
            **request.described(),
            "encrypted": self.encrypted,
            "kms_key": self.kms_key or None,
            "zeros": request.zeros,
            "register": request.register or None,
            "prove": request.prove,
            "guard_types": request.guard_types,
            "delete_object_after": False,
            "notes": list(self.notes),
            **({"repaired": self.repaired} if self.repaired else {}),
        }


def plan(context: Context, request: ImportRequest, *, begun: bool = False) -> DirectPlan:
    """Plan an import by EBS direct: the local checks first, then what AWS can be asked; nothing is sent.

    With `begun` AWS has all blocks already: then nothing of the account may stop what is left.
    Raises UsageError, ImageError (exit 2), PreflightError (exit 4) and AwsRefused (exit 5).
    """
    aws = context.aws
    paths = [Path(source) for source in request.sources]
    report = checked(context, request, paths)
    repaired = mending.of(request) if request.repair_of else None
    request, notes = planning.from_image(report, request)
    disks = tuple(disk for path in paths for disk in _disks(path, request, repaired))
    _expect_fitting(request, len(disks))
    encrypted, key = _encryption(aws, request)
    if not begun:
        disks, encrypted = direct_parent.chosen(context, request, disks, encrypted=encrypted, kms_key=key)
    expect_zeros(request, encrypted=encrypted)
    role_name = (request.role_name or context.settings.role_name) if request.route is Route.IMAGE else ""
    zone = placement.zone_of(aws, request, reporter=context.reporter) if request.route is Route.VOLUME else ""
    if not begun:
        _expect(context, request, role_name)
    lost = registering.losses(report) if request.register else ()
    for one in lost:
        context.reporter(events.Note(one, "warning"))
    ena = registering.has_ena(report)
    blocks = sum(disk.blocks for disk in disks)
    cost = f"at most {blocks:,} blocks of 512 KiB: about {prices.writing(blocks):.2f} USD"
    made = DirectPlan(
        request,
        disks,
        encrypted,
        key,
        role_name,
        zone,
        report,
        (*notes, cost, *lost, *after_import.plan_notes(request)),
        ena,
    )
    made = replace(made, guard=after_import.guard_of(report, request))
    return replace(made, repaired=repaired.as_json()) if repaired else made


def checked(context: Context, request: ImportRequest, paths: list[Path]) -> check.CheckReport | None:
    """The preflight of disks that go block by block; raises PreflightError."""
    if request.route is Route.IMAGE:
        return planning.checked(context, request, paths)
    # A volume is a snapshot's: nothing of what ImportVolume refuses matters, nor how large a task's disk may be.
    return planning.checked(context, request, paths, route=Route.SNAPSHOT, skip=_SIZES)


def _expect_fitting(request: ImportRequest, disks: int) -> None:
    """Raises PreflightError for more disks than an AMI has names for, UsageError for what ImportImage must be told."""
    if request.register and disks > 1 + len(registering.DATA_DEVICES):
        raise PreflightError(
            f"{disks} disks are too many for one AMI",
            cause=f"there are device names for {1 + len(registering.DATA_DEVICES)}",
            cure=Drop(("register",), "the snapshots are made, and no AMI of them"),
            code="TooManyDisks",
            fields=("register",),
        )
    if request.route is Route.IMAGE and request.uefi and not request.platform:
        raise UsageError(
            says("{platform} is missing"),
            cause="ImportImage of a snapshot cannot tell the system of a machine with UEFI, and none was found in it",
            cure=Set("platform", "Linux", "or Windows"),
        )


def _disks(path: Path, request: ImportRequest, repaired: mending.MachineRepair | None) -> Iterator[DirectDisk]:
    identity = FileIdentity.of(path)
    look = ingest.look(path, request, whole=False)
    for index in range(look.disks) if look.container else (None,):
        with ingest.opened(path, request, index=index) as one:
            kind = " ".join(dict.fromkeys((one.format, one.variant)))
            own = mending.layered(identity, path, index, repaired)
            disk = DirectDisk(path, index, own, kind, one.size, blocks=0)
            if disk.gib > EBS_VOLUME_GIB.value:
                raise PreflightError(
                    f"{disk.label} has {disk.gib:,} GiB",
                    cause=f"a snapshot that is written block by block has {EBS_VOLUME_GIB.value:,} GiB at most",
                    cure="make the disk smaller",
                    code="DiskTooLarge",
                    fields=("sources",),
                )
            found = direct_blocks.plan_of(one, zeros=request.zeros)
            yield replace(disk, blocks=found.certain + found.possible, doubtful=found.possible)


def _encryption(aws: Aws, request: ImportRequest) -> tuple[bool, str]:
    """Whether the snapshots will be encrypted, and the ARN of the key that was asked for."""
    if request.kms_key:
        found = kms.expect_key(aws, request.kms_key)
        if found is None and not request.kms_key.startswith("arn:"):
            raise AwsRefused(
                f"the ARN of the KMS key {request.kms_key} cannot be looked up",
                cause="EBS takes a key by its ARN only, and kms:DescribeKey is not allowed",
                cure=Set("kms_key", note="give its ARN"),
                code="AccessDeniedException",
                fields=("kms_key",),
            )
        return True, str(found["Arn"]) if found else request.kms_key
    if request.encrypted:
        return True, ""
    try:
        return aws.cached("encrypted by default", lambda: kms.encrypts_by_default(aws)), ""
    except AwsRefused:
        return False, ""  # StartSnapshot will say


def expect_zeros(request: ImportRequest, *, encrypted: bool) -> None:
    """Raises PreflightError where zeros that are left out would read as garbage.

    https://github.com/awslabs/coldsnap/issues/470
    """
    if request.zeros != "none" or not encrypted or {UNSAFE_ZEROS, "all"} & set(request.skip_check):
        return
    raise PreflightError(
        says("{zeros=none}: the snapshots will be encrypted"),
        cause="a block that was never written reads as what its key makes of zeros: garbage where a file system may "
        "rely on zeros",
        cure=(Set("zeros", "used", "writes the zeros that a file system may rely on"), Set("skip_check", UNSAFE_ZEROS)),
        code=UNSAFE_ZEROS,
        fields=("zeros",),
    )


def _expect(context: Context, request: ImportRequest, role_name: str) -> None:
    """See that the AMI's name and the role will do, and how many snapshots are pending."""
    aws = context.aws
    if request.register:
        ec2.expect_free_name(aws, request.register)
    if role_name:
        role_check.expect_reader(aws, role_name, [], licensed=bool(request.license_configurations))
    pending = aws.cached("pending snapshots", lambda: snapshots.pending(aws), seconds=_PENDING_FOR)
    if pending is not None and len(pending) >= EBS_PENDING_SNAPSHOTS.value:
        text = f"{len(pending)} snapshots are pending, and {EBS_PENDING_SNAPSHOTS.value} may be: this may have to wait"
        context.reporter(events.Note(text, "warning"))


#: seconds that a count of pending snapshots is good for
_PENDING_FOR = 60.0
