"""Whether new snapshots and volumes are encrypted, and with which key: asked for, or the account's default."""

from __future__ import annotations

from typing import Any

from moto.kms.models import kms_backends

from vmie.sandbox.service import account_state
from vmie.sandbox.service.account_state import KeyState


def by_default(backend: Any) -> bool:
    """Does the account encrypt in this Region whatever is asked for?"""
    # moto makes its own AMIs, with their volumes, before it has the setting
    return bool(getattr(backend, "ebs_encryption_by_default", False))


def default_key(backend: Any) -> KeyState:
    """The account's key for EBS in this Region: the one it chose, else that of AWS."""
    chosen = vars(backend).get("vmie_ebs_key") or ""
    found = named(backend, chosen) if chosen else None
    return found or _of_aws(backend)


def named(backend: Any, name: str) -> KeyState | None:
    """The key behind an id, an ARN or an alias, of this account and Region."""
    if name.endswith("alias/aws/ebs"):
        return _of_aws(backend)
    return account_state.kms_key(name, account=backend.account_id, region=backend.region_name)


def _of_aws(backend: Any) -> KeyState:
    # moto makes it once it is needed, as AWS does
    arn = backend._create_default_encryption_key()  # noqa: SLF001
    key = kms_backends[backend.account_id][backend.region_name].describe_key("alias/aws/ebs")
    return KeyState(arn, key.policy, enabled=True, managed_by_aws=True)
