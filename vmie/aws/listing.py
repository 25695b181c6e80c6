"""Objects of S3, looked at: listed, and what S3 says of one before its bytes are fetched."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from vmie.aws.errors import refusals
from vmie.aws.session import Aws
from vmie.model import S3Object

#: checksums that HeadObject may answer and that can be computed here, strongest first (CRC64NVME and CRC32C have no
#: fast implementation in the standard library)
CHECKSUMS = ("SHA256", "SHA1", "CRC32")


@dataclass(frozen=True, slots=True)
class Head:
    """What S3 says of an object before its bytes are fetched. `checksums` are S3's own, base64.

    `part_size` is the size of the first part of a multipart upload; `parts_even` is True when all parts but the
    last are known to be as large.
    """

    size: int
    etag: str
    checksums: dict[str, str]
    checksum_type: str
    encryption: str
    part_size: int | None = None
    parts_even: bool = False


def listing(aws: Aws, bucket: str, prefix: str) -> list[S3Object]:
    """The objects under `prefix`, in order. Raises AwsRefused."""
    found: list[S3Object] = []
    pages = aws.client("s3").get_paginator("list_objects_v2")
    with refusals("ListObjectsV2", operand=f"s3://{bucket}/{prefix}"):
        for page in pages.paginate(Bucket=bucket, Prefix=prefix, ExpectedBucketOwner=aws.account):
            found += [S3Object(bucket, item["Key"], item["Size"]) for item in page.get("Contents", [])]
    return found


def head(aws: Aws, item: S3Object) -> Head:
    """What S3 says of `item`. Raises AwsRefused."""
    asked: dict[str, Any] = {"Bucket": item.bucket, "Key": item.key, "ExpectedBucketOwner": aws.account}
    with refusals("HeadObject", operand=item.url):
        answer = aws.client("s3").head_object(**asked, ChecksumMode="ENABLED")
        etag = answer["ETag"].strip('"')
        part, even = _parts(aws, asked, int(answer["ContentLength"])) if "-" in etag else (None, False)
    return Head(
        size=int(answer["ContentLength"]),
        etag=etag,
        checksums={name: str(answer[f"Checksum{name}"]) for name in CHECKSUMS if f"Checksum{name}" in answer},  # type: ignore[literal-required]
        checksum_type=str(answer.get("ChecksumType", "")),
        encryption=str(answer.get("ServerSideEncryption", "")),
        part_size=part,
        parts_even=even,
    )


def _parts(aws: Aws, asked: dict[str, Any], size: int) -> tuple[int, bool]:
    """The size of the first part, and whether the last one shows that the others are as large."""
    s3 = aws.client("s3")
    first = s3.head_object(**asked, PartNumber=1)
    length, count = int(first["ContentLength"]), int(first.get("PartsCount", 0))
    if count < 2:
        return length, count == 1
    last = s3.head_object(**asked, PartNumber=count)
    return length, (count - 1) * length + int(last["ContentLength"]) == size


def file_name(key: str) -> str:
    """A plain file name for an object's key: its last segment, with nothing in it that means more than a letter."""
    name = re.sub(r"[^A-Za-z0-9._ ()+@-]", "_", key.rstrip("/").rpartition("/")[2]).lstrip(". -")
    return name[-200:] or "object"
