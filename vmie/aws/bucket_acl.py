"""The older way to let VM Export write to a bucket: grants in its ACL, for which ACLs must be on (aws-facts 4.4)."""

from __future__ import annotations

from typing import Any

from vmie.aws.errors import refusals
from vmie.aws.session import Aws

#: what CreateInstanceExportTask needs
PERMISSIONS = ("READ_ACP", "WRITE")
#: ACLs on; an object that arrives with bucket-owner-full-control belongs to the bucket's owner
OWNERSHIP = "BucketOwnerPreferred"


def held(aws: Aws, name: str, canonical_id: str) -> frozenset[str]:
    """The permissions that the bucket's ACL grants to a canonical user. Raises AwsRefused."""
    return frozenset(
        str(grant["Permission"])
        for grant in _acl(aws, name).get("Grants", ())
        if grant.get("Grantee", {}).get("ID") == canonical_id
    )


def grant(aws: Aws, name: str, canonical_id: str) -> None:
    """Add what the canonical user lacks; everything else in the ACL stays. Raises AwsRefused."""
    acl = _acl(aws, name)
    have = held(aws, name, canonical_id)
    if "FULL_CONTROL" in have:
        return
    more = [
        {"Grantee": {"Type": "CanonicalUser", "ID": canonical_id}, "Permission": permission}
        for permission in PERMISSIONS
        if permission not in have
    ]
    client: Any = aws.client("s3")
    with refusals("PutBucketAcl", operand=f"s3://{name}"):
        client.put_bucket_acl(
            Bucket=name,
            AccessControlPolicy={"Owner": acl["Owner"], "Grants": [*acl.get("Grants", ()), *more]},
            **aws.owned(),
        )


def switch_on(aws: Aws, name: str) -> None:
    """Let ACLs count. Raises AwsRefused."""
    client: Any = aws.client("s3")
    with refusals("PutBucketOwnershipControls", operand=f"s3://{name}"):
        client.put_bucket_ownership_controls(
            Bucket=name, OwnershipControls={"Rules": [{"ObjectOwnership": OWNERSHIP}]}, **aws.owned()
        )


def _acl(aws: Aws, name: str) -> dict[str, Any]:
    client: Any = aws.client("s3")
    with refusals("GetBucketAcl", operand=f"s3://{name}"):
        found: dict[str, Any] = client.get_bucket_acl(Bucket=name, **aws.owned())
    return found
