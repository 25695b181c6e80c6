"""The caller's own permissions for the job, action by action."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from vmie.aws import identity, service_role
from vmie.aws.simulate import Simulated, request_context, simulate
from vmie.errors import Do, Run
from vmie.model import Verdict
from vmie.ops.doctor import bucket
from vmie.ops.doctor.report import Case, Line, allowing, passed
from vmie.policy.evaluate import Access, Decision, decide
from vmie.policy.permissions import rights
from vmie.policy.service import RoleDocuments


def own(case: Case) -> list[Line]:
    """What vmie calls for this job is allowed to the caller."""
    who = case.identity
    if who.root:
        return []
    arn = identity.principal(case.aws, who)
    if arn is None:
        return [
            Line(
                "permissions",
                Verdict.UNKNOWN,
                "your permissions cannot be simulated",
                f"{who.arn} is neither a user nor an assumed role",
                Run(("vmie", "doctor"), "as the user or role that imports"),
            )
        ]
    asks = [one.access for one in case.asks]
    found = simulate(case.aws, arn, asks)
    if found is None:
        found = _by_documents(case, arn, asks)
    if found is None:
        return [
            Line(
                "permissions",
                Verdict.UNKNOWN,
                "your permissions cannot be looked at",
                "neither iam:SimulatePrincipalPolicy nor reading your own policies is allowed to you",
                ("have somebody who may compare them with:", Run(("vmie", "policy", "user", "--job", case.job))),
            )
        ]
    return [
        *_judged(case, arn, found),
        *(bucket.caller_denied(case, arn) if case.bucket else []),
        *_bucket_key(case, arn),
    ]


def _bucket_key(case: Case, arn: str) -> list[Line]:
    """S3 uses the bucket's own KMS key as the caller, when it takes an upload."""
    key = service_role.bucket_key(case.aws, case.bucket) if case.bucket and not case.exports else None
    if key is None:
        return []
    actions = [right.action for right in rights([case.job]) if right.on == "object-key" and right.needed]
    held = identity.documents(case.aws, arn)
    caller = service_role.ServiceRole(
        arn,
        RoleDocuments(arn=arn, account=case.identity.account, trust={}, identity=tuple(held or ())),
        inline={},
        unread=() if held is not None else ("your policies",),
    )
    lacking = service_role.key_lacks(case.aws, caller, key, actions, via="s3")
    if not lacking:
        return []
    used = str(key["Arn"])
    command = ("vmie", "policy", "user", "--job", case.job, "--bucket", case.bucket, "--sse-kms-key", used)
    return [
        Line(
            "permissions",
            Verdict.FAIL,
            f"you may not {', '.join(one.action for one in lacking)} on {used}",
            f"the bucket {case.bucket} encrypts with this key: {', '.join(dict.fromkeys(one.why for one in lacking))}",
            ("have this allowed:", Run(command)),
            "AccessDenied",
            statement=allowing((one.action, one.resource) for one in lacking),
        )
    ]


def _by_documents(case: Case, arn: str, asks: Iterable[Access]) -> list[Simulated] | None:
    documents = identity.documents(case.aws, arn)
    if documents is None:
        return None
    words = {Decision.DENY: "a policy denies it", Decision.SILENT: "no policy allows it", Decision.ALLOW: ""}
    known = request_context(case.aws, arn)
    judged = [(ask, decide(documents, replace(ask, context={**known, **ask.context}, generous=True))) for ask in asks]
    return [Simulated(ask.action, ask.resource, words[decision]) for ask, decision in judged]


def _judged(case: Case, arn: str, found: list[Simulated]) -> list[Line]:
    asked = {(one.access.action, one.access.resource): one for one in case.asks}
    must = {key for key, one in asked.items() if one.needed}
    denied = [one for one in found if one.why and not one.missing]
    lines = _unsure(case, [one for one in found if one.missing and (one.action, one.resource) in must])
    needed = [one for one in denied if (one.action, one.resource) in must]
    option = ("--bucket", case.bucket) if case.bucket else ()
    cure = ("have this allowed:", Run(("vmie", "policy", "user", "--job", case.job, *option)))
    if needed:
        lines.append(
            Line(
                "permissions",
                Verdict.FAIL,
                f"you may not {_listed(case, needed)}",
                _why(needed),
                cure,
                "AccessDenied",
                statement=allowing((one.action, asked[one.action, one.resource].resource) for one in needed),
            )
        )
    elif optional := [one for one in denied if one not in needed]:
        lines.append(
            Line(
                "permissions",
                Verdict.WARN,
                f"you may not {_listed(case, optional)}",
                f"{_why(optional)}; the {case.job} goes on without, but can do less, or check less beforehand",
                cure,
            )
        )
    if not lines:
        lines.append(passed("permissions", f"{arn} may do all {len(found)} things that the {case.job} needs"))
    return lines


def _unsure(case: Case, found: list[Simulated]) -> list[Line]:
    """What hangs on something that only the real call has, such as an MFA code or the network it comes from."""
    if not found:
        return []
    keys = sorted({key for one in found for key in one.missing})
    return [
        Line(
            "permissions",
            Verdict.UNKNOWN,
            f"whether you may {_listed(case, found)} cannot be said",
            f"a policy asks for {', '.join(keys)}, which only the real call has",
            Do("begin it: that asks AWS itself"),
        )
    ]


def _listed(case: Case, found: list[Simulated]) -> str:
    """The actions by resource; one that is refused on everything that EC2 would do it on is refused on "*"."""
    whole = {one.action for one in found if one.action.startswith("ec2:")}
    whole -= {
        ask.access.action
        for ask in case.asks
        if (ask.access.action, ask.access.resource) not in {(one.action, one.resource) for one in found}
    }
    by_resource: dict[str, list[str]] = {}
    for one in found:
        named = by_resource.setdefault("*" if one.action in whole else one.resource, [])
        if one.action not in named:
            named.append(one.action)
    return "; ".join(f"{', '.join(actions)} on {resource}" for resource, actions in by_resource.items())


def _why(found: list[Simulated]) -> str:
    return ", ".join(dict.fromkeys(one.why for one in found))
