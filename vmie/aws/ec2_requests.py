"""What vmie asks of VM Import/Export, as values; each knows its own wire form.

Only what is set is sent: an empty text, an empty list or None never reaches AWS, whose defaults then hold.
Shapes: the EC2 model 2016-11-15 (aws-facts 1.1, 1.2, 1.7, 1.9, 7.4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vmie.model import S3Object

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import TagTypeDef


def tag_list(tags: Mapping[str, str]) -> list[TagTypeDef]:
    """``{"k": "v"}`` as EC2 writes it."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def tag_specifications(resource: str, tags: Mapping[str, str]) -> list[dict[str, Any]]:
    """`tags` for one resource type, [] when there are none (AWS refuses an empty list of tags)."""
    return [{"ResourceType": resource, "Tags": tag_list(tags)}] if tags else []


def _sent(**parameters: Any) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if value not in (None, "", [], {}, ())}


@dataclass(frozen=True, slots=True)
class DiskSource:
    """One disk of an import: `object` in S3, or a presigned `url` (a secret), or an EBS `snapshot_id`.

    `format` is what AWS calls it: OVA, VHD, VHDX, VMDK or RAW.
    """

    format: str
    object: S3Object | None = None
    url: str = field(default="", repr=False)
    snapshot_id: str = ""
    description: str = ""
    device_name: str = ""

    def as_boto(self) -> dict[str, Any]:
        """An ``ImageDiskContainer``. `Url` and `UserBucket` together are refused, so the object wins."""
        bucket = {"S3Bucket": self.object.bucket, "S3Key": self.object.key} if self.object else None
        return _sent(
            Format=self.format.upper() if not self.snapshot_id else None,
            UserBucket=bucket,
            Url=None if bucket else self.url,
            SnapshotId=self.snapshot_id,
            Description=self.description,
            DeviceName=self.device_name,
        )


@dataclass(frozen=True, slots=True)
class Encryption:
    """How the result is encrypted. No key means the account's default EBS key."""

    kms_key: str = ""


@dataclass(frozen=True, slots=True)
class ImportImage:
    """ImportImage. `token` makes it idempotent: botocore does not fill it in for this call."""

    disks: Sequence[DiskSource]
    token: str
    description: str = ""
    architecture: str = ""
    platform: str = ""
    boot_mode: str = ""
    license_type: str = ""
    usage_operation: str = ""
    license_configurations: Sequence[str] = ()
    encryption: Encryption | None = None
    role_name: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    def as_boto(self) -> dict[str, Any]:
        """The parameters of the call."""
        return _sent(
            DiskContainers=[disk.as_boto() for disk in self.disks],
            ClientToken=self.token,
            Description=self.description,
            Architecture=self.architecture,
            Platform=self.platform,
            BootMode=self.boot_mode,
            LicenseType=self.license_type,
            UsageOperation=self.usage_operation,
            LicenseSpecifications=[{"LicenseConfigurationArn": arn} for arn in self.license_configurations],
            Encrypted=True if self.encryption else None,
            KmsKeyId=self.encryption.kms_key if self.encryption else None,
            RoleName=self.role_name,
            TagSpecifications=tag_specifications("import-image-task", self.tags),
        )


@dataclass(frozen=True, slots=True)
class ImportSnapshot:
    """ImportSnapshot: one disk, no look at what is on it."""

    disk: DiskSource
    token: str
    description: str = ""
    encryption: Encryption | None = None
    role_name: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    def as_boto(self) -> dict[str, Any]:
        """The parameters of the call (its container has neither SnapshotId nor DeviceName)."""
        container = {
            key: value for key, value in self.disk.as_boto().items() if key not in ("SnapshotId", "DeviceName")
        }
        return _sent(
            DiskContainer=container,
            ClientToken=self.token,
            Description=self.description,
            Encrypted=True if self.encryption else None,
            KmsKeyId=self.encryption.kms_key if self.encryption else None,
            RoleName=self.role_name,
            TagSpecifications=tag_specifications("import-snapshot-task", self.tags),
        )


@dataclass(frozen=True, slots=True)
class ExportImage:
    """ExportImage: every volume of an AMI, one object each, written by the role."""

    image_id: str
    format: str
    bucket: str
    token: str
    prefix: str = ""
    description: str = ""
    role_name: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    def as_boto(self) -> dict[str, Any]:
        """The parameters of the call."""
        return _sent(
            ImageId=self.image_id,
            DiskImageFormat=self.format.upper(),
            S3ExportLocation=_sent(S3Bucket=self.bucket, S3Prefix=self.prefix),
            ClientToken=self.token,
            Description=self.description,
            RoleName=self.role_name,
            TagSpecifications=tag_specifications("export-image-task", self.tags),
        )


@dataclass(frozen=True, slots=True)
class ExportInstance:
    """CreateInstanceExportTask: the root disk of an instance, written by the service itself.

    There is no token: `description` must tell this request from every other (see `ops.export`).
    """

    instance_id: str
    target: str
    format: str
    bucket: str
    prefix: str = ""
    container: str = ""
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    def as_boto(self) -> dict[str, Any]:
        """The parameters of the call."""
        return _sent(
            InstanceId=self.instance_id,
            TargetEnvironment=self.target,
            ExportToS3Task=_sent(
                DiskImageFormat=self.format.upper(),
                ContainerFormat=self.container,
                S3Bucket=self.bucket,
                S3Prefix=self.prefix,
            ),
            Description=self.description,
            TagSpecifications=tag_specifications("export-instance-task", self.tags),
        )


@dataclass(frozen=True, slots=True)
class RegisterImage:
    """RegisterImage from one EBS snapshot, with what AWS's defaults get wrong set right.

    Left alone AWS would register i386 and paravirtual (aws-facts 7.4). `volume_size_gib` may only grow.
    """

    name: str
    snapshot_id: str
    description: str = ""
    architecture: str = "x86_64"
    boot_mode: str = ""
    root_device: str = "/dev/sda1"
    volume_type: str = "gp3"
    volume_size_gib: int | None = None
    ena: bool = True
    imds_v2: bool = False
    tpm: bool = False
    data_snapshots: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)

    def as_boto(self) -> dict[str, Any]:
        """The parameters of the call; `data_snapshots` maps a device name to its snapshot."""
        root = _sent(SnapshotId=self.snapshot_id, VolumeType=self.volume_type, VolumeSize=self.volume_size_gib)
        mappings = [{"DeviceName": self.root_device, "Ebs": {**root, "DeleteOnTermination": True}}]
        mappings += [
            {
                "DeviceName": device,
                "Ebs": {"SnapshotId": snapshot, "VolumeType": self.volume_type, "DeleteOnTermination": True},
            }
            for device, snapshot in self.data_snapshots.items()
        ]
        return _sent(
            Name=self.name,
            Description=self.description,
            Architecture=self.architecture,
            VirtualizationType="hvm",
            RootDeviceName=self.root_device,
            BlockDeviceMappings=mappings,
            EnaSupport=self.ena,
            BootMode=self.boot_mode,
            ImdsSupport="v2.0" if self.imds_v2 else None,
            TpmSupport="v2.0" if self.tpm else None,
            TagSpecifications=tag_specifications("image", self.tags),
        )
