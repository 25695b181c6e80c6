"""Actions on the account that moto lacks: the policy simulator, EBS and AMI settings, quotas.

Also the caller's own permissions: a user of the account may only call what its policies allow of EC2.
"""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.responses import EC2Response
from moto.iam.models import iam_backends
from moto.iam.responses import IamResponse
from moto.servicequotas.responses import ServiceQuotasResponse
from moto.utilities.utils import get_partition

from vmie.policy.evaluate import Access, Decision, condition_keys, decide
from vmie.sandbox.api_errors import ApiError
from vmie.sandbox.fault_injection import ApiCall
from vmie.sandbox.patching import Patcher
from vmie.sandbox.service.account_state import policy_document

_ACCOUNT = "123456789012"


def install(patcher: Patcher) -> None:
    """Attach the actions."""
    patcher.attribute(IamResponse, "simulate_principal_policy", _simulate_principal_policy)
    patcher.attribute(EC2Response, "get_ebs_default_kms_key_id", _get_ebs_default_kms_key_id)
    patcher.attribute(EC2Response, "modify_ebs_default_kms_key_id", _modify_ebs_default_kms_key_id)
    patcher.attribute(EC2Response, "get_image_block_public_access_state", _get_image_block_public_access_state)
    patcher.attribute(ServiceQuotasResponse, "list_service_quotas", _list_service_quotas)


def refused(call: ApiCall) -> ApiError | None:
    """What EC2 answers a user whose own policies do not allow the call; None for all other callers."""
    if call.service != "ec2":
        return None
    backend = iam_backends[_ACCOUNT][get_partition(call.region or "us-east-1")]
    user = backend.get_user_from_access_key_id(call.key)
    if user is None or decide(_identity(backend, user), Access(f"ec2:{call.action}", generous=True)) is Decision.ALLOW:
        return None
    return ApiError("UnauthorizedOperation", "You are not authorized to perform this operation.", status=403)


def _simulate_principal_policy(self: Any) -> Any:
    params = self._get_params()
    try:
        arn = params["PolicySourceArn"]
        who, boundary_arn = _principal(self.backend, arn)
        boundary = self.backend.managed_policies.get(boundary_arn) if boundary_arn else None
        identity = _identity(self.backend, who)
        context = {entry["ContextKeyName"]: entry["ContextKeyValues"] for entry in params.get("ContextEntries") or ()}
        results = [
            _evaluated(identity, policy_document(boundary) if boundary else None, Access(action, resource, context))
            for action in params.get("ActionNames") or ()
            for resource in params.get("ResourceArns") or ["*"]
        ]
    except ApiError as error:
        return error.document("iam")
    return ActionResult({"EvaluationResults": results, "IsTruncated": False})


def _evaluated(identity: list[str], boundary: str | None, ask: Access) -> dict[str, Any]:
    words = {Decision.ALLOW: "allowed", Decision.DENY: "explicitDeny", Decision.SILENT: "implicitDeny"}
    found = decide(identity, ask)
    bounded = boundary is None or decide([boundary], ask) is Decision.ALLOW
    result: dict[str, Any] = {
        "EvalActionName": ask.action,
        "EvalResourceName": ask.resource,
        "EvalDecision": words[found] if bounded or found is Decision.DENY else "implicitDeny",
        "MatchedStatements": [],
        "MissingContextValues": sorted(condition_keys([*identity, *([boundary] if boundary else [])], ask)),
    }
    if boundary is not None:
        result["PermissionsBoundaryDecisionDetail"] = {"AllowedByPermissionsBoundary": bounded}
    return result


def _principal(backend: Any, arn: str) -> tuple[Any, str]:
    for found in (*backend.roles.values(), *backend.users.values()):
        if found.arn == arn:
            boundary = getattr(found, "permissions_boundary_arn", None) or getattr(found, "permissions_boundary", None)
            return found, boundary if isinstance(boundary, str) else ""
    raise ApiError("NoSuchEntity", f"The principal {arn} cannot be found.", status=404)


def _identity(backend: Any, who: Any) -> list[str]:
    """The documents of a user or role, a user's groups included."""
    holders = [who, *(group for group in backend.groups.values() if who in getattr(group, "users", ()))]
    found: list[str] = []
    for holder in holders:
        inline = holder.policies
        found += [one if isinstance(one, str) else str(one) for one in inline.values()]
        found += [policy_document(policy) for policy in holder.managed_policies.values()]
    return found


def _get_ebs_default_kms_key_id(self: Any) -> Any:
    return ActionResult({"KmsKeyId": vars(self.ec2_backend).get("vmie_ebs_key") or "alias/aws/ebs"})


def _modify_ebs_default_kms_key_id(self: Any) -> Any:
    vars(self.ec2_backend)["vmie_ebs_key"] = self._get_param("KmsKeyId")
    return _get_ebs_default_kms_key_id(self)


def _get_image_block_public_access_state(self: Any) -> Any:
    return ActionResult({"ImageBlockPublicAccessState": "block-new-sharing"})


def _list_service_quotas(self: Any) -> str:
    return '{"Quotas": []}'
