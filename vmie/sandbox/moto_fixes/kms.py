"""KMS: moto's actions that enable or disable a key accept the bare id only, AWS the ARN as well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.kms.models import KmsBackend, kms_backends

from vmie.sandbox.patching import Patcher

_SWITCHES = ("enable_key", "disable_key", "schedule_key_deletion", "cancel_key_deletion")


def install(patcher: Patcher) -> None:
    """Attach it."""
    for name in _SWITCHES:
        patcher.attribute(KmsBackend, name, _by_any_name(getattr(KmsBackend, name)))


def _by_any_name(switch: Callable[..., Any]) -> Callable[..., Any]:
    def act(self: Any, key_id: str, *args: Any, **kwargs: Any) -> Any:
        return switch(self, self.get_key_id(key_id), *args, **kwargs)

    return act


def find(name: str, *, account: str, region: str) -> Any | None:
    """moto's key behind an id, an ARN, an alias or an alias ARN; None where that account and Region has none."""
    if account not in kms_backends:
        return None
    backend = kms_backends[account][region]
    short = name.rsplit(":", 1)[-1] if name.startswith("arn:") else name
    if short.startswith("alias/"):
        short = next((key.id for key in list(backend.keys.values()) if short in key.aliases), "")
    return backend.keys.get(short.removeprefix("key/"))
