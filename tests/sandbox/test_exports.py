"""Exports: what comes out is a real disk, and it is the one that went in."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.conftest import BUCKET, HOUR, MIB, bootable, code_of, image_task, message_of, policy
from tests.tools import need, run
from vmie import disk as disks
from vmie.limits import export_canonical_id
from vmie.sandbox import Sandbox
from vmie.sandbox.seed import IMAGE, INSTANCE

TO_BUCKET = {"S3Bucket": BUCKET, "S3Prefix": "out/"}


def keys(s3: Any) -> dict[str, int]:
    return {one["Key"]: one["Size"] for one in s3.list_objects_v2(Bucket=BUCKET, Prefix="out/").get("Contents", [])}


def body(s3: Any, key: str) -> bytes:
    return bytes(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())


def instance_task(ec2: Any, task_id: str) -> Any:
    return ec2.describe_export_tasks(ExportTaskIds=[task_id])["ExportTasks"][0]


def export_instance(ec2: Any, *, format_: str = "VMDK", **more: Any) -> Any:
    where = {"DiskImageFormat": format_, **TO_BUCKET, **more}
    return ec2.create_instance_export_task(InstanceId=INSTANCE, TargetEnvironment="vmware", ExportToS3Task=where)[
        "ExportTask"
    ]


@pytest.mark.parametrize("format_", ["VMDK", "VHD", "RAW"])
def test_an_image_comes_out_as_it_went_in(box: Sandbox, ec2: Any, s3: Any, tmp_path: Path, format_: str) -> None:
    went_in = bootable(3 * MIB, mark=b"the very disk")
    s3.put_object(Bucket=BUCKET, Key="in", Body=went_in)
    container = {"Format": "raw", "UserBucket": {"S3Bucket": BUCKET, "S3Key": "in"}}
    task_id = ec2.import_image(DiskContainers=[container])["ImportTaskId"]
    box.advance(HOUR)
    image_id = image_task(ec2, task_id)["ImageId"]
    s3.delete_object(Bucket=BUCKET, Key="in")
    export = ec2.export_image(ImageId=image_id, DiskImageFormat=format_, S3ExportLocation=TO_BUCKET)
    assert (export["Status"], export["StatusMessage"], export["Progress"]) == ("active", "validating", "0")
    box.advance(HOUR)
    (task,) = ec2.describe_export_image_tasks(ExportImageTaskIds=[export["ExportImageTaskId"]])["ExportImageTasks"]
    assert task["Status"] == "completed"
    key = f"out/{export['ExportImageTaskId']}.{format_.lower()}"
    assert set(keys(s3)) == {key, "out/vmimportexport_write_verification"}
    exported = disks.open(io.BytesIO(body(s3, key)))
    assert exported.read(0, len(went_in)) == went_in
    if format_ != "RAW":
        need("qemu-img")
        (tmp_path / "out").write_bytes(body(s3, key))
        run(["qemu-img", "convert", "-O", "raw", tmp_path / "out", tmp_path / "raw"])
        assert (tmp_path / "raw").read_bytes()[: len(went_in)] == went_in


def test_an_instance_comes_out_as_an_ova(box: Sandbox, ec2: Any, s3: Any) -> None:
    task_id = export_instance(ec2, ContainerFormat="ova")["ExportTaskId"]
    box.advance(2)
    assert keys(s3) == {"out/vmimportexport_write_verification": 0}
    box.advance(HOUR)
    task = instance_task(ec2, task_id)
    assert (task["State"], task["ExportToS3Task"]["S3Key"]) == ("completed", f"out/{task_id}.ova")
    data = body(s3, f"out/{task_id}.ova")
    assert disks.open(io.BytesIO(data)).read(0, 12) == b"vmie sandbox"


def test_the_prefix_is_put_before_the_id_as_it_is(box: Sandbox, ec2: Any, s3: Any) -> None:
    task_id = export_instance(ec2, S3Prefix="out/night-")["ExportTaskId"]
    box.advance(HOUR)
    assert f"out/night-{task_id}.vmdk" in keys(s3)


def test_an_instance_launched_from_an_import_is_exported(box: Sandbox, ec2: Any, s3: Any, disk: dict[str, Any]) -> None:
    task_id = ec2.import_image(DiskContainers=[disk])["ImportTaskId"]
    box.advance(HOUR)
    launched = ec2.run_instances(ImageId=image_task(ec2, task_id)["ImageId"], MinCount=1, MaxCount=1)
    instance_id = launched["Instances"][0]["InstanceId"]
    where = {"DiskImageFormat": "RAW", **TO_BUCKET}
    export = ec2.create_instance_export_task(InstanceId=instance_id, TargetEnvironment="citrix", ExportToS3Task=where)
    box.advance(HOUR)
    key = instance_task(ec2, export["ExportTask"]["ExportTaskId"])["ExportToS3Task"]["S3Key"]
    assert body(s3, key)[:512] == bootable()[:512]


class TestRefusals:
    def test_without_the_buckets_grant(self, ec2: Any, s3: Any) -> None:
        s3.delete_bucket_policy(Bucket=BUCKET)
        where = {"DiskImageFormat": "VMDK", **TO_BUCKET}
        call = {"InstanceId": INSTANCE, "TargetEnvironment": "vmware", "ExportToS3Task": where}
        assert code_of(ec2.create_instance_export_task, **call) == "InternalError"

    def test_a_grant_by_acl_counts_only_where_acls_are_on(self, ec2: Any, s3: Any) -> None:
        s3.delete_bucket_policy(Bucket=BUCKET)
        who = f'id="{export_canonical_id("us-east-1")}"'
        s3.put_bucket_acl(Bucket=BUCKET, GrantReadACP=who, GrantWrite=who)
        where = {"DiskImageFormat": "VMDK", **TO_BUCKET}
        call = {"InstanceId": INSTANCE, "TargetEnvironment": "vmware", "ExportToS3Task": where}
        assert code_of(ec2.create_instance_export_task, **call) == "InternalError"
        rules = {"Rules": [{"ObjectOwnership": "BucketOwnerPreferred"}]}
        s3.put_bucket_ownership_controls(Bucket=BUCKET, OwnershipControls=rules)
        s3.put_bucket_acl(Bucket=BUCKET, GrantReadACP=who, GrantWrite=who)
        assert code_of(ec2.create_instance_export_task, **call) == ""

    def test_image_exports_need_the_role_to_write(self, ec2: Any, iam: Any) -> None:
        reading = policy({"Effect": "Allow", "Action": ["s3:Get*", "s3:List*", "ec2:*"], "Resource": "*"})
        iam.put_role_policy(RoleName="vmimport", PolicyName="vmimport", PolicyDocument=reading)
        call = {"ImageId": IMAGE, "DiskImageFormat": "RAW", "S3ExportLocation": TO_BUCKET}
        assert "The service role vmimport provided" in message_of(ec2.export_image, **call)

    def test_buckets_elsewhere_or_with_kms(self, ec2: Any, s3: Any) -> None:
        s3.create_bucket(Bucket="elsewhere", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        call = {"ImageId": IMAGE, "DiskImageFormat": "RAW", "S3ExportLocation": {"S3Bucket": "elsewhere"}}
        assert message_of(ec2.export_image, **call) == "The given S3 bucket is not local to the Region"
        rules = [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}]
        s3.put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration={"Rules": rules})
        call["S3ExportLocation"] = {"S3Bucket": BUCKET}
        assert "KMS" in message_of(ec2.export_image, **call)

    def test_an_instance_with_two_volumes(self, ec2: Any) -> None:
        zone = ec2.describe_instances(InstanceIds=[INSTANCE])["Reservations"][0]["Instances"][0]["Placement"]
        volume = ec2.create_volume(AvailabilityZone=zone["AvailabilityZone"], Size=1)["VolumeId"]
        ec2.attach_volume(InstanceId=INSTANCE, VolumeId=volume, Device="/dev/sdb")
        where = {"DiskImageFormat": "VMDK", **TO_BUCKET}
        call = {"InstanceId": INSTANCE, "TargetEnvironment": "vmware", "ExportToS3Task": where}
        assert code_of(ec2.create_instance_export_task, **call) == "UnsupportedOperation"

    def test_an_instance_whose_image_is_gone(self, ec2: Any) -> None:
        ec2.deregister_image(ImageId=IMAGE)
        where = {"DiskImageFormat": "VMDK", **TO_BUCKET}
        call = {"InstanceId": INSTANCE, "TargetEnvironment": "vmware", "ExportToS3Task": where}
        assert code_of(ec2.create_instance_export_task, **call) == "NotExportable"

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"InstanceId": "i-00000000000000000"}, "InvalidInstanceID.NotFound"),
            ({"InstanceId": "machine"}, "InvalidInstanceID.Malformed"),
            ({"TargetEnvironment": "qemu"}, "InvalidParameterValue"),
            ({"ExportToS3Task": {"DiskImageFormat": "OVA", **TO_BUCKET}}, "InvalidParameterValue"),
            ({"ExportToS3Task": {"DiskImageFormat": "VHD", "ContainerFormat": "ova", **TO_BUCKET}}, "InvalidParameter"),
            ({"ExportToS3Task": {"DiskImageFormat": "VMDK"}}, "MissingParameter"),
        ],
    )
    def test_instance_requests(self, ec2: Any, change: dict[str, Any], code: str) -> None:
        where = {"DiskImageFormat": "VMDK", **TO_BUCKET}
        call = {"InstanceId": INSTANCE, "TargetEnvironment": "vmware", "ExportToS3Task": where, **change}
        assert code_of(ec2.create_instance_export_task, **call) == code

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"ImageId": "ami-00000000000000000"}, "InvalidAMIID.NotFound"),
            ({"ImageId": "image"}, "InvalidAMIID.Malformed"),
            ({"DiskImageFormat": "OVA"}, "InvalidParameterValue"),
            ({"DryRun": True}, "DryRunOperation"),
            ({"Description": "x" * 256}, "InvalidParameterValue"),
        ],
    )
    def test_image_requests(self, ec2: Any, change: dict[str, Any], code: str) -> None:
        call = {"ImageId": IMAGE, "DiskImageFormat": "RAW", "S3ExportLocation": TO_BUCKET, **change}
        assert code_of(ec2.export_image, **call) == code


class TestQuota:
    def test_five_exports_of_both_kinds(self, box: Sandbox, ec2: Any) -> None:
        for _ in range(4):
            export_instance(ec2)
        call = {"ImageId": IMAGE, "DiskImageFormat": "RAW", "S3ExportLocation": TO_BUCKET}
        assert code_of(ec2.export_image, **call) == ""
        where = {"DiskImageFormat": "VMDK", **TO_BUCKET}
        another = {"InstanceId": INSTANCE, "TargetEnvironment": "vmware", "ExportToS3Task": where}
        assert code_of(ec2.create_instance_export_task, **another) == "ResourceLimitExceeded"
        assert box.stats.peak["exports"] == 5

    def test_one_export_of_an_image_at_a_time(self, box: Sandbox, ec2: Any) -> None:
        call = {"ImageId": IMAGE, "DiskImageFormat": "RAW", "S3ExportLocation": TO_BUCKET}
        ec2.export_image(**call)
        assert code_of(ec2.export_image, **call) == "ResourceLimitExceeded"
        box.advance(HOUR)
        assert code_of(ec2.export_image, **call) == ""


class TestCancel:
    def test_leaves_no_object(self, box: Sandbox, ec2: Any, s3: Any) -> None:
        task_id = export_instance(ec2)["ExportTaskId"]
        box.advance(600)
        ec2.cancel_export_task(ExportTaskId=task_id)
        assert instance_task(ec2, task_id)["State"] == "cancelling"
        box.advance(HOUR)
        assert instance_task(ec2, task_id)["State"] == "cancelled"
        assert set(keys(s3)) == {"out/vmimportexport_write_verification"}

    def test_image_exports_go_through_deleting(self, box: Sandbox, ec2: Any) -> None:
        export = ec2.export_image(ImageId=IMAGE, DiskImageFormat="RAW", S3ExportLocation=TO_BUCKET)
        task_id = export["ExportImageTaskId"]
        ec2.cancel_export_task(ExportTaskId=task_id)

        def status() -> str:
            return str(ec2.describe_export_image_tasks(ExportImageTaskIds=[task_id])["ExportImageTasks"][0]["Status"])

        assert status() == "deleting"
        box.advance(HOUR)
        assert status() == "deleted"

    @pytest.mark.parametrize(
        ("task_id", "code"),
        [("export-i-0123456789abcdef0", "InvalidExportTaskID.NotFound"), ("x", "InvalidExportTaskID.Malformed")],
    )
    def test_of_no_task_is_refused(self, ec2: Any, task_id: str, code: str) -> None:
        assert code_of(ec2.cancel_export_task, ExportTaskId=task_id) == code
        assert code_of(ec2.describe_export_tasks, ExportTaskIds=[task_id]) == code


def test_a_client_token_is_one_export(box: Sandbox, ec2: Any) -> None:
    call = {"ImageId": IMAGE, "DiskImageFormat": "RAW", "S3ExportLocation": TO_BUCKET, "ClientToken": "once"}
    assert ec2.export_image(**call)["ExportImageTaskId"] == ec2.export_image(**call)["ExportImageTaskId"]
    assert box.stats.tasks["export-image"] == 1
