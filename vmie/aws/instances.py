"""Instances that are launched to be looked at: RunInstances, consoles, status checks, and their end.

An instance is granted nothing that is not asked for: no key, no profile, no address, no user data. It asks for IMDSv2,
ends itself when it shuts down, and takes its volumes with it.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vmie.aws.ec2_requests import tag_specifications
from vmie.aws.errors import refusals
from vmie.errors import AwsRefused

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

    from vmie.aws.session import Aws

#: of an instance that costs nothing any more
OVER = ("shutting-down", "terminated")
#: what RunInstances makes and tags
_TAGGED = ("instance", "volume", "network-interface")


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """One instance. `devices` are the EBS devices of the AMI; `token` makes the same launch the same instance."""

    image_id: str
    instance_type: str
    token: str
    devices: Sequence[str] = ()
    subnet: str = ""
    security_groups: Sequence[str] = ()
    profile: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    def as_boto(self) -> dict[str, Any]:
        """The parameters of RunInstances."""
        profile = {"Arn": self.profile} if self.profile.startswith("arn:") else {"Name": self.profile}
        ids = [one for one in self.security_groups if one.startswith("sg-")]
        names = [one for one in self.security_groups if not one.startswith("sg-")]
        given = {
            "SubnetId": self.subnet,
            "SecurityGroupIds": ids,
            "SecurityGroups": names,
            "IamInstanceProfile": profile if self.profile else None,
            # what ImportImage registers keeps its volumes when an instance ends
            "BlockDeviceMappings": [{"DeviceName": one, "Ebs": {"DeleteOnTermination": True}} for one in self.devices],
            "TagSpecifications": [one for kind in _TAGGED for one in tag_specifications(kind, self.tags)],
        }
        return {
            "ImageId": self.image_id,
            "InstanceType": self.instance_type,
            "MinCount": 1,
            "MaxCount": 1,
            "ClientToken": self.token,
            "InstanceInitiatedShutdownBehavior": "terminate",
            "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled"},
            **{name: value for name, value in given.items() if value},
        }


@dataclass(frozen=True, slots=True)
class LaunchedInstance:
    """An instance as DescribeInstances shows it; `reason` is the code of its state's reason."""

    id: str
    state: str
    instance_type: str
    image_id: str
    reason: str = ""
    reason_text: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        """Whether it has ended, or is ending."""
        return self.state in OVER


def run(aws: Aws, request: LaunchRequest) -> str:
    """Launch it; the same token gives the same instance. Its id. Raises AwsRefused."""
    with refusals("RunInstances", operand=f"{request.image_id} as {request.instance_type}"):
        answer = aws.client("ec2").run_instances(**request.as_boto())
    return str(answer["Instances"][0]["InstanceId"])


def find(aws: Aws, ids: Sequence[str]) -> dict[str, LaunchedInstance]:
    """Instances by their ids, those that AWS shows. Raises AwsRefused."""
    try:
        return {one.id: one for one in _described(aws, InstanceIds=list(ids))}
    except AwsRefused as error:
        if error.code != "InvalidInstanceID.NotFound":
            raise
    return {one.id: one for one in _described(aws, Filters=[{"Name": "instance-id", "Values": list(ids)}])}


def tagged(aws: Aws, key: str, value: str = "") -> list[LaunchedInstance]:
    """Instances with a tag that have not ended. Raises AwsRefused."""
    name = {"Name": f"tag:{key}", "Values": [value]} if value else {"Name": "tag-key", "Values": [key]}
    states = {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]}
    return _described(aws, Filters=[name, states])


def _described(aws: Aws, **given: Any) -> list[LaunchedInstance]:
    with refusals("DescribeInstances", operand=", ".join(given.get("InstanceIds", ())[:3])):
        pages = aws.client("ec2").get_paginator("describe_instances").paginate(**given)
        return [_of(one) for page in pages for held in page.get("Reservations") or () for one in held["Instances"]]


def _of(raw: InstanceTypeDef) -> LaunchedInstance:
    reason = raw.get("StateReason") or {}
    return LaunchedInstance(
        id=str(raw["InstanceId"]),
        state=str(raw["State"]["Name"]),
        instance_type=str(raw.get("InstanceType") or ""),
        image_id=str(raw.get("ImageId") or ""),
        reason=str(reason.get("Code") or ""),
        reason_text=str(reason.get("Message") or ""),
        tags={str(tag["Key"]): str(tag["Value"]) for tag in raw.get("Tags") or ()},
    )


def terminate(aws: Aws, ids: Sequence[str]) -> None:
    """End instances; one that has ended already is no error. Raises AwsRefused."""
    if not ids:
        return
    try:
        with refusals("TerminateInstances", operand=", ".join(ids)):
            aws.client("ec2").terminate_instances(InstanceIds=list(ids))
    except AwsRefused as error:
        if error.code != "InvalidInstanceID.NotFound" or len(ids) > 1:
            raise


def console(aws: Aws, instance_id: str, *, latest: bool) -> str:
    """What it has printed on its serial console, the last 64 KiB; "" for nothing yet. Raises AwsRefused.

    `latest` as it is now, which instances of the Nitro generations have; else as AWS last posted it.
    """
    with refusals("GetConsoleOutput", operand=instance_id):
        answer = aws.client("ec2").get_console_output(InstanceId=instance_id, Latest=latest)
    return str(answer.get("Output") or "")  # the SDK has decoded it


def screenshot(aws: Aws, instance_id: str) -> bytes:
    """A picture of its screen, a JPEG; b"" where AWS sends none. Raises AwsRefused."""
    with refusals("GetConsoleScreenshot", operand=instance_id):
        answer = aws.client("ec2").get_console_screenshot(InstanceId=instance_id, WakeUp=True)
    try:
        return base64.b64decode(answer.get("ImageData") or "", validate=False)
    except (ValueError, binascii.Error):
        return b""


@dataclass(frozen=True, slots=True)
class StatusChecks:
    """ok, impaired, initializing, insufficient-data or not-applicable: of AWS's side, and of the instance's."""

    system: str = ""
    instance: str = ""

    @property
    def settled(self) -> bool:
        """Whether both have looked."""
        return self.instance in ("ok", "impaired") and self.system in ("ok", "impaired")


def status(aws: Aws, instance_id: str) -> StatusChecks:
    """The status checks of an instance, "" for what is not shown yet. Raises AwsRefused."""
    with refusals("DescribeInstanceStatus", operand=instance_id):
        answer = aws.client("ec2").describe_instance_status(
            Filters=[{"Name": "instance-id", "Values": [instance_id]}], IncludeAllInstances=True
        )
    for one in answer.get("InstanceStatuses") or ():
        if one.get("InstanceId") == instance_id:
            return StatusChecks(
                str((one.get("SystemStatus") or {}).get("Status") or ""),
                str((one.get("InstanceStatus") or {}).get("Status") or ""),
            )
    return StatusChecks()


def pings(aws: Aws, instance_id: str) -> bool:
    """Whether the guest's SSM agent is online. Raises AwsRefused."""
    with refusals("DescribeInstanceInformation", operand=instance_id):
        answer = aws.client("ssm").describe_instance_information(
            Filters=[{"Key": "InstanceIds", "Values": [instance_id]}]
        )
    return any(one.get("PingStatus") == "Online" for one in answer.get("InstanceInformationList") or ())


def expiry(now: dt.datetime, seconds: float) -> str:
    """The value of the tag that says when an instance may be ended by anyone."""
    return (now + dt.timedelta(seconds=seconds)).replace(microsecond=0).isoformat()
