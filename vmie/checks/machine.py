"""OVA: what the OVF descriptor says of the machine around the disks."""

from __future__ import annotations

from collections.abc import Callable

from vmie.checks import predicted_messages, sources
from vmie.checks.disks import graded
from vmie.checks.rule import ALL, LEGACY, NOW, Hit, Outcome, Rule
from vmie.checks.sources import advised, refused, seed
from vmie.checks.subject import CheckedMachine, Subject
from vmie.errors import Run, Set
from vmie.model import Profile, Route, Verdict

WHICH_MACHINE = "VMIE-OVA-005"


def _chunked(subject: Subject) -> Outcome:
    return _ova(subject, lambda machine: machine.chunked, "the OVA holds its disks in chunks", graded(subject))


def _ova_elsewhere(subject: Subject) -> Outcome:
    return _ova(subject, lambda _: True, "only ImportImage takes an OVA, the other routes take disks", graded(subject))


def _cdrom(subject: Subject) -> Outcome:
    if subject.machine is None:
        return None
    attached = subject.machine.cdroms
    return [Hit(f"a CD-ROM or ISO is attached: {', '.join(map(str, attached[:3]))}")] if attached else ()


def _manifest(subject: Subject) -> Outcome:
    if subject.machine is None or subject.machine.manifest is None:
        return None
    return [Hit(text, Verdict.FAIL if damage else Verdict.WARN) for text, damage in subject.machine.manifest[:10]]


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


def _one_machine(subject: Subject) -> Outcome:
    found = [disk for disk in subject.disks if disk.code in ("SeveralMachines", "NoSuchMachine")]
    if not found and subject.machine is None:
        return None
    return [Hit(disk.unreadable[:400], cure=disk.unreadable_cure) for disk in found]


def _empty_disks(subject: Subject) -> Outcome:
    if subject.machine is None:
        return None
    left_out = ", ".join(subject.machine.empty[:10])
    return [Hit(f"disks without a file are left out: {left_out}")] if left_out else ()


def _ova(subject: Subject, test: Callable[[CheckedMachine], bool], message: str, verdict: Verdict) -> Outcome:
    if subject.machine is None:
        return None
    return [Hit(message, verdict=verdict)] if test(subject.machine) else ()


RULES: tuple[Rule, ...] = (
    Rule(
        id="VMIE-OVA-001",
        title="The OVA's disks are whole files",
        judge=_chunked,
        form=True,
        routes=ALL,
        predicts=predicted_messages.CHUNKED,
        cure=(
            Run(("vmie", "import", "FILE"), "joins the chunks on the way"),
            "export the OVA again in one piece",
        ),
        evidence=(refused(sources.TROUBLE, "OVF file parsing error: OVA with chunked disk files is not supported"),),
    ),
    Rule(
        id="VMIE-OVA-002",
        title="No CD-ROM or ISO is attached",
        judge=_cdrom,
        verdict=Verdict.WARN,
        cure="disconnect it in the virtual machine's settings and export again",
        evidence=(
            advised(sources.PREPARE, "disconnect CD-ROM drives, virtual or physical"),
            seed(323, 369),
        ),
    ),
    Rule(
        id="VMIE-OVA-003",
        title="Only the image route takes an OVA",
        judge=_ova_elsewhere,
        form=True,
        routes=(Route.SNAPSHOT, *LEGACY),
        predicts=predicted_messages.FILE_FORMAT,
        cure=(Run(("vmie", "import", "FILE"), "takes the disk out of the OVA"), Set("route", "image")),
        evidence=(
            refused(f"{sources.API}/API_SnapshotDiskContainer.html", "the formats are VHD, VMDK and RAW"),
            refused(f"{sources.API}/API_DiskImageDetail.html", "the formats are VMDK, RAW and VHD"),
        ),
    ),
    Rule(
        id="VMIE-OVA-004",
        title="The OVF names the firmware that the disk is made for",
        judge=_ovf_firmware,
        routes=(Route.IMAGE,),
        profiles=NOW,
        verdict=Verdict.WARN,
        cure=Set("boot_mode", note="look which disk boots"),
        evidence=(
            advised(sources.PREREQUISITES, "the boot mode of the AMI has to be the one that the disk is made for"),
        ),
    ),
    Rule(
        id=WHICH_MACHINE,
        title="It is known which machine of the appliance is meant",
        judge=_one_machine,
        routes=ALL,
        cure=Set("machine", "NAME"),
        evidence=(
            refused(sources.OVF, "every VirtualSystem is a machine of its own"),
            refused(f"{sources.API}/API_ImportImage.html", "a task makes one image"),
        ),
    ),
    Rule(
        id="VMIE-OVA-006",
        title="Every disk of the machine has a file",
        judge=_empty_disks,
        verdict=Verdict.WARN,
        cure=Set("empty_disks", note="makes them, all zeros"),
        evidence=(advised(sources.OVF, "a disk without a reference to a file is empty"),),
    ),
    Rule(
        id="VMIE-OVA-007",
        title="The files of an appliance are as its manifest says",
        judge=_manifest,
        routes=ALL,
        cure="copy or export the appliance again; where it was changed on purpose, make its manifest (.mf) anew",
        evidence=(
            refused(sources.OVF, "the manifest holds every file's digest: one with another digest is another file"),
        ),
    ),
    Rule(
        id="VMIE-NET-001",
        title="The machine has one network interface",
        judge=_nics,
        verdict=Verdict.WARN,
        cure="remove the others before the export, add network interfaces to the instance afterwards",
        evidence=(
            advised(sources.LIMITATIONS, "several network interfaces are not supported: the result has one, by DHCP"),
            seed(319, 365),
        ),
    ),
)
