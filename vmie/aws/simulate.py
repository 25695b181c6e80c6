"""IAM's own policy simulator: sees organisation policies and boundaries that no reader of documents sees.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from vmie.aws.errors import refusals
from vmie.aws.session import Aws
from vmie.errors import AwsRefused
from vmie.policy.evaluate import Access

_WORDS = {
    "explicitDeny": "a policy denies it",
    "implicitDeny": "no policy allows it",
}


@dataclass(frozen=True, slots=True)
class Simulated:
    """One simulated action: `why` is "" when it is allowed.

    `missing` are the condition keys that a policy asks for and that are not known here: with them the decision may be
    another.
    """

    action: str
    resource: str
    why: str = ""
    missing: tuple[str, ...] = ()


def simulate(
    aws: Aws, principal: str, asks: Iterable[Access], *, context: Mapping[str, str] | None = None
) -> list[Simulated] | None:
    """Every ask as IAM would decide it for `principal` (a user's or role's ARN), with `context` beside what is known.

    None when the caller may not simulate, or IAM does not know the principal. Resource policies are not part of it.
    """
    known = {**request_context(aws, principal), **(context or {})}
    # one call for what is asked of the same resource in the same circumstances
    together: dict[tuple[str, tuple[tuple[str, Any], ...]], list[str]] = {}
    for ask in asks:
        together.setdefault((ask.resource, tuple(sorted(ask.context.items()))), []).append(ask.action)
    found: list[Simulated] = []
    try:
        with refusals("SimulatePrincipalPolicy", operand=principal):
            pages = aws.client("iam").get_paginator("simulate_principal_policy")
            for (resource, own), actions in together.items():
                for page in pages.paginate(
                    PolicySourceArn=principal,
                    ActionNames=actions,
                    ResourceArns=[resource],
                    ContextEntries=_entries({**known, **dict(own)}),
                ):
                    found += [_read(result) for result in page["EvaluationResults"]]
    except AwsRefused as error:
        if error.code in ("AccessDenied", "NoSuchEntity", "InvalidInput", "PolicyEvaluation"):
            return None
        raise
    return found


def request_context(aws: Aws, principal: str) -> dict[str, str]:
    """What is known of every call that the principal makes with this session; MFA and the network are not known."""
    account, kind = principal.split(":")[4], principal.split(":", 5)[5].partition("/")[0]
    return {
        "aws:RequestedRegion": aws.region,
        "aws:SecureTransport": "true",
        "aws:ViaAWSService": "false",
        "aws:PrincipalArn": principal,
        "aws:PrincipalAccount": account,
        "aws:PrincipalType": "User" if kind == "user" else "AssumedRole",
    }


def _entries(context: Mapping[str, Any]) -> list[Any]:
    return [
        {
            "ContextKeyName": key,
            "ContextKeyValues": [value] if isinstance(value, str) else list(value),
            "ContextKeyType": _TYPES.get(key, "string"),
        }
        for key, value in context.items()
    ]


#: IAM compares a value only where its type is given
_TYPES: Mapping[str, Literal["boolean"]] = {"aws:SecureTransport": "boolean", "aws:ViaAWSService": "boolean"}


def _read(result: Any) -> Simulated:
    why = "" if result["EvalDecision"] == "allowed" else _WORDS.get(result["EvalDecision"], result["EvalDecision"])
    if why and not (result.get("OrganizationsDecisionDetail") or {}).get("AllowedByOrganizations", True):
        why = "an organisation's policy (SCP) does not allow it"
    if why and not (result.get("PermissionsBoundaryDecisionDetail") or {}).get("AllowedByPermissionsBoundary", True):
        why = "the permissions boundary does not allow it"
    missing = tuple(sorted(result.get("MissingContextValues") or ())) if why else ()
    return Simulated(result["EvalActionName"], result.get("EvalResourceName") or "*", why, missing)
