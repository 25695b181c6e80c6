"""The service role, its buckets and their grants: planned by reading, then converged.

What somebody else wrote is never widened: a policy that does not read like one of ours is shown and
kept (`Change.action` "conflict" when it would have to change), unless `force`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from vmie import events, limits, policy
from vmie.aws import iam, kms
from vmie.aws.session import Aws
from vmie.errors import Set, UsageError, VmieError
from vmie.model import Change
from vmie.ops.change_step import Step
from vmie.ops.role_plan import RolePlan, RoleResult
from vmie.ops.setup_bucket import BucketWish, bucket_steps
from vmie.options import RoleRequest
from vmie.policy import Document, Grants
from vmie.poll import VISIBILITY, Clock, SystemClock, retrying


def plan(aws: Aws, request: RoleRequest) -> RolePlan:
    """Read the role and the buckets, and think out what to change. Changes nothing.

    Raises UsageError, and AwsRefused for a bucket that is absent, another's or in another Region.
    """
    asked = _asked(aws, request)
    role = iam.find_role(aws, request.role_name)
    current = role.policies.get(iam.POLICY_NAME) if role else None
    grants = (policy.granted(current) if current else Grants()) | asked
    if not grants.buckets and not grants.export_buckets:
        raise UsageError(
            "no bucket is named",
            cause="the role says which buckets VM Import/Export may read",
            cure=(Set("bucket"), Set("create_bucket", note="makes it")),
            fields=("bucket",),
            code="NoBucket",
        )
    warnings: list[str] = []
    wish = BucketWish(
        create=request.create_bucket, canonical_id=limits.export_canonical_id(aws.region), grant=request.grant
    )
    steps: list[Step] = []
    for name in dict.fromkeys((*asked.buckets, *asked.export_buckets)):
        steps += bucket_steps(aws, name, wish, export=name in asked.export_buckets, warnings=warnings)
    trust, trust_step = _trust(aws, role, request)
    document, policy_step = _policy(aws, current, asked, grants, request)
    others = [one for name, one in role.policies.items() if name != iam.POLICY_NAME] if role else []
    _expect_room([document, *others], request.role_name)
    steps += [trust_step, policy_step, *_tags(aws, role, request), *_others(role)]
    return RolePlan(
        role_name=request.role_name,
        role_arn=role.arn if role else f"arn:{aws.partition}:iam::{aws.account}:role/{request.role_name}",
        created=role is None,
        trust=trust,
        document=document,
        steps=tuple(steps),
        warnings=tuple(warnings),
    )


def apply(
    aws: Aws, plan: RolePlan, *, reporter: events.Reporter = events.silent, clock: Clock | None = None
) -> RoleResult:
    """Carry out `plan` in order, then wait until IAM shows the role as written.

    Every step may be repeated: after a crash the same command goes on. Raises PreflightError on a
    conflict before anything is changed, AwsRefused, DeadlineExceeded.
    """
    plan.check()
    clock = clock or SystemClock()
    for warning in plan.warnings:
        reporter(events.Note(warning, level="warning"))
    for step in plan.steps:
        if step.act is not None:
            reporter(events.Note(f"{step.change.action} {step.change.resource}"))
            retrying(step.act, clock=clock, classify=_unsettled, patience={"unsettled": VISIBILITY})
    arn = plan.role_arn
    if any(step.act is not None and step.of_role for step in plan.steps):
        reporter(events.Stage("settle", f"until IAM shows the role {plan.role_name}"))
        arn = iam.settle(aws, plan.role_name, trust=plan.trust, policy=plan.document, clock=clock)
        reporter(
            events.Note(
                "IAM shows the role; VM Import/Export may still refuse it for some seconds, "
                "and an import tries again for two minutes"
            )
        )
    return RoleResult(arn, plan.created, plan.changes, plan.kept)


#: what was made a moment ago is not seen everywhere yet, or is still being changed
_UNSETTLED = (
    *("NoSuchBucket", "OperationAborted"),
    *("NoSuchEntity", "ConcurrentModification", "EntityTemporarilyUnmodifiable"),
)


def _unsettled(error: BaseException) -> str:
    return "unsettled" if isinstance(error, VmieError) and error.code in _UNSETTLED else ""


def _asked(aws: Aws, request: RoleRequest) -> Grants:
    keys = tuple(dict.fromkeys(_key(aws, name) for name in request.kms_keys))
    return Grants(
        tuple(dict.fromkeys(request.buckets)),
        tuple(dict.fromkeys(request.export_buckets)),
        keys,
        request.license_manager,
    )


def _key(aws: Aws, name: str) -> str:
    try:
        return policy.key_arn(name)
    except ValueError:
        return kms.key_arn(aws, name)


def _trust(aws: Aws, role: iam.Role | None, request: RoleRequest) -> tuple[Document, Step]:
    """The role itself and who may assume it: (the trust policy afterwards, the step to it)."""
    name = request.role_name
    account = aws.account
    wanted = policy.trust(account=account if request.restrict_source else "", partition=aws.partition)
    if role is None:
        change = Change("create", f"role {name}", f"trusts {policy.SERVICE}", after=policy.text(wanted))
        make = _call(iam.create_role, aws, name, trust=wanted, tags=dict(request.tags))
        return wanted, Step(change, make, of_role=True)
    what, before = f"trust policy of role {name}", policy.text(role.trust)
    trusted = policy.trusted_account(role.trust, partition=aws.partition)
    if trusted == account or (trusted == "" and not request.restrict_source):
        return role.trust, Step(Change("keep", what, before=before, after=before))
    restricted = policy.trust(account=account, partition=aws.partition)
    if trusted is None and not request.force:
        if policy.admits(role.trust, account=account, partition=aws.partition) and not request.restrict_source:
            detail = "edited by somebody else; it lets VM Import/Export in"
            return role.trust, Step(Change("keep", what, detail, before=before, after=before))
        if not policy.trusts_only_the_service(role.trust):
            detail = "it trusts others than VM Import/Export, or denies"
            return role.trust, Step(Change("conflict", what, detail, before, policy.text(wanted)))
    if trusted is not None or policy.mentions_source(role.trust):
        wanted = restricted  # a narrowing is never taken back
    change = Change("update", what, before=before, after=policy.text(wanted))
    return wanted, Step(change, _call(iam.set_trust, aws, name, trust=wanted), of_role=True)


def _policy(
    aws: Aws, current: Document | None, asked: Grants, grants: Grants, request: RoleRequest
) -> tuple[Document, Step]:
    """What the role may do: (our inline policy afterwards, the step to it)."""
    name = request.role_name
    wanted = policy.role(grants, partition=aws.partition)
    what = f"policy {iam.POLICY_NAME} of role {name}"
    after, before = policy.text(wanted), policy.text(current)
    write = _call(iam.put_policy, aws, name, document=wanted)
    if current is None:
        return wanted, Step(Change("create", what, _described(grants), after=after), write, of_role=True)
    if policy.same(current, wanted):
        return current, Step(Change("keep", what, before=before, after=before))
    ours = policy.grants_of(current, partition=aws.partition) is not None
    if not ours and not request.force:
        lacking = policy.missing([current], policy.role(asked, partition=aws.partition))
        if not lacking:
            detail = "edited by somebody else; it allows all that is asked for"
            return current, Step(Change("keep", what, detail, before=before, after=before))
        listed = ", ".join(f"{permission.action} on {permission.resource}" for permission in lacking)
        return current, Step(Change("conflict", what, f"it does not allow {listed}", before, after))
    return wanted, Step(Change("update", what, _described(grants), before, after), write, of_role=True)


def _expect_room(documents: Sequence[Document], role_name: str) -> None:
    """Raise UsageError where IAM would not take the role's inline policies, before a bucket is made for them.

    IAM counts them together, without white space (https://docs.aws.amazon.com/IAM/latest/UserGuide/
    reference_iam-quotas.html).
    """
    size = sum(len(json.dumps(one, separators=(",", ":"))) for one in documents)
    if size > limits.ROLE_INLINE_POLICY_CHARACTERS.value:
        raise UsageError(
            f"the inline policies of role {role_name} would have {size:,} characters together",
            cause=f"IAM takes {limits.ROLE_INLINE_POLICY_CHARACTERS.value:,}; each bucket and each key needs some",
            cure=(Set("role_name", note="another role for a part of the buckets"), Set("bucket", note="fewer of them")),
            fields=("bucket",),
            code="LimitExceeded",
        )


def _tags(aws: Aws, role: iam.Role | None, request: RoleRequest) -> list[Step]:
    if role is None:
        return []  # CreateRole sets them
    wrong = {key: value for key, value in request.tags.items() if role.tags.get(key) != value}
    if not wrong:
        return []
    before = "\n".join(f"{key}={role.tags[key]}" for key in wrong if key in role.tags)
    after = "\n".join(f"{key}={value}" for key, value in wrong.items())
    change = Change("update", f"tags of role {request.role_name}", before=before, after=after)
    return [Step(change, _call(iam.tag_role, aws, request.role_name, tags=wrong), of_role=True)]


def _others(role: iam.Role | None) -> list[Step]:
    """What else the role carries: named, never touched."""
    if role is None:
        return []
    steps = [
        Step(Change("keep", f"policy {name} of role {role.name}", "not vmie's", before=policy.text(document)))
        for name, document in role.policies.items()
        if name != iam.POLICY_NAME
    ]
    return steps + [
        Step(Change("keep", f"managed policy {arn} of role {role.name}", "not vmie's")) for arn in role.attached
    ]


def _described(grants: Grants) -> str:
    parts = [
        ("import from", grants.buckets),
        ("export to", grants.export_buckets),
        ("keys", grants.keys),
        ("", ("License Manager",) if grants.license_manager else ()),
    ]
    return "; ".join(f"{title} {', '.join(items)}".strip() for title, items in parts if items)


def _call(function: Callable[..., None], *args: Any, **kwargs: Any) -> Callable[[], None]:
    def act() -> None:
        function(*args, **kwargs)

    return act
