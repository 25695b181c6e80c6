"""AWS's own managed policies (``arn:aws:iam::aws:policy/…``), which every account has.

moto knows all of them, but has none unless it loads 1,600 for each account, which takes an eighth of a second. Here
one is made when it is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any

from moto.iam.aws_managed_policies import aws_managed_policies_data
from moto.iam.models import AWSManagedPolicy, IAMBackend

from vmie.sandbox.patching import Patcher

#: the calls that name a policy, and the place of its ARN among their arguments
_BY_ARN = {
    "attach_role_policy": 0,
    "attach_user_policy": 0,
    "attach_group_policy": 0,
    "get_policy": 0,
    "get_policy_version": 0,
    "list_policy_versions": 0,
    "put_role_permissions_boundary": 1,
}


def install(patcher: Patcher) -> None:
    """Attach it."""
    for name, place in _BY_ARN.items():
        patcher.attribute(IAMBackend, name, _knowing(getattr(IAMBackend, name), place))
    patcher.attribute(IAMBackend, "create_role", _create_role(IAMBackend.create_role))
    patcher.attribute(IAMBackend, "list_policies", _list_policies(IAMBackend.list_policies))


@cache
def _data() -> dict[str, dict[str, Any]]:
    """What each ends with in its ARN, and moto's data of it; the last part is its name there."""
    return {f"{data.get('Path')}{name}": data for name, data in json.loads(aws_managed_policies_data).items()}


def know(backend: Any, arn: Any) -> None:
    """Let the account have the policy, if it is one of AWS's."""
    start = f"arn:{backend.partition}:iam::aws:policy"
    if isinstance(arn, str) and arn.startswith(f"{start}/") and arn not in backend.managed_policies:
        path = arn.removeprefix(start)
        if data := _data().get(path):
            name = path.rpartition("/")[2]
            made = AWSManagedPolicy.from_data(name, backend.account_id, backend.region_name, data)
            backend.managed_policies[made.arn] = made
            backend.aws_managed_policies.append(made)


def _knowing(original: Callable[..., Any], place: int) -> Callable[..., Any]:
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        know(self, kwargs.get("policy_arn") or kwargs.get("permissions_boundary") or (*args, "", "")[place])
        return original(self, *args, **kwargs)

    return call


def _create_role(original: Callable[..., Any]) -> Callable[..., Any]:
    def create_role(self: Any, *args: Any, **kwargs: Any) -> Any:
        know(self, kwargs.get("permissions_boundary") or (*args, "", "", "", "")[3])
        return original(self, *args, **kwargs)

    return create_role


def _list_policies(original: Callable[..., Any]) -> Callable[..., Any]:
    def list_policies(self: Any, *args: Any, **kwargs: Any) -> Any:
        scope = kwargs.get("scope") or (*args, None, None, None, None, None)[4]
        attached = kwargs.get("only_attached") or (*args, None, None, None)[2]
        if scope != "Local" and not attached:
            for path in _data():
                know(self, f"arn:{self.partition}:iam::aws:policy{path}")
        return original(self, *args, **kwargs)

    return list_policies
