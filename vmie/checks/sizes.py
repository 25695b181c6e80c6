"""LIM: how big, and how many."""

from __future__ import annotations

from collections.abc import Iterator

from vmie import limits
from vmie.checks import predicted_messages, sources
from vmie.checks.rule import ALL, AS_SNAPSHOT, BOTH, DATA, LEGACY, NOW, VM, Y2016, Hit, Outcome, Rule
from vmie.checks.sources import advised, follows, refused, seed
from vmie.checks.subject import GIB, TIB, Subject
from vmie.errors import Set
from vmie.model import Profile, Route, Verdict

_MBR_REACH = 2 * TIB


def _size_2016(subject: Subject) -> Iterator[Hit]:
    for index, disk in enumerate(subject.disks):
        if disk.size > limits.DISK_BYTES.of(Profile.Y2016):
            yield from _too_large(f"{_tib(disk.size)} uncompressed, more than 1 TiB", index)


def _size(subject: Subject) -> Iterator[Hit]:
    for index, disk in enumerate(subject.disks):
        size = _tib(disk.size)
        if disk.size >= limits.DISK_BYTES.value:
            yield from _too_large(f"{size}: disks must be smaller than 16 TiB", index)
        elif disk.size >= limits.IMAGE_DISK_BYTES.value:
            yield Hit(f"{size}: ImportImage takes disks below 8 TiB", routes=(Route.IMAGE,), disk=index)
            message = f"{size}: from 8 TiB on a disk needs a manifest"
            yield Hit(message, Verdict.WARN, routes=(Route.SNAPSHOT,), disk=index)


def _too_large(message: str, index: int) -> Iterator[Hit]:
    yield Hit(message, routes=(Route.IMAGE, Route.SNAPSHOT), disk=index)
    yield Hit(message, routes=LEGACY, predicts=predicted_messages.TOO_LARGE, disk=index)


def _tib(size: int) -> str:
    return f"{size / TIB:.2f} TiB" if size >= TIB else f"{size / GIB:.1f} GiB"


def _mbr_reach(subject: Subject) -> Outcome:
    layouts = [layout for layout in subject.guest.disks if layout.table == "mbr"]
    if not layouts:
        return None
    return [
        Hit(f"disk {layout.index} is {_tib(layout.size)} with an MBR: what lies beyond 2 TiB cannot be reached")
        for layout in layouts
        if layout.size > _MBR_REACH
    ]


def _disks(subject: Subject) -> Outcome:
    count = len(subject.disks)
    most = limits.VOLUMES_PER_VM.value
    return [Hit(f"{count} disks, ImportImage takes {most}")] if count > most else ()


def _one_disk(subject: Subject) -> Outcome:
    count = len(subject.disks)
    return [Hit(f"{count} disks, ImportInstance takes one")] if count > limits.INSTANCE_DISKS.value else ()


def _one_by_one(subject: Subject) -> Outcome:
    count = len(subject.disks)
    without = dict.fromkeys(DATA, "boot") if subject.guest.roots else None
    message = f"{count} disks: each goes by a task of its own, and none becomes a machine"
    return [Hit(message, without=without)] if count > 1 else ()


RULES: tuple[Rule, ...] = (
    Rule(
        id="VMIE-LIM-001",
        title="The disk is at most 1 TiB uncompressed (2016)",
        judge=_size_2016,
        routes=ALL,
        profiles=Y2016,
        predicts=predicted_messages.DISK_INVALID,
        cure="shrink the file systems and the disk, or move data to disks of their own",
        evidence=(seed(315, 353),),
    ),
    Rule(
        id="VMIE-LIM-002",
        title="The disk is smaller than 8 TiB (image) or 16 TiB",
        judge=_size,
        routes=ALL,
        profiles=NOW,
        predicts=predicted_messages.DISK_INVALID,
        cure=("shrink it", AS_SNAPSHOT),
        evidence=(refused(sources.LIMITATIONS, "images are smaller than 16 TiB; above 8 TiB they need a manifest"),),
    ),
    Rule(
        id="VMIE-LIM-003",
        title="At most 21 disks",
        judge=_disks,
        routes=(Route.IMAGE,),
        profiles=NOW,
        predicts=predicted_messages.DISK_INVALID,
        cure=("import the system's disks as an image", Set("route", "snapshot", "the other disks")),
        evidence=(refused(sources.LIMITATIONS, "the task fails for machines with more than 21 volumes"),),
    ),
    Rule(
        id="VMIE-LIM-004",
        title="ImportInstance takes one disk",
        judge=_one_disk,
        routes=(Route.INSTANCE,),
        profiles=BOTH,
        predicts=predicted_messages.DISK_INVALID,
        cure=(
            "import the boot disk, then the others as volumes, and attach them",
            Set("route", "image", "it takes all disks"),
        ),
        evidence=(
            refused(f"{sources.API}/API_ImportInstance.html", "only machines with a single volume are supported"),
            seed(355, 357),
        ),
    ),
    Rule(
        id="VMIE-LIM-005",
        title="An MBR reaches the whole disk",
        judge=_mbr_reach,
        routes=VM,
        verdict=Verdict.WARN,
        cure="convert the disk to GPT (Windows: mbr2gpt; Linux: sgdisk) or shrink it to 2 TiB",
        evidence=(
            follows(
                "https://uefi.org/specs/UEFI/2.10/05_GUID_Partition_Table_Format.html",
                "an MBR counts sectors in 32 bits: of 512 bytes each, they reach 2 TiB",
                allows=Verdict.WARN,
            ),
        ),
    ),
    Rule(
        id="VMIE-LIM-006",
        title="Snapshots and volumes are imported disk by disk",
        judge=_one_by_one,
        routes=DATA,
        verdict=Verdict.WARN,
        cure=(Set("route", "image", "it takes the machine whole"), "give one disk at a time"),
        evidence=(advised(f"{sources.API}/API_ImportSnapshot.html", "a task takes one disk and makes one snapshot"),),
    ),
)
