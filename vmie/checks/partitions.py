"""PART: partition tables, and which disk and partition boot."""

from __future__ import annotations

from collections.abc import Iterator

from vmie.checks import predicted_messages, sources
from vmie.checks.rule import ALL, DATA, NOW, TODAY, VM, Y2016, Hit, Outcome, Rule, anyway, both
from vmie.checks.sources import advised, follows, refused, seed, seen
from vmie.checks.subject import TIB, Subject
from vmie.errors import Set
from vmie.guest.disk_facts import DiskLayout, Partition, Table
from vmie.guest.facts import Firmware
from vmie.model import Route, Verdict

_ESP = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
_MSR = "E3C9E316-0B5C-4DB8-817D-F92DF00215AE"


def boot_layout(subject: Subject) -> DiskLayout | None:
    """The layout of the disk that boots, None when nothing was inspected."""
    layouts = subject.guest.disks
    wanted = next((layout for layout in layouts if layout.index == subject.guest.boot_disk), None)
    return wanted or next(iter(layouts), None)


def _table(subject: Subject) -> Outcome:
    boot = boot_layout(subject)
    if boot is None:
        return None
    return _tableless(subject, boot)


def _tableless(subject: Subject, boot: DiskLayout) -> Iterator[Hit]:
    for layout in subject.guest.disks:
        if layout.table is Table.NONE:
            whole = next((p.content for p in layout.partitions if p.content not in {"unknown", "empty"}), "")
            message = f"disk {layout.index} has no partition table" + (f": {whole} fills it whole" if whole else "")
            yield Hit(message, verdict=None if layout.index == boot.index else Verdict.WARN)


def _gpt(subject: Subject) -> Outcome:
    if not subject.guest.disks:
        return None
    return [
        Hit(f"disk {layout.index} has a GUID partition table (GPT)")
        for layout in subject.guest.disks
        if layout.table is Table.GPT
    ]


def _hybrid(subject: Subject) -> Outcome:
    gpts = [layout for layout in subject.guest.disks if layout.table is Table.GPT]
    if not gpts:
        return None
    return [Hit(f"disk {layout.index} has a hybrid MBR beside its GPT") for layout in gpts if layout.hybrid]


def _gpt_whole(subject: Subject) -> Outcome:
    gpts = [layout for layout in subject.guest.disks if layout.table is Table.GPT]
    return _broken_gpts(gpts) if gpts else None


def _broken_gpts(gpts: list[DiskLayout]) -> Iterator[Hit]:
    for layout in gpts:
        if layout.gpt_primary is False:
            yield from both(Hit(f"the primary GPT header of disk {layout.index} is damaged", Verdict.FAIL))
        elif layout.gpt_backup is False:
            message = f"the backup GPT of disk {layout.index} is missing or damaged: the disk was resized or cut short"
            yield Hit(message, without={})


def _active(subject: Subject) -> Outcome:
    boot = boot_layout(subject)
    if boot is None or boot.table is not Table.MBR or subject.windows is None:
        return None
    active = [partition for partition in boot.partitions if partition.active]
    if len(active) > 1:
        return [Hit(f"{len(active)} partitions of the boot disk are active")]
    if not active and subject.guest.firmware is not Firmware.UEFI:
        return [Hit("no partition of the boot disk is active")]
    return ()


def _root_disk(subject: Subject) -> Outcome:
    root = subject.linux
    with_code = [layout for layout in subject.guest.disks if layout.boot_code]
    if root is None or not with_code or len(subject.guest.disks) < 2:
        return None
    group = next((v for v in subject.guest.volumes if v.where == root.volume), None)
    spanned = set(group.disks) if group and group.disks else {root.disk}
    starts = {layout.index for layout in with_code}
    if spanned <= starts or (spanned & starts and len(spanned) == 1):
        return ()
    disks = ", ".join(map(str, sorted(spanned)))
    message = f"the root file system lies on disk {disks}, the boot code on disk {min(starts)}"
    return [
        Hit(message, verdict=Verdict.WARN, routes=(Route.IMAGE,)),
        Hit(message, verdict=Verdict.FAIL, routes=(Route.INSTANCE,)),
    ]


def _windows_gpt(subject: Subject) -> Outcome:
    boot, windows = boot_layout(subject), subject.windows
    if boot is None or windows is None or boot.table is not Table.GPT:
        return None
    image = subject.disks[boot.index] if boot.index < len(subject.disks) else subject.disks[0]
    primary = [p for p in boot.partitions if p.type.upper() not in {_ESP, _MSR}]
    against = []
    if image.format != "vhdx":
        against.append(f"it is {image.format}, not VHDX")
    if image.size > 2 * TIB:
        against.append("it is larger than 2 TiB")
    if len(primary) > 3:
        against.append(f"it has {len(primary)} primary partitions, more than 3")
    if any(p.content == "ldm" for p in boot.partitions):
        against.append("it is a dynamic disk")
    if not against:
        return ()
    return [Hit(f"the GPT boot volume will not be converted to MBR ({'; '.join(against)}): the AMI boots by UEFI")]


def _within(subject: Subject) -> Outcome:
    layouts = [layout for layout in subject.guest.disks if layout.table is not Table.NONE]
    return list(_misplaced(layouts)) if layouts else None


def _misplaced(layouts: list[DiskLayout]) -> Iterator[Hit]:
    for layout in layouts:
        beyond = [p for p in layout.partitions if p.start + p.length > layout.size]
        if beyond:
            first = beyond[0]
            more = f" (and {len(beyond) - 1} more)" if len(beyond) > 1 else ""
            message = (
                f"{first.where}{more} ends at byte {first.start + first.length}, "
                f"the disk at {layout.size}: the image was cut short"
            )
            yield Hit(message, routes=VM)
            # nothing looks at what a snapshot is made of
            yield Hit(message, Verdict.WARN, routes=DATA, without=dict.fromkeys(DATA, "some of its data"))
        apart = sorted((p for p in layout.partitions if p.content != "extended"), key=lambda p: p.start)
        for one, other in _overlapping(apart):
            yield Hit(f"{one.where} and {other.where} overlap", Verdict.WARN, routes=VM)
            break


def _overlapping(ordered: list[Partition]) -> Iterator[tuple[Partition, Partition]]:
    """Neighbours of which one begins before what came before it has ended."""
    longest: Partition | None = None
    for one in ordered:
        if longest is not None and one.start < longest.start + longest.length:
            yield longest, one
        if longest is None or one.start + one.length > longest.start + longest.length:
            longest = one


RULES: tuple[Rule, ...] = (
    Rule(
        id="VMIE-PART-001",
        title="The disk has a partition table",
        judge=_table,
        predicts=predicted_messages.NO_PARTITIONS,
        cure=(Set("route", "snapshot", "a data disk"), "copy a system into a partition of a partitioned disk"),
        evidence=(
            seen(
                "https://github.com/REMnux/remnux-cli/issues/156",
                "No valid partitions. Not a valid volume: where the service finds no partition table",
            ),
        ),
    ),
    Rule(
        id="VMIE-PART-002",
        title="The volumes are partitioned by MBR (2016)",
        judge=_gpt,
        profiles=Y2016,
        predicts=predicted_messages.EFI,
        cure=("convert the disk to MBR", TODAY),
        evidence=(seed(149, 153),),
    ),
    Rule(
        id="VMIE-PART-003",
        title="ImportInstance takes MBR disks",
        judge=_gpt,
        routes=(Route.INSTANCE,),
        profiles=NOW,
        predicts=predicted_messages.EFI,
        cure=Set("route", "image"),
        evidence=(
            refused(sources.TROUBLE, "No bootable partition found: ImportInstance takes no GPT root volume"),
            seed(149, 153),
        ),
    ),
    Rule(
        id="VMIE-PART-004",
        title="No hybrid MBR",
        judge=_hybrid,
        verdict=Verdict.WARN,
        cure="remove it (`sgdisk --zap` the MBR entries, or `gdisk`: expert menu, n)",
        evidence=(advised(sources.PREREQUISITES, "a disk boots by BIOS or by UEFI; the page names no mixture"),),
    ),
    Rule(
        id="VMIE-PART-005",
        title="Both copies of the GPT are whole",
        judge=_gpt_whole,
        verdict=Verdict.WARN,
        predicts=predicted_messages.NO_PARTITIONS,
        cure="`sgdisk --verify`, then `sgdisk --move-second-header` or gdisk's recovery menu",
        without=anyway("boot"),
        evidence=(
            follows(
                f"{sources.KERNEL}/admin-guide/kernel-parameters.html",
                "of a GPT whose primary header is broken Linux reads the backup only with the option gpt",
            ),
        ),
    ),
    Rule(
        id="VMIE-PART-006",
        title="Exactly one partition boots Windows",
        judge=_active,
        verdict=Verdict.WARN,
        cure="leave only the system partition active (diskpart: `inactive`)",
        evidence=(advised(sources.TROUBLE, "where the boot partition has to be chosen the import may fail"),),
    ),
    Rule(
        id="VMIE-PART-007",
        title="Root and boot code share a disk",
        judge=_root_disk,
        verdict=Verdict.WARN,
        predicts=predicted_messages.UNKNOWN_OS,
        cure="move /boot, / and the boot loader to one disk",
        evidence=(
            advised(sources.LIMITATIONS, "a root that is not on the disk of the MBR may fail to boot"),
            refused(f"{sources.API}/API_ImportInstance.html", "only machines with a single volume are supported"),
            seed(355),
        ),
    ),
    Rule(
        id="VMIE-PART-008",
        title="A GPT Windows can be converted to MBR",
        judge=_windows_gpt,
        routes=(Route.IMAGE,),
        profiles=NOW,
        verdict=Verdict.WARN,
        cure="choose instance types that boot by UEFI (Nitro); a VHDX of at most 2 TiB would be converted",
        evidence=(advised(sources.LIMITATIONS, "when a GPT boot volume of Windows is converted to MBR"),),
    ),
    Rule(
        id="VMIE-PART-009",
        title="Every partition lies on the disk, apart from the others",
        judge=_within,
        routes=ALL,
        predicts=predicted_messages.DISK_INVALID,
        cure="compare the image's size with the source disk and copy or export it again; overlaps: repair the table",
        evidence=(
            follows(
                "https://github.com/torvalds/linux/blob/master/block/partitions/core.c",
                "a partition that reaches beyond the disk is cut off, and its file system is then larger than it",
            ),
            seen("https://github.com/containers/automation_images/pull/182", "Disk validation failed: of a cut upload"),
        ),
    ),
)
