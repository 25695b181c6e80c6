"""Whether snapshots hold what was sent, block by block: compared with the disk, or with the digests kept of it.

    blocks that the snapshot lists ─┐
                                    ├─► each in order: read back once, compared ─► ranges ─► files, by name
    blocks that should hold data ───┘

What is on neither side is a hole in both, and not read. The space that file systems call free goes as zeros by S3, and
where it is zeros not at all by EBS direct: a block that differs there alone is as it was sent, and counted apart.
Nothing is written but a statement.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, cast

from vmie import events
from vmie.aws.ebs.client import BLOCK
from vmie.aws.ebs.prices import reading
from vmie.aws.ebs.snapshot_disk import SnapshotDisk
from vmie.disk import Disk
from vmie.errors import Set, UsageError, VmieError
from vmie.ops import atomic_file, ingest
from vmie.ops.block_hashes import BlockHashes
from vmie.ops.diff import Difference, name_files
from vmie.ops.opening import Opening, Snapshots, is_snapshot
from vmie.ops.verify_blocks import ContentDigest, Expected, OfDisk, OfRecord, compare
from vmie.ops.verify_statement import Verified, VerifiedSnapshot, statement
from vmie.poll import Clock


@dataclass(frozen=True, slots=True)
class SentDisk:
    """What one snapshot is to hold: a local disk (`path`, "" where it is there no more), or the digests in `record`.

    `index` of an appliance's disks, as `opening` opens it; `label` says which disk it is, `name` is its file's; `size`
    (bytes) is that of a disk known by its record.
    """

    snapshot_id: str
    label: str
    name: str
    opening: Opening
    path: str = ""
    index: int | None = None
    record: str = ""
    size: int = 0


@dataclass(frozen=True, slots=True)
class VerifyPlan:
    """Snapshots to be read, and the disks that they are compared with."""

    sent: tuple[SentDisk, ...]
    snapshots: Snapshots
    statement: Path | None = None
    force: bool = False

    def as_json(self) -> dict[str, Any]:
        """What `--dry-run` prints."""
        with ExitStack() as stack:
            disks = [stack.enter_context(_snapshot(self.snapshots, one.snapshot_id)) for one in self.sent]
            most = [-(-disk.allocated_size // BLOCK) for disk in disks]
        return {
            "snapshots": [
                {"snapshot_id": one.snapshot_id, "compared_with": one.label, "blocks_at_most": blocks}
                for one, blocks in zip(self.sent, most, strict=True)
            ],
            "costs_usd": round(sum(map(reading, most)), 6),
            "statement": str(self.statement) if self.statement else None,
        }


def of_image(
    source: Path, snapshot_ids: Sequence[str], *, opening: Opening, index: int | None = None
) -> tuple[SentDisk, ...]:
    """A disk and its snapshot; the disks of an appliance and theirs, boot disk first; `index` is one of them.

    Raises UsageError where they do not go together, ImageError.
    """
    if not snapshot_ids:
        raise UsageError(f"no snapshot to compare {source} with", cure="name it: snap-…")
    return paired(disks_of(source, opening=opening, index=index), snapshot_ids, what=str(source))


def disks_of(source: Path, *, opening: Opening, index: int | None = None) -> tuple[SentDisk, ...]:
    """The disks of a file, or the one at `index`, without their snapshots. Raises ImageError."""
    whole = SentDisk("", str(source), source.name, opening, str(source))
    if index is not None:
        return (replace(whole, label=f"disk {index} of {source}", index=index),)
    look = None if is_snapshot(source) else ingest.look(source, opening, whole=False)
    if look is None or not look.container:
        return (whole,)
    return tuple(replace(whole, label=f"disk {number} of {source}", index=number) for number in range(look.disks))


def paired(disks: Sequence[SentDisk], snapshot_ids: Sequence[str], *, what: str) -> tuple[SentDisk, ...]:
    """Each disk with its snapshot. Raises UsageError where there are more of one, or it is none."""
    if wrong := next((one for one in snapshot_ids if not is_snapshot(one)), None):
        raise UsageError(f"{wrong} is not the id of a snapshot", cure="name one: snap-…")
    if len(disks) != len(snapshot_ids):
        raise UsageError(
            f"{what}: the number of its disks is {len(disks)}, that of the snapshots {len(snapshot_ids)}",
            cure=("name one for each disk, boot disk first", Set("disk", note="compares one of the disks alone")),
            fields=("disk",),
        )
    return tuple(replace(one, snapshot_id=snapshot_id) for one, snapshot_id in zip(disks, snapshot_ids, strict=True))


def plan(
    sent: Sequence[SentDisk], *, snapshots: Snapshots, target: Path | None = None, force: bool = False
) -> VerifyPlan:
    """See that the statement has a place. Raises UsageError."""
    if target is not None:
        atomic_file.check(target, source=_source(sent), force=force)
    return VerifyPlan(tuple(sent), snapshots, target, force)


def apply(plan: VerifyPlan, *, clock: Clock, reporter: events.Reporter = events.silent) -> Verified:
    """Read the snapshots back and compare them; what reading costs is said first.

    Raises ImageError, AwsRefused, PreflightError (a snapshot that is not completed, or archived).
    """
    with ExitStack() as stack:
        disks = [stack.enter_context(_snapshot(plan.snapshots, one.snapshot_id)) for one in plan.sent]
        found = Verified(
            tuple(
                _one(one, disk, reporter, hashed=plan.statement is not None)
                for one, disk in zip(plan.sent, disks, strict=True)
            )
        )
    if plan.statement is None or not found.identical:
        return found
    text = statement(found, at=clock.now())
    with atomic_file.written(plan.statement, source=_source(plan.sent), replace=plan.force, needed=len(text)) as file:
        file.write(text)
    return replace(found, statement=str(plan.statement))


def _one(sent: SentDisk, snapshot: SnapshotDisk, reporter: events.Reporter, *, hashed: bool) -> VerifiedSnapshot:
    with ExitStack() as opened:
        expected = _expected(sent, opened)
        found = Difference((expected.size, snapshot.size), blocks_read=0)
        made = VerifiedSnapshot(
            snapshot_id=sent.snapshot_id,
            source=sent.label,
            name=sent.name if sent.index is None else f"{sent.name} disk {sent.index}",
            by="digests" if isinstance(expected, OfRecord) else "disk",
            source_size=expected.size,
            size=snapshot.size,
            blocks=-(-snapshot.size // BLOCK),
            difference=found,
        )
        if expected.size > snapshot.size:
            why = f"{sent.label} has {expected.size:,} bytes, and {sent.snapshot_id} is of {snapshot.size:,}"
            return replace(made, why=why)
        reporter(events.Stage("verify", f"{sent.snapshot_id} with {sent.label}"))
        content = ContentDigest(expected.size) if hashed else None
        compare(snapshot, expected, found, content=content, report=reporter)
        if found.ranges:
            _name_files(expected, snapshot, found)
        found.blocks_read = snapshot.blocks_read
        source_sha256, sha256 = content.digests(snapshot.size) if content and found.equal else ("", "")
        if expected.freed:  # the disk has other bytes there
            source_sha256 = ""
        return replace(made, free_blocks=expected.freed, sha256=sha256, source_sha256=source_sha256)


def _expected(sent: SentDisk, opened: ExitStack) -> Expected:
    def disk() -> Disk:
        return opened.enter_context(sent.opening.disk(Path(sent.path), index=sent.index))

    record = BlockHashes.existing(Path(sent.record)) if sent.record else None
    if record is None:
        return OfDisk(disk())
    return OfRecord(opened.enter_context(record), sent.size, cache(disk) if sent.path else lambda: None)


def _name_files(expected: Expected, snapshot: SnapshotDisk, found: Difference) -> None:
    """The files that lie in blocks that differ, where the disk is here to say so."""
    if found.more_ranges:  # all of the snapshot would be read once more
        found.unread.append(("the disk", "too many ranges differ to look for files in them"))
        return
    try:
        disk = expected.disk()
    except VmieError as error:
        found.unread.append(("the disk", str(error)))
        return
    if disk is None:
        found.unread.append(("the disk", "its file is not here any more, or has changed since it was sent"))
    else:
        name_files(disk, snapshot, found)


def _snapshot(snapshots: Snapshots, snapshot_id: str) -> SnapshotDisk:
    return cast("SnapshotDisk", snapshots(snapshot_id))


def _source(sent: Sequence[SentDisk]) -> Path:
    return Path(sent[0].path or sent[0].snapshot_id)
