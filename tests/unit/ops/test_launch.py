"""What the older calls take beside a disk: kept in a job, judged before anything is read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vmie.aws.conversions import DiskImage, ImportInstance, ImportVolume
from vmie.errors import UsageError
from vmie.limits import LINUX_INSTANCE_TYPES_2016
from vmie.model import Profile, Route
from vmie.ops.import_ import ImportRequest
from vmie.ops.import_.placement import expect_type

FULL: dict[str, Any] = {
    "instance_type": "m3.large",
    "subnet": "subnet-01234567",
    "security_groups": ("sg-01234567", "web"),
    "private_ip": "10.0.0.4",
    "user_data": "/a/file",
    "shutdown_behavior": "stop",
    "tenancy": "default",
    "monitoring": True,
    "volume_size": 9,
    "attach_data_disks": True,
}
DISK = DiskImage("VMDK", 1_179_593_728, "https://b.example/m?X-Amz-Signature=1", 3)


def asked(route: Route = Route.INSTANCE, **fields: Any) -> ImportRequest:
    return ImportRequest(("/a/disk.raw",), route, **{"instance_type": "m3.large", **fields})


def test_a_request_survives_its_job() -> None:
    request = asked(**FULL)
    assert ImportRequest.from_json(json.loads(json.dumps(request.as_json()))) == request


@pytest.mark.parametrize("route", [Route.IMAGE, Route.SNAPSHOT])
def test_they_are_refused_on_the_other_routes(route: Route) -> None:
    with pytest.raises(UsageError) as caught:
        asked(route, **FULL)
    assert {"instance_type", "security_groups", "user_data", "attach_data_disks"} <= set(caught.value.fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"license_type": "BYOL"},
        {"usage_operation": "RunInstances:0800"},
        {"encrypted": True},
        {"kms_key": "alias/x"},
        {"role_name": "other"},
        {"client_token": "x"},
        {"boot_mode": "uefi"},
        {"register": "an-ami"},
        {"format": "ova"},
        {"instance_type": "m3"},
        {**FULL, "shutdown_behavior": "hibernate"},
        {**FULL, "private_ip": "10.0.0.300"},
        {**FULL, "volume_size": 0},
        {**FULL, "volume_size": 20_000},
    ],
)
def test_what_importinstance_has_no_field_for(fields: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        asked(**fields)
    assert caught.value.cause or caught.value.cure or "choose" in caught.value.message


def test_volumes_are_imported_one_by_one() -> None:
    with pytest.raises(UsageError, match="one disk"):
        ImportRequest(("/a/1", "/a/2"), Route.VOLUME, availability_zone="us-east-1a")


def test_the_page_lists_22_types() -> None:
    assert len(LINUX_INSTANCE_TYPES_2016) == len(set(LINUX_INSTANCE_TYPES_2016)) == 22
    for name in LINUX_INSTANCE_TYPES_2016:
        assert expect_type(asked(instance_type=name, platform="Linux", rules=Profile.Y2016)) == ""


def test_only_what_is_set_is_sent() -> None:
    assert ImportInstance(DISK, "Linux", "d").as_boto().keys() == {"Platform", "Description", "DiskImages"}
    sent = ImportInstance(
        DISK, "Windows", "d", instance_type="m3.large", security_groups=("sg-1", "web"), user_data=b"\x00\xff"
    ).as_boto()
    launch = sent["LaunchSpecification"]
    assert launch == {
        "InstanceType": "m3.large",
        "GroupIds": ["sg-1"],
        "GroupNames": ["web"],
        "UserData": {"Data": "AP8="},
    }
    assert sent["DiskImages"][0]["Image"]["Bytes"] == 1_179_593_728
    assert sent["DiskImages"][0]["Volume"] == {"Size": 3}
    volume = ImportVolume(DISK, "us-east-1a", "d").as_boto()
    assert volume.keys() == {"AvailabilityZone", "Description", "Image", "Volume"}


def test_secrets_are_not_shown() -> None:
    request = ImportInstance(DISK, "Linux", "d", user_data=b"the-password")
    assert "Signature" not in repr(request)
    assert "the-password" not in repr(request)
