"""FS: volumes, file systems and the room in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from vmie import limits
from vmie.checks import predicted_messages, sources
from vmie.checks.rule import AS_SNAPSHOT, NOW, VM, Y2016, Hit, Outcome, Rule, as_snapshot, unprepared
from vmie.checks.sources import advised, refused, seed, seen
from vmie.checks.subject import GIB, MIB, Subject
from vmie.errors import Cure, Set
from vmie.guest.linux_facts import LinuxFacts
from vmie.guest.windows_facts import WindowsFacts
from vmie.model import Profile, Verdict

#: today's guide says "sufficient" for Linux: the old figure is what the drivers and a new initramfs need
FREE_LINUX = 250 * MIB

_LINUX_TAKEN = frozenset({"ext2", "ext3", "ext4", "btrfs", "jfs", "xfs"})
_ENCRYPTED = frozenset({"luks", "bitlocker"})
#: taken by the service (or not), but read by none of our libraries
_OPAQUE = frozenset({"jfs", "refs", "zfs", "md", "ldm", "storage-spaces", "bcache"})


_NO_SUBVOLUMES: Cure = ("move the system to ext4 or XFS, or to a Btrfs without subvolumes", AS_SNAPSHOT)


def opaque_volumes(subject: Subject) -> list[tuple[str, str, str]]:
    """Volumes that hold something we recognise but cannot read: (where, content, detail)."""
    return [volume for volume in _volumes(subject) if volume[1] in _OPAQUE]


def _volumes(subject: Subject) -> list[tuple[str, str, str]]:
    found = [(p.where, p.content, p.detail) for p in subject.guest.partitions]
    return found + [(v.where, v.content, v.detail) for v in subject.guest.volumes]


def encrypted_volumes(subject: Subject) -> dict[str, str]:
    """Volumes that are encrypted: where, and by what."""
    return {where: detail or content for where, content, detail in _volumes(subject) if content in _ENCRYPTED}


def boots(subject: Subject) -> bool:
    """Whether a machine starts from the disks, as far as their first sectors and EFI system partitions tell."""
    guest = subject.guest
    return bool(guest.efi_loaders) or any(layout.boot_loader or layout.boot_code for layout in guest.disks)


def _encrypted(subject: Subject) -> Outcome:
    if not subject.guest.disks:
        return None
    return [Hit(f"{where} is encrypted ({how})") for where, how in encrypted_volumes(subject).items()]


def _lvm(subject: Subject) -> Outcome:
    if not subject.guest.volumes:
        return None
    return list(_broken_groups(subject))


def _broken_groups(subject: Subject) -> Iterator[Hit]:
    seen = set()
    for volume in subject.guest.volumes:
        if volume.missing and volume.group not in seen:
            seen.add(volume.group)
            missing = ", ".join(volume.missing[:4])
            lacking = Hit(f"volume group {volume.group} lacks physical volumes: {missing}")
            yield lacking
            if not subject.guest.roots and boots(subject):
                yield replace(as_snapshot(lacking), without=unprepared("boot"))
        elif not volume.readable and not volume.missing:
            yield Hit(f"{volume.where} ({volume.kind}) cannot be read here", verdict=Verdict.UNKNOWN, cure=())


def _opaque(subject: Subject) -> Outcome:
    if not subject.guest.disks:
        return None
    return list(_opaque_hits(subject))


def _opaque_hits(subject: Subject) -> Iterator[Hit]:
    for root in subject.guest.linux:
        if root.volume.startswith("md "):
            yield Hit(f"the root file system lies on software RAID ({root.volume}), of which AWS's guide says nothing")
    yield from _with_subvolumes(subject)
    for where, content, detail in opaque_volumes(subject):
        if not subject.guest.roots:
            more = f" ({detail})" if detail else ""
            yield Hit(f"{where} holds {content}{more}, which vmie recognises but does not read")


def _with_subvolumes(subject: Subject) -> Iterator[Hit]:
    systems = {root.volume for root in subject.guest.roots}
    for where, content, detail in _volumes(subject):
        if content == "btrfs" and "subvol" in detail.lower():
            # beside a root elsewhere it holds data, which the service has no need to mount
            verdict = Verdict.FAIL if not systems or where in systems else Verdict.WARN
            yield Hit(f"{where} is Btrfs with subvolumes ({detail})", verdict, cure=_NO_SUBVOLUMES)


def _root_filesystem(subject: Subject) -> Outcome:
    root = subject.linux
    if root is None or root.filesystem == "unknown":
        return None
    if root.filesystem in _LINUX_TAKEN:
        return ()
    return [Hit(f"the root file system is {root.filesystem}")]


def _first_root(subject: Subject) -> LinuxFacts | WindowsFacts | None:
    return next(iter(subject.guest.roots), None)


def _free_2016(subject: Subject) -> Outcome:
    root = _first_root(subject)
    if root is None:
        return None
    if root.free_bytes is None:
        return [Hit("the free space cannot be determined", verdict=Verdict.UNKNOWN)]
    return (
        [Hit(f"{_mib(root.free_bytes)} free, 250 MB are needed")]
        if root.free_bytes < limits.FREE_BYTES_LINUX.of(Profile.Y2016)
        else ()
    )


def _free_linux(subject: Subject) -> Outcome:
    root = subject.linux
    if root is None or root.free_bytes is None:
        return None
    if root.free_bytes < FREE_LINUX:
        return [Hit(f"only {_mib(root.free_bytes)} are free on /")]
    return ()


def _free_windows(subject: Subject) -> Outcome:
    windows = subject.windows
    if windows is None:
        return None
    if windows.free_bytes is None:
        return [Hit("the free space of the Windows volume cannot be determined", verdict=Verdict.UNKNOWN)]
    if windows.free_bytes < limits.FREE_BYTES_WINDOWS.value:
        return [Hit(f"{_mib(windows.free_bytes)} free on the Windows volume, 6 GiB are needed")]
    return ()


def _mib(size: int) -> str:
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / MIB:.0f} MiB"


def _clean(subject: Subject) -> Outcome:
    root = subject.linux
    if root is None or root.dirty is None:
        return None
    return [Hit(f"the root file system ({root.filesystem}) was not unmounted cleanly")] if root.dirty else ()


def _problems(subject: Subject) -> Outcome:
    known = {where for where, _, _ in opaque_volumes(subject)} | set(encrypted_volumes(subject))
    known |= {volume.where for volume in subject.guest.volumes if not volume.readable}
    # that a packed disk is not looked into is DISK-011's to say
    known |= {f"disk {index}" for index, disk in enumerate(subject.disks) if disk.facts.get("wrapper")}
    problems = [problem for problem in subject.guest.problems if problem.where not in known]
    problems = [problem for problem in problems if "GPT header is damaged" not in problem.what]  # reported by PART-005
    for root in subject.guest.linux:
        told_by_boot = root.initramfs.path if root.initramfs.readable is False else None
        problems += [one for one in root.problems if not told_by_boot or not one.where.endswith(told_by_boot)]
    if not subject.guest.disks and not problems:
        return None
    verdict = Verdict.WARN if subject.guest.roots else Verdict.UNKNOWN
    hits = [Hit(f"could not be read: {str(problem)[:300]}", verdict=verdict) for problem in problems[:5]]
    if len(problems) > 5:
        hits.append(Hit(f"{len(problems) - 5} more places could not be read", verdict=verdict))
    return hits


RULES: tuple[Rule, ...] = (
    Rule(
        id="VMIE-FS-001",
        title="At least 250 MB are free (2016)",
        judge=_free_2016,
        profiles=Y2016,
        cure="delete files or grow the file system",
        evidence=(seed(317, 361),),
    ),
    Rule(
        id="VMIE-FS-002",
        title="Enough room for drivers on the Linux root",
        judge=_free_linux,
        profiles=NOW,
        verdict=Verdict.WARN,
        cure="free 250 MiB or more: drivers, a new initramfs and the SSM agent are written there",
        evidence=(advised(sources.LIMITATIONS, "the root volume needs room for drivers and other software"),),
    ),
    Rule(
        id="VMIE-FS-003",
        title="6 GiB are free on the Windows volume",
        judge=_free_windows,
        profiles=NOW,
        predicts=predicted_messages.FIRST_BOOT,
        cure="delete files or grow the volume",
        evidence=(refused(sources.LIMITATIONS, "Windows needs at least 6 GiB of free space on the root volume"),),
    ),
    Rule(
        id="VMIE-FS-004",
        title="The root file system is one that VM Import takes",
        judge=_root_filesystem,
        predicts=predicted_messages.UNKNOWN_OS,
        cure=("move the system to ext4 or XFS", Set("route", "snapshot", "and register the image yourself")),
        evidence=(
            refused(sources.PREPARE, "the root file system is one of ext2, ext3, ext4, Btrfs, JFS and XFS"),
            seed(153),
        ),
    ),
    Rule(
        id="VMIE-FS-005",
        title="Every volume can be read",
        judge=_opaque,
        verdict=Verdict.UNKNOWN,
        predicts=predicted_messages.UNKNOWN_OS,
        cure="check by hand what lies there",
        evidence=(
            refused(sources.PREREQUISITES, "Btrfs is taken without subvolumes"),
            seen(
                "https://github.com/cornfeedhobo/packer-virtualbox-ami-centos7/issues/1",
                "Unknown OS / Missing OS files: of a CentOS 7 on Btrfs",
            ),
        ),
    ),
    Rule(
        id="VMIE-FS-006",
        title="No encrypted volumes",
        judge=_encrypted,
        predicts=predicted_messages.UNKNOWN_OS,
        cure=(
            "decrypt the volume in the guest",
            Set("encrypted", note="EBS encrypts instead"),
            Set("route", "snapshot", "a data disk: who attaches it needs its key"),
        ),
        evidence=(refused(sources.LIMITATIONS, "encrypted volumes are not supported"),),
    ),
    Rule(
        id="VMIE-FS-007",
        title="Every volume group is complete",
        judge=_lvm,
        predicts=predicted_messages.LVM,
        cure=(
            "give all disks of the machine, or its OVA",
            Set("together", note="the files are one machine"),
            "remove the missing volumes",
        ),
        evidence=(refused(sources.TROUBLE, "Logical volume group activation failed"),),
    ),
    Rule(
        id="VMIE-FS-008",
        title="The file system was unmounted cleanly",
        judge=_clean,
        verdict=Verdict.WARN,
        cure="shut the machine down (no suspend, no snapshot of a running one) and export again",
        evidence=(advised(sources.PREPARE, "shut the machine down before it is exported"),),
    ),
    Rule(
        id="VMIE-FS-009",
        title="Nothing was unreadable",
        judge=_problems,
        routes=VM,
        verdict=Verdict.WARN,
        cure="run fsck or chkdsk in the guest and export again",
        evidence=(advised(sources.TROUBLE, "what is damaged may fail to activate"),),
    ),
)
