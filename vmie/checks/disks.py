"""DISK, OVA and LIM: what the files are, and how big and how many."""

from __future__ import annotations

from collections.abc import Iterator

from vmie.checks import sources, words
from vmie.checks.rule import ALL, BOTH, LEGACY, NOW, VM, Y2016, Hit, Outcome, Rule
from vmie.checks.subject import GIB, TIB, DiskImage, Machine, Subject
from vmie.model import Profile, Route, Verdict

IMAGE_LIMIT_2016 = 1 * TIB
#: aws-facts 3.2: ImportImage takes disks below 8 TiB, the service as a whole below 16 TiB
IMAGE_LIMIT = 8 * TIB
SERVICE_LIMIT = 16 * TIB
MBR_LIMIT = 2 * TIB
MAX_DISKS = 21

_TAKEN = frozenset({"raw", "vmdk", "vhd", "vhdx"})
_STREAM = "streamOptimized"
_CONVERT = "vmie import re-streams it on the way; or make the file with `vmie convert FILE OUT.vmdk`"


def _name(subject: Subject, index: int) -> str:
    path = subject.disks[index].path
    return f"{path}: " if len(subject.disks) > 1 else ""


def _graded(subject: Subject) -> Verdict:
    """A form the service does not take: fatal as it is, a detour when vmie re-streams it."""
    return Verdict.FAIL if subject.literal else Verdict.WARN


def _format(subject: Subject) -> Iterator[Hit]:
    for index, disk in enumerate(subject.disks):
        if disk.format not in _TAKEN:
            yield Hit(
                f"{_name(subject, index)}the service does not take {disk.format} images", verdict=_graded(subject)
            )


def _is_stream(disk: DiskImage) -> bool:
    return disk.variant.lower() == _STREAM.lower()


def _stream_optimised(subject: Subject) -> Outcome:
    vmdks = [(index, disk) for index, disk in enumerate(subject.disks) if disk.format == "vmdk"]
    return _not_stream(subject, vmdks) if vmdks else None


def _not_stream(subject: Subject, vmdks: list[tuple[int, DiskImage]]) -> Iterator[Hit]:
    for index, disk in vmdks:
        if not _is_stream(disk):
            message = f"{_name(subject, index)}the VMDK is {disk.variant or 'of another kind'}, not {_STREAM}"
            yield Hit(message, verdict=_graded(subject), routes=(Route.IMAGE, Route.SNAPSHOT))
            yield Hit(message, verdict=_graded(subject), routes=LEGACY, predicts=words.COMPRESSION)


def _vhdx_2016(subject: Subject) -> Outcome:
    found = [index for index, disk in enumerate(subject.disks) if disk.format == "vhdx"]
    return [Hit(f"{_name(subject, index)}VHDX images are not supported") for index in found]


def _vhdx_legacy(subject: Subject) -> Outcome:
    found = [index for index, disk in enumerate(subject.disks) if disk.format == "vhdx"]
    message = "ImportInstance and ImportVolume take VMDK, VHD and raw, not VHDX"
    return [Hit(f"{_name(subject, index)}{message}", verdict=_graded(subject)) for index in found]


def _fixed_vhd(subject: Subject) -> Outcome:
    vhds = [(index, disk) for index, disk in enumerate(subject.disks) if disk.format == "vhd"]
    if not vhds:
        return None
    message = "ImportInstance takes dynamic VHDs, this one is fixed"
    return [
        Hit(f"{_name(subject, index)}{message}", verdict=_graded(subject))
        for index, disk in vhds
        if disk.variant.lower().startswith("fixed")
    ]


def _differencing(subject: Subject) -> Iterator[Hit]:
    for index, disk in enumerate(subject.disks):
        parent = disk.facts.get("parent") or disk.facts.get("backing_file")
        if "differencing" in disk.variant.lower() or parent:
            base = f" on {str(parent)[:200]}" if parent else ""
            yield Hit(f"{_name(subject, index)}the image is a differencing one{base}: most of its data lies elsewhere")


_DEVICE_VMDKS = ("vmfsrdm", "vmfspassthroughrawdevicemap", "vmfsrawdevicemap", "fulldevice", "partitioneddevice")


def _vmdk_kind(subject: Subject) -> Outcome:
    if all(disk.format != "vmdk" for disk in subject.disks):
        return None
    return list(_vmdk_kinds(subject))


def _vmdk_kinds(subject: Subject) -> Iterator[Hit]:
    for index, disk in enumerate(subject.disks):
        variant = disk.variant.lower()
        if variant in _DEVICE_VMDKS or "rdm" in variant:
            yield Hit(f"{_name(subject, index)}the VMDK maps a raw device (RDM)")
        elif "sesparse" in variant:
            yield Hit(f"{_name(subject, index)}the VMDK is in the SEsparse delta format")


def _sectors(subject: Subject) -> Outcome:
    raws = [(index, disk) for index, disk in enumerate(subject.disks) if disk.format == "raw" and disk.file_size]
    if not raws:
        return None
    return [
        Hit(f"{_name(subject, index)}{disk.file_size} bytes are no whole number of 512-byte sectors: cut short?")
        for index, disk in raws
        if (disk.file_size or 0) % 512
    ]


def _empty(subject: Subject) -> Outcome:
    return [Hit(f"{_name(subject, i)}the disk has no bytes") for i, disk in enumerate(subject.disks) if disk.size == 0]


def _damaged(subject: Subject) -> Iterator[Hit]:
    for index, disk in enumerate(subject.disks):
        reason = disk.facts.get("damaged")
        if reason:
            yield Hit(f"{_name(subject, index)}the container is damaged: {str(reason)[:300]}")


def _size_2016(subject: Subject) -> Outcome:
    return [
        Hit(f"{_name(subject, index)}{_tib(disk.size)} uncompressed, more than 1 TiB")
        for index, disk in enumerate(subject.disks)
        if disk.size > IMAGE_LIMIT_2016
    ]


def _size(subject: Subject) -> Iterator[Hit]:
    for index, disk in enumerate(subject.disks):
        if disk.size >= SERVICE_LIMIT:
            yield Hit(f"{_name(subject, index)}{_tib(disk.size)}: disks must be smaller than 16 TiB")
        elif disk.size >= IMAGE_LIMIT:
            yield Hit(
                f"{_name(subject, index)}{_tib(disk.size)}: ImportImage takes disks below 8 TiB",
                routes=(Route.IMAGE,),
            )
            yield Hit(
                f"{_name(subject, index)}{_tib(disk.size)}: a disk of 8 TiB or more has to be described by a manifest",
                verdict=Verdict.WARN,
                routes=(Route.SNAPSHOT,),
            )


def _tib(size: int) -> str:
    return f"{size / TIB:.2f} TiB" if size >= TIB else f"{size / GIB:.1f} GiB"


def _mbr_reach(subject: Subject) -> Outcome:
    layouts = [layout for layout in subject.guest.disks if layout.table == "mbr"]
    if not layouts:
        return None
    return [
        Hit(f"disk {layout.index} is {_tib(layout.size)} with an MBR: what lies beyond 2 TiB cannot be reached")
        for layout in layouts
        if layout.size > MBR_LIMIT
    ]


def _disks(subject: Subject) -> Outcome:
    count = len(subject.disks)
    return [Hit(f"{count} disks, ImportImage takes {MAX_DISKS}")] if count > MAX_DISKS else ()


def _one_disk(subject: Subject) -> Outcome:
    count = len(subject.disks)
    return [Hit(f"{count} disks, ImportInstance takes one")] if count > 1 else ()


def _chunked(subject: Subject) -> Outcome:
    return _ova(subject, lambda machine: machine.chunked, "the OVA holds its disks in chunks", _graded(subject))


def _ova_legacy(subject: Subject) -> Outcome:
    return _ova(subject, lambda _: True, "ImportInstance and ImportVolume take disks, not an OVA", _graded(subject))


def _cdrom(subject: Subject) -> Outcome:
    if subject.machine is None:
        return None
    attached = subject.machine.cdroms
    return [Hit(f"a CD-ROM or ISO is attached: {', '.join(map(str, attached[:3]))}")] if attached else ()


def _nics(subject: Subject) -> Outcome:
    if subject.machine is None:
        return None
    count = subject.machine.nics
    verdict = Verdict.FAIL if subject.profile is Profile.Y2016 else Verdict.WARN
    message = f"the machine has {count} network interfaces: it will have one, with an address by DHCP"
    return [Hit(message, verdict=verdict)] if count > 1 else ()


def _ovf_firmware(subject: Subject) -> Outcome:
    machine, found = subject.machine, subject.guest.firmware
    if machine is None or not machine.firmware or found not in {"bios", "uefi"}:
        return None
    message = f"the OVF says firmware {machine.firmware}, the boot disk is made for {found}"
    return [Hit(message)] if machine.firmware != found else ()


def _ova(subject: Subject, test: object, message: str, verdict: Verdict) -> Outcome:
    machine: Machine | None = subject.machine
    if machine is None or not callable(test):
        return None
    return [Hit(message, verdict=verdict)] if test(machine) else ()


RULES: tuple[Rule, ...] = (
    Rule(
        id="VMIE-DISK-001",
        title="The image is in a format that VM Import takes",
        judge=_format,
        routes=ALL,
        predicts=words.FILE_FORMAT,
        cure=_CONVERT,
        source=f"{sources.FORMATS}; {sources.seed(103, 105, 111, 117)}",
    ),
    Rule(
        id="VMIE-DISK-002",
        title="A VMDK is stream-optimised",
        judge=_stream_optimised,
        routes=ALL,
        predicts=words.VMDK_FORMAT,
        cure=_CONVERT,
        source=f"{sources.FORMATS}; {sources.seed(111, 115)}",
    ),
    Rule(
        id="VMIE-DISK-003",
        title="No VHDX (2016)",
        judge=_vhdx_2016,
        routes=ALL,
        profiles=Y2016,
        predicts=words.FILE_FORMAT,
        cure="convert it: `vmie convert FILE OUT.vmdk`",
        source=sources.seed(105),
    ),
    Rule(
        id="VMIE-DISK-004",
        title="No VHDX over ImportInstance and ImportVolume",
        judge=_vhdx_legacy,
        routes=LEGACY,
        profiles=NOW,
        predicts=words.FILE_FORMAT,
        cure=_CONVERT,
        source=sources.API_INSTANCE,
    ),
    Rule(
        id="VMIE-DISK-005",
        title="A VHD for ImportInstance is dynamic",
        judge=_fixed_vhd,
        routes=(Route.INSTANCE,),
        predicts=words.DISK_INVALID,
        cure=_CONVERT,
        source=sources.seed(359),
    ),
    Rule(
        id="VMIE-DISK-006",
        title="The image is whole, not a differencing one",
        judge=_differencing,
        routes=ALL,
        predicts=words.FOOTERS,
        cure="merge the chain in the hypervisor (delete or consolidate snapshots) and export again",
        source=sources.TROUBLE,
    ),
    Rule(
        id="VMIE-DISK-007",
        title="The container can be read to its end",
        judge=_damaged,
        routes=ALL,
        predicts=words.DISK_INVALID,
        cure="export the disk again, or copy it again and compare checksums",
        source=sources.TROUBLE,
    ),
    Rule(
        id="VMIE-DISK-008",
        title="A raw image is a whole number of sectors",
        judge=_sectors,
        routes=ALL,
        verdict=Verdict.WARN,
        cure="compare its size with the source disk; copy it again if it was cut short",
        source=sources.TROUBLE,
    ),
    Rule(
        id="VMIE-DISK-009",
        title="A VMDK is a disk image, neither RDM nor SEsparse",
        judge=_vmdk_kind,
        routes=ALL,
        profiles=NOW,
        predicts=words.VMDK_FORMAT,
        cure="turn it into a plain virtual disk first (vSphere: migrate or clone to a thick or thin VMDK)",
        source=sources.LIMITATIONS,
    ),
    Rule(
        id="VMIE-DISK-010",
        title="The disk has a size",
        judge=_empty,
        routes=ALL,
        predicts=words.DISK_INVALID,
        cure="name the file that holds the data",
        source=sources.TROUBLE,
    ),
    Rule(
        id="VMIE-OVA-001",
        title="The OVA's disks are whole files",
        judge=_chunked,
        routes=ALL,
        predicts=words.CHUNKED,
        cure="vmie import joins the chunks on the way; or export the OVA again without a chunk size",
        source=sources.TROUBLE,
    ),
    Rule(
        id="VMIE-OVA-002",
        title="No CD-ROM or ISO is attached",
        judge=_cdrom,
        verdict=Verdict.WARN,
        cure="disconnect it in the virtual machine's settings and export again",
        source=f"{sources.PREPARE}; {sources.seed(323, 369)}",
    ),
    Rule(
        id="VMIE-OVA-003",
        title="No OVA over ImportInstance and ImportVolume",
        judge=_ova_legacy,
        routes=LEGACY,
        predicts=words.FILE_FORMAT,
        cure="vmie import takes the disk out of the OVA; or use the image route",
        source=sources.API_INSTANCE,
    ),
    Rule(
        id="VMIE-OVA-004",
        title="The OVF names the firmware that the disk is made for",
        judge=_ovf_firmware,
        routes=(Route.IMAGE,),
        profiles=NOW,
        verdict=Verdict.WARN,
        cure="say it with --boot-mode, and check which disk boots",
        source=sources.BOOT_MODES,
    ),
    Rule(
        id="VMIE-NET-001",
        title="The machine has one network interface",
        judge=_nics,
        cure="remove the others before the export, add network interfaces to the instance afterwards",
        source=f"{sources.LIMITATIONS}; {sources.seed(319, 365)}",
    ),
    Rule(
        id="VMIE-LIM-001",
        title="The disk is at most 1 TiB uncompressed (2016)",
        judge=_size_2016,
        routes=ALL,
        profiles=Y2016,
        predicts=words.DISK_INVALID,
        cure="shrink the file systems and the disk, or move data to disks of their own",
        source=sources.seed(315, 353),
    ),
    Rule(
        id="VMIE-LIM-002",
        title="The disk is smaller than 8 TiB (image) or 16 TiB",
        judge=_size,
        routes=ALL,
        profiles=NOW,
        predicts=words.DISK_INVALID,
        cure="import it with `--as snapshot`, or shrink it",
        source=sources.FORMATS,
    ),
    Rule(
        id="VMIE-LIM-003",
        title="At most 21 disks",
        judge=_disks,
        routes=(Route.IMAGE,),
        profiles=NOW,
        predicts=words.DISK_INVALID,
        cure="import the system's disks as an image, the others with `--as snapshot`",
        source=sources.LIMITATIONS,
    ),
    Rule(
        id="VMIE-LIM-004",
        title="ImportInstance takes one disk",
        judge=_one_disk,
        routes=(Route.INSTANCE,),
        profiles=BOTH,
        predicts=words.DISK_INVALID,
        cure="import the boot disk, then the others with `--as volume`, and attach them; or use `--as image`",
        source=f"{sources.API_INSTANCE}; {sources.seed(355, 357)}",
    ),
    Rule(
        id="VMIE-LIM-005",
        title="An MBR reaches the whole disk",
        judge=_mbr_reach,
        routes=VM,
        verdict=Verdict.WARN,
        cure="convert the disk to GPT (Windows: mbr2gpt; Linux: sgdisk) or shrink it to 2 TiB",
        source=sources.BOOT_MODES,
    ),
)
