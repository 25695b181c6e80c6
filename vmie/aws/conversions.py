"""ImportInstance and ImportVolume, and the calls that follow: attaching volumes (aws-facts 1.5, 1.6).

Neither call takes a token or tags, so each is sent once: after a lost answer the task is looked for by the marker
in its description. `Image.Bytes` is bytes, whatever the API's page says; `Volume.Size` is GiB.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from vmie.aws.ec2_tasks import task_of
from vmie.aws.errors import refusals
from vmie.aws.session import Aws
from vmie.errors import AwsRefused, VmieError
from vmie.model import Task, TaskKind
from vmie.poll import VISIBILITY, Clock, retrying


@dataclass(frozen=True, slots=True)
class DiskImage:
    """One image in parts: `bytes` of the file, and the presigned URL of its manifest (a secret)."""

    format: str
    bytes: int
    manifest_url: str = field(repr=False)
    volume_gib: int

    def image(self) -> dict[str, Any]:
        """A ``DiskImageDetail``."""
        return {"Format": self.format, "Bytes": self.bytes, "ImportManifestUrl": self.manifest_url}

    def volume(self) -> dict[str, Any]:
        """A ``VolumeDetail``."""
        return {"Size": self.volume_gib}


@dataclass(frozen=True, slots=True)
class ImportInstance:
    """ImportInstance of one disk. Only what is set is sent; `user_data` is plain bytes, a secret."""

    disk: DiskImage
    platform: str
    description: str
    architecture: str = ""
    instance_type: str = ""
    subnet_id: str = ""
    security_groups: Sequence[str] = ()
    private_ip: str = ""
    availability_zone: str = ""
    tenancy: str = ""
    user_data: bytes = field(default=b"", repr=False)
    shutdown_behavior: str = ""
    monitoring: bool = False

    def as_boto(self) -> dict[str, Any]:
        """The parameters of the call."""
        ids = [one for one in self.security_groups if one.startswith("sg-")]
        placement = _sent(AvailabilityZone=self.availability_zone, Tenancy=self.tenancy)
        launch = _sent(
            Architecture=self.architecture,
            GroupIds=ids,
            GroupNames=[one for one in self.security_groups if one not in ids],
            # botocore encodes user data for RunInstances only
            UserData={"Data": base64.b64encode(self.user_data).decode("ascii")} if self.user_data else None,
            InstanceType=self.instance_type,
            Placement=placement,
            Monitoring=True if self.monitoring else None,
            SubnetId=self.subnet_id,
            InstanceInitiatedShutdownBehavior=self.shutdown_behavior,
            PrivateIpAddress=self.private_ip,
        )
        return _sent(
            Description=self.description,
            Platform=self.platform,
            LaunchSpecification=launch,
            DiskImages=[
                {"Description": self.description, "Image": self.disk.image(), "Volume": self.disk.volume()},
            ],
        )


@dataclass(frozen=True, slots=True)
class ImportVolume:
    """ImportVolume into an Availability Zone."""

    disk: DiskImage
    availability_zone: str
    description: str

    def as_boto(self) -> dict[str, Any]:
        """The parameters of the call."""
        return _sent(
            AvailabilityZone=self.availability_zone,
            Description=self.description,
            Image=self.disk.image(),
            Volume=self.disk.volume(),
        )


def _sent(**parameters: Any) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if value not in (None, "", [], {}, ())}


def import_instance(aws: Aws, request: ImportInstance) -> Task:
    """Start ImportInstance, one attempt only. Raises AwsRefused, or VmieError when there may be a task all the same."""
    with refusals("ImportInstance"):
        answer = aws.once("ec2").import_instance(**request.as_boto())
    return task_of(TaskKind.CONVERSION, answer["ConversionTask"])


def import_volume(aws: Aws, request: ImportVolume) -> Task:
    """Start ImportVolume, one attempt only; see `import_instance`."""
    with refusals("ImportVolume"):
        answer = aws.once("ec2").import_volume(**request.as_boto())
    return task_of(TaskKind.CONVERSION, answer["ConversionTask"])


def zone_of(task: Task) -> str:
    """The Availability Zone that a conversion task works in, "" before AWS says."""
    instance = task.raw.get("ImportInstance") or {}
    places = [*(instance.get("Volumes") or ()), task.raw.get("ImportVolume") or {}]
    return next((str(one["AvailabilityZone"]) for one in places if one.get("AvailabilityZone")), "")


def zone_of_instance(aws: Aws, instance_id: str) -> str:
    """The Availability Zone of an instance. Raises AwsRefused."""
    with refusals("DescribeInstances", operand=instance_id):
        answer = aws.client("ec2").describe_instances(InstanceIds=[instance_id])
    found = [one for reservation in answer["Reservations"] for one in reservation["Instances"]]
    return str(found[0]["Placement"].get("AvailabilityZone") or "") if found else ""


def attach(aws: Aws, volume_id: str, instance_id: str, device: str, *, clock: Clock) -> bool:
    """Attach a volume, unless it is attached to that instance already; whether it was done now.

    Waits out a volume that is not yet available. Raises AwsRefused, also when it is attached to another instance.
    """
    ec2: Any = aws.client("ec2")

    def call() -> bool:
        if _attached_to(aws, volume_id) == instance_id:
            return False
        try:
            with refusals("AttachVolume", operand=f"{volume_id} to {instance_id}"):
                ec2.attach_volume(VolumeId=volume_id, InstanceId=instance_id, Device=device)
        except AwsRefused:
            # A retry by the SDK after a lost answer meets its own attachment.
            if _attached_to(aws, volume_id) == instance_id:
                return False
            raise
        return True

    return retrying(call, clock=clock, classify=_unsettled, patience={"unsettled": VISIBILITY})


def _attached_to(aws: Aws, volume_id: str) -> str:
    with refusals("DescribeVolumes", operand=volume_id):
        found: Any = aws.client("ec2").describe_volumes(VolumeIds=[volume_id])["Volumes"]
    held = [one for volume in found for one in volume.get("Attachments") or () if one.get("State") != "detached"]
    return str(held[0]["InstanceId"]) if held else ""


def _unsettled(error: BaseException) -> str:
    code = error.code if isinstance(error, VmieError) else ""
    return "unsettled" if code in ("IncorrectState", "InvalidVolume.NotFound", "InvalidInstanceID.NotFound") else ""
