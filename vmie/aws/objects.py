"""Single S3 objects: their size, their end, and whose bucket they must be in."""

from __future__ import annotations

from typing import Any

from vmie.aws.errors import refusals
from vmie.aws.session import Aws
from vmie.errors import AwsRefused
from vmie.model import S3Object


def size(aws: Aws, target: S3Object) -> int:
    """Bytes of an object. Raises AwsRefused when it is not there or may not be seen."""
    found = find(aws, target)
    if found is None:
        raise AwsRefused(
            f"{target.url} does not exist", cure=f"aws s3 ls s3://{target.bucket}/ shows what does", code="NoSuchKey"
        )
    return found


def find(aws: Aws, target: S3Object) -> int | None:
    """Bytes of an object, None when there is none. Raises AwsRefused when it may not be seen."""
    found = etag(aws, target)
    return None if found is None else found[0]


def delete(aws: Aws, target: S3Object) -> None:
    """Delete an object; none there is fine. Raises AwsRefused."""
    client: Any = aws.client("s3")
    with refusals("DeleteObject", operand=target.url):
        client.delete_object(Bucket=target.bucket, Key=target.key, **owned(aws))


def owned(aws: Aws) -> dict[str, str]:
    """``ExpectedBucketOwner``: bytes never go to a bucket that became another account's."""
    return {"ExpectedBucketOwner": aws.account}


def etag(aws: Aws, target: S3Object) -> tuple[int, str] | None:
    """Bytes and ETag of an object, None when there is none."""
    client: Any = aws.client("s3")
    try:
        with refusals("HeadObject", operand=target.url):
            head = client.head_object(Bucket=target.bucket, Key=target.key, **owned(aws))
    except AwsRefused as error:
        if error.code in ("NotFound", "NoSuchKey", "404"):
            return None
        raise
    return int(head["ContentLength"]), str(head.get("ETag", ""))
