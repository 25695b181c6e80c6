"""IAM's own policy simulator: sees organisation policies and boundaries that no reader of documents sees.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

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
    """One simulated action: `why` is "" when it is allowed."""

    action: str
    resource: str
    why: str = ""


def simulate(
    aws: Aws, principal: str, asks: Iterable[Access], *, context: Mapping[str, str] | None = None
) -> list[Simulated] | None:
    """Every ask as IAM would decide it for `principal` (a user's or role's ARN).

    None when the caller may not simulate, or IAM does not know the principal. Resource policies are not part of it.
    """
    by_resource: dict[str, list[str]] = {}
    for ask in asks:
        by_resource.setdefault(ask.resource, []).append(ask.action)
    entries = [
        {"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string"}
        for key, value in (context or {}).items()
    ]
    found: list[Simulated] = []
    try:
        with refusals("SimulatePrincipalPolicy", operand=principal):
            pages = aws.client("iam").get_paginator("simulate_principal_policy")
            for resource, actions in by_resource.items():
                for page in pages.paginate(
                    PolicySourceArn=principal,
                    ActionNames=actions,
                    ResourceArns=[resource],
                    ContextEntries=entries,  # type: ignore[arg-type]
                ):
                    found += [_read(result) for result in page["EvaluationResults"]]
    except AwsRefused as error:
        if error.code in ("AccessDenied", "NoSuchEntity", "InvalidInput", "PolicyEvaluation"):
            return None
        raise
    return found


def _read(result: Any) -> Simulated:
    why = "" if result["EvalDecision"] == "allowed" else _WORDS.get(result["EvalDecision"], result["EvalDecision"])
    if why and not (result.get("OrganizationsDecisionDetail") or {}).get("AllowedByOrganizations", True):
        why = "an organisation's policy (SCP) does not allow it"
    if why and not (result.get("PermissionsBoundaryDecisionDetail") or {}).get("AllowedByPermissionsBoundary", True):
        why = "the permissions boundary does not allow it"
    return Simulated(result["EvalActionName"], result.get("EvalResourceName") or "*", why)
