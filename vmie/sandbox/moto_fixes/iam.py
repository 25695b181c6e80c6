"""IAM's limits of policy documents, which moto does not know: characters without white space.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html#reference_iam-quotas-entity-length
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any

from moto.iam.exceptions import LimitExceededException
from moto.iam.models import IAMBackend

from vmie.sandbox.patching import Patcher

#: of all inline policies of one of them together
_INLINE = {"user": 2048, "role": 10240, "group": 5120}
_MANAGED = 6144
#: of a trust policy; the quota can be raised to 4,096
_TRUST = 2048


def install(patcher: Patcher) -> None:
    """Check documents before they are kept."""
    for kind in _INLINE:
        name = f"put_{kind}_policy"
        patcher.attribute(IAMBackend, name, _inline(kind, getattr(IAMBackend, name)))
    for name in ("create_policy", "create_policy_version"):
        patcher.attribute(IAMBackend, name, _sized("PolicySize", _MANAGED, getattr(IAMBackend, name)))
    for name in ("create_role", "update_assume_role_policy"):
        patcher.attribute(IAMBackend, name, _sized("ACLSizePerRole", _TRUST, getattr(IAMBackend, name)))


def characters(document: object) -> int:
    """The size of a policy as IAM counts it; moto's CloudFormation gives it as an object."""
    text = document if isinstance(document, str) else json.dumps(document, separators=(",", ":"))
    return len("".join(text.split()))


def _inline(kind: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def put_policy(self: Any, name: str, policy_name: str, policy_json: str) -> Any:
        held: Mapping[str, object] = getattr(self, f"get_{kind}")(name).policies
        others = sum(characters(one) for other, one in held.items() if other != policy_name)
        if others + characters(policy_json) > _INLINE[kind]:
            raise LimitExceededException(f"Maximum policy size of {_INLINE[kind]} bytes exceeded for {kind} {name}")
        return original(self, name, policy_name, policy_json)

    return put_policy


def _sized(quota: str, limit: int, original: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(original)
    (name,) = {"policy_document", "assume_role_policy_document"} & set(signature.parameters)

    def act(*args: Any, **kwargs: Any) -> Any:
        if characters(signature.bind(*args, **kwargs).arguments[name]) > limit:
            raise LimitExceededException(f"Cannot exceed quota for {quota}: {limit}")
        return original(*args, **kwargs)

    return act
