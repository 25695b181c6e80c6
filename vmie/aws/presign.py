"""Presigned URLs: what ImportInstance and ImportVolume read, look at and delete parts with. They are secrets.

Always SigV4, seven days at most, and never for longer than the credentials behind them live (aws-facts 2.5).
"""

from __future__ import annotations

import datetime as dt
from typing import Any
from urllib.parse import parse_qs, urlsplit

from vmie.aws.errors import refusals
from vmie.aws.session import Aws
from vmie.errors import AwsRefused, Set, VmieError
from vmie.limits import PRESIGNED_SECONDS
from vmie.model import S3Object

#: no session lives longer: GetSessionToken's most (a role's most is 12 hours)
_LONGEST_SESSION = 36 * 3600


class Presigner:
    """Makes URLs that are good for `seconds` (cut to seven days) from the moment each is made."""

    def __init__(self, aws: Aws, *, seconds: float) -> None:
        self._client: Any = aws.client("s3")
        self.seconds = lifetime(seconds)

    def head(self, item: S3Object) -> str:
        """To ask whether it is there."""
        return self._sign("head_object", item)

    def get(self, item: S3Object) -> str:
        """To read it."""
        return self._sign("get_object", item)

    def delete(self, item: S3Object) -> str:
        """To delete it."""
        return self._sign("delete_object", item)

    def _sign(self, operation: str, item: S3Object) -> str:
        with refusals("presigning", operand=item.url):
            url: str = self._client.generate_presigned_url(
                operation, Params={"Bucket": item.bucket, "Key": item.key}, ExpiresIn=self.seconds
            )
        # botocore falls back to SigV2 in the old Regions unless asked for SigV4; young buckets refuse that.
        if parse_qs(urlsplit(url).query).get("X-Amz-Algorithm") != ["AWS4-HMAC-SHA256"]:
            raise VmieError(
                f"a presigned URL for {item.url} is not signed with SigV4",
                cause="the S3 client in use signs in another way",
                cure="make clients with vmie.aws.session.connect, or with signature_version='s3v4'",
                code="NotSigV4",
            )
        return url


def lifetime(seconds: float) -> int:
    """Whole seconds that a URL wanted for `seconds` can have: 1 to 604,800."""
    return max(1, min(int(seconds), PRESIGNED_SECONDS.value))


def expect_lasting(aws: Aws, *, seconds: float, now: dt.datetime) -> str:
    """See that the credentials outlive URLs made `now` for `seconds`; a warning where that is unknown, else "".

    Raises AwsRefused (code CredentialsExpire) when the URLs would die with the session before their time.
    """
    known = aws.credentials()
    if known is None or not known.temporary:
        return ""
    wanted = lifetime(seconds)
    if known.expires is not None:
        left = int((known.expires - now).total_seconds())
        if left >= wanted:
            return ""
        raise _short_lived(f"they end {known.expires:%Y-%m-%d %H:%M} UTC, in {_span(left)}", left, wanted)
    if wanted > _LONGEST_SESSION:
        raise _short_lived(f"no session lasts longer than {_span(_LONGEST_SESSION)}", _LONGEST_SESSION, wanted)
    return f"the credentials are temporary and do not say when they end: they must last {_span(wanted)}"


def _short_lived(why: str, left: int, wanted: int) -> AwsRefused:
    shorter = max(0, left - 600)
    fewer = f"allow the task less time: VMIE_DEADLINE_SECONDS={shorter}, or longer sessions" if shorter >= 3600 else ""
    return AwsRefused(
        f"the AWS credentials end before the task's deadline in {_span(wanted)}",
        cause=f"AWS reads the parts by presigned URLs, which die with the session that signed them; {why}",
        cure=(
            fewer,
            "use an IAM user's access key for this import",
            Set("route", "image", "needs no presigned URLs, nor does a snapshot"),
        ),
        code="CredentialsExpire",
    )


def _span(seconds: int) -> str:
    if seconds >= 2 * 86_400:
        return f"{seconds / 86_400:.3g} days"
    return f"{seconds / 3600:.3g} hours" if seconds >= 5400 else f"{max(0, seconds) / 60:.0f} minutes"
