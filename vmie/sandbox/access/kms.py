"""What calls of KMS need, and what S3 does with a key for a caller: the key's own policy decides, and its grants.

https://docs.aws.amazon.com/kms/latest/developerguide/kms-api-permissions-reference.html
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any

from moto.kms.models import kms_backends

from vmie.policy.authorize import Guard
from vmie.sandbox.access.asks import Ask, Context, tag_context
from vmie.sandbox.access.request import ApiRequest
from vmie.sandbox.service import account_state

_WITHOUT_KEY = ("ListAliases", "ListKeys", "CreateKey", "GenerateRandom", "ListRetirableGrants")
#: moto begins what it encrypted with the id of the key
_UUID = 36


def asks(request: ApiRequest) -> Iterator[Ask]:
    """Everything that has to be allowed for the call."""
    action, given = request.call.action, request.json
    if action in _WITHOUT_KEY:
        yield from _without_key(request)
    elif action == "ReEncrypt":
        source = given.get("SourceKeyId") or _key_of(given.get("CiphertextBlob"))
        yield from _on(request, "kms:ReEncryptFrom", str(source), _encryption(given, "SourceEncryptionContext"))
        target = str(given.get("DestinationKeyId") or "")
        yield from _on(request, "kms:ReEncryptTo", target, _encryption(given, "DestinationEncryptionContext"))
    elif action in ("CreateAlias", "UpdateAlias", "DeleteAlias"):
        alias = str(given.get("AliasName") or "")
        yield Ask(f"kms:{action}", f"arn:{request.partition}:kms:{request.region}:{request.account}:{alias}")
        yield from _on(request, f"kms:{action}", str(given.get("TargetKeyId") or alias), {})
    else:
        name = given.get("KeyId") or _key_of(given.get("CiphertextBlob"))
        yield from _on(request, f"kms:{action}", str(name or ""), {**_encryption(given), **_grant(given)})


def on_key(request: ApiRequest, action: str, name: str, context: Context) -> Iterator[Ask]:
    """`action` on a key that S3 or EBS uses for the caller; nothing where there is no such key or AWS manages it."""
    account = name.split(":")[4] if name.startswith("arn:") and name.count(":") >= 5 else request.account
    region = name.split(":")[3] if name.startswith("arn:") and name.count(":") >= 5 else request.region
    key = account_state.kms_key(name, account=account, region=region)
    if key is not None and not key.managed_by_aws:
        yield Ask(action, key.arn, {**_of_key(request, key.arn), **context}, _guard(request, action, key, context))


def _on(request: ApiRequest, action: str, name: str, context: Context) -> Iterator[Ask]:
    found = list(on_key(request, action, name, context)) if name else []
    requested = {"kms:RequestAlias": name} if name.startswith("alias/") else {}
    for ask in found:
        yield Ask(
            ask.action, ask.resource, {**ask.context, **requested}, ask.guard, rescue=action == "kms:PutKeyPolicy"
        )


def _without_key(request: ApiRequest) -> Iterator[Ask]:
    given, context = request.json, {}
    listed = given.get("Tags") or ()
    tags = {str(one.get("TagKey")): str(one.get("TagValue", "")) for one in listed if isinstance(one, dict)}
    for name, default in (("KeySpec", "SYMMETRIC_DEFAULT"), ("KeyUsage", "ENCRYPT_DECRYPT")):
        context[f"kms:{name}"] = str(given.get(name) or default)
    yield Ask(f"kms:{request.call.action}", context={**context, **tag_context(tags)})
    if tags and request.call.action == "CreateKey":
        yield Ask("kms:TagResource", context=tag_context(tags))


def _guard(request: ApiRequest, action: str, key: account_state.KeyState, context: Context) -> Guard:
    owner = key.arn.split(":")[4]
    return Guard(key.policy, owner, alone=True, granted=_granted(request, action, key, context))


def _granted(request: ApiRequest, action: str, key: account_state.KeyState, context: Context) -> bool:
    """Whether a grant of the key allows it to the caller."""
    parts = key.arn.split(":")
    backend = kms_backends[parts[4]][parts[3]]
    operation, key_id = action.partition(":")[2], key.arn.rpartition("/")[2]
    grants = list(getattr(backend.keys.get(key_id), "grants", {}).values())
    return any(
        operation in grant.operations
        and grant.grantee_principal in request.names
        and _constrained(grant.constraints or {}, context)
        for grant in grants
    )


def _constrained(constraints: Mapping[str, Any], context: Context) -> bool:
    given = {
        key.removeprefix("kms:EncryptionContext:"): value
        for key, value in context.items()
        if key.startswith("kms:EncryptionContext:")
    }
    equal, subset = constraints.get("EncryptionContextEquals"), constraints.get("EncryptionContextSubset")
    return (equal is None or equal == given) and (subset is None or subset.items() <= given.items())


def _of_key(request: ApiRequest, arn: str) -> dict[str, Any]:
    parts = arn.split(":")
    backend = kms_backends[parts[4]][parts[3]]
    key: Any = backend.keys.get(arn.rpartition("/")[2])
    context: dict[str, Any] = {"kms:CallerAccount": request.account, "aws:ResourceAccount": parts[4]}
    if key is not None:
        context |= {"kms:KeySpec": key.key_spec, "kms:KeyUsage": key.key_usage, "kms:KeyOrigin": key.origin}
        context["kms:MultiRegion"] = "true" if key.multi_region else "false"
        if key.aliases:
            context["kms:ResourceAliases"] = list(key.aliases)
        listed = backend.tagger.get_tag_dict_for_resource(key.id)
        context |= {f"aws:ResourceTag/{name}": value for name, value in listed.items()}
    return context


def _encryption(given: Mapping[str, Any], name: str = "EncryptionContext") -> dict[str, Any]:
    found = given.get(name)
    if not isinstance(found, dict) or not found:
        return {}
    keys = {f"kms:EncryptionContext:{key}": str(value) for key, value in found.items()}
    return {**keys, "kms:EncryptionContextKeys": list(found)}


def _grant(given: Mapping[str, Any]) -> dict[str, Any]:
    context: dict[str, Any] = {}
    if isinstance(given.get("Operations"), list):
        context["kms:GrantOperations"] = [str(one) for one in given["Operations"]]
    for name, key in (("GranteePrincipal", "GranteePrincipal"), ("RetiringPrincipal", "RetiringPrincipal")):
        if given.get(name):
            context[f"kms:{key}"] = str(given[name])
    return context


def _key_of(blob: Any) -> str:
    """The key that encrypted something."""
    try:
        return base64.b64decode(str(blob or ""))[:_UUID].decode("ascii")
    except (ValueError, binascii.Error):
        return ""
