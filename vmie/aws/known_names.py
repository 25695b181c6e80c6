"""The names that this machine's AWS configuration and the SDK know, without asking AWS."""

from __future__ import annotations

import botocore.exceptions
import botocore.session


def profiles() -> list[str]:
    """The profiles of the shared configuration and credentials files; [] where they cannot be read."""

    try:
        return sorted(botocore.session.Session().available_profiles)
    except (botocore.exceptions.BotoCoreError, OSError, ValueError):
        return []


def regions() -> list[str]:
    """The Regions of EC2 in every public partition that the SDK has heard of."""

    session = botocore.session.Session()
    found = [session.get_available_regions("ec2", name) for name in ("aws", "aws-cn", "aws-us-gov")]
    return [region for listed in found for region in listed]
