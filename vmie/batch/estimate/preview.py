"""One item of a plan as its import or export would find it; nothing is sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vmie import events
from vmie.aws.sdk_errors import about_caller
from vmie.aws.session import Aws
from vmie.batch.context import BatchContext
from vmie.batch.model import ItemKind, PlanItem
from vmie.batch.plan.wording import PLAN
from vmie.errors import PreflightError, VmieError, text_of
from vmie.model import Route, Verdict
from vmie.ops import operations
from vmie.ops.context import Context
from vmie.ops.import_ import DirectPlan, ImportPlan, PlannedDisk
from vmie.ops.import_.conversion_plan import ConversionDisk
from vmie.ops.journal import MemoryJournal

#: of an upload (aws.upload grows it for the largest)
_PART = 16 << 20
#: EBS keeps whole blocks of this size: a grain of 64 KiB may need one
_BLOCK = 512 << 10
_GRAIN = 64 << 10


@dataclass(frozen=True, slots=True)
class Preview:
    """What was found. `verdict` is pass, warn, fail or unknown; `says` is the first warning, or why it fails.

    Sizes in bytes: of the disks, of what will be sent at most, of the snapshots at most. `calls` that change
    something, by operation.
    """

    item: PlanItem
    region: str
    account: str
    verdict: str
    says: str = ""
    cause: str = ""
    cure: str = ""
    rule: str = ""
    call: str = ""
    guest: str = ""
    bytes_source: int = 0
    bytes_at_most: int = 0
    snapshots: int = 0
    volumes_gib: int = 0
    calls: Mapping[str, int] = field(default_factory=dict)

    @property
    def route(self) -> str:
        """image, snapshot, instance, volume or export."""
        return "export" if self.item.kind is ItemKind.EXPORT else str(self.item.request.get("route", ""))


def preview(context: BatchContext, aws: Aws, item: PlanItem) -> Preview:
    """Plan an item. What would be refused is a verdict; what concerns all items is raised."""
    seen = Preview(item, aws.region, aws.account, Verdict.PASS.value)
    if _elsewhere(item):
        says = f"its disks are checked where they are: by a worker of the queue {item.queue}"
        return replace(seen, verdict=Verdict.UNKNOWN.value, says=says)
    try:
        return _planned(context, aws, seen)
    except VmieError as error:
        if about_caller(error):
            raise
        return replace(
            seen,
            verdict=Verdict.FAIL.value,
            says=text_of(error.what, PLAN),
            cause=error.cause_text(PLAN),
            cure=error.cure_text(PLAN),
            rule=error.code if isinstance(error, PreflightError) else "",
        )


def _elsewhere(item: PlanItem) -> bool:
    """Whether the disks are files that only another site has."""
    files = [source for source in item.request.get("sources", ()) if not source.startswith("s3://")]
    return item.queue != "default" and any(not Path(file).is_file() for file in files)


def _planned(batches: BatchContext, aws: Aws, seen: Preview) -> Preview:
    item = seen.item
    context = Context(aws, batches.settings, _only_calls(batches), batches.clock, MemoryJournal(item.key))
    plan = operations.read(context, item.kind.verb, item.request).plan()
    first = next((one for one in plan.findings if one.verdict is Verdict.WARN), None)
    call = str(plan.as_json()["call"])
    seen = replace(seen, verdict=Verdict.PASS.value, call=call, calls={call: 1})
    if first is not None:
        found = {"says": first.message, "cure": first.cure_text(PLAN), "rule": first.rule}
        seen = replace(seen, verdict=Verdict.WARN.value, **found)
    if isinstance(plan, DirectPlan):
        return _written(seen, plan)
    return _sized(seen, plan) if isinstance(plan, ImportPlan) else seen


def _written(seen: Preview, plan: DirectPlan) -> Preview:
    """What is known beforehand of an import that goes block by block."""
    blocks = sum(disk.blocks for disk in plan.disks)
    calls = {"StartSnapshot": len(plan.disks), "PutSnapshotBlock": blocks, "CompleteSnapshot": len(plan.disks)}
    made = {Route.IMAGE: {"ImportImage": 1}, Route.VOLUME: {"CreateVolume": len(plan.disks)}}
    registered = {"RegisterImage": 1} if plan.request.register else {}
    return replace(
        seen,
        says=seen.says or "; ".join(plan.notes),
        guest=_guest(plan),
        bytes_source=sum(disk.size for disk in plan.disks),
        bytes_at_most=blocks * _BLOCK,
        snapshots=blocks * _BLOCK,
        volumes_gib=sum(disk.gib for disk in plan.disks) if plan.request.route is Route.VOLUME else 0,
        calls={**calls, **made.get(plan.request.route, {}), **registered, "CreateTags": 1},
    )


def _sized(seen: Preview, plan: ImportPlan) -> Preview:
    """What is known of an import beforehand."""
    older = plan.request.route in (Route.INSTANCE, Route.VOLUME)
    return replace(
        seen,
        says=seen.says or "; ".join(plan.notes),
        guest=_guest(plan),
        bytes_source=sum(disk.source_size for disk in plan.disks),
        bytes_at_most=sum(disk.bound for disk in plan.disks if disk.path is not None),
        snapshots=0 if older else sum(_snapshot(disk) for disk in plan.disks),
        volumes_gib=sum(disk.volume_gib for disk in plan.disks if isinstance(disk, ConversionDisk)),
        calls=_calls(plan),
    )


def _only_calls(context: BatchContext) -> events.Reporter:
    """Hundreds of items say nothing of themselves; logs want each call to AWS."""

    def report(event: events.Event, /) -> None:
        if isinstance(event, events.AwsCall):
            context.reporter(event)

    return report


def _guest(plan: ImportPlan | DirectPlan) -> str:
    """``Ubuntu 22.04 x86_64, uefi``; "" when nothing is known."""
    image = next(iter(plan.report.images), None) if plan.report else None
    if image is None or image.error is not None:
        return ""
    shown: Mapping[str, Any] = image.as_json()["guest"]
    name = shown.get("distribution") or (shown["family"] if shown["family"] != "unknown" else "")
    words = [str(name or ""), str(shown.get("version") or "")]
    words += [image.architecture] if name and image.architecture != "unknown" else []
    system = " ".join(filter(None, words))
    firmware = image.firmware if image.firmware != "unknown" else ""
    return ", ".join(filter(None, (system, firmware)))


def _snapshot(disk: PlannedDisk) -> int:
    """The most that a snapshot of the disk keeps: every block, or the blocks that its grains may touch."""
    if disk.path is None or disk.choice.method == "as-is":
        return disk.source_size
    return min(disk.source_size, -(-disk.bound // _GRAIN) * _BLOCK)


def _calls(plan: ImportPlan) -> dict[str, int]:
    """Calls that change something; looks are not counted."""
    calls: Counter[str] = Counter()
    request = plan.request
    for number, disk in enumerate(plan.disks):
        if isinstance(disk, ConversionDisk):
            instance = request.route is Route.INSTANCE
            calls["ImportInstance" if instance and number == 0 else "ImportVolume"] += 1
            calls["PutObject"] += 1 + (len(disk.most_parts.ranges()) if disk.path is not None else 0)
            calls["AttachVolume"] += bool(instance and number and request.attach_data_disks)
        elif disk.path is not None:
            calls += _uploads(disk.bound)
        elif disk.copied is not None:
            calls["CopyObject"] += 1
        if disk.ours and not request.keep_object:
            calls["DeleteObject"] += 1
    if request.route in (Route.IMAGE, Route.SNAPSHOT):
        calls[str(plan.as_json()["call"])] += 1
    if request.register:
        calls["RegisterImage"] += 1
    calls["CreateTags"] += 1
    return {name: count for name, count in calls.items() if count}


def _uploads(size: int) -> Counter[str]:
    """PutObject for what fits in a part, else the parts, the beginning and the end."""
    parts = -(-size // _PART)
    if parts <= 1:
        return Counter({"PutObject": 1})
    return Counter({"CreateMultipartUpload": 1, "UploadPart": parts, "CompleteMultipartUpload": 1})
