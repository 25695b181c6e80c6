"""Every request to the server is signed: in its headers, with any key, or in its URL, with a key that is known.

A page's `<img>`, link or form can send neither a header nor a signature that it cannot make.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from vmie.sandbox.api_errors import ApiError
from vmie.sandbox.fault_injection import ApiCall
from vmie.sandbox.service import presigned, services

#: how one comes by a key: they are unsigned on AWS too
_UNSIGNED = ("AssumeRoleWithWebIdentity", "AssumeRoleWithSAML")


def require_signed(
    call: ApiCall, method: str, url: str, headers: Mapping[str, str], *, now: dt.datetime, bucket: str
) -> None:
    """Raise ApiError for a request without a signature, and for a URL with a wrong one.

    Signatures in headers are not verified: the sandbox takes any credentials. `bucket` is the one that the host names.
    """
    parts = urlsplit(url)
    if "authorization" in headers or is_moto_api(unquote(parts.path)):
        return
    if presigned.is_presigned(parts.query):
        if call.service != "s3":
            raise services.missing_action(call)
        presigned.verify(method, url, headers, now=now, bucket=bucket)
        return
    # an HTML form's upload is signed in its fields
    if "multipart/form-data" in headers.get("content-type", "") or call.action in _UNSIGNED:
        return
    code = "AccessDenied" if call.service == "s3" else "MissingAuthenticationToken"
    raise ApiError(code, "The sandbox takes signed requests only; any credentials will do.", status=403)


def is_moto_api(path: str) -> bool:
    """Is this moto's own endpoint, which no client signs for? Raises ApiError for the part that could reach others."""
    # moto would send recorded requests again, to any host
    if path.replace("//", "/").startswith("/moto-api/recorder"):
        raise services.missing("moto-api/recorder")
    return path.startswith("/moto-api") or path == "/favicon.ico"
