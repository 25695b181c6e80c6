"""The service role: there, trusting the service, and allowed all that the job does with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from vmie.aws import iam, kms, role_check, service_role
from vmie.aws.service_role import MissingRight, ServiceRole
from vmie.aws.simulate import simulate
from vmie.errors import AwsRefused
from vmie.model import Verdict
from vmie.ops.doctor.report import Case, Fix, Line, allowing, passed, refused
from vmie.policy.evaluate import Access
from vmie.policy.permissions import JobKind
from vmie.policy.service import KEY_ACTIONS, Judgement, export_asks, import_asks, why_not_trusted

#: an organisation's policy limits the role too, and only IAM's simulator knows it
ORGANISATION = "an organisation's policy (SCP) does not allow it"


def exists(case: Case) -> list[Line]:
    """It is there and lets VM Import/Export in."""
    try:
        iam.expect_role(case.aws, case.role_name, bucket=case.bucket, export=case.exports)
    except AwsRefused as error:
        return [refused("role", error, fix=case.mendable(case.wish))]
    role = case.role  # AccessDenied leaves as an error: the caller may not look
    if role is None:
        return []
    if why_not_trusted(role.documents, service_role.errand(case.aws)):  # pragma: no cover - raised by expect_role
        return []
    return [passed("role", f"the role {role.name} is there and trusts VM Import/Export")]


def rights(case: Case) -> list[Line]:
    """Its policies, the bucket's, its boundary and the organisation's allow what the service does."""
    role = case.role
    if role is None or not case.bucket:
        return []
    asks = needs(case)
    document = service_role.bucket_policy(case.aws, case.bucket)
    found = _sure(case, role, asks, document)
    if found:
        return [_lacking(case, role, found)]
    unsure = service_role.lacks(case.aws, role, asks, resource_policy=document, owner=case.aws.account, generous=False)
    if unsure:
        return [
            Line(
                "role rights",
                Verdict.UNKNOWN,
                f"whether {role_check.missing(role, unsure).replace(' lacks ', ' may do ')} cannot be known",
                _doubt(role),
                "look at those policies; an import goes on and AWS decides",
            )
        ]
    return [passed("role rights", f"the role may do all {len(asks)} things that the {case.job} needs in {case.bucket}")]


def needs(case: Case) -> list[Access]:
    """What the service will do as the role."""
    partition = case.aws.partition
    if case.exports:
        return export_asks(partition, case.bucket, case.sample)
    keys, image = case.keys or (case.sample,), case.job is not JobKind.IMPORT_SNAPSHOT
    asks = [ask for key in keys for ask in import_asks(partition, case.bucket, key, image=image)]
    return list({(ask.action, ask.resource): ask for ask in asks}.values())


def _sure(case: Case, role: ServiceRole, asks: Sequence[Access], document: object) -> list[MissingRight]:
    """What the documents surely do not allow; where they do, what IAM's simulator knows better."""
    found = service_role.lacks(
        case.aws,
        role,
        asks,
        resource_policy=document,  # type: ignore[arg-type]
        owner=case.aws.account,
    )
    if found:
        return found
    simulated = simulate(case.aws, role.documents.arn, asks, context=service_role.context(case.aws, role))
    return [MissingRight(one.action, one.resource, ORGANISATION) for one in simulated or () if one.why == ORGANISATION]


def _lacking(case: Case, role: ServiceRole, found: Sequence[MissingRight]) -> Line:
    silent = {one.why for one in found} == {Judgement.SILENT.value}
    fix = case.mendable(case.wish) if silent else None
    error = role_check.refusal(role, found, bucket=case.bucket, export=case.exports)
    return refused("role rights", error, fix=fix, statement=_statement(found))


def _statement(found: Sequence[MissingRight]) -> dict[str, Any] | None:
    """What to add to the role's policy, where no policy allows it; a Deny is not mended by adding."""
    silent = [(one.action, one.resource) for one in found if one.why == Judgement.SILENT.value]
    return allowing(silent) if silent else None


def _doubt(role: ServiceRole) -> str:
    if role.unread:
        return f"you may not read {', '.join(role.unread)}"
    return "it hangs on a condition, or on the bucket's policy, which cannot be judged from here"


def keys(case: Case) -> list[Line]:
    """The KMS keys of the bucket and of the result can be used, by the role too."""
    if case.exports:
        return []
    lines = []
    role = case.role
    if case.bucket and (used := service_role.bucket_key(case.aws, case.bucket)) is not None:
        lines += _key(case, role, str(used["Arn"]), "bucket key", service_role.OBJECT_KEY_ACTIONS, via="s3")
    if case.key:
        lines += _key(case, role, case.key, "key", KEY_ACTIONS)
    return lines


def ebs_key(case: Case) -> list[Line]:
    """Encryption by default: every imported snapshot is encrypted, with a key that the role must be allowed."""
    if case.exports:
        return []
    name = kms.ebs_default(case.aws)
    if name is None:
        return [passed("EBS encryption", "snapshots are not encrypted unless asked for")]
    if name in ("alias/aws/ebs", case.key):
        return [passed("EBS encryption", f"snapshots are encrypted by default, with {name}")]
    return _key(case, case.role, name, "EBS encryption", KEY_ACTIONS)


def _key(
    case: Case,
    role: ServiceRole | None,
    name: str,
    check: str,
    actions: Sequence[str],
    *,
    via: Literal["ec2", "s3"] = "ec2",
) -> list[Line]:
    try:
        key = kms.expect_key(case.aws, name)
    except AwsRefused as error:
        return [refused(check, error)]
    if key is None:
        why = "kms:DescribeKey is not allowed to you"
        return [Line(check, Verdict.UNKNOWN, f"the KMS key {name} cannot be looked at", why)]
    if role is None:
        return [passed(check, f"the KMS key {name} is enabled")]
    arn = str(key["Arn"])
    found = service_role.key_lacks(case.aws, role, key, actions, via=via)
    if not found:
        return [passed(check, f"the KMS key {arn} is enabled, and the role may use it")]
    fix = None
    if {one.why for one in found} == {Judgement.SILENT.value} and case.bucket:
        fix = case.mendable(Fix(buckets=(case.bucket,), kms_keys=(arn,)))
    refusal = role_check.refusal(role, found, bucket=case.bucket or "BUCKET", key=arn)
    return [refused(check, refusal, fix=fix, statement=_statement(found))]
