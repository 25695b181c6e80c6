"""moto's S3 reads a bucket's policy itself, by the action alone: here the policies have been judged before the call.

Only the keys that DeleteObjects names are asked for one by one, for it answers of each; and anonymous requests, which
moto allows what the policy or the object's ACL gives to everybody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.iam.access_control import PermissionResult
from moto.s3.models import FakeBucket

from vmie.sandbox.patching import Patcher


def install(patcher: Patcher, *, may_delete: Callable[[str], bool], open_to_all: Callable[[str, str], bool]) -> None:
    """Attach it; `may_delete` judges a key for the call that is being answered, `open_to_all` an anonymous one."""

    def get_permission(bucket: Any, action: str, resource: str) -> Any:
        if action == "s3:DeleteObject" and not may_delete(resource.partition(f":::{bucket.name}/")[2]):
            return PermissionResult.DENIED
        return PermissionResult.PERMITTED if open_to_all(action, resource) else PermissionResult.NEUTRAL

    patcher.attribute(FakeBucket, "get_permission", get_permission)
