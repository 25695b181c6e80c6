"""DISK, second part: what a file holds, where its form does not say."""

from __future__ import annotations

from collections.abc import Iterator

from vmie.checks import predicted_messages, sources
from vmie.checks.disks import CONTENT, graded, unreadable
from vmie.checks.rule import ALL, DATA, VM, Hit, Outcome, Rule
from vmie.checks.sources import follows, refused, seen
from vmie.checks.subject import CheckedDisk, Subject
from vmie.errors import Run
from vmie.guest.disk_facts import Table
from vmie.model import Verdict


def _sectors(subject: Subject) -> Outcome:
    sizes = {index: _bytes(disk) for index, disk in enumerate(subject.disks) if disk.format == "raw"}
    known = {index: size for index, size in sizes.items() if size}
    if not known:
        return None
    return [
        Hit(f"{size} bytes are no whole number of 512-byte sectors: cut short?", disk=index)
        for index, size in known.items()
        if size % 512
    ]


def _bytes(disk: CheckedDisk) -> int:
    """Of the raw disk: those of its file, but for a packed one, whose file's size says nothing."""
    return disk.size if disk.facts.get("wrapper") else disk.file_size or 0


def _content(subject: Subject) -> Outcome:
    known = list(unreadable(subject, "NotADisk"))
    if known or any(one.unreadable for one in subject.disks):
        return known or None
    raws = [(index, disk) for index, disk in enumerate(subject.disks) if disk.format == "raw"]
    return list(_other_contents(subject, raws)) if raws else None


def _other_contents(subject: Subject, raws: list[tuple[int, CheckedDisk]]) -> Iterator[Hit]:
    for index, disk in raws:
        looks, named = disk.facts.get("looks_like"), disk.facts.get("named_as")
        if looks and looks != "luks":
            message = f"this is {looks} data, not a disk"
            yield Hit(message, routes=VM, disk=index)
            # nothing looks at what a snapshot is made of
            yield Hit(message, Verdict.WARN, routes=DATA, disk=index)
        elif named:
            bare = index < len(subject.guest.disks) and subject.guest.disks[index].table is Table.NONE
            message = f"the name says {named}, but there is no {named} header in it"
            yield Hit(message, verdict=Verdict.FAIL if bare else Verdict.WARN, disk=index)


def _wrapped(subject: Subject) -> Outcome:
    return [
        Hit(f"the disk is packed with {wrapper}", verdict=graded(subject), disk=index)
        for index, disk in enumerate(subject.disks)
        if (wrapper := disk.facts.get("wrapper"))
    ]


RULES: tuple[Rule, ...] = (
    Rule(
        id="VMIE-DISK-008",
        title="A raw image is a whole number of sectors",
        judge=_sectors,
        routes=ALL,
        verdict=Verdict.WARN,
        cure="compare its size with the source disk; copy it again if it was cut short",
        without=dict.fromkeys(ALL, "some of its data"),
        evidence=(
            follows(
                "https://www.kernel.org/doc/Documentation/ABI/stable/sysfs-block",
                "a disk is addressed in blocks of 512 bytes or more: a file that ends within one is no whole disk",
                allows=Verdict.WARN,
            ),
        ),
    ),
    Rule(
        id=CONTENT,
        title="The content is a disk's, and what the name says",
        judge=_content,
        routes=ALL,
        predicts=predicted_messages.NO_PARTITIONS,
        cure="name the disk image itself; when it was cut or overwritten at its head, export it again",
        evidence=(
            seen(
                "https://github.com/REMnux/remnux-cli/issues/156",
                "No valid partitions. Not a valid volume: of a file that was no disk image as it was named",
            ),
        ),
    ),
    Rule(
        id="VMIE-DISK-011",
        title="The image is not packed",
        judge=_wrapped,
        form=True,
        routes=ALL,
        predicts=predicted_messages.FILE_FORMAT,
        cure=(Run(("vmie", "import", "FILE"), "unpacks it on the way"), "unpack it to have the guest checked too"),
        evidence=(
            refused(sources.PREREQUISITES, "the formats taken are OVA, stream-optimised VMDK, VHD, VHDX and raw"),
            refused(sources.TROUBLE, "another one is answered with: disk-image-size=0 has an invalid format"),
        ),
    ),
)
