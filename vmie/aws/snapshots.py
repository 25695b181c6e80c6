"""Snapshots and volumes as EC2 shows them: what EBS made of blocks, and what is made of that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vmie.aws.ec2_requests import tag_specifications
from vmie.aws.errors import refusals
from vmie.errors import AwsRefused, VmieError

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import FilterTypeDef

    from vmie.aws.session import Aws

#: of EC2's error for a snapshot that is not there, or not to be seen yet
UNSEEN = "InvalidSnapshot.NotFound"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot. `state` is pending, completed or error, `message` what EBS says of it.

    `full_size` is the bytes of all its blocks, its parent's too; None where AWS does not say.
    """

    id: str
    state: str
    message: str = ""
    progress: str = ""
    full_size: int | None = None
    encrypted: bool = False


def look(aws: Aws, ids: Sequence[str]) -> dict[str, Snapshot]:
    """The snapshots by their ids; those that are not to be seen (yet) are not in it. Raises AwsRefused."""
    found: dict[str, Snapshot] = {}
    # One that is unseen makes EC2 refuse a call that names it; as a filter it is only missing.
    for start in range(0, len(ids), 200):
        some = list(ids[start : start + 200])
        with refusals("DescribeSnapshots", operand=", ".join(some[:3])):
            pages = (
                aws.client("ec2")
                .get_paginator("describe_snapshots")
                .paginate(Filters=[{"Name": "snapshot-id", "Values": some}])
            )
            for page in pages:
                found |= {str(raw["SnapshotId"]): _snapshot(raw) for raw in page.get("Snapshots") or ()}
    return found


def _snapshot(raw: Mapping[str, Any]) -> Snapshot:
    full = raw.get("FullSnapshotSizeInBytes")
    return Snapshot(
        id=str(raw["SnapshotId"]),
        state=str(raw.get("State", "pending")),
        message=str(raw.get("StateMessage") or ""),
        progress=str(raw.get("Progress") or ""),
        full_size=int(full) if full is not None else None,
        encrypted=bool(raw.get("Encrypted")),
    )


def pending(aws: Aws, *, tag: str = "") -> frozenset[str] | None:
    """Those of the account's snapshots that are pending in the Region, with `tag` those that bear one of that name.

    None for a caller who may not look.
    """
    filters: list[FilterTypeDef] = [{"Name": "status", "Values": ["pending"]}]
    if tag:
        filters.append({"Name": "tag-key", "Values": [tag]})
    try:
        with refusals("DescribeSnapshots"):
            pages = aws.client("ec2").get_paginator("describe_snapshots").paginate(OwnerIds=["self"], Filters=filters)
            return frozenset(str(raw["SnapshotId"]) for page in pages for raw in page.get("Snapshots") or ())
    except AwsRefused:
        return None


def delete(aws: Aws, snapshot_id: str) -> bool:
    """Delete a snapshot; False when it was gone already. Raises AwsRefused."""
    try:
        with refusals("DeleteSnapshot", operand=snapshot_id):
            aws.client("ec2").delete_snapshot(SnapshotId=snapshot_id)
    except AwsRefused as error:
        if error.code == UNSEEN:
            return False
        raise
    return True


@dataclass(frozen=True, slots=True)
class CreateVolume:
    """CreateVolume from a snapshot; `size_gib` may only grow. The same `token` gives the same volume."""

    snapshot_id: str
    zone: str
    token: str
    volume_type: str = "gp3"
    size_gib: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


def create_volume(aws: Aws, request: CreateVolume) -> str:
    """The id of the volume that is being made. Raises AwsRefused."""
    size: dict[str, Any] = {"Size": request.size_gib} if request.size_gib else {}
    with refusals("CreateVolume", operand=request.snapshot_id):
        answer = aws.client("ec2").create_volume(
            SnapshotId=request.snapshot_id,
            AvailabilityZone=request.zone,
            VolumeType=request.volume_type,  # type: ignore[arg-type] # one of its literals, by the schema of options
            ClientToken=request.token,
            TagSpecifications=tag_specifications("volume", request.tags),  # type: ignore[arg-type]
            **size,
        )
    return str(answer["VolumeId"])


def volume_state(aws: Aws, volume_id: str) -> str:
    """creating, available, error …; "creating" too while it is not visible yet. Raises AwsRefused."""
    try:
        with refusals("DescribeVolumes", operand=volume_id):
            found = aws.client("ec2").describe_volumes(VolumeIds=[volume_id]).get("Volumes") or []
    except VmieError as error:
        if error.code == "InvalidVolume.NotFound":
            return "creating"
        raise
    return str(found[0].get("State", "creating")) if found else "creating"
