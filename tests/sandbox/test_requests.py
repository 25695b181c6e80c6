"""Requests that AWS refuses for their parameters alone."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.conftest import BUCKET, HOUR, bootable, code_of, image_task, policy
from vmie.sandbox import Sandbox

WHERE = {"S3Bucket": BUCKET, "S3Key": "disk.raw"}
RAW = {"Format": "raw", "UserBucket": WHERE}


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({}, "MissingParameter"),
        ({"DiskContainers": []}, "MissingParameter"),
        ({"DiskContainers": [{"Format": "raw"}]}, "MissingParameter"),
        ({"DiskContainers": [{"UserBucket": WHERE}]}, "MissingParameter"),
        ({"DiskContainers": [{"Format": "qcow2", "UserBucket": WHERE}]}, "InvalidParameter"),
        ({"DiskContainers": [{**RAW, "Url": "s3://b/k"}]}, "InvalidParameterCombination"),
        ({"DiskContainers": [{"Format": "raw", "Url": "ftp://b/k"}]}, "InvalidParameter"),
        ({"DiskContainers": [{"Format": "raw", "Url": "s3://bucket-only"}]}, "InvalidParameter"),
        ({"DiskContainers": [{"Format": "raw", "UserBucket": {"S3Bucket": BUCKET}}]}, "InvalidParameter"),
        ({"DiskContainers": [{"SnapshotId": "snapshot"}]}, "InvalidSnapshotID.Malformed"),
        ({"DiskContainers": [RAW] * 22}, "InvalidParameter"),
        ({"DiskContainers": [RAW, {**RAW, "Format": "ova"}]}, "InvalidParameter"),
        ({"DiskContainers": [RAW], "BootMode": "uefi-preferred"}, "InvalidParameter"),
        ({"DiskContainers": [RAW], "Architecture": "arm64"}, "InvalidParameterValue"),
        ({"DiskContainers": [RAW], "LicenseType": "Free"}, "InvalidParameterValue"),
        ({"DiskContainers": [RAW], "Platform": "Plan9"}, "InvalidParameterValue"),
        (
            {"DiskContainers": [RAW], "LicenseType": "BYOL", "UsageOperation": "RunInstances"},
            "InvalidParameterCombination",
        ),
        ({"DiskContainers": [RAW], "UsageOperation": "RunInstances:9999"}, "InvalidParameter"),
        ({"DiskContainers": [RAW], "KmsKeyId": "alias/mine"}, "InvalidParameterDependency"),
        ({"DiskContainers": [RAW], "ClientToken": "x" * 65}, "InvalidClientToken"),
        ({"DiskContainers": [RAW], "RoleName": "arn:aws:iam::123456789012:role/vmimport"}, "InvalidParameterValue"),
        ({"DiskContainers": [RAW], "Description": "x" * 256}, "InvalidParameterValue"),
        (
            {
                "DiskContainers": [RAW],
                "TagSpecifications": [{"ResourceType": "image", "Tags": [{"Key": "a", "Value": "b"}]}],
            },
            "InvalidParameter",
        ),
        (
            {"DiskContainers": [{"SnapshotId": "snap-0123456789abcdef0"}], "BootMode": "uefi"},
            "MissingParameter",
        ),
        ({"DiskContainers": [RAW], "DryRun": True}, "DryRunOperation"),
    ],
)
def test_import_image_refuses(ec2: Any, disk: dict[str, Any], parameters: dict[str, Any], code: str) -> None:
    assert code_of(ec2.import_image, **parameters) == code
    assert ec2.describe_import_image_tasks()["ImportImageTasks"] == []


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({}, "MissingParameter"),
        ({"DiskContainer": {"Format": "ova", "UserBucket": WHERE}}, "InvalidParameter"),
        ({"DiskContainer": RAW, "KmsKeyId": "alias/mine"}, "InvalidParameterDependency"),
        ({"DiskContainer": RAW, "DryRun": True}, "DryRunOperation"),
    ],
)
def test_import_snapshot_refuses(ec2: Any, disk: dict[str, Any], parameters: dict[str, Any], code: str) -> None:
    assert code_of(ec2.import_snapshot, **parameters) == code


def test_dry_run_answers_with_http_412(ec2: Any, disk: dict[str, Any]) -> None:
    from botocore.exceptions import ClientError

    with pytest.raises(ClientError) as caught:
        ec2.import_image(DiskContainers=[disk], DryRun=True)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412


@pytest.mark.parametrize(
    "url",
    [
        "s3://{bucket}/disk.raw",
        "https://{bucket}.s3.us-east-1.amazonaws.com/disk.raw",
        "https://{bucket}.s3.amazonaws.com/disk.raw",
        "https://s3.us-east-1.amazonaws.com/{bucket}/disk.raw",
    ],
)
def test_an_object_may_be_named_by_url(ec2: Any, disk: dict[str, Any], url: str) -> None:
    container = {"Format": "raw", "Url": url.format(bucket=BUCKET)}
    assert code_of(ec2.import_image, DiskContainers=[container]) == ""


def test_a_presigned_url_needs_no_right_of_the_role(iam: Any, ec2: Any, s3: Any, disk: dict[str, Any]) -> None:
    everything_but_s3 = policy({"Effect": "Allow", "Action": "ec2:*", "Resource": "*"})
    iam.put_role_policy(RoleName="vmimport", PolicyName="vmimport", PolicyDocument=everything_but_s3)
    assert code_of(ec2.import_image, DiskContainers=[disk]) == "InvalidParameter"
    url = s3.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "disk.raw"})
    assert code_of(ec2.import_image, DiskContainers=[{"Format": "raw", "Url": url}]) == ""


class TestUrls:
    """An import reads a presigned URL as the service would: as it is when it is read, and only where it leads to."""

    def started(self, ec2: Any, url: str) -> str:
        return str(ec2.import_image(DiskContainers=[{"Format": "raw", "Url": url}])["ImportTaskId"])

    def ended(self, box: Sandbox, ec2: Any, task_id: str) -> tuple[str, str]:
        for _ in range(2):
            box.advance(HOUR)
            task = image_task(ec2, task_id)
        return task["Status"], task.get("StatusMessage", "")

    def presigned(self, box: Sandbox, lasts: int = 7200) -> str:
        where = {"Bucket": BUCKET, "Key": "disk.raw"}
        return str(box.client("s3").generate_presigned_url("get_object", Params=where, ExpiresIn=lasts))

    def test_one_that_holds_is_read(self, box: Sandbox, ec2: Any, disk: dict[str, Any]) -> None:
        assert self.ended(box, ec2, self.started(ec2, self.presigned(box))) == ("completed", "")

    @pytest.mark.parametrize("wrong", ["expired", "tampered", "another key", "a key that nobody has"])
    def test_one_that_does_not_hold_fails_the_task(
        self, box: Sandbox, ec2: Any, s3: Any, disk: dict[str, Any], wrong: str
    ) -> None:
        url = self.presigned(box, 30)
        if wrong == "tampered":
            url = self.presigned(box)[:-4] + "0000"
        elif wrong == "another key":
            s3.put_object(Bucket=BUCKET, Key="other.raw", Body=bootable())
            url = self.presigned(box).replace("disk.raw", "other.raw")
        elif wrong == "a key that nobody has":
            url = s3.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "disk.raw"})
        status, message = self.ended(box, ec2, self.started(ec2, url))
        assert (status, "do not have access" in message, "403" in message) == ("deleted", True, True), message

    @pytest.mark.parametrize("url", ["https://example.com/{bucket}/disk.raw", "https://s3.evil.com/{bucket}/disk.raw"])
    def test_one_that_leads_elsewhere_imports_nothing(
        self, box: Sandbox, ec2: Any, disk: dict[str, Any], url: str
    ) -> None:
        url = url.format(bucket=BUCKET)
        assert code_of(ec2.import_image, DiskContainers=[{"Format": "raw", "Url": url}]) == "InvalidParameter"
        container = {"Format": "raw", "Url": url}
        assert code_of(ec2.import_snapshot, DiskContainer=container) == "InvalidParameter"
        status, message = self.ended(box, ec2, self.started(ec2, f"{url}?X-Amz-Signature=0&X-Amz-Credential=a"))
        assert (status, "do not have access" in message) == ("deleted", True), message
