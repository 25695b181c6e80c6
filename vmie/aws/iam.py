"""The service role: read, written, and waited for until IAM shows what was written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vmie.aws.errors import refusals
from vmie.aws.session import Aws
from vmie.errors import AwsRefused, DeadlineExceeded, Run
from vmie.policy import EXTERNAL_ID, SERVICE, Document, document, same
from vmie.policy.service import RoleDocuments, TaskOrigin, why_not_trusted
from vmie.poll import Clock

#: the name of the inline policy, as in the seed's `put-role-policy`
POLICY_NAME = "vmimport"
#: reads in a row that must show what was written: IAM answers from several places (aws-facts 6)
AGREEING_READS = 3
_READ_PAUSE = 0.5
_SETTLE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Role:
    """A role as IAM shows it. `policies` are the inline ones by name, `attached` the managed ones' ARNs."""

    name: str
    arn: str
    trust: Document
    policies: Mapping[str, Document] = field(default_factory=dict)
    attached: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)


def find_role(aws: Aws, name: str) -> Role | None:
    """The role with everything in it; None when there is none. Raises AwsRefused."""
    return aws.cached(("role with tags", name), lambda: _find_role(aws, name))


def _find_role(aws: Aws, name: str) -> Role | None:
    iam = aws.client("iam")
    try:
        with refusals("GetRole", operand=name):
            found = iam.get_role(RoleName=name)["Role"]
    except AwsRefused as error:
        if error.code == "NoSuchEntity":
            return None
        raise
    with refusals("reading the policies", operand=f"role {name}"):
        names = [
            policy
            for page in iam.get_paginator("list_role_policies").paginate(RoleName=name)
            for policy in page["PolicyNames"]
        ]
        policies = {
            policy: document(iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"])
            for policy in names
        }
        attached = [
            policy["PolicyArn"]
            for page in iam.get_paginator("list_attached_role_policies").paginate(RoleName=name)
            for policy in page["AttachedPolicies"]
        ]
        tags = {
            tag["Key"]: tag["Value"]
            for page in iam.get_paginator("list_role_tags").paginate(RoleName=name)
            for tag in page["Tags"]
        }
    return Role(name, found["Arn"], document(found["AssumeRolePolicyDocument"]), policies, tuple(attached), tags)


def role_policy(aws: Aws, name: str) -> Document | None:
    """The role's inline policy that vmie writes; None when the role or the policy is absent. Raises AwsRefused."""
    return aws.cached(("inline policy", name), lambda: _policy(aws, name))


def setup_command(name: str, *, bucket: str = "", export: bool = False, more: Sequence[str] = ()) -> Run:
    """The command that makes the service role `name`, or puts it right."""
    options = [*more, *(() if name == POLICY_NAME else ("--role-name", name))]
    return Run(("vmie", "setup-role", "--export-bucket" if export else "--bucket", bucket or "BUCKET", *options))


_READS, _WRITES = "reads the bucket and makes snapshots", "writes to the bucket"


def expect_role(aws: Aws, name: str, *, bucket: str = "", export: bool = False) -> None:
    """See that the role is there and trusts the service, before anything is sent; `bucket` is what it shall reach.

    A caller who may not look is let through. Raises AwsRefused (code NoSuchRole, RoleTrust) with the command that
    makes it, or puts it right.
    """
    command = setup_command(name, bucket=bucket, export=export)
    try:
        found = aws.cached(("role", name), lambda: _get_role(aws, name))
    except AwsRefused as error:
        if error.code == "AccessDenied":
            return  # who may import need not be allowed to read roles
        if error.code != "NoSuchEntity":
            raise
        raise AwsRefused(
            f"the service role {name} does not exist in account {aws.account}",
            cause=f"VM Import/Export {_WRITES if export else _READS} as this role",
            cure=command,
            code="NoSuchRole",
            request_id=error.request_id,
        ) from error
    account = found["Arn"].split(":")[4]
    role = RoleDocuments(found["Arn"], account, document(found["AssumeRolePolicyDocument"]), ())
    if why := why_not_trusted(role, TaskOrigin(aws.partition, aws.region, account)):
        raise AwsRefused(
            f"the service role {name} does not let VM Import/Export in: {why}",
            cause=f"VM Import/Export assumes the role as {SERVICE} with the external id {EXTERNAL_ID}",
            cure=command,
            code="RoleTrust",
        )


def _get_role(aws: Aws, name: str) -> Any:
    with refusals("GetRole", operand=name):
        return aws.client("iam").get_role(RoleName=name)["Role"]


def create_role(aws: Aws, name: str, *, trust: Document, tags: Mapping[str, str]) -> None:
    """Make the role. One that appeared meanwhile is taken, and given this trust policy."""
    try:
        with refusals("CreateRole", operand=name):
            aws.client("iam").create_role(
                RoleName=name,
                AssumeRolePolicyDocument=json.dumps(trust),
                Description="VM Import/Export: reads disk images and makes snapshots and AMIs of them",
                Tags=_tag_list(tags),
            )
    except AwsRefused as error:
        if error.code != "EntityAlreadyExists":
            raise
        set_trust(aws, name, trust=trust)
        tag_role(aws, name, tags=tags)


def set_trust(aws: Aws, name: str, *, trust: Document) -> None:
    """Replace the trust policy."""
    with refusals("UpdateAssumeRolePolicy", operand=name):
        aws.client("iam").update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(trust))


def put_policy(aws: Aws, name: str, *, document: Document) -> None:
    """Write our inline policy."""
    with refusals("PutRolePolicy", operand=name):
        aws.client("iam").put_role_policy(RoleName=name, PolicyName=POLICY_NAME, PolicyDocument=json.dumps(document))


def tag_role(aws: Aws, name: str, *, tags: Mapping[str, str]) -> None:
    """Set `tags`; others stay."""
    if tags:
        with refusals("TagRole", operand=name):
            aws.client("iam").tag_role(RoleName=name, Tags=_tag_list(tags))


def settle(aws: Aws, name: str, *, trust: Document, policy: Document | None, clock: Clock) -> str:
    """Wait until IAM shows the role with `trust` and our inline `policy` several times in a row; the role's ARN.

    That is as near to "accepted" as can be asked: EC2's own DryRun says yes even without a role (peers
    3.5). Raises DeadlineExceeded after two minutes, the window in which IAM changes arrive (aws-facts 6).
    """
    began, agreed = clock.now(), 0
    while True:
        arn = _shown(aws, name, trust=trust, policy=policy)
        agreed = agreed + 1 if arn else 0
        if arn and agreed >= AGREEING_READS:
            return arn
        if (clock.now() - began).total_seconds() > _SETTLE_SECONDS:
            raise DeadlineExceeded(
                f"IAM does not show the role {name} as it was written",
                cause="the change was taken but is still not to be seen everywhere, or somebody else changed it again",
                cure="run the same command again: it goes on from what is there",
            )
        clock.sleep(_READ_PAUSE if arn else clock.uniform(1.0, 3.0))


def _shown(aws: Aws, name: str, *, trust: Document, policy: Document | None) -> str:
    """The role's ARN if it reads as written, else ""."""
    try:
        with refusals("GetRole", operand=name):
            role = aws.client("iam").get_role(RoleName=name)["Role"]
    except AwsRefused as error:
        if error.code == "NoSuchEntity":
            return ""
        raise
    if not same(document(role["AssumeRolePolicyDocument"]), trust):
        return ""
    if policy is None:
        return role["Arn"]
    shown = _policy(aws, name)
    return role["Arn"] if shown is not None and same(shown, policy) else ""


def _policy(aws: Aws, name: str) -> Document | None:
    try:
        with refusals("GetRolePolicy", operand=f"{name}/{POLICY_NAME}"):
            found = aws.client("iam").get_role_policy(RoleName=name, PolicyName=POLICY_NAME)
    except AwsRefused as error:
        if error.code == "NoSuchEntity":
            return None
        raise
    return document(found["PolicyDocument"])


def managed(client: Any, arn: str) -> Document:
    """The managed policy `arn` in its default version; to be called inside `refusals`."""
    version = client.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    return document(client.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"])


def _tag_list(tags: Mapping[str, str]) -> list[Any]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
