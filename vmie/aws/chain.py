"""The usual chain of credentials and Regions: options, environment, profile, web identity, instance role."""

from __future__ import annotations

import boto3
from botocore.exceptions import ProfileNotFound, UnknownRegionError

from vmie.aws.errors import refusals
from vmie.errors import AwsRefused, Run, Set, UsageError, says


def session_of(profile: str | None, region: str | None) -> tuple[boto3.Session, str]:
    """A session and its Region. Raises UsageError for a profile that does not exist and where no Region is chosen."""
    try:
        session = boto3.Session(profile_name=profile, region_name=region)
        chosen = session.region_name
    except ProfileNotFound as error:
        raise UsageError(
            f"the AWS profile {profile or 'named by AWS_PROFILE'} is not configured",
            cause=str(error),
            cure=(
                Run(("aws", "configure", "list-profiles"), "shows the ones there are"),
                Run(("aws", "configure", "--profile", "NAME"), "makes one"),
            ),
            code="ProfileNotFound",
        ) from error
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
    """Raise AwsRefused where the chain finds none."""
    with refusals("reading credentials"):
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
