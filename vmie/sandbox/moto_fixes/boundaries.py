"""moto's IAM with permissions boundaries of users, and the limit of attached policies.

https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from moto.core.responses import EmptyResult
from moto.core.serialize import never_return
from moto.iam.exceptions import LimitExceededException, NotFoundException
from moto.iam.models import IAMBackend
from moto.iam.responses import IamResponse

from vmie.sandbox.moto_fixes.managed_policies import know
from vmie.sandbox.patching import Patcher

#: managed policies of one user, role or group
_ATTACHED = 10


def install(patcher: Patcher) -> None:
    """Attach both."""
    for kind in ("user", "role", "group"):
        name = f"attach_{kind}_policy"
        patcher.attribute(IAMBackend, name, _attaching(getattr(IAMBackend, name), kind))
    patcher.attribute(IamResponse, "put_user_permissions_boundary", _put_boundary)
    patcher.attribute(IamResponse, "delete_user_permissions_boundary", _delete_boundary)
    patcher.attribute(IamResponse, "create_user", _bounded(IamResponse.create_user))
    hidden = IamResponse.RESPONSE_KEY_PATH_TO_TRANSFORMER
    # https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListUsers.html
    patcher.item(hidden, "ListUsersResponse.Users.User.PermissionsBoundary", never_return)


def _attaching(original: Callable[..., Any], kind: str) -> Callable[..., Any]:
    names = inspect.signature(original)

    def attach(backend: Any, *args: Any, **kwargs: Any) -> Any:
        given = names.bind(backend, *args, **kwargs).arguments
        held = list(getattr(backend, f"{kind}s").values())
        found = next((one for one in held if one.name == given[f"{kind}_name"]), None)
        if found is not None and len({*found.managed_policies, given["policy_arn"]}) > _ATTACHED:
            raise LimitExceededException(f"Cannot exceed quota for PoliciesPer{kind.title()}: {_ATTACHED}")
        return original(backend, *args, **kwargs)

    return attach


def _put_boundary(call: Any) -> Any:
    arn, user = call._get_param("PermissionsBoundary"), call.backend.get_user(call._get_param("UserName"))  # noqa: SLF001
    _require(call.backend, arn)
    user.permissions_boundary_arn = arn
    _show(user)
    return EmptyResult()


def _delete_boundary(call: Any) -> Any:
    user = call.backend.get_user(call._get_param("UserName"))  # noqa: SLF001
    if not getattr(user, "permissions_boundary_arn", None):
        raise NotFoundException(f"Permissions boundary for user {user.name} cannot be found.")
    user.permissions_boundary_arn = None
    _show(user)
    return EmptyResult()


def _bounded(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def create_user(call: Any) -> Any:
        arn = call._get_param("PermissionsBoundary")  # noqa: SLF001
        if arn:
            _require(call.backend, arn)
        answer = original(call)
        if arn:
            user = call.backend.get_user(call._get_param("UserName"))  # noqa: SLF001
            user.permissions_boundary_arn = arn
            _show(user)
        return answer

    return create_user


def _require(backend: Any, arn: str) -> None:
    know(backend, arn)
    if arn not in backend.managed_policies:
        raise NotFoundException(f"Scope ARN: {arn} does not exist or is not attachable.")


def _show(user: Any) -> None:
    """What GetUser answers with: moto serialises attributes by the model's names."""
    arn = user.permissions_boundary_arn
    user.permissions_boundary = (
        {"PermissionsBoundaryType": "PermissionsBoundaryPolicy", "PermissionsBoundaryArn": arn} if arn else None
    )
