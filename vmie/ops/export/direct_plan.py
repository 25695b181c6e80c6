"""An export by EBS direct, planned: which snapshots are read, or have to be taken, and into which files they go."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vmie import disk, events
from vmie.aws import exportable, temporary_snapshots
from vmie.aws.ebs import prices, snapshots
from vmie.aws.ebs.client import BLOCK, EbsDirect
from vmie.disk import stream
from vmie.disk.empty import EmptyDisk
from vmie.errors import PreflightError, UsageError, says
from vmie.limits import GIB
from vmie.model import Finding
from vmie.ops import atomic_file
from vmie.ops.context import Context
from vmie.options import ExportRequest

#: qemu's names of the formats that a qcow2 can lie over
BACKINGS = {"raw": "raw", "qcow2": "qcow2", "vmdk": "vmdk", "vhd": "vpc", "vhdx": "vhdx", "vdi": "vdi"}
#: blocks of the earlier snapshot that are compared with the file that is said to be its disk, about
_SAMPLES = 8
#: what EC2 bills for a machine beside the machine: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/billing-info-fields.html
_PLAIN = ("", "RunInstances")


@dataclass(frozen=True, slots=True)
class SourceDisk:
    """A disk to be read: of a snapshot, or of a volume of which one is taken. `size` and `held` in bytes."""

    snapshot_id: str
    volume_id: str
    size: int
    held: int
    encrypted: bool
    kms_key: str

    @property
    def id(self) -> str:
        """What it is called in messages."""
        return self.snapshot_id or self.volume_id


@dataclass(frozen=True, slots=True)
class DirectExportPlan:
    """What an export by EBS direct will do. `files` has one path for each disk; but for an OVA, which holds all."""

    request: ExportRequest
    disks: tuple[SourceDisk, ...]
    files: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Nothing is judged: whatever can be read can be exported."""
        return ()

    @property
    def blocks(self) -> int:
        """The most that are read."""
        return sum(-(-one.held // BLOCK) for one in self.disks)

    def as_json(self) -> dict[str, Any]:
        """What `--dry-run` prints."""
        request = self.request
        return {
            "call": "GetSnapshotBlock",
            "via": "ebs",
            "source": request.source,
            "format": request.format,
            "files": list(self.files),
            "disks": [{"id": one.id, "bytes": one.size, "bytes_held": one.held} for one in self.disks],
            "temporary_snapshots": sum(not one.snapshot_id for one in self.disks),
            "since": request.since or None,
            "base": request.base or None,
            "blocks_at_most": self.blocks,
            "costs_usd": round(prices.reading(self.blocks), 6),
            "notes": list(self.notes),
        }


def plan(context: Context, request: ExportRequest, *, written: frozenset[str] = frozenset()) -> DirectExportPlan:
    """Look at what is exported and at the files; `written` are those that this very job has written already.

    Raises UsageError, ImageError (exit 2), PreflightError (exit 4) and AwsRefused (exit 5).
    """
    context.reporter(events.Stage("check", request.source))
    disks, licences = _disks(context, request.source)
    files = _files(request, disks)
    for file in files:
        if file not in written:
            atomic_file.check(Path(file), source=Path(request.base or "."), force=request.force)
    for one in disks:
        form = "vmdk" if request.format == "ova" else request.format
        stream.file_format(form).check(EmptyDisk(one.size, name=one.id))
    if request.since:
        _expect_base(context, request, disks[0])
    made = DirectExportPlan(request, disks, files, licences)
    for note in made.notes:
        context.reporter(events.Note(note, "warning"))
    least = "what changed of " if request.since else ""
    cost = f"reading {least}{made.blocks:,} blocks costs about ${prices.reading(made.blocks):.2f} at most"
    context.reporter(events.Note(cost))
    return made


def _disks(context: Context, source: str) -> tuple[tuple[SourceDisk, ...], tuple[str, ...]]:
    """The disks of what is exported, boot disk first, and what is to be said of its licences."""
    aws = context.aws
    if source.startswith("snap-"):
        return (_of_snapshot(context, source),), ()
    if source.startswith("vol-"):
        return _of_volumes(context, [source]), ()
    if source.startswith("ami-"):
        image = exportable.image(aws, source)
        found = [volume.id for volume in image.volumes if volume.id]
        if not found:
            raise _nothing(source, "its disks are on the instance store")
        return tuple(_of_snapshot(context, one) for one in found), _licences(image)
    instance = exportable.instance(aws, source)
    attached = sorted(instance.volumes, key=lambda volume: volume.device != instance.root_device)
    if not attached:
        raise _nothing(source, "no EBS volume is attached to it")
    return _of_volumes(context, [volume.id for volume in attached]), _licences(instance)


def with_snapshot(one: SourceDisk, snapshot_id: str) -> SourceDisk:
    """The disk of a volume with the snapshot that was taken of it."""
    return replace(one, snapshot_id=snapshot_id)


def _nothing(source: str, why: str) -> PreflightError:
    return PreflightError(f"{source} has no disk that could be read", cause=why, code="NoEbsDisk", fields=("source",))


def _of_snapshot(context: Context, snapshot_id: str) -> SourceDisk:
    facts = snapshots.describe(context.aws, snapshot_id)
    if problem := snapshots.unreadable(facts):
        raise problem
    held = min(facts.full_size or facts.size, facts.size)
    return SourceDisk(snapshot_id, "", facts.size, held, facts.encrypted, facts.kms_key)


def _of_volumes(context: Context, ids: list[str]) -> tuple[SourceDisk, ...]:
    found = temporary_snapshots.volumes(context.aws, ids)
    sizes = {one: found[one].size * GIB for one in ids}
    return tuple(SourceDisk("", one, sizes[one], sizes[one], found[one].encrypted, found[one].kms_key) for one in ids)


def _licences(machine: exportable.Image | exportable.Instance) -> tuple[str, ...]:
    if machine.usage_operation in _PLAIN and not machine.product_codes:
        return ()
    what = machine.platform_details or machine.usage_operation or "software of the AWS Marketplace"
    lost = f"{machine.id} runs {what}, whose licence AWS bills by the hour: it does not go along"
    return (f"{lost}. Where the copy runs it needs one of its own, and AWS's terms may forbid to take it out",)


def _files(request: ExportRequest, disks: tuple[SourceDisk, ...]) -> tuple[str, ...]:
    """The path of each disk's file; of the OVA alone."""
    path = Path(request.file)
    if path.is_dir():
        path /= f"{request.source}.{request.format}"
    if len(disks) == 1 or request.format == "ova":
        return (str(path),)
    return tuple(str(path.with_name(f"{path.stem}-{number}{path.suffix}")) for number in range(1, len(disks) + 1))


def _another(since: str, why: str) -> UsageError:
    return UsageError(
        says("{base}: this is not the disk of {_since}", _since=since),
        cause=why,
        cure="name the file that the earlier snapshot was exported to, or imported from",
        fields=("base",),
    )


def _expect_base(context: Context, request: ExportRequest, later: SourceDisk) -> None:
    """See that the earlier disk is there and can be what the later one is built on."""
    earlier = snapshots.describe(context.aws, request.since)
    if problem := snapshots.unreadable(earlier):
        raise problem
    with disk.open(request.base) as base:
        if not earlier.size - GIB < base.size <= min(earlier.size, later.size):
            raise _another(request.since, f"it has {base.size:,} bytes, the snapshot {earlier.size:,}")
        client = EbsDirect(context.aws, clock=context.clock, reporter=context.reporter)
        listed, _ = client.page(request.since, start=0)
        for block in listed[:: max(1, len(listed) // _SAMPLES)]:
            data = client.get(request.since, block.index, block.token)
            there = base.read(block.index * BLOCK, BLOCK) if block.index * BLOCK < base.size else b""
            if data != there.ljust(BLOCK, b"\0"):
                raise _another(request.since, f"its bytes from {block.index * BLOCK:,} on are others")
        if request.format == "qcow2" and base.format not in BACKINGS:
            raise UsageError(
                says("{base}: a qcow2 cannot lie over a disk in {_form}", _form=base.format),
                cure=says("choose another {format}: then the whole disk is written"),
                fields=("base",),
            )
