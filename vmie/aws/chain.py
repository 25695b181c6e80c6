"""The usual chain of credentials and Regions: options, environment, profile, web identity, instance role."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import boto3
from botocore.credentials import Credentials, ReadOnlyCredentials
from botocore.exceptions import BotoCoreError, CredentialRetrievalError, ProfileNotFound, UnknownRegionError

from vmie.aws.errors import refusals
from vmie.errors import AwsRefused, Run, Set, UsageError, says


def session_of(profile: str | None, region: str | None) -> tuple[boto3.Session, str]:
    """A session and its Region.

    Raises UsageError for a profile that does not exist and where no Region is chosen, AwsRefused for a configuration
    file that cannot be read.
    """
    session, chosen = _opened(profile, region)
    if not chosen:
        raise UsageError(
            "no AWS Region is chosen",
            cause=says(
                "neither {region}, AWS_REGION, AWS_DEFAULT_REGION, the settings file nor the AWS profile names one"
            ),
            cure=(Set("region", "eu-central-1", "for example"), "export AWS_DEFAULT_REGION=eu-central-1"),
            code="NoRegion",
        )
    return session, chosen


def expect_credentials(session: boto3.Session) -> None:
    """Raise AwsRefused where the chain finds none, or cannot read what it finds; now, or when they are renewed."""
    with refusals("reading credentials"), _unreadable("the AWS configuration"):
        credentials = session.get_credentials()
    if credentials is None:
        raise AwsRefused(
            "there are no AWS credentials",
            cause="neither the environment, the AWS profile, a web identity nor an instance role provides any",
            cure=(
                Run(("aws", "configure")),
                Run(("aws", "sso", "login")),
                "set AWS_PROFILE, or AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY",
                Set("sandbox", note="tries vmie without AWS"),
            ),
            code="NoCredentials",
        )
    _sort_failed_renewals(credentials)


def partition_of(session: boto3.Session, region: str, *, endpoint_url: str | None) -> str:
    """The partition of a Region; raises UsageError for what is none."""
    try:
        return session.get_partition_for_region(region)
    except UnknownRegionError as error:
        if endpoint_url:
            return "aws"  # a stand-in for AWS may call its Region what it likes
        raise UsageError(
            f"{region} is not an AWS Region",
            cause="its name does not fit any AWS partition",
            cure=Run(
                ("aws", "ec2", "describe-regions", "--all-regions", "--query", "Regions[].RegionName"), "lists them"
            ),
            code="NoRegion",
        ) from error


def _opened(profile: str | None, region: str | None) -> tuple[boto3.Session, str | None]:
    with refusals("reading the AWS configuration"):
        try:
            session = boto3.Session(profile_name=profile, region_name=region)
            chosen = session.region_name
        except ProfileNotFound as error:
            raise _no_profile(profile, error) from error
    return session, chosen


def _no_profile(profile: str | None, error: ProfileNotFound) -> UsageError:
    return UsageError(
        f"the AWS profile {profile or 'named by AWS_PROFILE'} is not configured",
        cause=str(error),
        cure=(
            Run(("aws", "configure", "list-profiles"), "shows the ones there are"),
            Run(("aws", "configure", "--profile", "NAME"), "makes one"),
        ),
        code="ProfileNotFound",
    )


@contextmanager
def _unreadable(provider: str) -> Iterator[None]:
    """What providers of credentials let through: no such program or file, no JSON, no date, an expired renewal.

    botocore gives an error of its own to a part of it only; see `AssumeRoleWithWebIdentityProvider`, `ProcessProvider`
    and `RefreshableCredentials` in botocore/credentials.py.
    """
    try:
        yield
    except BotoCoreError:
        raise  # some of them are OSErrors too
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise CredentialRetrievalError(provider=provider, error_msg=f"{type(error).__name__}: {error}") from error


def _sort_failed_renewals(credentials: Credentials) -> None:
    """Clients renew credentials in the middle of a call, and fail with whatever the provider failed with."""
    frozen = credentials.get_frozen_credentials

    def renewed() -> ReadOnlyCredentials:
        with _unreadable(credentials.method or "the session"):
            return frozen()

    setattr(credentials, "get_frozen_credentials", renewed)  # noqa: B010 - mypy would have it be a method
