"""Presigned URLs, verified as S3 does: SigV4 in the query, and SigV2 as older clients make it.

Sources: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html and
https://docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html#RESTAuthenticationQueryStringAuth
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from botocore.auth import HmacV1Auth
from botocore.credentials import Credentials

from vmie.limits import PRESIGNED_SECONDS
from vmie.sandbox.api_errors import ApiError
from vmie.sandbox.service import account_state

#: clocks may differ by that much (S3's own tolerance)
_SKEW = dt.timedelta(minutes=15)
#: for the resource's canonical form only, which no key goes into
_V2 = HmacV1Auth(Credentials("", ""))


def is_presigned(query: str) -> bool:
    """Does a query string carry a signature, of whichever version?"""
    names = {name.lower() for name, _ in parse_qsl(query, keep_blank_values=True)}
    return bool(names & {"x-amz-signature", "signature"})


def verify(method: str, url: str, headers: Mapping[str, str], *, now: dt.datetime, bucket: str = "") -> None:
    """Raise ApiError unless `url` was signed for this request with a key of the sandbox, and has not expired.

    `headers` have names in lower case. `bucket` is the one that the host names, "" where the path does.
    """
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if not is_presigned(parts.query):
        raise ApiError("AccessDenied", "Access Denied", status=403)
    if "X-Amz-Signature" in query:
        signature, expected = query["X-Amz-Signature"], _version_4(method, parts, query, headers=headers, now=now)
    else:
        signature = query.get("Signature", "")
        expected = _version_2(method, parts, query, headers=headers, now=now, bucket=bucket)
    if not hmac.compare_digest(signature.encode(), expected.encode()):
        raise ApiError(
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided.",
            status=403,
        )


def _secret(key: str) -> str:
    if secret := account_state.secret_key(key):
        return secret
    raise ApiError(
        "InvalidAccessKeyId",
        "The AWS Access Key Id you provided does not exist in our records."
        " A presigned URL must be signed with the credentials of `vmie sandbox env` or of a user or role made here.",
        status=403,
    )


def _version_4(
    method: str, parts: SplitResult, query: Mapping[str, str], *, headers: Mapping[str, str], now: dt.datetime
) -> str:
    try:
        signed = dt.datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=dt.UTC)
        lasts = int(query["X-Amz-Expires"])
        key, *scope = query["X-Amz-Credential"].split("/")
        names = query["X-Amz-SignedHeaders"].split(";")
        algorithm = query["X-Amz-Algorithm"]
    except (KeyError, ValueError) as error:
        raise _malformed() from error
    if not 1 <= lasts <= PRESIGNED_SECONDS.value or len(scope) != 4 or algorithm != "AWS4-HMAC-SHA256":
        raise _malformed()
    _require_time(signed - _SKEW, now, signed + dt.timedelta(seconds=lasts))
    payload = headers.get("x-amz-content-sha256") or query.get("X-Amz-Content-Sha256") or "UNSIGNED-PAYLOAD"
    canonical = "\n".join(
        (
            method,
            quote(unquote(parts.path), safe="/-_.~"),
            _canonical_query(parts.query),
            *(f"{name}:{' '.join(headers.get(name, '').split())}" for name in names),
            "",
            ";".join(names),
            payload,
        )
    )
    digest = hashlib.sha256(canonical.encode("utf-8", "surrogateescape")).hexdigest()
    text = "\n".join((algorithm, query["X-Amz-Date"], "/".join(scope), digest))
    mac = f"AWS4{_secret(key)}".encode()
    for step in (*scope, text):
        mac = hmac.digest(mac, step.encode("utf-8", "surrogateescape"), "sha256")
    return mac.hex()


def _canonical_query(query: str) -> str:
    pairs = [
        (quote(name, safe="-_.~"), quote(value, safe="-_.~"))
        for name, value in parse_qsl(query, keep_blank_values=True)
        if name != "X-Amz-Signature"
    ]
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def _version_2(
    method: str,
    parts: SplitResult,
    query: Mapping[str, str],
    *,
    headers: Mapping[str, str],
    now: dt.datetime,
    bucket: str,
) -> str:
    try:
        key, expires = query["AWSAccessKeyId"], int(query["Expires"])
        until = dt.datetime.fromtimestamp(expires, dt.UTC)
    except (KeyError, ValueError, OverflowError, OSError) as error:
        raise _malformed() from error
    _require_time(now, now, until)
    amazon = {name.lower(): value for name, value in query.items() if name.lower().startswith("x-amz-")}
    text = "\n".join(
        (
            method,
            *(headers.get(name) or query.get(name) or "" for name in ("content-md5", "content-type")),
            str(expires),
            *(f"{name}:{value}" for name, value in sorted(amazon.items())),
            _V2.canonical_resource(parts, auth_path=f"/{bucket}{parts.path}" if bucket else None),
        )
    )
    return base64.b64encode(hmac.digest(_secret(key).encode(), text.encode(), "sha1")).decode()


def _require_time(earliest: dt.datetime, now: dt.datetime, latest: dt.datetime) -> None:
    # a sandbox whose clock stands still gets URLs of clients whose clocks do not
    if earliest > max(now, dt.datetime.now(dt.UTC)):
        raise ApiError("AccessDenied", "Request is not yet valid", status=403)
    if now > latest:
        raise ApiError("AccessDenied", "Request has expired", status=403)


def _malformed() -> ApiError:
    return ApiError("AuthorizationQueryParametersError", "Error parsing the query parameters of the signature.")
