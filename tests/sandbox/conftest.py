"""A sandbox whose clock stands still, and images to give it."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import boto3
import moto.core.models  # noqa: F401 - puts its stub into clients made from now on
import pytest
from botocore.config import Config

from vmie import sandbox
from vmie.sandbox import Sandbox

BUCKET = "vmie-sandbox"
HOUR = 3600.0
MIB = 1 << 20


@pytest.fixture
def box() -> Iterator[Sandbox]:
    """Seeded, and moved on by hand."""
    with sandbox.start(seeded=True, speed=0) as running:
        yield running


@pytest.fixture(scope="session")
def clients() -> Callable[[str, str], Any]:
    """Clients that are made once: they hold no state, and each costs a third of a second."""
    config = Config(retries={"total_max_attempts": 1})  # what the service answers, not what a retry makes of it
    session = boto3.Session(aws_access_key_id="made", aws_secret_access_key="up")
    return cache(lambda service, region: session.client(service, region_name=region, config=config))


@pytest.fixture
def ec2(box: Sandbox, clients: Callable[[str, str], Any]) -> Any:
    return clients("ec2", "us-east-1")


@pytest.fixture
def ec2_elsewhere(box: Sandbox, clients: Callable[[str, str], Any]) -> Any:
    return clients("ec2", "eu-west-1")


@pytest.fixture
def s3(box: Sandbox, clients: Callable[[str, str], Any]) -> Any:
    return clients("s3", "us-east-1")


@pytest.fixture
def iam(box: Sandbox, clients: Callable[[str, str], Any]) -> Any:
    return clients("iam", "us-east-1")


@pytest.fixture
def disk(s3: Any) -> dict[str, Any]:
    """A disk container for a small raw disk with a partition, in the bucket."""
    s3.put_object(Bucket=BUCKET, Key="disk.raw", Body=bootable())
    return {"Format": "raw", "UserBucket": {"S3Bucket": BUCKET, "S3Key": "disk.raw"}}


def bootable(size: int = 2 * MIB, *, mark: bytes = b"") -> bytes:
    """A raw disk with an MBR, one Linux partition, and `mark` in it."""
    data = bytearray(size)
    data[446:462] = struct.pack("<B3sB3sII", 0x80, b"\xfe\xff\xff", 0x83, b"\xfe\xff\xff", 2048, size // 512 - 2048)
    data[510:512] = b"\x55\xaa"
    data[2048 * 512 : 2048 * 512 + len(mark)] = mark
    return bytes(data)


def image_task(ec2: Any, task_id: str) -> Any:
    return ec2.describe_import_image_tasks(ImportTaskIds=[task_id])["ImportImageTasks"][0]


def snapshot_task(ec2: Any, task_id: str) -> Any:
    return ec2.describe_import_snapshot_tasks(ImportTaskIds=[task_id])["ImportSnapshotTasks"][0]["SnapshotTaskDetail"]


def code_of(call: Callable[..., Any], **parameters: Any) -> str:
    """The error code that a call is refused with, "" when it is not."""
    from botocore.exceptions import ClientError

    try:
        call(**parameters)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def message_of(call: Callable[..., Any], **parameters: Any) -> str:
    """The error message that a call is refused with, "" when it is not."""
    from botocore.exceptions import ClientError

    try:
        call(**parameters)
    except ClientError as error:
        return str(error.response["Error"]["Message"])
    return ""
