"""Requests that AWS refuses for their parameters alone."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.conftest import BUCKET, code_of, policy

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
