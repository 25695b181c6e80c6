"""Buckets whose versioning is suspended: moto drops every version there, S3 only the one that is called null.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/VersionSuspendedBehavior.html
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from moto.s3 import models
from moto.s3.exceptions import AccessDeniedByLock

from vmie.sandbox.patching import Patcher

_NULL = "null"


def install(patcher: Patcher) -> None:
    """Patch what adds and deletes versions."""
    backend = models.S3Backend
    patcher.attribute(backend, "put_object", _put_object(backend.put_object))
    patcher.attribute(backend, "delete_object", _delete_object(backend.delete_object))
    patcher.attribute(backend, "_set_delete_marker", _set_delete_marker)


def had_versions(bucket: Any) -> bool:
    """Was the bucket's versioning ever on?"""
    return bucket.versioning_status in ("Enabled", "Suspended")


def _put_object(original: Callable[..., Any]) -> Callable[..., Any]:
    def put_object(self: Any, bucket_name: str, key_name: str, *args: Any, **kwargs: Any) -> Any:
        bucket = self.get_bucket(bucket_name)
        before = list(bucket.keys.getlist(key_name, [])) if had_versions(bucket) else []
        added = original(self, bucket_name, key_name, *args, **kwargs)
        if bucket.versioning_status == "Suspended":
            added._is_versioned = True  # noqa: SLF001 - S3 then says that its version is null
            bucket.keys.setlist(key_name, [*_without_null(before), added])
        return added

    return put_object


def _delete_object(original: Callable[..., Any]) -> Callable[..., Any]:
    def delete_object(
        self: Any, bucket_name: str, key_name: str, version_id: str | None = None, bypass: bool = False
    ) -> Any:
        bucket = self.get_bucket(bucket_name)
        if bucket.versioning_status != "Suspended":
            return original(self, bucket_name, key_name, version_id=version_id, bypass=bypass)
        if version_id is None:
            marker = _marker(key_name)
            marker._version_id = _NULL  # noqa: SLF001
            bucket.keys.setlist(key_name, [*_without_null(bucket.keys.getlist(key_name, [])), marker])
            return True, {"version-id": _NULL, "delete-marker": "true"}
        versions = list(bucket.keys.getlist(key_name, []))
        gone = [one for one in versions if one.version_id == version_id]
        if any(isinstance(one, models.FakeKey) and one.is_locked(governance_bypass=bypass) for one in gone):
            raise AccessDeniedByLock
        if left := [one for one in versions if one not in gone]:
            bucket.keys.setlist(key_name, left)
        elif versions:
            dict.pop(bucket.keys, key_name)
        return bool(versions), {"version-id": version_id}

    return delete_object


def _set_delete_marker(self: Any, bucket_name: str, key_name: str) -> Any:
    """A marker is added for a key too that never was."""
    keys = self.get_bucket(bucket_name).keys
    marker = _marker(key_name) if key_name not in keys else models.FakeDeleteMarker(keys[key_name])
    keys[key_name] = marker
    return marker


def _marker(key_name: str) -> Any:
    return models.FakeDeleteMarker(SimpleNamespace(name=key_name))  # type: ignore[arg-type]


def _without_null(versions: list[Any]) -> list[Any]:
    return [one for one in versions if one.version_id != _NULL]
