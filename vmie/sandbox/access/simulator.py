"""IAM's policy simulator, on the evaluator that judges the calls themselves: the two cannot disagree.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from moto.core.responses import ActionResult
from moto.iam.models import iam_backends
from moto.iam.responses import IamResponse

from vmie.policy.authorize import Authorization, Caller, Guard, authorize
from vmie.policy.evaluate import Access, Decision, Document, condition_keys, decide, parsed
from vmie.sandbox.access.callers import Callers, identity
from vmie.sandbox.api_errors import ApiError
from vmie.sandbox.patching import Patcher

_PAGE = 100
_VARIABLE = re.compile(r"\$\{([A-Za-z][^},]*)")


class Simulator:
    """The actions, attached to moto's IAM."""

    def __init__(self, callers: Callers) -> None:
        self._callers = callers

    def install(self, patcher: Patcher) -> None:
        """Attach them."""
        for name, action in (
            ("simulate_principal_policy", self._principal_policy),
            ("simulate_custom_policy", self._custom_policy),
            ("get_context_keys_for_principal_policy", self._principal_keys),
            ("get_context_keys_for_custom_policy", self._custom_keys),
        ):
            patcher.attribute(IamResponse, name, _answering(action))

    def _principal_policy(self, call: Any) -> dict[str, Any]:
        params = call._get_params()  # noqa: SLF001 - moto's own way to all parameters
        caller = self._caller(params["PolicySourceArn"])
        given = tuple(params.get("PolicyInputList") or ())
        limits = tuple(params.get("PermissionsBoundaryPolicyInputList") or ())
        return _simulated(
            params,
            Caller(
                caller.arn,
                caller.account,
                (*caller.identity, *given),
                limits[0] if limits else caller.boundary,
                control=caller.control,
                role=caller.role,
            ),
        )

    def _custom_policy(self, call: Any) -> dict[str, Any]:
        params = call._get_params()  # noqa: SLF001
        limits = tuple(params.get("PermissionsBoundaryPolicyInputList") or ())
        arn = params.get("CallerArn") or f"arn:{call.partition}:iam::{call.current_account}:user/simulated"
        given = tuple(params.get("PolicyInputList") or ())
        return _simulated(params, Caller(arn, arn.split(":")[4], given, limits[0] if limits else None))

    def _principal_keys(self, call: Any) -> dict[str, Any]:
        params = call._get_params()  # noqa: SLF001
        arn = params["PolicySourceArn"]
        documents = _of_group(arn) or self._caller(arn).identity
        return {"ContextKeyNames": _keys((*documents, *(params.get("PolicyInputList") or ())))}

    def _custom_keys(self, call: Any) -> dict[str, Any]:
        return {"ContextKeyNames": _keys(call._get_params().get("PolicyInputList") or ())}  # noqa: SLF001

    def _caller(self, arn: str) -> Caller:
        found = self._callers.of_principal(arn)
        if found is not None:
            return found[0]
        if documents := _of_group(arn):
            return Caller(arn, arn.split(":")[4], documents)
        raise ApiError("NoSuchEntity", f"The principal {arn} cannot be found.", status=404)


def _of_group(arn: str) -> tuple[str, ...]:
    account = arn.split(":")[4] if arn.count(":") >= 5 else ""
    for backend in list(iam_backends[account].values()) if account in iam_backends else ():
        for group in list(backend.groups.values()):
            if group.arn == arn:
                return identity(backend, group)
    return ()


def _simulated(params: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
    context = {one["ContextKeyName"]: one.get("ContextKeyValues") or () for one in params.get("ContextEntries") or ()}
    owner = str(params.get("ResourceOwner") or "")
    guard = Guard(params.get("ResourcePolicy") or "", owner.split(":")[4] if owner.count(":") >= 5 else owner)
    results = [
        _evaluated(caller, Access(action, resource, context), guard)
        for action in params.get("ActionNames") or ()
        for resource in params.get("ResourceArns") or ["*"]
    ]
    start = int(params["Marker"]) if str(params.get("Marker") or "").isdigit() else 0
    end = start + int(params.get("MaxItems") or _PAGE)
    answer: dict[str, Any] = {"EvaluationResults": results[start:end], "IsTruncated": end < len(results)}
    return answer | ({"Marker": str(end)} if end < len(results) else {})


def _evaluated(caller: Caller, ask: Access, guard: Guard) -> dict[str, Any]:
    verdict: Authorization = authorize(caller, ask, guard)
    documents: list[Document] = [*caller.identity, *(one for level in caller.control for one in level)]
    documents += [caller.boundary] if caller.boundary is not None else []
    documents += [guard.policy] if guard.policy else []
    result: dict[str, Any] = {
        "EvalActionName": ask.action,
        "EvalResourceName": ask.resource,
        "EvalDecision": "allowed" if verdict.allowed else "explicitDeny" if verdict.explicit else "implicitDeny",
        "MatchedStatements": [],
        "MissingContextValues": sorted(condition_keys(documents, ask)),
    }
    if caller.boundary is not None:
        bounded = decide([caller.boundary], ask) is Decision.ALLOW
        result["PermissionsBoundaryDecisionDetail"] = {"AllowedByPermissionsBoundary": bounded}
    if caller.control:
        allowed = all(decide(level, ask) is Decision.ALLOW for level in caller.control)
        result["OrganizationsDecisionDetail"] = {"AllowedByOrganizations": allowed}
    return result


def _keys(documents: Sequence[Document]) -> list[str]:
    """Every condition key and variable of the documents."""
    found: set[str] = set()
    for document in documents:
        for statement in parsed(document):
            for text in _strings(statement):
                found |= set(_VARIABLE.findall(text))
            condition = statement.get("Condition")
            for tests in condition.values() if isinstance(condition, Mapping) else ():
                found |= {str(key) for key in tests} if isinstance(tests, Mapping) else set()
    return sorted(found)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one)


def _answering(action: Callable[[Any], dict[str, Any]]) -> Callable[[Any], Any]:
    def method(call: Any) -> Any:
        try:
            return ActionResult(action(call))
        except ApiError as error:
            return error.document("iam")

    return method
