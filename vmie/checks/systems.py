"""OS: which systems AWS names, which kernels, which processors."""

from __future__ import annotations

import re

from vmie.checks import predicted_messages, sources
from vmie.checks.filesystems import boots, encrypted_volumes, opaque_volumes
from vmie.checks.oslist import NAMES, canonical, is_point, matching, neighbours, parse, releases, spans
from vmie.checks.outcomes import outcome
from vmie.checks.rule import AS_SNAPSHOT, DATA, Hit, Outcome, Rule
from vmie.checks.sources import advised, refused, seed, seen
from vmie.checks.subject import Subject
from vmie.errors import Set
from vmie.guest.linux_facts import LinuxFacts
from vmie.model import Profile, Route, Verdict

X86_64 = frozenset({"x86_64", "amd64"})
X86_32 = frozenset({"i386", "i486", "i586", "i686", "x86"})

_SNAPSHOT_PATH = Set(
    "route", "snapshot", "it takes any system and changes nothing in the guest; register the image yourself"
)
#: what a distribution's own kernels are called
_STOCK = {
    "amzn": r"\.amzn",
    "centos": r"\.el\d|centos",
    "debian": r"-(amd64|686|686-pae|i386)$",
    "fedora": r"\.fc\d",
    "oracle": r"\.el\d",
    "rhel": r"\.el\d",
    "rocky": r"\.el\d",
    "sles": r"-(default|pae|xen|azure|ec2)$",
    "ubuntu": r"-(generic|server|virtual|aws|azure|gcp|kvm|oem|lowlatency|generic-pae|generic-hwe.*)$",
}


def _found(subject: Subject) -> Outcome:
    if subject.guest.roots:
        return ()
    hidden = opaque_volumes(subject)
    encrypted = encrypted_volumes(subject)
    unread = [volume.where for volume in subject.guest.volumes if not volume.readable]
    doubts = [f"{where} holds {content}" for where, content, _ in hidden]
    doubts += [f"{where} is encrypted" for where in encrypted] + [f"{where} cannot be read" for where in unread]
    doubts += [str(problem) for problem in subject.guest.problems]
    if doubts:
        unseen = Hit(f"no operating system was seen, but not all could be read: {doubts[0][:200]}", Verdict.UNKNOWN)
        if not boots(subject):
            return [unseen]
        started = f"a machine starts from it, and what it needs on EC2 could not be looked at: {doubts[0][:200]}"
        return [unseen, Hit(started, Verdict.UNKNOWN, routes=DATA, without=dict.fromkeys(DATA, "boot"))]
    return [Hit("no operating system was found on any volume")]


def _single(subject: Subject) -> Outcome:
    roots = subject.guest.roots
    if not roots:
        return None
    if len(roots) == 1:
        return ()
    names = ", ".join(_root_name(root) for root in roots[:4])
    return [Hit(f"{len(roots)} systems are installed: {names}")]


def _root_name(root: object) -> str:
    if isinstance(root, LinuxFacts):
        return f"{NAMES.get(canonical(root.distribution), root.distribution)} {root.version} on {root.volume}".strip()
    return f"{getattr(root, 'product', '') or 'Windows'} on {getattr(root, 'volume', '')}".removesuffix(" on ")


def _distribution(subject: Subject) -> Outcome:
    root = subject.linux
    if root is None:
        return None
    if root.distribution == "unknown":
        why = f": {root.problems[0]}" if root.problems else ""
        return [Hit(f"the Linux distribution cannot be determined{why[:200]}", Verdict.UNKNOWN)]
    if releases(root.distribution, subject.profile):
        return ()
    name = NAMES.get(canonical(root.distribution), root.pretty_name or root.distribution)
    if subject.profile is not Profile.CURRENT:
        return [Hit(f"{name} is not on the list", Verdict.FAIL)]
    return [_unnamed(name, root)]


def _unnamed(name: str, root: LinuxFacts) -> Hit:
    """A distribution on which AWS's list is silent: what it did with it, as far as somebody reported it."""
    known = outcome(root.distribution, root.version)
    if known is None:
        return Hit(f"{name} is not on AWS's list, and whether the service takes it is not known", Verdict.UNKNOWN)
    verdict, met = (Verdict.WARN, "but was imported") if known.taken else (Verdict.FAIL, "and was refused")
    message = f"{name} is not on AWS's list, {met} ({known.evidence.source})"
    values = {"kernel": root.default_kernel[:100]} if root.default_kernel else {}
    return Hit(message, verdict, predicts=known.predicts, values=values, evidence=(known.evidence,))


def _version(subject: Subject) -> Outcome:
    root = subject.linux
    if root is None or not releases(root.distribution, subject.profile):
        return None
    if matching(root.distribution, root.version, subject.profile):
        return ()
    return [_unlisted(subject, root)]


def _unlisted(subject: Subject, root: LinuxFacts) -> Hit:
    name = NAMES.get(canonical(root.distribution), root.distribution)
    rows = releases(root.distribution, subject.profile)
    numbers = parse(root.version)
    if not numbers:
        return Hit(f"the version of {name} cannot be determined", Verdict.UNKNOWN)
    message = f"{name} {root.version} is not listed; listed are {spans(rows)}"
    if numbers[:2] == (6, 0) and canonical(root.distribution) in {"rhel", "centos"}:
        lacking = f"{name} 6.0 lacks the drivers that EC2 needs"
        return Hit(lacking, Verdict.FAIL, cure="update the guest to 6.1 or later")
    near = neighbours(root.distribution, root.version, subject.profile)
    if subject.profile is not Profile.CURRENT:
        return Hit(message, Verdict.FAIL)
    if not near:
        return Hit(f"{message}: whether the service takes it is not known", Verdict.UNKNOWN)
    listed = f"{name} {root.version} is not listed by itself, its release is ({spans(near)})"
    if is_point(root.distribution):
        return Hit(f"{listed}: the kernel decides", Verdict.PASS, cure=())
    # what the service compares is the kernel: its rule fails where that is another one
    return Hit(
        f"{listed}: the import depends on the kernel",
        Verdict.WARN,
        cure=("go on when the kernel is a listed one", "to be sure, use a listed release", AS_SNAPSHOT),
    )


def _kernel(subject: Subject) -> Outcome:
    root = subject.linux
    if root is None:
        return None
    covering = matching(root.distribution, root.version, subject.profile)
    if not covering and subject.profile is Profile.CURRENT:
        covering = neighbours(root.distribution, root.version, subject.profile)
    rows = [row for row in covering if row.kernels]
    versions = [root.default_kernel] if root.default_kernel else [kernel.version for kernel in root.kernels]
    if not rows or not versions:
        return None
    refused = [version for version in versions if not any(row.takes(version) for row in rows)]
    if not refused:
        return ()
    listed = ", ".join(dict.fromkeys(kernel.lstrip("*") for row in rows for kernel in row.kernels))
    message = f"the kernel {refused[0]} is not one that AWS names for this release ({listed})"
    verdict = None if len(refused) == len(versions) else Verdict.UNKNOWN
    return [Hit(message, verdict, values={"kernel": refused[0][:100]})]


def _custom_kernel(subject: Subject) -> Outcome:
    root = subject.linux
    pattern = _STOCK.get(canonical(root.distribution)) if root else None
    if root is None or not root.default_kernel or pattern is None:
        return None
    if re.search(pattern, root.default_kernel[:200]):
        return ()
    return [Hit(f"the default kernel {root.default_kernel} does not look like the distribution's own")]


def _processor(subject: Subject) -> Outcome:
    root = next(iter(subject.guest.roots), None)
    if root is None or root.architecture in {"", "unknown"}:
        return None
    if root.architecture in X86_64 | X86_32:
        return ()
    return [Hit(f"the system is made for {root.architecture}, VM Import takes x86 only")]


def _linux_bits(subject: Subject) -> Outcome:
    root = subject.linux
    if root is None or root.architecture == "unknown":
        return None
    return [Hit("the Linux system is a 32-bit one")] if root.architecture in X86_32 else ()


def _unprepared(subject: Subject) -> Outcome:
    if not subject.guest.roots:
        return None
    return [Hit("the disk holds a system, and this route neither checks nor prepares it (drivers, DHCP, boot mode)")]


RULES: tuple[Rule, ...] = (
    Rule(
        id="VMIE-OS-001",
        title="An operating system is there",
        judge=_found,
        predicts=predicted_messages.UNKNOWN_OS,
        cure=(
            Set("route", "snapshot", "a data disk"),
            Set("route", "volume", "a data disk, as a volume"),
            "give the disk that holds the system, with the others",
        ),
        evidence=(
            refused(sources.TROUBLE, "Unknown OS / Missing OS files: the system is not recognised"),
            seen("https://github.com/linuxkit/linuxkit/issues/1918", "the same, of a disk with a kernel alone"),
            seen("https://github.com/EugenMayer/opnsense-starterkit/issues/2", "No valid partitions: of a FreeBSD"),
        ),
    ),
    Rule(
        id="VMIE-OS-002",
        title="Only one operating system is there",
        judge=_single,
        predicts=predicted_messages.DIRECTORIES,
        cure="remove the systems that are not to be imported: dual boot is not supported",
        evidence=(
            refused(sources.LIMITATIONS, "dual boot is not supported"),
            refused(sources.TROUBLE, "Multiple directories found: several /etc are not supported"),
        ),
    ),
    Rule(
        id="VMIE-OS-003",
        title="The Linux distribution is on AWS's list",
        judge=_distribution,
        verdict=Verdict.UNKNOWN,
        predicts=predicted_messages.UNKNOWN_OS,
        cure=_SNAPSHOT_PATH,
        evidence=(
            advised(sources.PREREQUISITES, "the systems that can be imported; of others it says nothing"),
            seed(59, 67, 81, 83, 89, 91, 93),
        ),
    ),
    Rule(
        id="VMIE-OS-004",
        title="The release is on AWS's list",
        judge=_version,
        verdict=Verdict.UNKNOWN,
        predicts=predicted_messages.UNKNOWN_OS,
        cure=_SNAPSHOT_PATH,
        evidence=(
            advised(sources.PREREQUISITES, "the releases that can be imported; of others it says nothing"),
            refused(sources.PREREQUISITES, "RHEL and CentOS 6.0 lack drivers that EC2 needs"),
            seed(59, 63, 67, 81, 83, 87, 89, 91, 93),
        ),
    ),
    Rule(
        id="VMIE-OS-005",
        title="The kernel is on AWS's list",
        judge=_kernel,
        predicts=predicted_messages.KERNEL_VERSION,
        cure=("make the release's stock kernel the default and reboot into it", _SNAPSHOT_PATH),
        evidence=(
            refused(sources.TROUBLE, "Unsupported kernel version: of one that the list of systems does not name"),
            advised(sources.PREREQUISITES, "the kernels of each release"),
            seen(
                "https://github.com/teamdfir/sift/issues/465",
                "Unsupported kernel version 4.18.0-15-generic: of a listed release with a kernel that was not listed",
            ),
            seed(69, 71, 73, 75, 77, 79),
        ),
    ),
    Rule(
        id="VMIE-OS-006",
        title="The default kernel is the distribution's own",
        judge=_custom_kernel,
        verdict=Verdict.WARN,
        cure="make the distribution's kernel the default: custom ones may not import",
        evidence=(
            advised(sources.LIMITATIONS, "machines with custom kernels might not migrate"),
            seed(57, 313, 351),
        ),
    ),
    Rule(
        id="VMIE-OS-007",
        title="The system is made for x86",
        judge=_processor,
        predicts=predicted_messages.UNKNOWN_OS,
        cure=_SNAPSHOT_PATH,
        evidence=(
            refused(sources.PREREQUISITES, "ARM64 is not supported"),
            refused(f"{sources.API}/API_ImportImage.html", "the architectures are i386 and x86_64"),
        ),
    ),
    Rule(
        id="VMIE-OS-008",
        title="Linux is 64-bit",
        judge=_linux_bits,
        predicts=predicted_messages.UNKNOWN_OS,
        cure="install the 64-bit release: 32-bit Linux is not supported",
        evidence=(
            refused(sources.LIMITATIONS, "32-bit Linux is not supported"),
            seed(53, 311, 349),
        ),
    ),
    Rule(
        id="VMIE-OS-009",
        title="A system goes over a route that prepares it",
        judge=_unprepared,
        routes=DATA,
        verdict=Verdict.WARN,
        cure=(
            Set("route", "image", "it prepares the guest"),
            "make sure that NVMe and ENA drivers and DHCP are there already",
        ),
        without={Route.VOLUME: "boot"},
        evidence=(advised(sources.CHANGES, "what the image route changes in a guest; a snapshot is not prepared"),),
    ),
)
