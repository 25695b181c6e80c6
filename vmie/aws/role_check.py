"""The service role, seen to be fit before anything is sent; and the words where it is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vmie.aws import iam
from vmie.aws.service_role import (
    KEY_WORDS,
    OBJECT_KEY_ACTIONS,
    MissingRight,
    ServiceRole,
    bucket_key,
    bucket_policy,
    key_lacks,
    lacks,
    look,
)
from vmie.aws.session import Aws
from vmie.errors import Action, AwsRefused, Do, Run
from vmie.model import S3Object
from vmie.policy import grants_of
from vmie.policy.service import Judgement, import_asks


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


def refusal(
    role: ServiceRole, found: Sequence[MissingRight], *, bucket: str, key: str = "", export: bool = False
) -> AwsRefused:
    """The refusal that names what is missing, why, and the cure; with `key` it is about that KMS key."""
    more = ["--allow-kms-key", key] if key else []
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
        KEY_WORDS[Judgement.RESOURCE]: (Do(f"except the role from the Deny in the key's policy: {arn}"),),
        KEY_WORDS[Judgement.FOREIGN]: (
            Run(("vmie", "policy", "kms", "--role-arn", arn), "prints the statement to add to the key's policy"),
        ),
    }
    return [action for reason, actions in cures.items() if reason in whys for action in actions] or [command]


def _edited(role: ServiceRole) -> bool:
    """Whether setup-role's document is there and says something else: it widens none that somebody edited."""
    written = role.inline.get(iam.POLICY_NAME)
    return written is not None and grants_of(written, partition=role.documents.arn.split(":")[1]) is None
