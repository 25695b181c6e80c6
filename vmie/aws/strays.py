"""Multipart uploads that nobody remembers: a process died between S3's answer and its own note of it.

S3 keeps, and bills, their parts until somebody aborts them. A key that belongs to one job tells them apart.
"""

from __future__ import annotations

from vmie.aws.errors import refusals
from vmie.aws.multipart import abort
from vmie.aws.session import Aws
from vmie.errors import AwsRefused
from vmie.model import S3Object

#: no job leaves more behind
_MOST = 100


def sweep(aws: Aws, target: S3Object, *, keep: str = "") -> int:
    """Abort every upload to exactly this key but `keep`; how many there were.

    None where S3 does not let us look: s3:ListBucketMultipartUploads is a courtesy here. Raises AwsRefused when one
    that was found cannot be aborted.
    """
    try:
        with refusals("ListMultipartUploads", operand=target.url):
            page = aws.client("s3").list_multipart_uploads(
                Bucket=target.bucket, Prefix=target.key, MaxUploads=_MOST, **aws.owned()
            )
    except AwsRefused:
        return 0
    found = [one["UploadId"] for one in page.get("Uploads", ()) if one["Key"] == target.key and one["UploadId"] != keep]
    for upload_id in found:
        abort(aws, target, upload_id)
    return len(found)
