"""The caller's credentials, as far as they may be shown."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmie.aws.errors import refusals

if TYPE_CHECKING:
    import boto3


@dataclass(frozen=True, slots=True)
class CredentialFacts:
    """What may be said of the caller's credentials without showing them.

    `temporary`: a presigned URL dies with them (aws-facts 2.5). `expires` is None when they do not
    expire, renew themselves, or do not say. `source` is botocore's word: "env", "assume-role", "iam-role" …
    """

    source: str
    temporary: bool
    expires: dt.datetime | None = None


def facts_of(session: boto3.Session) -> CredentialFacts | None:
    """What is known of a session's credentials; None when it has none. Raises AwsRefused when they cannot be read."""
    with refusals("reading credentials"):
        found = session.get_credentials()
        if found is None:
            return None
        frozen = found.get_frozen_credentials()
    # botocore keeps the time private, and has no other way to tell it.
    expires = getattr(found, "_expiry_time", None)
    return CredentialFacts(
        source=str(found.method or ""),
        temporary=bool(frozen.token),
        expires=expires if isinstance(expires, dt.datetime) else None,
    )
