"""Who may talk to the server: programs of this machine, and no page of a website that a browser here has open.

A browser sends any page's requests to a loopback port: with `Origin` where the page could change something, with
`Sec-Fetch-Site` where it only embeds, and under the site's own name as `Host` where that name has been made to lead
here (DNS rebinding). AWS clients send the address that they were given as `Host`, and none of the others.
Sources: https://fetch.spec.whatwg.org/#origin-header, https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from vmie.errors import Set, UsageError

_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
_LOCAL = ("localhost", "localhost.localdomain")
#: what stands between a bucket and a name that imitates AWS's: ``BUCKET.s3.NAME``, ``BUCKET.s3.REGION.NAME``
_SERVICE = re.compile(r"(?:^|\.)(?:s3|ec2|iam|sts|ebs|kms|servicequotas)(?:\.[a-z]{2}(?:-[a-z]+)+-\d)?$")


@dataclass(frozen=True, slots=True)
class OriginGuard:
    """The server's `port`, and the `names` under which it may be asked besides loopback's, on any port."""

    port: int
    names: frozenset[str] = frozenset()

    def refusal(self, environ: Mapping[str, str]) -> str:
        """Why a WSGI request is refused, "" when it is not."""
        host = environ.get("HTTP_HOST")
        if host is not None and not self._own_host(host):
            return f"the sandbox does not answer as {host!r}, a name that it was not started with"
        for name in ("HTTP_ORIGIN", "HTTP_REFERER"):
            origin = environ.get(name)
            if origin is not None and not self._own_origin(origin):
                return "the sandbox does not answer pages of another origin"
        if environ.get("HTTP_SEC_FETCH_SITE", "none") not in ("none", "same-origin"):
            return "the sandbox does not answer pages of another origin"
        return ""

    def bucket(self, host: str) -> str:
        """The bucket that a host's name begins with, "" for none."""
        name = _split(host)[0]
        before = next((name[: -len(base) - 1] for base in self._bases() if name.endswith(f".{base}")), "")
        return _SERVICE.sub("", before)

    def as_loopback(self, host: str) -> str:
        """The same host under a name of loopback: moto takes the first part of any other name for a bucket."""
        name, _ = _split(host)
        if not any(name == known or name.endswith(f".{known}") for known in (*self.names, *_LOCAL)):
            return host
        bucket = self.bucket(host)
        return f"{bucket}.localhost:{self.port}" if bucket else f"localhost:{self.port}"

    def _bases(self) -> list[str]:
        return sorted((*self.names, *_LOCAL), key=len, reverse=True)

    def _own_host(self, host: str) -> bool:
        name, port = _split(host)
        if name in self.names or any(name.endswith(f".{known}") for known in self.names):
            return True
        # virtual-hosted buckets: BUCKET.localhost is loopback by RFC 6761
        return (is_loopback(name) or name.endswith(tuple(f".{base}" for base in _LOCAL))) and port == self.port

    def _own_origin(self, origin: str) -> bool:
        try:
            parts = urlsplit(origin)
            port = parts.port or 80
        except ValueError:
            return False
        return parts.scheme == "http" and is_loopback(parts.hostname or "") and port == self.port


def is_loopback(name: str) -> bool:
    """Is this a name or an address of this machine alone?"""
    if name in _LOCAL:
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def require_names(names: Iterable[str]) -> frozenset[str]:
    """The names in lower case; raises UsageError for what is no host name."""
    found = frozenset(name.lower() for name in names)
    for name in found:
        if not _NAME.fullmatch(name):
            raise UsageError(f"{name!r} is no host name", cure="name one without port, such as host.docker.internal")
    return found


def _split(host: str) -> tuple[str, int]:
    """Name and port of a `Host`; ("", 0) for what is none."""
    try:
        parts = urlsplit(f"//{host}")
        port = parts.port or 80
    except ValueError:
        return "", 0
    return (parts.hostname or "", port) if parts.netloc == host and "@" not in host else ("", 0)


def require_loopback(host: str) -> None:
    """Raises UsageError for an address that other machines could reach."""
    if not is_loopback(host.strip("[]").lower()):
        raise UsageError(
            f"the sandbox does not listen on {host}",
            cause="it accepts any credentials, so it must be reachable from this machine only",
            cure=Set("host", "127.0.0.1", "or ::1, or localhost"),
        )
