"""What can be known of an instance, an AMI and a bucket before an export is asked for.

Only reads. What the caller may not read is None ("not known"), so that a missing permission never looks like a
clean bill: the rules in `vmie.ops.export` say `unknown` then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from vmie.aws import s3
from vmie.aws.errors import refusals
from vmie.aws.session import Aws
from vmie.errors import AwsRefused, says
from vmie.policy import Document

T = TypeVar("T")

#: codes that mean "you may not look", not "it is wrong"
_DENIED = ("UnauthorizedOperation", "AccessDenied", "AccessDeniedException", "MethodNotAllowed", "NotImplemented")


@dataclass(frozen=True, slots=True)
class AttachedVolume:
    """One EBS volume of an instance, or one snapshot in an AMI's block device mapping. `size` in GiB.

    `encrypted` and `size` are None when they could not be read; `missing`: the snapshot is gone.
    """

    device: str
    id: str
    size: int | None = None
    encrypted: bool | None = None
    missing: bool = False


@dataclass(frozen=True, slots=True)
class Image:
    """An AMI. `ephemeral` are device names of instance-store volumes."""

    id: str
    owner: str
    state: str
    root_device_type: str
    name: str = ""
    description: str = ""
    platform_details: str = ""
    usage_operation: str = ""
    product_codes: tuple[str, ...] = ()
    volumes: tuple[AttachedVolume, ...] = ()
    ephemeral: tuple[str, ...] = ()

    @property
    def imported(self) -> bool:
        """Whether VM Import made it: it names its AMIs after the task and says so in the description."""
        return self.name.startswith("import-ami-") or "AWS-VMImport" in self.description


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance. `image` is None when its AMI is gone or not visible; `interfaces` counts network interfaces."""

    id: str
    owner: str
    state: str
    root_device: str
    root_device_type: str
    image_id: str
    image: Image | None
    platform_details: str = ""
    usage_operation: str = ""
    product_codes: tuple[str, ...] = ()
    volumes: tuple[AttachedVolume, ...] = ()
    interfaces: int = 1


@dataclass(frozen=True, slots=True)
class ExportBucket:
    """What an export asks of a bucket. `policy` {} means none; each None means "could not be read"."""

    name: str
    encryption: str | None = None
    policy: Document | None = None
    grants: tuple[tuple[str, str], ...] | None = None
    ownership: str | None = None


def instance(aws: Aws, instance_id: str) -> Instance:
    """The facts of one instance; raises AwsRefused (InvalidInstanceID.NotFound, …)."""
    with refusals("DescribeInstances", operand=instance_id):
        answer = aws.client("ec2").describe_instances(InstanceIds=[instance_id])
    found = next(
        ((group, item) for group in answer.get("Reservations", []) for item in group.get("Instances", [])), None
    )
    if found is None:
        raise AwsRefused(
            f"there is no instance {instance_id} in {aws.region}",
            cure=says("check the id, {region} and {profile}"),
            code="InvalidInstanceID.NotFound",
        )
    group, item = found
    attached = [
        (mapping.get("DeviceName", ""), mapping["Ebs"]["VolumeId"])
        for mapping in item.get("BlockDeviceMappings", [])
        if mapping.get("Ebs", {}).get("VolumeId")
    ]
    image_id = item.get("ImageId", "")
    return Instance(
        id=instance_id,
        owner=group.get("OwnerId", ""),
        state=item.get("State", {}).get("Name", ""),
        root_device=item.get("RootDeviceName", ""),
        root_device_type=item.get("RootDeviceType", ""),
        image_id=image_id,
        image=_maybe_image(aws, image_id) if image_id else None,
        platform_details=item.get("PlatformDetails", ""),
        usage_operation=item.get("UsageOperation", ""),
        product_codes=_codes(item.get("ProductCodes", [])),
        volumes=_volumes(aws, attached),
        interfaces=len(item.get("NetworkInterfaces", [])),
    )


def image(aws: Aws, image_id: str) -> Image:
    """The facts of one AMI; raises AwsRefused (InvalidAMIID.NotFound, …)."""
    with refusals("DescribeImages", operand=image_id):
        answer = aws.client("ec2").describe_images(ImageIds=[image_id])
    for item in answer.get("Images", []):
        return _image(aws, item)
    raise AwsRefused(
        f"there is no AMI {image_id} in {aws.region}",
        cure=says("check the id, {region} and {profile}"),
        code="InvalidAMIID.NotFound",
    )


def bucket(aws: Aws, name: str, *, grants: bool) -> ExportBucket:
    """The facts of a bucket; its policy and ACL only with `grants`, since an AMI's export does not need them."""
    return aws.cached(("export bucket", name, grants), lambda: _bucket(aws, name, grants=grants))


def _bucket(aws: Aws, name: str, *, grants: bool) -> ExportBucket:
    return ExportBucket(
        name=name,
        encryption=_or_none(lambda: s3.encryption(aws, name) or ""),
        policy=_or_none(lambda: s3.bucket_policy(aws, name) or {}) if grants else None,
        grants=_or_none(lambda: _acl(aws, name)) if grants else None,
        ownership=_or_none(lambda: s3.ownership(aws, name) or "") if grants else None,
    )


def _or_none(read: Callable[[], T]) -> T | None:
    try:
        return read()
    except AwsRefused as error:
        if error.code in _DENIED:
            return None
        raise


def _maybe_image(aws: Aws, image_id: str) -> Image | None:
    try:
        return image(aws, image_id)
    except AwsRefused as error:
        if error.code.startswith("InvalidAMIID") or error.code in _DENIED:
            return None
        raise


def _image(aws: Aws, item: Any) -> Image:
    mappings = item.get("BlockDeviceMappings", [])
    ebs = [(mapping.get("DeviceName", ""), mapping["Ebs"]) for mapping in mappings if mapping.get("Ebs")]
    known = _snapshots(aws, [mapping["SnapshotId"] for _, mapping in ebs if mapping.get("SnapshotId")])
    return Image(
        id=item["ImageId"],
        owner=item.get("OwnerId", ""),
        state=item.get("State", ""),
        root_device_type=item.get("RootDeviceType", ""),
        name=item.get("Name", ""),
        description=item.get("Description", ""),
        platform_details=item.get("PlatformDetails", ""),
        usage_operation=item.get("UsageOperation", ""),
        product_codes=_codes(item.get("ProductCodes", [])),
        volumes=tuple(
            AttachedVolume(
                device=device,
                id=mapping.get("SnapshotId", ""),
                size=mapping.get("VolumeSize"),
                encrypted=mapping.get("Encrypted"),
                missing=known is not None and bool(mapping.get("SnapshotId")) and mapping["SnapshotId"] not in known,
            )
            for device, mapping in ebs
        ),
        ephemeral=tuple(mapping.get("DeviceName", "") for mapping in mappings if mapping.get("VirtualName")),
    )


def _snapshots(aws: Aws, ids: Sequence[str]) -> frozenset[str] | None:
    """Those of the snapshots that are there; None when that cannot be determined.

    By filter, not by id: one unknown id would make AWS refuse the whole call. The snapshots of somebody else's
    AMI are not shown, which says nothing: the rules ask only for our own AMIs.
    """
    if not ids:
        return frozenset()
    try:
        with refusals("DescribeSnapshots", operand=", ".join(ids)):
            pages = aws.client("ec2").get_paginator("describe_snapshots")
            answers = list(pages.paginate(Filters=[{"Name": "snapshot-id", "Values": list(ids)}]))
    except AwsRefused:
        return None
    return frozenset(snapshot["SnapshotId"] for answer in answers for snapshot in answer.get("Snapshots", []))


def _volumes(aws: Aws, attached: Sequence[tuple[str, str]]) -> tuple[AttachedVolume, ...]:
    if not attached:
        return ()
    try:
        with refusals("DescribeVolumes", operand=", ".join(volume for _, volume in attached)):
            answer = aws.client("ec2").describe_volumes(VolumeIds=[volume for _, volume in attached])
    except AwsRefused as error:
        if error.code not in _DENIED:
            raise
        return tuple(AttachedVolume(device, volume) for device, volume in attached)
    details = {item["VolumeId"]: item for item in answer.get("Volumes", [])}
    return tuple(
        AttachedVolume(
            device,
            volume,
            size=details.get(volume, {}).get("Size"),
            encrypted=details.get(volume, {}).get("Encrypted"),
        )
        for device, volume in attached
    )


def _acl(aws: Aws, name: str) -> tuple[tuple[str, str], ...]:
    with refusals("GetBucketAcl", operand=f"s3://{name}"):
        answer = aws.client("s3").get_bucket_acl(Bucket=name, ExpectedBucketOwner=aws.account)
    return tuple(
        (grant.get("Grantee", {}).get("ID", ""), str(grant.get("Permission", ""))) for grant in answer.get("Grants", [])
    )


def _codes(items: Iterable[Any]) -> tuple[str, ...]:
    """Marketplace product codes only; the other kind is the retired DevPay."""
    return tuple(item["ProductCodeId"] for item in items if item.get("ProductCodeType") == "marketplace")
