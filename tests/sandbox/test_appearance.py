"""Eventual consistency on request: what was made a moment ago is not there yet (IAM, S3, EC2 guides; coldsnap #43)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.conftest import BUCKET, HOUR, code_of, policy, snapshot_task
from tests.sandbox.ebs_direct import client, filled, put, refusal
from vmie.sandbox import Sandbox
from vmie.sandbox.appearance import Appearing, asked
from vmie.sandbox.seed import IMAGE, SNAPSHOT

TRUST = policy({"Effect": "Allow", "Principal": {"Service": "vmie.amazonaws.com"}, "Action": "sts:AssumeRole"})
DEVICES = [{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": SNAPSHOT}}]


@pytest.fixture(autouse=True)
def delayed(box: Sandbox) -> None:
    box.faults.appears_after = 5


def test_what_was_there_is_there(ec2: Any, s3: Any, iam: Any) -> None:
    assert ec2.describe_images(ImageIds=[IMAGE])["Images"]
    assert ec2.describe_snapshots(SnapshotIds=[SNAPSHOT])["Snapshots"]
    s3.head_bucket(Bucket=BUCKET)
    iam.get_role(RoleName="vmimport")


def test_a_new_bucket(box: Sandbox, s3: Any) -> None:
    s3.create_bucket(Bucket="brand-new")
    assert code_of(s3.head_bucket, Bucket="brand-new") == "404"
    assert code_of(s3.put_object, Bucket="brand-new", Key="k", Body=b"") == "NoSuchBucket"
    assert "brand-new" not in [one["Name"] for one in s3.list_buckets()["Buckets"]]
    box.advance(5)
    s3.put_object(Bucket="brand-new", Key="k", Body=b"")


def test_a_new_role(box: Sandbox, iam: Any) -> None:
    iam.create_role(RoleName="brand-new", AssumeRolePolicyDocument=TRUST)
    assert code_of(iam.get_role, RoleName="brand-new") == "NoSuchEntity"
    inline = {"RoleName": "brand-new", "PolicyName": "p", "PolicyDocument": TRUST}
    assert code_of(iam.put_role_policy, **inline) == "NoSuchEntity"
    assert code_of(iam.create_role, RoleName="brand-new", AssumeRolePolicyDocument=TRUST) == "EntityAlreadyExists"
    box.advance(5)
    assert code_of(iam.get_role, RoleName="brand-new") == ""


def test_a_new_image(box: Sandbox, ec2: Any) -> None:
    image = ec2.register_image(Name="mine", BlockDeviceMappings=DEVICES)["ImageId"]
    assert code_of(ec2.describe_images, ImageIds=[image]) == "InvalidAMIID.NotFound"
    assert image not in [one["ImageId"] for one in ec2.describe_images(Owners=["self"])["Images"]]
    assert code_of(ec2.register_image, Name="mine", BlockDeviceMappings=DEVICES) == "InvalidAMIName.Duplicate"
    box.advance(5)
    assert ec2.describe_images(ImageIds=[image])["Images"]


def test_a_new_snapshot_however_it_is_made(box: Sandbox, ec2: Any, disk: dict[str, Any]) -> None:
    volume = ec2.create_volume(Size=1, AvailabilityZone="us-east-1a")["VolumeId"]
    task = ec2.import_snapshot(DiskContainer=disk)["ImportTaskId"]
    box.advance(HOUR)
    made = [
        ec2.create_snapshot(VolumeId=volume)["SnapshotId"],
        ec2.copy_snapshot(SourceSnapshotId=SNAPSHOT, SourceRegion="us-east-1")["SnapshotId"],
        snapshot_task(ec2, task)["SnapshotId"],
    ]
    for snapshot_id in made:
        assert code_of(ec2.describe_snapshots, SnapshotIds=[snapshot_id]) == "InvalidSnapshot.NotFound"
        devices = [{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": snapshot_id}}]
        assert code_of(ec2.register_image, Name="mine", BlockDeviceMappings=devices) == "InvalidSnapshot.NotFound"
    box.advance(5)
    assert len(ec2.describe_snapshots(SnapshotIds=made)["Snapshots"]) == 3


def test_a_snapshot_that_was_just_started(box: Sandbox) -> None:
    ebs = client()
    snapshot_id = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    early = refusal(put, ebs=ebs, snapshot_id=snapshot_id, index=0, data=filled("x"))
    assert early == ("ResourceNotFoundException", "SNAPSHOT_NOT_FOUND")
    box.advance(5)
    put(ebs, snapshot_id, 0, filled("x"))


def test_the_mapping_hides_from_others_only() -> None:
    clock = [0.0]
    held: Appearing[str, int] = Appearing({"old": 1}, now=lambda: clock[0], delay=lambda: 2.0)
    with asked("RegisterImage"):
        held["mine"] = 2
        assert ("mine" in held, held.get("mine"), held["mine"], sorted(held)) == (True, 2, 2, ["mine", "old"])
    assert dict(held.items()) == {"old": 1, "mine": 2}
    with asked("DescribeImages"):
        assert ("mine" in held, held.get("mine", 7), list(held.values()), list(held.copy())) == (False, 7, [1], ["old"])
        with pytest.raises(KeyError):
            held["mine"]
        clock[0] = 2.0
        assert list(held.keys()) == ["old", "mine"]


def test_it_is_an_option_a_setting_and_ended_by_clear(box: Sandbox) -> None:
    box.faults.clear()
    assert box.faults.appears_after == 0
