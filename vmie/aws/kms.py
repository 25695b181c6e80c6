"""KMS keys by whatever name they are given."""

from __future__ import annotations

from vmie.aws.errors import refusals
from vmie.aws.session import Aws


def key_arn(aws: Aws, name: str) -> str:
    """The ARN of the key that `name` (an id, an alias, an ARN of either) means. Raises AwsRefused."""
    with refusals("DescribeKey", operand=name):
        return aws.client("kms").describe_key(KeyId=name)["KeyMetadata"]["Arn"]
