"""Who may talk to the sandbox's server, and under which names: see `vmie.loopback`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vmie.errors import Set, UsageError
from vmie.loopback import LOCAL, from_elsewhere, is_loopback, split_host

_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
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
        if from_elsewhere(lambda name: environ.get(f"HTTP_{name.upper().replace('-', '_')}"), self.port):
            return "the sandbox does not answer pages of another origin"
        return ""

    def bucket(self, host: str) -> str:
        """The bucket that a host's name begins with, "" for none."""
        name = split_host(host)[0]
        before = next((name[: -len(base) - 1] for base in self._bases() if name.endswith(f".{base}")), "")
        return _SERVICE.sub("", before)

    def as_loopback(self, host: str) -> str:
        """The same host under a name of loopback: moto takes the first part of any other name for a bucket."""
        name, _ = split_host(host)
        if not any(name == known or name.endswith(f".{known}") for known in (*self.names, *LOCAL)):
            return host
        bucket = self.bucket(host)
        return f"{bucket}.localhost:{self.port}" if bucket else f"localhost:{self.port}"

    def _bases(self) -> list[str]:
        return sorted((*self.names, *LOCAL), key=len, reverse=True)

    def _own_host(self, host: str) -> bool:
        name, port = split_host(host)
        if name in self.names or any(name.endswith(f".{known}") for known in self.names):
            return True
        # virtual-hosted buckets: BUCKET.localhost is loopback by RFC 6761
        return (is_loopback(name) or name.endswith(tuple(f".{base}" for base in LOCAL))) and port == self.port


def require_names(names: Iterable[str]) -> frozenset[str]:
    """The names in lower case; raises UsageError for what is no host name."""
    found = frozenset(name.lower() for name in names)
    for name in found:
        if not _NAME.fullmatch(name):
            raise UsageError(f"{name!r} is no host name", cure="name one without port, such as host.docker.internal")
    return found


def require_loopback(host: str) -> None:
    """Raises UsageError for an address that other machines could reach."""
    if not is_loopback(host.strip("[]").lower()):
        raise UsageError(
            f"the sandbox does not listen on {host}",
            cause="it accepts any credentials, so it must be reachable from this machine only",
            cure=Set("host", "127.0.0.1", "or ::1, or localhost"),
        )
