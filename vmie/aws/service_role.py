"""The service role, looked at whole: every document that says what it may do, and what an import will miss.

What cannot be read is not held against the role: who may import need not be allowed to read IAM.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from vmie import partitions
from vmie.aws import iam, kms, s3
from vmie.aws.errors import refusals
from vmie.aws.session import Aws
from vmie.errors import AwsRefused
from vmie.policy import Document, document
from vmie.policy.evaluate import Access
from vmie.policy.service import KEY_ACTIONS, Judgement, RoleDocuments, TaskOrigin, judge, judge_key


@dataclass(frozen=True, slots=True)
class ServiceRole:
    """A role with all its documents. `unread` names those that IAM would not show; `inline` are by name."""

    name: str
    documents: RoleDocuments
    inline: Mapping[str, Document]
    attached: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class MissingRight:
    """What the role may not do, and why not."""

    action: str
    resource: str
    why: str


def look(aws: Aws, name: str) -> ServiceRole | None:
    """The role and every policy of it that may be read; None when there is none. Raises AwsRefused for GetRole."""
    return aws.cached(("role with policies", name), lambda: _look(aws, name))


def _look(aws: Aws, name: str) -> ServiceRole | None:
    client = aws.client("iam")
    try:
        with refusals("GetRole", operand=name):
            found: Any = client.get_role(RoleName=name)["Role"]
    except AwsRefused as error:
        if error.code == "NoSuchEntity":
            return None
        raise
    unread: list[str] = []

    def tried(what: str, read: Callable[[], Any], default: Any) -> Any:
        try:
            with refusals(what, operand=name):
                return read()
        except AwsRefused as error:
            if error.code not in ("AccessDenied", "NoSuchEntity"):
                raise
            unread.append(what)
            return default

    inline = {
        policy: tried(f"the policy {policy}", partial(_inline, client, name, policy), None)
        for policy in tried("the list of its policies", lambda: _inline_names(client, name), ())
    }
    attached = tuple(tried("the list of its managed policies", lambda: _attached(client, name), ()))
    managed = [tried(f"the managed policy {arn}", partial(iam.managed, client, arn), None) for arn in attached]
    boundary_arn = (found.get("PermissionsBoundary") or {}).get("PermissionsBoundaryArn")
    boundary = tried("its permissions boundary", lambda: iam.managed(client, boundary_arn), "") if boundary_arn else ""
    documents = RoleDocuments(
        arn=found["Arn"],
        account=found["Arn"].split(":")[4],
        trust=document(found["AssumeRolePolicyDocument"]),
        identity=tuple(one for one in (*inline.values(), *managed) if one is not None),
        boundary=boundary,
    )
    kept = {policy: document for policy, document in inline.items() if document is not None}
    return ServiceRole(name, documents, kept, attached, tuple(unread))


def errand(aws: Aws) -> TaskOrigin:
    """A task of this account and Region."""
    return TaskOrigin(aws.partition, aws.region, aws.account)


def context(aws: Aws, role: ServiceRole) -> dict[str, str]:
    """What is known of the requests that the service makes as the role."""
    return {
        "aws:PrincipalArn": role.documents.arn,
        "aws:PrincipalAccount": role.documents.account,
        "aws:PrincipalType": "AssumedRole",
        "aws:SecureTransport": "true",
        "aws:RequestedRegion": aws.region,
    }


def lacks(
    aws: Aws,
    role: ServiceRole,
    asks: Iterable[Access],
    *,
    resource_policy: Document | str | None,
    owner: str = "",
    generous: bool = True,
) -> list[MissingRight]:
    """What the role surely may not do (with `generous` False: also what hangs on conditions).

    `resource_policy` is the bucket's, None when it cannot be read: it might allow what the role's own do not.
    """
    known = context(aws, role)
    found = []
    for ask in asks:
        asked = replace(ask, context={**known, **ask.context}, generous=generous)
        judgement = judge(role.documents, asked, resource_policy=resource_policy or "", owner=owner)
        unsure = judgement in (Judgement.SILENT, Judgement.FOREIGN) and (
            role.unread or (resource_policy is None and ask.action.startswith("s3:"))
        )
        if judgement is Judgement.ALLOWED or (unsure and generous):
            continue
        found.append(MissingRight(ask.action, ask.resource, judgement.value))
    return found


def bucket_policy(aws: Aws, name: str) -> Document | str | None:
    """The bucket's policy, "" where there is none, None where it may not be read."""

    def read() -> Document | str:
        return s3.bucket_policy(aws, name) or ""

    try:
        return aws.cached(("bucket policy", name), read)
    except AwsRefused:
        return None


def key_lacks(
    aws: Aws,
    role: ServiceRole,
    key: Mapping[str, Any],
    actions: Iterable[str] = KEY_ACTIONS,
    *,
    via: Literal["ec2", "s3"] = "ec2",
    generous: bool = True,
) -> list[MissingRight]:
    """What the role surely may not do with a KMS key (its metadata), by the key's policy, the role's and grants.

    `via` is the service that uses the key for the role: EC2 for a snapshot, S3 for an object
    (https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html#conditions-kms-via-service).
    Nothing for a key that AWS manages: it serves every principal of the account through the service.
    """
    if key.get("KeyManager") == "AWS":
        return []
    arn = str(key["Arn"])
    document, granted = kms.key_policy(aws, arn), kms.granted(aws, arn, role.documents.arn)
    known = {
        **context(aws, role),
        "kms:ViaService": f"{via}.{aws.region}.{partitions.named(aws.partition).suffix}",
        "kms:CallerAccount": role.documents.account,
        **({"kms:GrantIsForAWSResource": "true"} if via == "ec2" else {}),
    }
    found = []
    for action in actions:
        ask = Access(action, arn, known, generous)
        judgement = judge_key(role.documents, ask, document or "")
        if judgement is Judgement.ALLOWED:
            continue
        if judgement in (Judgement.SILENT, Judgement.FOREIGN):
            if granted and action.partition(":")[2] in granted:
                continue
            unsure = granted is None or document is None or (judgement is Judgement.SILENT and role.unread)
            if unsure and generous:
                continue
        found.append(MissingRight(action, arn, KEY_WORDS.get(judgement, judgement.value)))
    return found


#: what the role needs on a key that S3 encrypts the object with
OBJECT_KEY_ACTIONS = ("kms:Decrypt",)
KEY_WORDS = {
    Judgement.RESOURCE: "the key's own policy denies it",
    Judgement.FOREIGN: "the key's own policy names neither the role nor the account",
}


def bucket_key(aws: Aws, bucket: str) -> Mapping[str, Any] | None:
    """The metadata of the customer's KMS key that a bucket encrypts with by default; None where none is seen."""
    try:
        name = s3.encryption_key(aws, bucket)
        return kms.describe(aws, name) if name else None
    except AwsRefused:
        return None


def _inline_names(client: Any, name: str) -> list[str]:
    pages = client.get_paginator("list_role_policies").paginate(RoleName=name)
    return [policy for page in pages for policy in page["PolicyNames"]]


def _inline(client: Any, name: str, policy: str) -> Document:
    return document(client.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"])


def _attached(client: Any, name: str) -> list[str]:
    pages = client.get_paginator("list_attached_role_policies").paginate(RoleName=name)
    return [policy["PolicyArn"] for page in pages for policy in page["AttachedPolicies"]]
