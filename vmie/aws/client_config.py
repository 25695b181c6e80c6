"""How every client is set up: retries, time-outs, S3's style of addresses; and whether its endpoint is an address."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from botocore.config import Config

from vmie import partitions
from vmie._version import __version__
from vmie.errors import UsageError, says

if TYPE_CHECKING:
    import boto3

#: attempts of one call, the first included (aws-facts 6: 8 to 10 for EC2's token buckets), unless the user says
ATTEMPTS = 8
#: the most connections of one client: EBS direct and S3 uploads run up to this many threads
CONNECTIONS = 64
#: seconds of silence after which a connection to EBS direct, S3 or STS is broken off and the call made again
STALL = 30.0


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a call is tried, the first time included, and in which of the SDK's ways."""

    mode: str = "standard"
    attempts: int = ATTEMPTS


def retries_of(session: boto3.Session, *, environ: Mapping[str, str] = os.environ) -> Retries:
    """What the user asks of every SDK by AWS_RETRY_MODE and AWS_MAX_ATTEMPTS, or in the AWS profile; else our own.

    See https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html. Raises UsageError for no number.
    """
    # asked of the places themselves: the SDK's answer does not tell its default, which has changed, from a choice
    profile = session._session.get_scoped_config()  # noqa: SLF001 - boto3 shows it in no other way
    mode = environ.get("AWS_RETRY_MODE") or profile.get("retry_mode") or "standard"
    for place, found in (
        ("AWS_MAX_ATTEMPTS", environ.get("AWS_MAX_ATTEMPTS")),
        ("max_attempts of the AWS profile", profile.get("max_attempts")),
    ):
        if found:
            return Retries(str(mode), _count(str(found), place))
    return Retries(str(mode), ATTEMPTS)


def _count(text: str, place: str) -> int:
    if not (text.isascii() and text.strip().isdigit() and int(text[:9]) > 0 and len(text) <= 9):
        raise UsageError(
            f"{place} = {text[:40]!r} is not a positive whole number",
            cure="give it one: how often a call is tried, the first time included",
            code="InvalidMaxRetryAttemptsError",
        )
    return int(text)


def config_of(service: str, *, endpoint_url: str | None, stall: float, retries: Retries) -> Config:
    """The configuration of a client of `service`; `stall` in seconds of silence."""
    mode: Any = retries.mode  # the SDK judges it
    config = Config(
        retries={"mode": mode, "total_max_attempts": retries.attempts},
        user_agent_extra=f"vmie/{__version__}",
        connect_timeout=10,
        read_timeout=stall if service in ("ebs", "s3", "sts") else 60,
        max_pool_connections=CONNECTIONS,
        tcp_keepalive=True,
    )
    if service != "s3":
        return config
    host = urlsplit(endpoint_url or "").hostname or ""
    # s3v4: else botocore presigns with SigV2 in the old Regions; virtual and regional: else for the global
    # endpoint, whose redirect breaks the signature of young buckets (aws-facts 2.5). Path style for
    # stand-ins: no name server knows bucket.localhost.
    stands_in = bool(host) and not is_aws(endpoint_url or "")
    style: Literal["path", "virtual"] = "path" if stands_in else "virtual"
    return config.merge(
        Config(signature_version="s3v4", s3={"addressing_style": style, "us_east_1_regional_endpoint": "regional"})
    )


def with_s3(config: Config, changes: Mapping[str, Any]) -> Config:
    """The same with these settings for S3."""
    merged: Any = {**(getattr(config, "s3", None) or {}), **changes}
    return config.merge(Config(s3=merged))


def is_aws(url: str) -> bool:
    """Whether it is AWS itself that answers there, and no stand-in."""
    host = urlsplit(url).hostname or ""
    return host.endswith(tuple(f".{suffix}" for suffix in partitions.SUFFIXES))


@contextmanager
def sound_endpoint(service: str) -> Iterator[None]:
    """botocore reads endpoints from many places, and raises ValueError for what is none: that is a UsageError."""
    try:
        yield
    except ValueError as error:
        named = f"AWS_ENDPOINT_URL_{service.upper().replace('-', '_')}"
        raise UsageError(
            f"the endpoint of {service} is no address",
            cause=re.sub(r"//[^/@\s]*@", "//", str(error)),
            cure=says(
                "give AWS_ENDPOINT_URL, {variable}, the AWS profile's endpoint_url or {endpoint_url} one such as "
                "http://127.0.0.1:4566, or none",
                variable=named,
            ),
        ) from error


def expect_web(url: str) -> None:
    """Raise ValueError for an endpoint that HTTP does not reach."""
    found = urlsplit(url)
    if found.scheme not in ("http", "https") or not found.hostname:
        raise ValueError(f"Invalid endpoint: {url}")
    _ = found.port  # ValueError when it is out of range
