"""Snapshots that are taken to be read once: of a volume, or of all volumes of an instance at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vmie.aws.ec2_requests import tag_specifications
from vmie.aws.errors import refusals
from vmie.aws.session import Aws


@dataclass(frozen=True, slots=True)
class VolumeFacts:
    """A volume as EC2 shows it; `size` in GiB."""

    id: str
    size: int
    encrypted: bool
    kms_key: str


def volumes(aws: Aws, ids: list[str]) -> dict[str, VolumeFacts]:
    """Volumes by their ids. Raises AwsRefused, also when one is not there."""
    with refusals("DescribeVolumes", operand=", ".join(ids)):
        answer = aws.client("ec2").describe_volumes(VolumeIds=ids)
    return {
        str(one["VolumeId"]): VolumeFacts(
            str(one["VolumeId"]), int(one["Size"]), bool(one.get("Encrypted")), str(one.get("KmsKeyId") or "")
        )
        for one in answer.get("Volumes") or ()
    }


def take(aws: Aws, source: str, *, description: str, tags: Mapping[str, str]) -> dict[str, str]:
    """The new snapshots by the ids of their volumes: of a volume, or of an instance (``i-…``), all at one moment.

    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateSnapshots.html. Raises AwsRefused.
    """
    marked = tag_specifications("snapshot", tags)
    if source.startswith("i-"):
        with refusals("CreateSnapshots", operand=source):
            taken = aws.client("ec2").create_snapshots(
                InstanceSpecification={"InstanceId": source},
                Description=description,
                TagSpecifications=marked,  # type: ignore[arg-type] # of this very shape
            )
        return {str(one["VolumeId"]): str(one["SnapshotId"]) for one in taken.get("Snapshots") or ()}
    with refusals("CreateSnapshot", operand=source):
        one = aws.client("ec2").create_snapshot(
            VolumeId=source,
            Description=description,
            TagSpecifications=marked,  # type: ignore[arg-type] # of this very shape
        )
    return {source: str(one["SnapshotId"])}


def tagged(aws: Aws, key: str, value: str) -> dict[str, str]:
    """Own snapshots with a tag, by the ids of their volumes. Raises AwsRefused."""
    filters = [{"Name": f"tag:{key}", "Values": [value]}]
    with refusals("DescribeSnapshots", operand=value):
        pages = aws.client("ec2").get_paginator("describe_snapshots").paginate(OwnerIds=["self"], Filters=filters)  # type: ignore[arg-type] # of this very shape
        return {
            str(one["VolumeId"]): str(one["SnapshotId"])
            for page in pages
            for one in page.get("Snapshots") or ()
            if one.get("VolumeId")
        }
