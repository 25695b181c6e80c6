"""Uploads that S3 began and nobody noted go; one that somebody is filling stays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from vmie.aws.abandoned_uploads import sweep
from vmie.aws.session import Aws
from vmie.model import S3Object

TARGET = S3Object("bucket", "web/disk.vmdk")


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="bucket")
        yield client


def begun(s3: Any, key: str = TARGET.key, *, parts: int = 0) -> str:
    upload_id = str(s3.create_multipart_upload(Bucket="bucket", Key=key)["UploadId"])
    for number in range(1, parts + 1):
        s3.upload_part(Bucket="bucket", Key=key, UploadId=upload_id, PartNumber=number, Body=b"part")
    return upload_id


def left(s3: Any) -> set[str]:
    return {one["UploadId"] for one in s3.list_multipart_uploads(Bucket="bucket").get("Uploads", [])}


def test_only_empty_uploads_to_this_very_key_go(s3: Any) -> None:
    ours, filling, longer = begun(s3), begun(s3, parts=1), begun(s3, TARGET.key + ".old")
    begun(s3)
    begun(s3)
    aws = Aws(boto3.Session(), region="us-east-1")
    assert sweep(aws, TARGET, keep=ours) == 2
    assert left(s3) == {ours, filling, longer}
    assert sweep(aws, TARGET) == 1, "the kept one is empty too"
    assert left(s3) == {filling, longer}


def test_what_cannot_be_looked_at_is_no_failure(s3: Any) -> None:
    assert sweep(Aws(boto3.Session(), region="us-east-1"), S3Object("absent", "key")) == 0
