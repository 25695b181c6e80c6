"""Multipart uploads that are to go: one that is known, and those that S3 began and nobody could note.

S3 keeps, and bills, their parts until somebody aborts them. An upload whose CreateMultipartUpload was answered to
nobody - the answer was lost, or the process died before it wrote the id down - has no parts; one that
somebody else is filling has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vmie.aws.errors import refusals
from vmie.aws.session import Aws
from vmie.errors import AwsRefused, VmieError
from vmie.model import S3Object


def abort(aws: Aws, target: S3Object, upload_id: str, *, region: str | None = None) -> bool:
    """Drop a multipart upload and the parts it holds; False when there was none any more. Raises AwsRefused."""
    client: Any = aws.client("s3", region=region)
    try:
        with refusals("AbortMultipartUpload", operand=target.url):
            client.abort_multipart_upload(Bucket=target.bucket, Key=target.key, UploadId=upload_id, **aws.owned())
    except AwsRefused as error:
        if error.code == "NoSuchUpload":
            return False
        raise
    return True


def sweep(aws: Aws, target: S3Object, *, keep: str = "", region: str | None = None) -> int:
    """Abort every upload to exactly this key that has no parts, but `keep` and what others than its initiator began.

    How many went; what S3 does not let us list or abort stays: the transfer itself may still be allowed.
    """
    client: Any = aws.client("s3", region=region)
    where = {"Bucket": target.bucket, **aws.owned()}
    removed = 0
    try:
        with refusals("ListMultipartUploads", operand=target.url):
            listed = client.list_multipart_uploads(Prefix=target.key, **where).get("Uploads", ())
        found = [one for one in listed if one["Key"] == target.key]
        us = next((_initiator(one) for one in found if one["UploadId"] == keep), "")
        for one in found:
            if one["UploadId"] == keep or (us and _initiator(one) != us):
                continue
            with refusals("ListParts", operand=target.url):
                page = client.list_parts(Key=target.key, UploadId=one["UploadId"], MaxParts=1, **where)
            if not page.get("Parts"):
                removed += abort(aws, target, one["UploadId"], region=region)
    except VmieError:
        return removed
    return removed


def _initiator(upload: Mapping[str, Any]) -> str:
    return str(upload.get("Initiator", {}).get("ID", ""))
