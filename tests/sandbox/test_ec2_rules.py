"""What EC2 refuses of volumes, snapshots, images and tags, and what it answers of images, held against AWS's words."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.sandbox.conftest import code_of
from tests.sandbox.ebs_direct import client
from vmie import sandbox
from vmie.sandbox import Sandbox
from vmie.sandbox.seed import IMAGE, SNAPSHOT

ZONE = "us-east-1a"


@pytest.mark.parametrize(
    ("volume", "code"),
    [
        ({"VolumeType": "gp4"}, "InvalidParameterValue"),
        ({"VolumeType": "io1", "Size": 10}, "MissingParameter"),
        ({"VolumeType": "io2", "Size": 10}, "MissingParameter"),
        ({"VolumeType": "io1", "Size": 10, "Iops": 99}, "InvalidParameterValue"),
        ({"VolumeType": "io2", "Size": 10, "Iops": 256001}, "InvalidParameterValue"),
        ({"VolumeType": "io1", "Size": 3, "Iops": 100}, "InvalidParameterValue"),
        ({"VolumeType": "gp2", "Iops": 3000}, "InvalidParameterCombination"),
        ({"VolumeType": "gp2", "Throughput": 125}, "InvalidParameterCombination"),
        ({"VolumeType": "gp2", "Size": 16385}, "InvalidParameterValue"),
        ({"VolumeType": "gp3", "Size": 65537}, "InvalidParameterValue"),
        ({"VolumeType": "gp3", "Iops": 2999}, "InvalidParameterValue"),
        ({"VolumeType": "gp3", "Throughput": 2001}, "InvalidParameterValue"),
        ({"VolumeType": "st1", "Size": 124}, "InvalidParameterValue"),
        ({"VolumeType": "sc1", "Size": 16385}, "InvalidParameterValue"),
        ({"VolumeType": "standard", "Size": 1025}, "InvalidParameterValue"),
    ],
    ids=str,
)
def test_volumes_that_cannot_be_are_refused_everywhere(ec2: Any, volume: dict[str, Any], code: str) -> None:
    whole = {"Size": 1, **volume}
    mapped = {**{name: value for name, value in whole.items() if name != "Size"}, "VolumeSize": whole["Size"]}
    devices = [
        {"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": SNAPSHOT}},
        {"DeviceName": "/dev/sdf", "Ebs": mapped},
    ]
    assert code_of(ec2.register_image, Name="mine", BlockDeviceMappings=devices) == code
    launch = {"ImageId": IMAGE, "MinCount": 1, "MaxCount": 1, "InstanceType": "t3.micro"}
    # moto passes no throughput on to a launch
    if "Throughput" not in volume:
        assert code_of(ec2.run_instances, **launch, BlockDeviceMappings=[devices[1]]) == code
    made = code_of(ec2.create_volume, AvailabilityZone=ZONE, **whole)
    # CreateVolume has a code of its own for what depends on the type
    assert made == (code if code == "InvalidParameterValue" else "InvalidParameterDependency")
    assert len(ec2.describe_volumes()["Volumes"]) == 1


def test_volumes_that_can_be_are_made(ec2: Any) -> None:
    for volume in (
        {"VolumeType": "io2", "Size": 65536, "Iops": 256000},
        {"VolumeType": "gp3", "Size": 65536, "Iops": 80000, "Throughput": 2000},
        {"VolumeType": "st1", "Size": 125},
        {"VolumeType": "standard", "Size": 1024},
        {"SnapshotId": SNAPSHOT},
    ):
        ec2.create_volume(AvailabilityZone=ZONE, **volume)


class TestSnapshots:
    def test_that_an_image_has_cannot_be_deleted(self, ec2: Any) -> None:
        devices = [{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": SNAPSHOT}}]
        assert code_of(ec2.delete_snapshot, SnapshotId=SNAPSHOT) == "InvalidSnapshot.InUse"
        second = ec2.register_image(Name="second", BlockDeviceMappings=devices)["ImageId"]
        ec2.deregister_image(ImageId=IMAGE)
        assert code_of(ec2.delete_snapshot, SnapshotId=SNAPSHOT) == "InvalidSnapshot.InUse"
        ec2.deregister_image(ImageId=second)
        assert code_of(ec2.delete_snapshot, SnapshotId=SNAPSHOT) == ""
        assert code_of(ec2.delete_snapshot, SnapshotId=SNAPSHOT) == "InvalidSnapshot.NotFound"

    def test_go_with_their_image_where_that_is_asked_for(self, ec2: Any) -> None:
        ec2.deregister_image(ImageId=IMAGE, DeleteAssociatedSnapshots=True)
        assert code_of(ec2.describe_snapshots, SnapshotIds=[SNAPSHOT]) == "InvalidSnapshot.NotFound"

    def test_that_are_pending_are_good_for_nothing_yet(self, ec2: Any, box: Sandbox) -> None:
        pending = client().start_snapshot(VolumeSize=1)["SnapshotId"]
        devices = [{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": pending}}]
        assert code_of(ec2.register_image, Name="mine", BlockDeviceMappings=devices) == "IncorrectState"
        assert code_of(ec2.create_volume, SnapshotId=pending, AvailabilityZone=ZONE) == "IncorrectState"
        assert code_of(ec2.copy_snapshot, SourceSnapshotId=pending, SourceRegion="us-east-1") == "IncorrectState"

    def test_a_volume_is_no_smaller_than_its_snapshot(self, ec2: Any) -> None:
        large = ec2.create_volume(Size=5, AvailabilityZone=ZONE)["VolumeId"]
        snapshot_id = ec2.create_snapshot(VolumeId=large)["SnapshotId"]
        call = {"SnapshotId": snapshot_id, "AvailabilityZone": ZONE}
        assert code_of(ec2.create_volume, **call, Size=4) == "InvalidParameterValue"
        assert ec2.create_volume(**call)["Size"] == 5


def test_keys_of_others_encrypt_nothing(ec2: Any, clients: Any) -> None:
    foreign = "arn:aws:kms:us-east-1:210987654321:key/00000000-0000-0000-0000-000000000000"
    elsewhere = clients("kms", "eu-west-1").create_key()["KeyMetadata"]["Arn"]
    for key in (foreign, elsewhere, "alias/none"):
        asked = {"Encrypted": True, "KmsKeyId": key}
        assert code_of(ec2.create_volume, Size=1, AvailabilityZone=ZONE, **asked) == "InvalidParameterValue"
        copy = {"SourceSnapshotId": SNAPSHOT, "SourceRegion": "us-east-1"}
        assert code_of(ec2.copy_snapshot, **copy, **asked) == "InvalidParameterValue"
        image = {"SourceImageId": IMAGE, "SourceRegion": "us-east-1", "Name": "copy"}
        assert code_of(ec2.copy_image, **image, **asked) == "InvalidParameterValue"


class TestTags:
    @pytest.mark.parametrize(
        ("tags", "code"),
        [
            ([{"Key": "k", "Value": "x" * 300}], "InvalidParameterValue"),
            ([{"Key": "x" * 129, "Value": ""}], "InvalidParameterValue"),
            ([{"Key": "aws:mine", "Value": ""}], "InvalidParameterValue"),
            ([{"Key": "AWS:mine", "Value": ""}], "InvalidParameterValue"),
            ([{"Key": "", "Value": ""}], "InvalidParameterValue"),
            ([{"Key": "k", "Value": "a"}, {"Key": "k", "Value": "b"}], "InvalidParameterValue"),
            ([{"Key": str(number), "Value": ""} for number in range(51)], "TagLimitExceeded"),
        ],
        ids=["value", "key", "reserved", "reserved in capitals", "empty", "twice", "too many"],
    )
    def test_that_cannot_be_are_refused_everywhere(
        self, ec2: Any, disk: dict[str, Any], tags: list[dict[str, str]], code: str
    ) -> None:
        def tagged(resource: str) -> dict[str, Any]:
            return {"TagSpecifications": [{"ResourceType": resource, "Tags": tags}]}

        assert code_of(ec2.create_tags, Resources=[SNAPSHOT], Tags=tags) == code
        devices = [{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": SNAPSHOT}}]
        for call, parameters, resource in (
            (ec2.register_image, {"Name": "mine", "BlockDeviceMappings": devices}, "image"),
            (ec2.create_volume, {"Size": 1, "AvailabilityZone": ZONE}, "volume"),
            (ec2.copy_snapshot, {"SourceSnapshotId": SNAPSHOT, "SourceRegion": "us-east-1"}, "snapshot"),
            (ec2.import_snapshot, {"DiskContainer": disk}, "import-snapshot-task"),
            (ec2.import_image, {"DiskContainers": [disk]}, "import-image-task"),
        ):
            assert code_of(call, **parameters, **tagged(resource)) == code, resource

    def test_of_the_greatest_length_are_taken(self, ec2: Any) -> None:
        tags = [{"Key": f"{number:0127}", "Value": "x" * 255} for number in range(50)]
        ec2.create_tags(Resources=[SNAPSHOT], Tags=tags)
        assert code_of(ec2.create_tags, Resources=[SNAPSHOT], Tags=[{"Key": "x", "Value": ""}]) == "TagLimitExceeded"


class TestImages:
    def register(self, ec2: Any, **more: Any) -> Any:
        devices = [
            {
                "DeviceName": "/dev/sda1",
                "Ebs": {"SnapshotId": SNAPSHOT, "VolumeType": "gp3", "Iops": 4000, "Throughput": 300, "VolumeSize": 9},
            },
            {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 4, "VolumeType": "io1", "Iops": 150}},
        ]
        call = {"Name": "mine", "Architecture": "x86_64", "VirtualizationType": "hvm", "BlockDeviceMappings": devices}
        return ec2.register_image(**{**call, **more})["ImageId"]

    def test_show_what_they_were_registered_with(self, ec2: Any) -> None:
        given = {
            "SriovNetSupport": "simple",
            "EnaSupport": True,
            "BootMode": "uefi",
            "TpmSupport": "v2.0",
            "ImdsSupport": "v2.0",
        }
        data = base64.b64encode(b"variables").decode()
        image_id = self.register(ec2, **given, UefiData=data)
        for one in (image_id, ec2.copy_image(SourceImageId=image_id, SourceRegion="us-east-1", Name="copy")["ImageId"]):
            (image,) = ec2.describe_images(ImageIds=[one])["Images"]
            assert {name: image[name] for name in given} == given
            assert (image["UsageOperation"], image["PlatformDetails"]) == ("RunInstances", "Linux/UNIX")
            assert image["ImageLocation"] == f"123456789012/{image['Name']}"
            root, other = (device["Ebs"] for device in image["BlockDeviceMappings"])
            assert (root["Iops"], root["Throughput"], root["VolumeSize"]) == (4000, 300, 9)
            assert (other["Iops"], "SnapshotId" in other, "Throughput" in other) == (150, False, False)
            for attribute, member in (
                ("sriovNetSupport", "SriovNetSupport"),
                ("bootMode", "BootMode"),
                ("tpmSupport", "TpmSupport"),
                ("uefiData", "UefiData"),
                ("imdsSupport", "ImdsSupport"),
            ):
                answer = ec2.describe_image_attribute(ImageId=one, Attribute=attribute)
                assert answer[member]["Value"] == {**given, "UefiData": data}[member]
        assert image["SourceImageId"] == image_id

    def test_show_nothing_that_was_not_given(self, ec2: Any) -> None:
        (image,) = ec2.describe_images(ImageIds=[self.register(ec2)])["Images"]
        assert image["EnaSupport"] is False
        absent = ("SriovNetSupport", "BootMode", "TpmSupport", "ImdsSupport")
        assert not set(absent) & set(image), image
        answer = ec2.describe_image_attribute(ImageId=image["ImageId"], Attribute="sriovNetSupport")
        assert not answer.get("SriovNetSupport")

    @pytest.mark.parametrize(
        ("given", "code"),
        [
            ({"Name": "x" * 129}, "InvalidAMIName.Malformed"),
            ({"Name": "mine!"}, "InvalidAMIName.Malformed"),
            ({"Architecture": "sparc"}, "InvalidParameterValue"),
            ({"VirtualizationType": "xen"}, "InvalidParameterValue"),
            ({"BootMode": "bios"}, "InvalidParameterValue"),
            ({"ImdsSupport": "v1.0"}, "InvalidParameterValue"),
            ({"SriovNetSupport": "yes"}, "InvalidParameterValue"),
            ({"TpmSupport": "v2.0"}, "InvalidParameterCombination"),
            ({"UefiData": "AAAA", "BootMode": "uefi"}, ""),
            ({"UefiData": "?", "BootMode": "uefi"}, "InvalidParameterValue"),
            ({"UefiData": "A" * 64004, "BootMode": "uefi"}, "InvalidParameterValue"),
            ({"RootDeviceName": "/dev/sdf"}, "InvalidBlockDeviceMapping"),
        ],
        ids=lambda value: str(value)[:40],
    )
    def test_that_cannot_be_are_refused(self, ec2: Any, given: dict[str, Any], code: str) -> None:
        assert code_of(self.register, ec2=ec2, **given) == code

    @pytest.mark.parametrize(
        "ebs",
        [
            {"SnapshotId": SNAPSHOT, "Encrypted": True},
            {"SnapshotId": SNAPSHOT, "VolumeType": "st1", "VolumeSize": 125},
            {"VolumeSize": 10},
        ],
        ids=str,
    )
    def test_have_a_root_that_boots(self, ec2: Any, ebs: dict[str, Any]) -> None:
        devices = [{"DeviceName": "/dev/sda1", "Ebs": ebs}]
        call = {"Name": "mine", "BlockDeviceMappings": devices}
        assert code_of(ec2.register_image, **call) == "InvalidBlockDeviceMapping"


def test_an_instance_has_the_rates_of_its_image(ec2: Any) -> None:
    devices = [{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": SNAPSHOT, "VolumeType": "gp3", "Iops": 4000}}]
    image = ec2.register_image(Name="fast", BlockDeviceMappings=devices)["ImageId"]
    instance = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    filters = [{"Name": "attachment.instance-id", "Values": [instance]}]
    (volume,) = ec2.describe_volumes(Filters=filters)["Volumes"]
    assert (volume["VolumeType"], volume["Iops"], volume["SnapshotId"]) == ("gp3", 4000, SNAPSHOT)


@pytest.fixture(params=["in process", "over HTTP"])
def either(request: pytest.FixtureRequest) -> Iterator[Any]:
    """EC2 of a sandbox of both kinds."""
    config = Config(retries={"total_max_attempts": 1})
    begin = sandbox.start if request.param == "in process" else sandbox.serve
    with begin(seeded=True, speed=0) as box:
        yield box.session.client("ec2", region_name="us-east-1", endpoint_url=box.url or None, config=config)


def test_an_action_that_is_not_there_is_refused_in_the_protocol(either: Any) -> None:
    for name, parameters in (
        ("describe_volume_status", {}),
        ("get_image_ancestry", {"ImageId": IMAGE}),
        ("describe_fast_snapshot_restores", {}),
        ("reset_image_attribute", {"ImageId": IMAGE, "Attribute": "launchPermission"}),
        ("lock_snapshot", {"SnapshotId": SNAPSHOT, "LockMode": "governance"}),
    ):
        with pytest.raises(ClientError) as caught:
            getattr(either, name)(**parameters)
        answer = caught.value.response
        assert answer["Error"]["Code"] == "NotImplemented", name
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 501
    none = "ami-00000000000000000"
    assert code_of(either.describe_image_attribute, ImageId=none, Attribute="ramdisk") == "InvalidAMIID.NotFound"
    assert not either.describe_image_attribute(ImageId=IMAGE, Attribute="ramdisk").get("RamdiskId")
