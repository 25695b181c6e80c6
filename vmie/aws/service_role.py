"""The service role, looked at whole: every document that says what it may do, and what an import will miss.

What cannot be read is not held against the role: who may import need not be allowed to read IAM.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from vmie.aws import iam, kms, s3
from vmie.aws.client_config import DNS_SUFFIX
from vmie.aws.errors import refusals
from vmie.aws.session import Aws
from vmie.errors import Action, AwsRefused, Do, Run
from vmie.model import S3Object
from vmie.policy import Document, document, grants_of
from vmie.policy.evaluate import Access
from vmie.policy.service import KEY_ACTIONS, Judgement, RoleDocuments, TaskOrigin, import_asks, judge, judge_key


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
        "kms:ViaService": f"{via}.{aws.region}.{DNS_SUFFIX.get(aws.partition, 'amazonaws.com')}",
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
        found.append(MissingRight(action, arn, _KEY_WORDS.get(judgement, judgement.value)))
    return found


#: what the role needs on a key that S3 encrypts the object with
OBJECT_KEY_ACTIONS = ("kms:Decrypt",)
_KEY_WORDS = {
    Judgement.RESOURCE: "the key's own policy denies it",
    Judgement.FOREIGN: "the key's own policy names neither the role nor the account",
}


def expect_reader(
    aws: Aws,
    name: str,
    objects: Sequence[S3Object],
    *,
    image: bool = True,
    licensed: bool = False,
    key: Mapping[str, Any] | None = None,
) -> None:
    """See that the role is there, trusts the service, and may read `objects`, before anything is sent.

    `key` is the metadata of the KMS key that the result will be encrypted with. A caller who may not look is let
    through. Raises AwsRefused: code NoSuchRole, RoleTrust or RoleLacks, with what is missing and the command that
    mends it.
    """
    buckets = sorted({one.bucket for one in objects})
    iam.expect_role(aws, name, bucket=buckets[0] if buckets else "")
    try:
        role = look(aws, name)
    except AwsRefused as error:
        if error.code == "AccessDenied":
            return
        raise
    if role is None:  # gone in this moment: AWS will say
        return
    for bucket in buckets:
        document = bucket_policy(aws, bucket)
        found: list[MissingRight] = []
        for name_ in sorted({one.key for one in objects if one.bucket == bucket}):
            asks = import_asks(aws.partition, bucket, name_, image=image, licensed=licensed)
            found += lacks(aws, role, asks, resource_policy=document, owner=aws.account)
        if found:
            raise refusal(role, list(dict.fromkeys(found)), bucket=bucket)
        if (used := bucket_key(aws, bucket)) and (found := key_lacks(aws, role, used, OBJECT_KEY_ACTIONS, via="s3")):
            raise refusal(role, found, bucket=bucket, key=str(used["Arn"]))
        if key is not None and (found := key_lacks(aws, role, key)):
            raise refusal(role, found, bucket=bucket, key=str(key["Arn"]))


def bucket_key(aws: Aws, bucket: str) -> Mapping[str, Any] | None:
    """The metadata of the customer's KMS key that a bucket encrypts with by default; None where none is seen."""
    try:
        name = s3.encryption_key(aws, bucket)
        return kms.describe(aws, name) if name else None
    except AwsRefused:
        return None


def refusal(
    role: ServiceRole, found: Sequence[MissingRight], *, bucket: str, key: str = "", export: bool = False
) -> AwsRefused:
    """The refusal that names what is missing, why, and the cure; with `key` it is about that KMS key."""
    more = ["--kms-key", key] if key else []
    if any(one.action.startswith("license-manager:") for one in found):
        more.append("--license-manager")
    command = iam.setup_command(role.name, bucket=bucket, export=export, more=more)
    return AwsRefused(
        missing(role, found),
        cause="\n".join(dict.fromkeys(one.why for one in found)),
        cure=cure(role, found, command),
        code="RoleLacks",
    )


def missing(role: ServiceRole, found: Sequence[MissingRight]) -> str:
    """ "the service role … lacks … on …", the actions of one resource together."""
    by_resource: dict[str, list[str]] = {}
    for one in found:
        by_resource.setdefault(one.resource, []).append(one.action)
    listed = "; ".join(f"{', '.join(actions)} on {resource}" for resource, actions in by_resource.items())
    return f"the service role {role.name} lacks {listed}"


def cure(role: ServiceRole, found: Sequence[MissingRight], command: Run) -> list[Action]:
    """What to do for these lacks: `command` grants what no policy allows; a Deny must be taken out by hand."""
    whys = {one.why for one in found}
    name, arn = role.name, role.documents.arn
    force = Run((*command.argv, "--force"), f"replaces the policy {iam.POLICY_NAME}, which somebody edited")
    cures: dict[str, tuple[Action, ...]] = {
        Judgement.SILENT.value: (force if _edited(role) else command,),
        Judgement.DENIED.value: (
            Run(("aws", "iam", "list-role-policies", "--role-name", name), "take the Deny out of them"),
            Run(force.argv, f"replaces the policy {iam.POLICY_NAME}"),
        ),
        Judgement.BOUNDARY.value: (
            Do("let the permissions boundary allow it too, or take it off"),
            Run(("aws", "iam", "delete-role-permissions-boundary", "--role-name", name)),
        ),
        Judgement.RESOURCE.value: (Do(f"except the role from the Deny: {arn}"),),
        Judgement.FOREIGN.value: (Do(f"let that policy allow the role: {arn}"),),
        _KEY_WORDS[Judgement.RESOURCE]: (Do(f"except the role from the Deny in the key's policy: {arn}"),),
        _KEY_WORDS[Judgement.FOREIGN]: (
            Run(("vmie", "policy", "kms", "--role-arn", arn), "prints the statement to add to the key's policy"),
        ),
    }
    return [action for reason, actions in cures.items() if reason in whys for action in actions] or [command]


def _edited(role: ServiceRole) -> bool:
    """Whether setup-role's document is there and says something else: it widens none that somebody edited."""
    written = role.inline.get(iam.POLICY_NAME)
    return written is not None and grants_of(written, partition=role.documents.arn.split(":")[1]) is None


def _inline_names(client: Any, name: str) -> list[str]:
    pages = client.get_paginator("list_role_policies").paginate(RoleName=name)
    return [policy for page in pages for policy in page["PolicyNames"]]


def _inline(client: Any, name: str, policy: str) -> Document:
    return document(client.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"])


def _attached(client: Any, name: str) -> list[str]:
    pages = client.get_paginator("list_attached_role_policies").paginate(RoleName=name)
    return [policy["PolicyArn"] for page in pages for policy in page["AttachedPolicies"]]
