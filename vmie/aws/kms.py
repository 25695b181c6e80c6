"""KMS keys by whatever name they are given."""

from __future__ import annotations

from typing import Any

from vmie.aws.errors import refusals
from vmie.aws.session import Aws
from vmie.errors import AwsRefused, Run

#: state of a key → what is done about it, in order; none of these: look at it
_CURES = {
    "Disabled": ("enable-key",),
    "PendingDeletion": ("cancel-key-deletion", "enable-key"),
    "PendingImport": ("get-parameters-for-import", "import-key-material"),
}
_LIST = ("aws", "kms", "list-aliases", "--query", "Aliases[].[AliasName,TargetKeyId]", "--output", "table")


def key_arn(aws: Aws, name: str) -> str:
    """The ARN of the key that `name` (an id, an alias, an ARN of either) means. Raises AwsRefused."""
    return str(describe(aws, name)["Arn"])


def describe(aws: Aws, name: str) -> dict[str, Any]:
    """The key's metadata. Raises AwsRefused, code NotFoundException when there is no such key."""

    def read() -> dict[str, Any]:
        with refusals("DescribeKey", operand=name):
            return dict(aws.client("kms").describe_key(KeyId=name)["KeyMetadata"])

    return aws.cached(("key", name), read)


def expect_key(aws: Aws, name: str) -> dict[str, Any] | None:
    """See that a key can be used, before anything is sent; its metadata, None for a caller who may not look.

    Raises AwsRefused: code KeyElsewhere, KeyNotUsable, or AWS's own for a key that does not exist.
    """
    try:
        found = describe(aws, name)
    except AwsRefused as error:
        if error.code == "AccessDeniedException":
            return None
        raise
    state, arn = str(found.get("KeyState")), str(found["Arn"])
    if arn.split(":")[3] != aws.region:
        raise AwsRefused(
            f"the KMS key {arn} is not in {aws.region}",
            cause="a snapshot is encrypted with a key of its own Region",
            cure=Run(_LIST),
            code="KeyElsewhere",
        )
    if state != "Enabled":
        raise AwsRefused(
            f"the KMS key {name} cannot be used: its state is {state}",
            cause="the key must stay enabled for the whole import",
            cure=[Run(("aws", "kms", verb, "--key-id", arn)) for verb in _CURES.get(state, ("describe-key",))],
            code="KeyNotUsable",
        )
    if (usage := found.get("KeyUsage", "ENCRYPT_DECRYPT")) != "ENCRYPT_DECRYPT" or found.get(
        "KeySpec", "SYMMETRIC_DEFAULT"
    ) != "SYMMETRIC_DEFAULT":
        raise AwsRefused(
            f"the KMS key {name} cannot encrypt a snapshot: it is for {usage} with {found.get('KeySpec')}",
            cause="EBS takes symmetric encryption keys",
            cure=Run(("aws", "kms", "create-key"), "makes one"),
            code="KeyNotUsable",
        )
    return found


def key_policy(aws: Aws, key: str) -> str | None:
    """The key's policy as text; None when it may not be read."""
    return aws.cached(("key policy", key), lambda: _key_policy(aws, key))


def _key_policy(aws: Aws, key: str) -> str | None:
    try:
        with refusals("GetKeyPolicy", operand=key):
            return str(aws.client("kms").get_key_policy(KeyId=key, PolicyName="default")["Policy"])
    except AwsRefused:
        return None


def encrypts_by_default(aws: Aws) -> bool:
    """Whether EBS encrypts what nobody asked for. Raises AwsRefused."""
    with refusals("GetEbsEncryptionByDefault"):
        return bool(aws.client("ec2").get_ebs_encryption_by_default()["EbsEncryptionByDefault"])


def ebs_default(aws: Aws) -> str | None:
    """The key that EBS encrypts with by default; None where it encrypts only what is asked for. Raises AwsRefused."""
    if not encrypts_by_default(aws):
        return None
    with refusals("GetEbsDefaultKmsKeyId"):
        return str(aws.client("ec2").get_ebs_default_kms_key_id()["KmsKeyId"])


def granted(aws: Aws, key: str, principal: str) -> frozenset[str] | None:
    """The operations ("Decrypt", …) that grants on the key give `principal`; None when they may not be listed."""
    return aws.cached(("grants", key, principal), lambda: _granted(aws, key, principal))


def _granted(aws: Aws, key: str, principal: str) -> frozenset[str] | None:
    try:
        with refusals("ListGrants", operand=key):
            pages = aws.client("kms").get_paginator("list_grants").paginate(KeyId=key)
            return frozenset(
                operation
                for page in pages
                for grant in page["Grants"]
                # A grant with constraints holds for one encryption context only: not to be counted upon.
                if grant.get("GranteePrincipal") == principal and not grant.get("Constraints")
                for operation in grant.get("Operations", [])
            )
    except AwsRefused:
        return None
