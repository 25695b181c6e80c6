"""A snapshot as EC2 describes it, and whether its blocks can be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vmie import events
from vmie.aws.ebs import prices
from vmie.aws.ebs.client import BLOCK, EbsDirect
from vmie.aws.errors import refusals
from vmie.aws.session import Aws
from vmie.errors import AwsRefused, PreflightError, Set, VmieError
from vmie.limits import GIB
from vmie.poll import Clock

if TYPE_CHECKING:
    from vmie.aws.ebs.snapshot_disk import SnapshotDisk


@dataclass(frozen=True, slots=True)
class SnapshotFacts:
    """`size` is the volume's in bytes; `full_size` that of the blocks that it holds, None where EC2 does not say."""

    snapshot_id: str
    state: str
    size: int
    full_size: int | None
    encrypted: bool
    kms_key: str
    owner: str
    volume_id: str
    tier: str
    message: str

    @classmethod
    def of(cls, found: Any) -> SnapshotFacts:
        """From an element of DescribeSnapshots."""
        full = found.get("FullSnapshotSizeInBytes")
        return cls(
            snapshot_id=str(found["SnapshotId"]),
            state=str(found.get("State", "pending")),
            size=int(found.get("VolumeSize", 0)) * GIB,
            full_size=int(full) if full else None,
            encrypted=bool(found.get("Encrypted")),
            kms_key=str(found.get("KmsKeyId") or ""),
            owner=str(found.get("OwnerId") or ""),
            volume_id=str(found.get("VolumeId") or ""),
            tier=str(found.get("StorageTier") or "standard"),
            message=str(found.get("StateMessage") or ""),
        )


def describe(aws: Aws, snapshot_id: str) -> SnapshotFacts:
    """What EC2 knows of a snapshot. Raises AwsRefused, also when there is none in the Region."""
    with refusals("DescribeSnapshots", operand=snapshot_id):
        found = aws.client("ec2").describe_snapshots(SnapshotIds=[snapshot_id]).get("Snapshots") or []
    if not found:
        raise AwsRefused(
            f"there is no snapshot {snapshot_id} in {aws.region}",
            cause="it is in another Region, was deleted, or is not shared with this account",
            cure=Set("region", note="the snapshot's"),
            code="InvalidSnapshot.NotFound",
        )
    return SnapshotFacts.of(found[0])


def open_snapshot(
    aws: Aws, snapshot_id: str, *, clock: Clock | None = None, reporter: events.Reporter = events.silent
) -> SnapshotDisk:
    """The disk of a snapshot, read block by block. Close it.

    Raises AwsRefused where there is none, PreflightError where its blocks cannot be read.
    """
    from vmie.aws.ebs.snapshot_disk import SnapshotDisk  # noqa: PLC0415 - it is of these facts

    facts = describe(aws, snapshot_id)
    if problem := unreadable(facts):
        raise problem
    blocks = -(-(facts.full_size or facts.size) // BLOCK)
    most = prices.reading(blocks)
    reporter(events.Note(f"{snapshot_id}: reading all of its {blocks:,} blocks costs about ${most:.2f}, a part less"))
    return SnapshotDisk(EbsDirect(aws, clock=clock, reporter=reporter), facts)


def unreadable(facts: SnapshotFacts) -> VmieError | None:
    """Why the blocks cannot be read (https://docs.aws.amazon.com/ebs/latest/userguide/ebs-accessing-snapshot.html)."""
    if facts.state != "completed":
        waits = facts.state == "pending"
        return PreflightError(
            f"{facts.snapshot_id} is {facts.state}: its blocks cannot be read",
            cause=facts.message or "only a completed snapshot can be read",
            cure="wait until it is completed" if waits else "take another snapshot of the volume",
            code="SnapshotNotCompleted",
        )
    if facts.tier == "archive":
        return PreflightError(
            f"{facts.snapshot_id} is archived: its blocks cannot be read",
            cause="the EBS direct API reads snapshots of the standard tier only",
            cure=f"restore it: aws ec2 restore-snapshot-tier --snapshot-id {facts.snapshot_id} --permanent-restore",
            code="SnapshotArchived",
        )
    return None
