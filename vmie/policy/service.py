"""What VM Import/Export does as its role, and whether the documents let it (aws-facts 4.1, 4.2). Pure.

One list of needs for all who ask: the check before an import, `vmie doctor`, and the sandbox that plays the
service.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from vmie.policy.authorize import Authorization, Caller, Guard, Kind, authorize
from vmie.policy.documents import EXTERNAL_ID, SERVICE
from vmie.policy.evaluate import Access, Decision, Principal, decide, parsed

Text = str | Mapping[str, Any]

_WHO = Principal("Service", (SERVICE,))
_EC2 = ("ec2:ModifySnapshotAttribute", "ec2:CopySnapshot", "ec2:DescribeSnapshots", "ec2:DescribeTags")
_IMAGE = ("ec2:RegisterImage", "ec2:DescribeImages")
#: what the role needs on a key that encrypts the result (aws-facts 4.2)
KEY_ACTIONS = (
    "kms:CreateGrant",
    "kms:Decrypt",
    "kms:DescribeKey",
    "kms:Encrypt",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
)
_LICENSE = (
    "license-manager:GetLicenseConfiguration",
    "license-manager:UpdateLicenseSpecificationsForResource",
    "license-manager:ListLicenseSpecificationsForResource",
)


@dataclass(frozen=True, slots=True)
class RoleDocuments:
    """A role as IAM has it: `identity` its inline and attached policies, `boundary` its permissions boundary."""

    arn: str
    account: str
    trust: Text
    identity: tuple[Text, ...]
    boundary: Text = ""

    def caller(self) -> Caller:
        """A session of the role; its name is the service's own business."""
        session = self.arn.replace(":iam:", ":sts:", 1).replace(":role/", ":assumed-role/", 1)
        return Caller(f"{session}/vmie", self.account, self.identity, self.boundary or None, role=self.arn)


@dataclass(frozen=True, slots=True)
class TaskOrigin:
    """What a task will do with the role, for the trust policy's confused-deputy conditions."""

    partition: str
    region: str
    account: str
    task_id: str = "import-ami-0123456789abcdef0"


class Judgement(Enum):
    """Why a role may or may not: the value completes "the role may not do it: …"."""

    ALLOWED = "allowed"
    SILENT = "no policy of the role allows it"
    DENIED = "a policy of the role denies it"
    BOUNDARY = "the role's permissions boundary does not allow it"
    RESOURCE = "the resource's own policy denies it"
    FOREIGN = "the resource is another account's, whose policy does not allow it"


def trusts_service(role: RoleDocuments, errand: TaskOrigin, *, generous: bool = False) -> bool:
    """May VM Import/Export assume the role for this task? `generous` as in `Access`."""
    arn = f"arn:{errand.partition}:vmie:{errand.region}:{errand.account}:task/{errand.task_id}"
    context = {"sts:ExternalId": EXTERNAL_ID, "aws:SourceAccount": errand.account, "aws:SourceArn": arn}
    asked = Access("sts:AssumeRole", context=context, generous=generous)
    return decide([role.trust], asked, principal=_WHO) is Decision.ALLOW


def why_not_trusted(role: RoleDocuments, errand: TaskOrigin) -> str:
    """What is wrong with the trust policy, in words; "" unless VM Import/Export may surely not assume the role."""
    if trusts_service(role, errand, generous=True):
        return ""
    plain = Access("sts:AssumeRole", context={"sts:ExternalId": EXTERNAL_ID}, generous=True)
    if decide([role.trust], plain, principal=_WHO) is Decision.ALLOW:
        return f"its trust policy is narrowed to requests that are not from account {errand.account}"
    found = _statements_for_service(role.trust)
    if not found:
        return f"its trust policy does not name the service {SERVICE}"
    if any(statement.get("Effect") == "Deny" for statement in found):
        return f"its trust policy denies {SERVICE}"
    if any("externalid" in str(statement.get("Condition") or "").lower() for statement in found):
        given = sorted(set(_external_ids(found)))
        if EXTERNAL_ID not in given:
            said = f" ({', '.join(given)})" if given else ""
            return f"its trust policy asks for another external id{said} than {EXTERNAL_ID}"
    return f"its trust policy lets {SERVICE} in for other requests than those of VM Import/Export in this account"


def judge(role: RoleDocuments, ask: Access, *, resource_policy: Text = "", owner: str = "") -> Judgement:
    """May the role do it? `resource_policy` is the bucket's, `owner` the account the bucket belongs to."""
    return _judgement(authorize(role.caller(), ask, Guard(resource_policy, owner)))


def may(role: RoleDocuments, ask: Access, *, resource_policy: Text = "", owner: str = "") -> bool:
    """`judge` as yes or no."""
    return judge(role, ask, resource_policy=resource_policy, owner=owner) is Judgement.ALLOWED


def judge_key(role: RoleDocuments, ask: Access, key_policy: Text) -> Judgement:
    """May the role use a KMS key so? The key's policy rules, and delegates to IAM when it names the account."""
    return _judgement(authorize(role.caller(), ask, Guard(key_policy, alone=True)))


def _judgement(verdict: Authorization) -> Judgement:
    if verdict.allowed:
        return Judgement.ALLOWED
    if verdict.kind is Kind.RESOURCE:
        return Judgement.RESOURCE if verdict.explicit else Judgement.FOREIGN
    if verdict.kind is Kind.BOUNDARY:
        return Judgement.BOUNDARY
    return Judgement.DENIED if verdict.explicit else Judgement.SILENT


def may_use_key(role: RoleDocuments, key_arn: str, key_policy: Text, actions: Iterable[str] = KEY_ACTIONS) -> bool:
    """`judge_key` of all `actions`."""
    return all(judge_key(role, Access(action, key_arn), key_policy) is Judgement.ALLOWED for action in actions)


def import_asks(partition: str, bucket: str, key: str, *, image: bool, licensed: bool = False) -> list[Access]:
    """What an import does with the role (aws-facts 4.2)."""
    arn = f"arn:{partition}:s3:::{bucket}"
    asks = [
        Access("s3:GetBucketLocation", arn),
        Access("s3:ListBucket", arn),
        Access("s3:GetObject", f"{arn}/{key}"),
    ]
    return asks + service_asks(image=image, licensed=licensed)


def service_asks(*, image: bool, licensed: bool = False) -> list[Access]:
    """The part of an import's or export's needs that has nothing to do with S3."""
    return [Access(action) for action in (*_EC2, *(_IMAGE if image else ()), *(_LICENSE if licensed else ()))]


def export_asks(partition: str, bucket: str, key: str) -> list[Access]:
    """What ExportImage does with the role (aws-facts 4.2)."""
    arn = f"arn:{partition}:s3:::{bucket}"
    return [
        Access("s3:GetBucketLocation", arn),
        Access("s3:ListBucket", arn),
        Access("s3:GetBucketAcl", arn),
        Access("s3:PutObject", f"{arn}/{key}"),
        Access("ec2:DescribeImages"),
    ]


def _statements_for_service(trust: Text) -> list[Mapping[str, Any]]:
    """The statements that name the service for AssumeRole, whatever their conditions."""
    found = []
    for statement in parsed(trust):
        bare = {key: value for key, value in statement.items() if key != "Condition"}
        if decide([{"Statement": [bare]}], Access("sts:AssumeRole"), principal=_WHO) is not Decision.SILENT:
            found.append(statement)
    return found


def _external_ids(found: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    for statement in found:
        condition = statement.get("Condition")
        for tests in condition.values() if isinstance(condition, Mapping) else ():
            for key, value in tests.items() if isinstance(tests, Mapping) else ():
                if str(key).lower() == "sts:externalid":
                    yield from (str(one) for one in (value if isinstance(value, list) else [value]))
