"""What calls of STS need: the role's trust in the caller, and the caller's right to the role.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssecuritytokenservice.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from moto.iam.models import iam_backends

from vmie.policy.authorize import Guard, Kind
from vmie.sandbox.access.asks import Ask, resource_tags, tag_context
from vmie.sandbox.access.iam import role_tags
from vmie.sandbox.access.request import ApiRequest

#: nobody needs a permission for these, and no policy takes them away
_FREE = ("GetCallerIdentity", "GetSessionToken", "AssumeRoleWithWebIdentity", "AssumeRoleWithSAML")


def asks(request: ApiRequest) -> Iterator[Ask]:
    """Everything that has to be allowed for the call."""
    action, form = request.call.action, request.form
    if action in _FREE:
        return
    if action == "AssumeRole":
        yield from _assumed(request)
    elif action == "GetFederationToken":
        name = form.get("Name", "")
        arn = f"arn:{request.partition}:sts::{request.account}:federated-user/{name}"
        yield Ask("sts:GetFederationToken", arn, tag_context(request.tags("Tags.member")))
    else:
        yield Ask(f"sts:{action}")


def _assumed(request: ApiRequest) -> Iterator[Ask]:
    form = request.form
    arn = form.get("RoleArn", "")
    role = find_role(arn)
    context: dict[str, Any] = {"sts:RoleSessionName": form.get("RoleSessionName", "")}
    for parameter, key in (("ExternalId", "sts:ExternalId"), ("SourceIdentity", "sts:SourceIdentity")):
        if form.get(parameter):
            context[key] = form[parameter]
    if form.get("SerialNumber") and form.get("TokenCode"):
        context |= {"aws:MultiFactorAuthPresent": "true", "aws:MultiFactorAuthAge": "0"}
    tags = request.tags("Tags.member")
    context |= tag_context(tags)
    if keys := request.listed("TransitiveTagKeys.member"):
        context["sts:TransitiveTagKeys"] = keys
    trust = ""
    if role is not None:
        context |= resource_tags(role_tags(role), "iam")
        trust = role.assume_role_policy_document
    owner = arn.split(":")[4] if arn.count(":") >= 5 else request.account
    guard = Guard(trust, owner, alone=True, kind=Kind.TRUST)
    yield Ask("sts:AssumeRole", arn, context, guard)
    if tags:
        yield Ask("sts:TagSession", arn, context, guard)
    if form.get("SourceIdentity"):
        yield Ask("sts:SetSourceIdentity", arn, context, guard)


def find_role(arn: str) -> Any:
    """moto's role of that ARN, in whichever account; None when there is none."""
    parts = arn.split(":")
    if len(parts) != 6 or parts[4] not in iam_backends:
        return None
    for backend in list(iam_backends[parts[4]].values()):
        for role in list(backend.roles.values()):
            if role.arn == arn:
                return role
    return None
