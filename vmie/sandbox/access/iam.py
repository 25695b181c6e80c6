"""What calls of IAM need: the user, role, group, policy or profile that is named.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from moto.iam.models import iam_backends

from vmie.sandbox.access.asks import Ask, resource_tags, tag_context
from vmie.sandbox.access.ec2 import role_arn
from vmie.sandbox.access.request import ApiRequest

#: parameters that name what the action is checked on, by the type's name in ARNs
_NAMED = {
    "RoleName": "role",
    "UserName": "user",
    "GroupName": "group",
    "InstanceProfileName": "instance-profile",
    "ServerCertificateName": "server-certificate",
    "VirtualMFADeviceName": "mfa",
    "PolicyName": "policy",
}
_ARNS = ("PolicySourceArn", "OpenIDConnectProviderArn", "SAMLProviderArn", "SerialNumber", "PolicyArn")
#: of these the name is the caller's own where none is given
_OWN = re.compile(
    r"(Get|Create|Delete|Update|List)(User|AccessKeys?|LoginProfile|MFADevices|SSHPublicKeys?|SigningCertificates?)"
    r"|ChangePassword|GetAccessKeyLastUsed|UploadSigningCertificate|EnableMFADevice"
)
#: what a group's or profile's call is checked on, though it names a user or role as well
_FIRST = {
    "AddUserToGroup": "GroupName",
    "RemoveUserFromGroup": "GroupName",
    "AddRoleToInstanceProfile": "InstanceProfileName",
    "RemoveRoleFromInstanceProfile": "InstanceProfileName",
    "CreateGroup": "GroupName",
    "CreatePolicy": "PolicyName",
}
_LISTED = {
    "ListUsers": "user",
    "ListRoles": "role",
    "ListGroups": "group",
    "ListInstanceProfiles": "instance-profile",
    "ListPolicies": "policy",
}
_BOUNDED = re.compile(r"(Create|Put|Attach|Detach|Delete)(User|Role)(Policy|PermissionsBoundary)?")


def asks(request: ApiRequest) -> Iterator[Ask]:
    """Everything that has to be allowed for the call."""
    action, form = request.call.action, request.form
    context: dict[str, Any] = dict(tag_context(request.tags("Tags.member")))
    if form.get("PolicyArn") and action.startswith(("Attach", "Detach")):
        context["iam:PolicyARN"] = form["PolicyArn"]
    kind, holder = _resource(request)
    if holder is not None:
        context |= resource_tags(_tags(request, holder), "iam")
    if _BOUNDED.fullmatch(action):
        boundary = form.get("PermissionsBoundary") or _boundary(holder)
        context |= {"iam:PermissionsBoundary": boundary} if boundary else {}
    yield Ask(f"iam:{action}", kind, context)
    if context.get("aws:TagKeys") and action.startswith("Create"):
        yield Ask(f"iam:Tag{action.removeprefix('Create')}", kind, context)
    if action == "AddRoleToInstanceProfile" and form.get("RoleName"):
        yield Ask("iam:PassRole", role_arn(request, form["RoleName"]), {"iam:PassedToService": "ec2.amazonaws.com"})


def _resource(request: ApiRequest) -> tuple[str, Any]:
    """The ARN of what the call is checked on, and moto's object for it where there is one."""
    action, form = request.call.action, request.form
    first = _FIRST.get(action)
    holders = (first,) if first else [one for one in ("RoleName", "UserName", "GroupName") if form.get(one)]
    if not holders:
        if arn := next((form[one] for one in _ARNS if form.get(one)), ""):
            return arn, None
        holders = [one for one in _NAMED if form.get(one)]
    if holders:
        parameter = holders[0]
        return _arn(request, _NAMED[parameter], form.get(parameter, ""))
    if _OWN.fullmatch(action) and any(":user/" in name for name in request.names):
        arn = next(name for name in request.names if ":user/" in name)
        return arn, _object(request, "user", arn.rpartition("/")[2])
    if action in _LISTED:
        return f"arn:{request.partition}:iam::{request.account}:{_LISTED[action]}/", None
    return "*", None


def _arn(request: ApiRequest, kind: str, name: str) -> tuple[str, Any]:
    found = _object(request, kind, name)
    path = request.form.get("Path") or "/" if request.call.action.startswith("Create") else "/"
    if found is not None:
        return str(found.arn), found
    return f"arn:{request.partition}:iam::{request.account}:{kind}{path}{name}", None


def _object(request: ApiRequest, kind: str, name: str) -> Any:
    backend = iam_backends[request.account][request.partition]
    held: Any = {
        "role": backend.roles,
        "user": backend.users,
        "group": backend.groups,
        "instance-profile": backend.instance_profiles,
    }.get(kind, {})
    return next((one for one in list(held.values()) if one.name == name), None)


def _tags(request: ApiRequest, holder: Any) -> dict[str, str]:
    if hasattr(holder, "assume_role_policy_document"):
        return role_tags(holder)
    backend = iam_backends[request.account][request.partition]
    return dict(backend.tagger.get_tag_dict_for_resource(holder.arn)) if getattr(holder, "arn", "") else {}


def role_tags(role: Any) -> dict[str, str]:
    """A role's tags, which moto keeps as a list or by key."""
    held = role.tags or {}
    return {str(one["Key"]): str(one["Value"]) for one in (held.values() if isinstance(held, dict) else held)}


def _boundary(holder: Any) -> str:
    return str(getattr(holder, "permissions_boundary_arn", None) or "")
