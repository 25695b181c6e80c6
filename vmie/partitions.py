"""AWS's partitions: worlds of Regions with accounts, ARNs and host names of their own (botocore's partitions.json)."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AwsPartition:
    """`name` is in its ARNs; `suffix` ends its host names, and `dual_stack` those for IPv6; `home` is a Region that
    every account of it has.
    """

    name: str
    regions: str
    suffix: str
    dual_stack: str
    home: str


ALL = (
    AwsPartition("aws", r"(us|eu|ap|sa|ca|me|af|il|mx)-\w+-\d+", "amazonaws.com", "api.aws", "us-east-1"),
    AwsPartition("aws-cn", r"cn-\w+-\d+", "amazonaws.com.cn", "api.amazonwebservices.com.cn", "cn-northwest-1"),
    AwsPartition("aws-eusc", r"eusc-(de)-\w+-\d+", "amazonaws.eu", "api.amazonwebservices.eu", "eusc-de-east-1"),
    AwsPartition("aws-iso", r"us-iso-\w+-\d+", "c2s.ic.gov", "api.aws.ic.gov", "us-iso-east-1"),
    AwsPartition("aws-iso-b", r"us-isob-\w+-\d+", "sc2s.sgov.gov", "api.aws.scloud", "us-isob-east-1"),
    AwsPartition("aws-iso-e", r"eu-isoe-\w+-\d+", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk", "eu-isoe-west-1"),
    AwsPartition("aws-iso-f", r"us-isof-\w+-\d+", "csp.hci.ic.gov", "api.aws.hci.ic.gov", "us-isof-south-1"),
    AwsPartition("aws-us-gov", r"us-gov-\w+-\d+", "amazonaws.com", "api.aws", "us-gov-west-1"),
)
BY_NAME = {one.name: one for one in ALL}
#: what the host names of AWS end with, and no others
SUFFIXES = tuple(dict.fromkeys(suffix for one in ALL for suffix in (one.suffix, one.dual_stack)))


def of(region: str) -> AwsPartition:
    """The partition of a Region; for what is none, that of most accounts."""
    return next((one for one in ALL if re.fullmatch(one.regions, region)), ALL[0])


def named(name: str) -> AwsPartition:
    """The partition of that name; for what is none, that of most accounts."""
    return BY_NAME.get(name, ALL[0])
