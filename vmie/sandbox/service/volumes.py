"""Volumes and snapshots in moto's EC2, with what they hold: whatever is made of another holds the same."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError, InvalidSnapshotInUse
from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.models.elastic_block_store import Snapshot
from moto.ec2.responses import EC2Response
from moto.ec2.utils import random_id

from vmie.sandbox.moto_fixes import compute
from vmie.sandbox.moto_fixes.compute import GIB, RegisteredImage, SnapshotContents
from vmie.sandbox.patching import Patcher
from vmie.sandbox.service import encryption, volume_rules


def install(patcher: Patcher, contents: SnapshotContents) -> None:
    """Patch what makes, copies and deletes volumes and snapshots."""
    patcher.attribute(Snapshot, "progress", property(lambda self: vars(self).get("vmie_progress", "100%")))
    patcher.attribute(EC2Backend, "create_volume", _create_volume(EC2Backend.create_volume, contents))
    patcher.attribute(EC2Backend, "delete_volume", _forgetting(EC2Backend.delete_volume, contents))
    patcher.attribute(EC2Backend, "create_snapshot", _create_snapshot(EC2Backend.create_snapshot, contents))
    patcher.attribute(EC2Backend, "copy_snapshot", _copy_snapshot(contents))
    patcher.attribute(EC2Backend, "delete_snapshot", _delete_snapshot(EC2Backend.delete_snapshot, contents))
    patcher.attribute(EC2Response, "copy_snapshot", _copy)


def completed(backend: Any, snapshot_id: str) -> Any:
    """The snapshot; raises moto's error for one that is not there or not completed."""
    snapshot = backend.snapshots.get(snapshot_id)
    if snapshot is None:
        raise EC2ClientError("InvalidSnapshot.NotFound", f"The snapshot '{snapshot_id}' does not exist.")
    if snapshot.status != "completed":
        raise EC2ClientError("IncorrectState", f"Snapshot is in invalid state - {snapshot.status}")
    return snapshot


def key_for(backend: Any, *, encrypted: bool, name: str | None, before: Any | None = None) -> str | None:
    """The ARN of the key that a new volume or snapshot is encrypted with, None where it is not.

    `before` is the snapshot that it is made of. Raises moto's error for a key that is not the account's.
    """
    if name and not encrypted:
        raise EC2ClientError(
            "InvalidParameterDependency", "The parameter [KmsKeyId] requires the parameter Encrypted to be set."
        )
    if name:
        found = encryption.named(backend, name)
        if found is None or not found.enabled:
            raise EC2ClientError("InvalidParameterValue", f"The KMS key '{name}' does not exist or cannot be used.")
        return found.arn
    if before is not None and before.encrypted and before.kms_key_id and before.ec2_backend is backend:
        return str(before.kms_key_id)
    if encrypted or encryption.by_default(backend) or (before is not None and before.encrypted):
        return encryption.default_key(backend).arn
    return None


def _create_volume(original: Any, contents: SnapshotContents) -> Any:
    def create_volume(self: Any, size: int | None, zone_name: str, snapshot_id: str | None = None, **more: Any) -> Any:
        size = None if size is None else int(size)  # CloudFormation hands in text
        before = completed(self, snapshot_id) if snapshot_id else None
        if before is not None and size is not None and size < before.volume_size:
            raise EC2ClientError(
                "InvalidParameterValue",
                f"Volume of size {size}GB is smaller than snapshot '{snapshot_id}', expect size >= "
                f"{before.volume_size}GB",
            )
        # what depends on the type moto refuses itself
        volume_rules.require_ranges(more.get("volume_type"), more.get("iops"), more.get("throughput"))
        chosen = size if size is not None else before.volume_size if before is not None else None
        if chosen is not None:
            volume_rules.require_size(more.get("volume_type"), chosen)
        key = key_for(self, encrypted=bool(more.get("encrypted")), name=more.get("kms_key_id"), before=before)
        more |= {"encrypted": key is not None, "kms_key_id": key}
        volume = original(self, size, zone_name, snapshot_id, **more)
        if before is not None:
            first = key is not None and not before.encrypted
            contents.copy(volume.id, before.id, size=volume.size * GIB, encrypt=first)
        return volume

    return create_volume


def _create_snapshot(original: Any, contents: SnapshotContents) -> Any:
    def create_snapshot(self: Any, volume_id: str, description: str, *rest: Any, **more: Any) -> Any:
        snapshot = original(self, volume_id, description, *rest, **more)
        volume = snapshot.volume
        # the volume may grow or go, the snapshot stays what it is
        snapshot.volume = SimpleNamespace(id=volume.id, size=volume.size, encrypted=volume.encrypted)
        snapshot.kms_key_id = volume.kms_key_id
        contents.copy(snapshot.id, volume_id)
        return snapshot

    return create_snapshot


def _copy(self: Any) -> Any:
    """CopySnapshot: moto reads neither Encrypted nor where the source lies."""
    self.error_on_dryrun()
    tags = self._parse_tag_specification().get("snapshot", {})
    snapshot = self.ec2_backend.copy_snapshot(
        self._get_param("SourceSnapshotId"),
        self._get_param("SourceRegion"),
        self._get_param("Description"),
        self._get_param("KmsKeyId"),
        encrypted=bool(self._get_param("Encrypted")),
    )
    snapshot.add_tags(tags)
    return ActionResult({"SnapshotId": snapshot.id, "Tags": snapshot.tag_set})


def _copy_snapshot(contents: SnapshotContents) -> Any:
    def copy_snapshot(
        self: Any,
        source_snapshot_id: str,
        source_region: str,
        description: str,
        kms_key_id: str | None,
        *,
        encrypted: bool = False,
    ) -> Any:
        before = completed(ec2_backends[self.account_id][source_region], source_snapshot_id)
        key = key_for(self, encrypted=encrypted or bool(kms_key_id), name=kms_key_id, before=before)
        return copy_of(self, contents, before, description=description or "", key=key)

    return copy_snapshot


def copy_of(backend: Any, contents: SnapshotContents, before: Any, *, description: str, key: str | None) -> Any:
    """A copy of a snapshot, perhaps of another Region, encrypted with `key`."""
    snapshot = compute.make_snapshot(
        backend,
        random_id("snap"),
        size=before.volume_size * GIB,
        description=description,
        encrypted=key is not None,
        kms_key=key,
    )
    contents.copy(snapshot.id, before.id, encrypt=key is not None and not before.encrypted)
    return snapshot


def _delete_snapshot(original: Any, contents: SnapshotContents) -> Any:
    def delete_snapshot(self: Any, snapshot_id: str) -> Any:
        for image in list(dict.values(self.amis)):
            if isinstance(image, RegisteredImage) and any(one.snapshot_id == snapshot_id for one in image.devices):
                raise InvalidSnapshotInUse(snapshot_id, image.id)
        found = original(self, snapshot_id)
        contents.forget(snapshot_id)
        return found

    return delete_snapshot


def _forgetting(original: Any, contents: SnapshotContents) -> Any:
    def delete_volume(self: Any, volume_id: str) -> Any:
        found = original(self, volume_id)
        contents.forget(volume_id)
        return found

    return delete_volume
