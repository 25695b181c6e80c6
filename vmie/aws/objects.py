"""Single S3 objects: what S3 says of one, and its end; always in a bucket of the account's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vmie.aws.errors import refusals
from vmie.aws.session import Aws
from vmie.errors import AwsRefused
from vmie.model import S3Object

_ABSENT = ("NotFound", "NoSuchKey", "404")


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """What HeadObject says. `etag` has its quotes; `sha256` is base64, with ``-PARTS`` behind for a multipart one.

    `storage` is its class; `encryption` is AES256, aws:kms …, "" where S3 does not say; `metadata` has lower-case keys.
    """

    size: int
    etag: str
    sha256: str = ""
    storage: str = "STANDARD"
    encryption: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


def facts(aws: Aws, target: S3Object, *, own: bool = True, region: str | None = None) -> ObjectFacts | None:
    """What S3 says of an object, None when there is none. With `own` its bucket must be the account's.

    Raises AwsRefused when it may not be seen.
    """
    owned = aws.owned() if own else {}
    try:
        with refusals("HeadObject", operand=target.url):
            head: dict[str, Any] = dict(
                aws.client("s3", region=region).head_object(
                    Bucket=target.bucket, Key=target.key, ChecksumMode="ENABLED", **owned
                )
            )
    except AwsRefused as error:
        if error.code in _ABSENT:
            return None
        raise
    return of_head(head)


def of_head(head: Mapping[str, Any]) -> ObjectFacts:
    """The facts in a HeadObject answer."""
    return ObjectFacts(
        size=int(head["ContentLength"]),
        etag=str(head.get("ETag", "")),
        sha256=str(head.get("ChecksumSHA256", "")),
        storage=str(head.get("StorageClass") or "STANDARD"),
        encryption=str(head.get("ServerSideEncryption", "")),
        metadata={str(key).lower(): str(value) for key, value in (head.get("Metadata") or {}).items()},
    )


def size(aws: Aws, target: S3Object) -> int:
    """Bytes of an object. Raises AwsRefused when it is not there or may not be seen."""
    return existing(aws, target).size


def existing(aws: Aws, target: S3Object, *, own: bool = True, region: str | None = None) -> ObjectFacts:
    """What S3 says of an object that must be there. Raises AwsRefused when it is not, or may not be seen."""
    found = facts(aws, target, own=own, region=region)
    if found is None:
        raise AwsRefused(
            f"{target.url} does not exist", cure=f"aws s3 ls s3://{target.bucket}/ shows what does", code="NoSuchKey"
        )
    return found


def delete(aws: Aws, target: S3Object, *, region: str | None = None) -> None:
    """Delete an object; none there is fine. Raises AwsRefused."""
    with refusals("DeleteObject", operand=target.url):
        aws.client("s3", region=region).delete_object(Bucket=target.bucket, Key=target.key, **aws.owned())
