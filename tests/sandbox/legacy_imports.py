"""ImportInstance and ImportVolume by hand: parts and a manifest in the bucket, each thing changed on demand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import boto3

from tests.sandbox.conftest import BUCKET
from vmie.aws import manifest
from vmie.aws.manifest import ImportManifest, ManifestPart
from vmie.aws.presign import Presigner
from vmie.aws.session import Aws
from vmie.model import S3Object
from vmie.sandbox import environment

PART = 512 << 10


@dataclass
class Image:
    """An image in parts; `change` alters its manifest, `write` stores it."""

    aws: Aws
    manifest: ImportManifest
    key: str

    def change(self, change: Callable[[ImportManifest], ImportManifest]) -> Image:
        self.manifest = change(self.manifest)
        return self

    def part(self, index: int, **fields: Any) -> Image:
        parts = list(self.manifest.parts)
        parts[index] = replace(parts[index], **fields)
        self.manifest = replace(self.manifest, parts=tuple(parts))
        return self

    def write(self) -> str:
        """Store the manifest; its presigned URL."""
        item = S3Object(BUCKET, self.key)
        self.aws.client("s3").put_object(Bucket=BUCKET, Key=self.key, Body=manifest.write(self.manifest))
        return Presigner(self.aws, seconds=86_400).get(item)

    def disk(self, *, url: str = "", gib: int = 1) -> dict[str, Any]:
        """``Image`` and ``Volume`` of a request."""
        made = {"Format": self.manifest.format, "Bytes": self.manifest.size, "ImportManifestUrl": url or self.write()}
        return {"Image": made, "Volume": {"Size": gib}}


def stored(aws: Aws, data: bytes, *, format_: str = "RAW", name: str = "image", upload: bool = True) -> Image:
    """`data` in the bucket in parts of half a MiB, with a manifest that is right."""
    signer, parts = Presigner(aws, seconds=86_400), []
    for index, (start, end) in enumerate(manifest.ranges(len(data), PART)):
        item = S3Object(BUCKET, f"older/{name}.part{index}")
        if upload:
            aws.client("s3").put_object(Bucket=BUCKET, Key=item.key, Body=data[start : end + 1])
        parts.append(ManifestPart(start, end, item.key, signer.head(item), signer.get(item), signer.delete(item)))
    key = f"older/{name}.manifest.xml"
    made = ImportManifest(format_, len(data), 1, tuple(parts), signer.delete(S3Object(BUCKET, key)))
    return Image(aws, made, key)


def keys(s3: Any, prefix: str = "older/") -> list[str]:
    listed = s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
    return [entry["Key"] for entry in listed]


def conversion(ec2: Any, task_id: str) -> Any:
    return ec2.describe_conversion_tasks(ConversionTaskIds=[task_id])["ConversionTasks"][0]


def lasting_door() -> Aws:
    """A door to make once: it holds no state, and its clients take a second."""
    known = environment("")
    keys_ = {
        "aws_access_key_id": known["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": known["AWS_SECRET_ACCESS_KEY"],
    }
    return Aws(boto3.Session(**keys_), region="us-east-1")
