"""DISK: what the files are."""

from __future__ import annotations

from collections.abc import Iterator

from vmie.checks import damage, predicted_messages, sources
from vmie.checks.rule import ALL, LEGACY, NOW, Y2016, Hit, Outcome, Rule
from vmie.checks.sources import advised, refused, seed, seen
from vmie.checks.subject import CheckedDisk, Subject
from vmie.disk.reading import DEVICE, NEEDS_PARENT
from vmie.errors import Run
from vmie.model import Profile, Route, Verdict

_TAKEN = frozenset({"raw", "vmdk", "vhd", "vhdx"})
_STREAM = "streamOptimized"
CONTENT = "VMIE-DISK-010"
#: the rules that judge a disk which cannot be opened
WITHOUT_READING = frozenset({"VMIE-DISK-006", "VMIE-DISK-007", "VMIE-DISK-009", CONTENT, "VMIE-OVA-005"})
#: reasons not to open a file that rules of their own judge
CLAIMED = frozenset({"SeveralMachines", "NoSuchMachine", "NotADisk"})
_CONVERT = (
    Run(("vmie", "import", "FILE"), "converts it on the way"),
    Run(("vmie", "convert", "FILE", "OUT.vmdk"), "makes the file"),
)


def graded(subject: Subject) -> Verdict:
    """A form the service does not take: fatal as it is, a detour when vmie re-streams it."""
    return Verdict.FAIL if subject.literal else Verdict.WARN


def _format(subject: Subject) -> Iterator[Hit]:
    for index, disk in enumerate(subject.disks):
        if disk.format not in _TAKEN:
            yield Hit(f"the service does not take {disk.format} images", verdict=graded(subject), disk=index)


def _is_stream(disk: CheckedDisk) -> bool:
    return disk.variant.lower() == _STREAM.lower()


def _stream_optimised(subject: Subject) -> Outcome:
    vmdks = [(index, disk) for index, disk in enumerate(subject.disks) if disk.format == "vmdk"]
    return _not_stream(subject, vmdks) if vmdks else None


def _not_stream(subject: Subject, vmdks: list[tuple[int, CheckedDisk]]) -> Iterator[Hit]:
    for index, disk in vmdks:
        if not _is_stream(disk):
            message = f"the VMDK is {disk.variant or 'of another kind'}, not {_STREAM}"
            if not subject.literal:
                yield Hit(message, Verdict.WARN, disk=index)
                continue
            yield Hit(message, routes=(Route.IMAGE, Route.SNAPSHOT), disk=index)
            yield Hit(message, routes=LEGACY, predicts=predicted_messages.COMPRESSION, disk=index)


def _vhdx_2016(subject: Subject) -> Outcome:
    found = [index for index, disk in enumerate(subject.disks) if disk.format == "vhdx"]
    return [Hit("VHDX images are not supported", disk=index) for index in found]


def _vhdx_legacy(subject: Subject) -> Outcome:
    found = [index for index, disk in enumerate(subject.disks) if disk.format == "vhdx"]
    message = "ImportInstance and ImportVolume take VMDK, VHD and raw, not VHDX"
    return [Hit(message, verdict=graded(subject), disk=index) for index in found]


def _fixed_vhd(subject: Subject) -> Outcome:
    vhds = [(index, disk) for index, disk in enumerate(subject.disks) if disk.format == "vhd"]
    if not vhds:
        return None
    message = "ImportInstance took dynamic VHDs only, this one is fixed"
    # Today's page no longer says so, nor that fixed ones are taken.
    literal = Verdict.FAIL if subject.profile is Profile.Y2016 else Verdict.UNKNOWN
    return [
        Hit(message, literal if subject.literal else Verdict.WARN, disk=index)
        for index, disk in vhds
        if disk.variant.lower().startswith("fixed")
    ]


def unreadable(subject: Subject, code: str) -> Iterator[Hit]:
    """The disks that could not be opened, for the reason `code`."""
    for index, disk in enumerate(subject.disks):
        if disk.unreadable and disk.code == code:
            yield Hit(disk.unreadable[:400], cure=disk.unreadable_cure or None, disk=index)


def _differencing(subject: Subject) -> Outcome:
    return list(unreadable(subject, NEEDS_PARENT))


def _vmdk_kind(subject: Subject) -> Outcome:
    if all(disk.format != "vmdk" and not disk.unreadable for disk in subject.disks):
        return None
    return [*unreadable(subject, DEVICE), *_device_vmdks(subject)]


def _device_vmdks(subject: Subject) -> Iterator[Hit]:
    for index, disk in enumerate(subject.disks):
        variant = disk.variant.lower()
        if disk.format == "vmdk" and ("rdm" in variant or "device" in variant):
            yield Hit("the VMDK maps a raw device (RDM)", disk=index)
        elif disk.format == "vmdk" and "sesparse" in variant:
            yield Hit("the VMDK is in the SEsparse delta format", disk=index)


def _damaged(subject: Subject) -> Iterator[Hit]:
    for index, disk in enumerate(subject.disks):
        if disk.code in CLAIMED:
            continue
        if disk.unreadable and disk.code not in (NEEDS_PARENT, DEVICE):
            yield Hit(disk.unreadable[:400], cure=disk.unreadable_cure or None, disk=index)
        else:
            yield from damage.hits(disk, index=index, as_is=subject.literal)


RULES: tuple[Rule, ...] = (
    Rule(
        id="VMIE-DISK-001",
        title="The image is in a format that VM Import takes",
        judge=_format,
        form=True,
        routes=ALL,
        predicts=predicted_messages.FILE_FORMAT,
        cure=_CONVERT,
        evidence=(
            refused(sources.PREREQUISITES, "the formats taken are OVA, stream-optimised VMDK, VHD, VHDX and raw"),
            refused(sources.TROUBLE, "another one is answered with: disk-image-size=0 has an invalid format"),
            seed(103, 105, 111, 117),
        ),
    ),
    Rule(
        id="VMIE-DISK-002",
        title="A VMDK is stream-optimised",
        judge=_stream_optimised,
        form=True,
        routes=ALL,
        predicts=predicted_messages.VMDK_FORMAT,
        cure=_CONVERT,
        evidence=(
            refused(sources.TROUBLE, "Unsupported VMDK File Format: a VMDK must be stream-optimised"),
            seed(111, 115),
        ),
    ),
    Rule(
        id="VMIE-DISK-003",
        title="No VHDX (2016)",
        judge=_vhdx_2016,
        routes=ALL,
        profiles=Y2016,
        predicts=predicted_messages.FILE_FORMAT,
        cure=Run(("vmie", "convert", "FILE", "OUT.vmdk")),
        evidence=(seed(105),),
    ),
    Rule(
        id="VMIE-DISK-004",
        title="No VHDX over ImportInstance and ImportVolume",
        judge=_vhdx_legacy,
        form=True,
        routes=LEGACY,
        profiles=NOW,
        predicts=predicted_messages.FILE_FORMAT,
        cure=_CONVERT,
        evidence=(refused(f"{sources.API}/API_DiskImageDetail.html", "the formats are VMDK, RAW and VHD"),),
    ),
    Rule(
        id="VMIE-DISK-005",
        title="A VHD for ImportInstance is dynamic",
        judge=_fixed_vhd,
        form=True,
        routes=(Route.INSTANCE,),
        verdict=Verdict.WARN,
        predicts=predicted_messages.DISK_INVALID,
        cure=_CONVERT,
        evidence=(
            advised(f"{sources.API}/API_DiskImageDetail.html", "VHD is taken; fixed or dynamic, it does not say"),
            seed(359, says="VHDs for ImportInstance are dynamic"),
        ),
    ),
    Rule(
        id="VMIE-DISK-006",
        title="The image is whole, not a differencing one",
        judge=_differencing,
        routes=ALL,
        predicts=predicted_messages.FOOTERS,
        cure="merge the chain in the hypervisor (delete or consolidate snapshots) and export again",
        evidence=(refused(sources.TROUBLE, "Footers not identical: a differencing VHD, or one with an error in it"),),
    ),
    Rule(
        id="VMIE-DISK-007",
        title="The container can be read to its end, and its tables lead where they may",
        judge=_damaged,
        routes=ALL,
        predicts=predicted_messages.DISK_INVALID,
        cure="export the disk again, or copy it again and compare checksums",
        evidence=(
            refused(sources.TROUBLE, "Uncompressed data has invalid length: the VMDK is corrupted"),
            seen("https://github.com/containers/automation_images/pull/182", "Disk validation failed: of a cut upload"),
            seen("https://github.com/coreos/bugs/issues/2107", "Provided image file was corrupted: of a VMDK"),
        ),
    ),
    Rule(
        id="VMIE-DISK-009",
        title="A VMDK is a disk image, neither RDM nor SEsparse",
        judge=_vmdk_kind,
        routes=ALL,
        profiles=NOW,
        predicts=predicted_messages.VMDK_FORMAT,
        cure="turn it into a plain virtual disk first (vSphere: migrate or clone to a thick or thin VMDK)",
        evidence=(
            refused(sources.LIMITATIONS, "neither Raw Device Mapping nor VMware's SEsparse format is supported"),
        ),
    ),
)
