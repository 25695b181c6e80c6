"""The service assumes its role: trust policy, external id, and every right it will use, on that very object.

Pure but for the documents, which `RoleBook` reads from wherever IAM is. IAM is eventually consistent
(aws-facts 6): with a propagation delay the book answers as the documents were that long ago.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from vmie.sandbox.authorise import Ask, Decision, Principal, decide
from vmie.sandbox.clock import SandboxClock
from vmie.sandbox.gate import Faults

SERVICE = Principal("Service", ("vmie.amazonaws.com",))
EXTERNAL_ID = "vmimport"

_EC2 = ("ec2:ModifySnapshotAttribute", "ec2:CopySnapshot", "ec2:DescribeSnapshots", "ec2:DescribeTags")
_KMS = (
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
    trust: str
    identity: tuple[str, ...]
    boundary: str = ""


RoleKey = tuple[str, str, str]  #: account, partition, name


class RoleBook:
    """Roles as the service sees them, which is late."""

    def __init__(
        self, read: Callable[[], Mapping[RoleKey, RoleDocuments]], *, clock: SandboxClock, faults: Faults
    ) -> None:
        self._read = read
        self._clock = clock
        self._faults = faults
        self._history: list[tuple[float, Mapping[RoleKey, RoleDocuments]]] = [(float("-inf"), dict(read()))]
        self._lock = threading.Lock()

    def record(self) -> None:
        """Note what IAM holds now; called after whatever may have changed it."""
        now = dict(self._read())
        with self._lock:
            if now != self._history[-1][1]:
                self._history.append((self._clock.elapsed(), now))
                del self._history[:-1000]

    def effective(self, key: RoleKey) -> RoleDocuments | None:
        """The role as it was `propagation` seconds ago; None when it was not there."""
        if self._faults.propagation <= 0:
            return self._read().get(key)
        then = self._clock.elapsed() - self._faults.propagation
        with self._lock:
            past = [roles for at, roles in self._history if at <= then]
        return past[-1].get(key) if past else None


@dataclass(frozen=True, slots=True)
class Errand:
    """What a task will do with the role, for the trust policy's confused-deputy conditions."""

    partition: str
    region: str
    account: str
    task_id: str


def trusts_service(role: RoleDocuments, errand: Errand) -> bool:
    """May VM Import/Export assume the role for this task?"""
    arn = f"arn:{errand.partition}:vmie:{errand.region}:{errand.account}:task/{errand.task_id}"
    context = {"sts:ExternalId": EXTERNAL_ID, "aws:SourceAccount": errand.account, "aws:SourceArn": arn}
    return decide([role.trust], Ask("sts:AssumeRole", context=context), principal=SERVICE) is Decision.ALLOW


def may(role: RoleDocuments, ask: Ask, *, resource_policy: str = "", owner: str = "") -> bool:
    """May the role do it? `resource_policy` is the bucket's, `owner` the account the bucket belongs to."""
    identity = decide(role.identity, ask)
    if role.boundary and decide([role.boundary], ask) is not Decision.ALLOW:
        return False
    root = (_root(role), role.account)
    if Decision.DENY in (identity, decide([resource_policy], ask, principal=Principal("AWS", (role.arn, *root)))):
        return False
    # A grant to the whole account is handed on by identity policies; only one to the role stands alone.
    granted = decide([resource_policy], ask, principal=Principal("AWS", (role.arn,))) is Decision.ALLOW
    if owner and owner != role.account:
        named = decide([resource_policy], ask, principal=Principal("AWS", (role.arn, *root))) is Decision.ALLOW
        return identity is Decision.ALLOW and named
    return identity is Decision.ALLOW or granted


def may_use_key(role: RoleDocuments, key_arn: str, key_policy: str, actions: Iterable[str] = _KMS) -> bool:
    """May the role use a KMS key? The key's policy rules, and delegates to IAM when it names the account."""
    for action in actions:
        ask = Ask(action, key_arn)
        by_name = decide([key_policy], ask, principal=Principal("AWS", (role.arn,)))
        by_account = decide([key_policy], ask, principal=Principal("AWS", (_root(role), role.account)))
        identity = decide(role.identity, ask)
        if Decision.DENY in (by_name, by_account, identity):
            return False
        if by_name is not Decision.ALLOW and not (by_account is Decision.ALLOW and identity is Decision.ALLOW):
            return False
    return True


def import_asks(partition: str, bucket: str, key: str, *, image: bool, licensed: bool = False) -> list[Ask]:
    """What an import does with the role (aws-facts 4.2)."""
    arn = f"arn:{partition}:s3:::{bucket}"
    asks = [Ask("s3:GetBucketLocation", arn), Ask("s3:ListBucket", arn), Ask("s3:GetObject", f"{arn}/{key}")]
    return asks + service_asks(image=image, licensed=licensed)


def service_asks(*, image: bool, licensed: bool = False) -> list[Ask]:
    """The part of an import's or export's needs that has nothing to do with S3."""
    actions = (*_EC2, *(("ec2:RegisterImage", "ec2:DescribeImages") if image else ()), *(_LICENSE if licensed else ()))
    return [Ask(action) for action in actions]


def export_asks(partition: str, bucket: str, key: str) -> list[Ask]:
    """What ExportImage does with the role (aws-facts 4.2)."""
    arn = f"arn:{partition}:s3:::{bucket}"
    return [
        Ask("s3:GetBucketLocation", arn),
        Ask("s3:ListBucket", arn),
        Ask("s3:GetBucketAcl", arn),
        Ask("s3:PutObject", f"{arn}/{key}"),
        Ask("ec2:DescribeImages"),
    ]


def _root(role: RoleDocuments) -> str:
    partition = role.arn.split(":")[1] if role.arn.count(":") >= 5 else "aws"
    return f"arn:{partition}:iam::{role.account}:root"
