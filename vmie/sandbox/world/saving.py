"""A running sandbox's world as the seed format has it: what can be said there, and a count of what cannot."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from moto.ec2.models import ec2_backends
from moto.iam.models import iam_backends
from moto.kms.models import kms_backends
from moto.s3.models import FakeDeleteMarker, s3_backends
from pydantic import BaseModel, ValidationError

from vmie.disk.base import Disk
from vmie.model import ExtentKind
from vmie.sandbox.defaults import ACCOUNT
from vmie.sandbox.emulator import Emulator
from vmie.sandbox.moto_fixes.compute import RegisteredImage
from vmie.sandbox.moto_fixes.s3 import stored
from vmie.sandbox.service.account_state import policy_document
from vmie.sandbox.world import schema

_BLOCK = 1 << 20


@dataclass
class Saved:
    """`world` as a seed file says it; `contents` are the bytes of its files, by name; `left_out` counts the rest."""

    world: dict[str, Any] = field(default_factory=dict)
    contents: dict[str, Callable[[], Iterator[bytes]]] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)

    def add(self, part: str, model: type[BaseModel], seed: dict[str, Any]) -> bool:
        """Take one entry, where the seed format can say it; count it as left out elsewhere."""
        seed = {name: value for name, value in seed.items() if value not in (None, [], {}, "")}
        try:
            model.model_validate(seed)
        except ValidationError:
            self.left_out[part] += 1
            return False
        self.world.setdefault(part, []).append(seed)
        return True

    def hold(self, size: int, read: Callable[[int, int], bytes], ranges: Iterator[tuple[int, int]]) -> dict[str, Any]:
        """The fields of a `Content` whose bytes `read` gives: those that are not zero, in a file of their own."""
        extents: list[list[int]] = []
        for offset, length in ranges:
            for at in range(offset, offset + length, _BLOCK):
                data = read(at, min(_BLOCK, offset + length - at))
                if data.count(0) == len(data):
                    continue
                if extents and sum(extents[-1]) == at:
                    extents[-1][1] += len(data)
                else:
                    extents.append([at, len(data)])
        name = f"data/{len(self.contents)}"
        self.contents[name] = lambda: (
            read(at, min(_BLOCK, offset + length - at))
            for offset, length in extents
            for at in range(offset, offset + length, _BLOCK)
        )
        return {"file": name, "size": size, "extents": extents}

    def length(self, name: str) -> int:
        """The bytes of one of the files."""
        parts = [
            *self.world.get("snapshots", ()),
            *(one for b in self.world.get("buckets", ()) for one in b["objects"]),
        ]
        return sum(length for one in parts if one["file"] == name for _, length in one["extents"])


def saved(emulator: Emulator) -> Saved:
    """What the sandbox holds now. Nothing may change it meanwhile."""
    out = Saved({"version": 1})
    limits = emulator.service.limits
    quotas = {name: getattr(limits, name) for name in ("imports", "conversions", "exports")}
    out.world["quotas"] = {**quotas, "regions": limits.regions}
    out.world["propagation"] = float(emulator.faults.propagation)
    out.world["service_control_policies"] = [json.loads(one) for one in emulator.organization.attached()]
    for _, iam in sorted(iam_backends[ACCOUNT].items()):
        _identities(out, iam)
    for _, s3 in sorted(s3_backends[ACCOUNT].items()):
        for bucket in list(s3.buckets.values()):
            _bucket(out, s3, bucket)
    for region, ec2 in sorted(ec2_backends[ACCOUNT].items()):
        _region(out, emulator, region, ec2)
    out.left_out["tasks"] += len(emulator.service.tasks)
    # those that AWS makes for each account are there again
    out.left_out["KMS keys"] += sum(
        key.key_manager != "AWS" for backend in kms_backends[ACCOUNT].values() for key in backend.keys.values()
    )
    out.left_out += Counter()
    return out


def _identities(out: Saved, iam: Any) -> None:
    for one in iam.managed_policies.values():
        if f":{ACCOUNT}:" in one.arn:
            out.add("policies", schema.PolicySeed, {"name": one.name, "document": json.loads(policy_document(one))})
    for role in iam.roles.values():
        seed = {"name": role.name, "trust": _document(role.assume_role_policy_document), **_rights(role)}
        out.add("roles", schema.RoleSeed, {**seed, "boundary": role.permissions_boundary_arn})
    for user in iam.users.values():
        first = next(iter(user.access_keys), None)
        key = {"access_key_id": first.access_key_id, "secret_access_key": first.secret_access_key} if first else {}
        boundary = getattr(user, "permissions_boundary_arn", None)
        out.add("users", schema.UserSeed, {"name": user.name, **key, **_rights(user), "boundary": boundary})
        out.left_out["second access keys"] += max(0, len(user.access_keys) - 1)
    out.left_out["groups"] += len(iam.groups)
    out.left_out["instance profiles"] += len(iam.instance_profiles)


def _rights(who: Any) -> dict[str, Any]:
    return {
        "policies": {name: _document(document) for name, document in who.policies.items()},
        "managed": [policy.arn for policy in who.managed_policies.values()],
    }


def _document(given: Any) -> Any:
    return json.loads(given) if isinstance(given, str) else given


def _bucket(out: Saved, backend: Any, bucket: Any) -> None:
    rule = (bucket.encryption or {}).get("Rule") or {}
    default = (rule[0] if isinstance(rule, list) else rule).get("ApplyServerSideEncryptionByDefault") or {}
    objects = []
    for key in bucket.keys.values():
        if isinstance(key, FakeDeleteMarker):
            continue
        blob = stored(key)
        objects.append({"key": key.name, **out.hold(blob.size, blob.pread, blob.ranges())})
    versions = sum(len(bucket.keys.getlist(name)) for name in bucket.keys)
    out.left_out["older versions of objects"] += versions - len(objects)
    out.left_out["uploads in parts under way"] += len(bucket.multiparts)
    seed = {
        "name": bucket.name,
        "region": bucket.region_name,
        "versioning": bucket.versioning_status == "Enabled",
        "encryption": default.get("SSEAlgorithm"),
        "policy": _document((bucket.policy or b"null").decode()),
        "tags": backend.tagger.get_tag_dict_for_resource(bucket.arn),
    }
    if out.add("buckets", schema.BucketSeed, seed):
        out.world["buckets"][-1]["objects"] = objects


def _region(out: Saved, emulator: Emulator, region: str, backend: Any) -> None:
    def tags(resource_id: str) -> dict[str, str]:
        return dict(backend.tags.get(resource_id) or {})

    kept: set[str] = set()
    for snapshot in backend.snapshots.values():
        disk = emulator.contents.open(snapshot.id)
        if snapshot.status != "completed" or snapshot.encrypted:
            out.left_out["snapshots"] += 1
            continue
        size = int(snapshot.volume.size) << 30
        content = _content(out, disk) if disk else {**out.hold(size, lambda _, length: bytes(length), iter(()))}
        seed = {"id": snapshot.id, "region": region, "description": snapshot.description, "tags": tags(snapshot.id)}
        if out.add("snapshots", schema.SnapshotSeed, {**seed, "disk": size}):
            out.world["snapshots"][-1] = {**seed, **content}
            kept.add(snapshot.id)
    images: set[str] = set()
    for image in backend.amis.values():
        if not isinstance(image, RegisteredImage) or any(one.snapshot_id not in kept for one in image.devices):
            out.left_out["images"] += 1
            continue
        devices = [
            {"device": one.name, "snapshot": one.snapshot_id, "volume_type": one.volume_type} for one in image.devices
        ]
        seed = {
            "id": image.id,
            "name": image.name,
            "devices": devices,
            "region": region,
            "description": image.description,
            "architecture": image.architecture,
            "firmware": image.firmware,
            "platform": "windows" if image.platform == "windows" else None,
            "tags": tags(image.id),
        }
        if out.add("images", schema.ImageSeed, seed):
            images.add(image.id)
    volumes = len(backend.volumes)
    for instance in (one for reservation in backend.reservations.values() for one in reservation.instances):
        volumes -= len(list(instance.get_block_device_mapping))
        if instance.image_id not in images or instance.state not in ("running", "stopped"):
            out.left_out["instances"] += instance.state != "terminated"
            continue
        seed = {"id": instance.id, "image": instance.image_id, "region": region, "type": instance.instance_type}
        out.add("instances", schema.InstanceSeed, {**seed, "state": instance.state, "tags": tags(instance.id)})
    out.left_out["volumes"] += max(0, volumes)


def _content(out: Saved, disk: Disk) -> dict[str, Any]:
    ranges = ((one.offset, one.length) for one in disk.extents() if one.kind is ExtentKind.ALLOCATED)
    return out.hold(disk.size, disk.read, ranges)
