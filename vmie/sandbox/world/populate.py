"""A world put into moto: buckets, identities, snapshots, images and instances as a seed file says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from moto.core.exceptions import ServiceException
from moto.ec2.models import ec2_backends
from moto.iam.models import iam_backends
from moto.s3.models import s3_backends
from moto.utilities.utils import get_partition
from werkzeug.exceptions import HTTPException

from vmie import policy
from vmie.disk import raw, registry
from vmie.disk.base import SECTOR, Disk
from vmie.errors import UsageError, VmieError
from vmie.limits import export_canonical_id
from vmie.sandbox.api_errors import ApiError
from vmie.sandbox.defaults import ACCOUNT
from vmie.sandbox.emulator import Emulator
from vmie.sandbox.moto_fixes.compute import Device, RegisteredImage, SnapshotContents, make_snapshot
from vmie.sandbox.service import account_state
from vmie.sandbox.storage import Blob, BlobFile, SparseDisk, ZeroFile, boot_sector
from vmie.sandbox.world.reading import SeedSource
from vmie.sandbox.world.schema import (
    BucketSeed,
    ImageSeed,
    InstanceSeed,
    RoleSeed,
    SeedContent,
    SnapshotSeed,
    UserSeed,
    World,
)

_COPY = 1 << 20
_ZEROS = ZeroFile()


def populate(source: SeedSource, emulator: Emulator, *, quotas: bool = True) -> None:
    """Make all of it, in the sandbox's Region where the file names none; its `quotas` only if they are asked for.

    Raises UsageError, naming what cannot be made.
    """
    world = source.world
    region, contents, limits = emulator.region, emulator.contents, emulator.service.limits
    for document in world.service_control_policies:
        emulator.organization.attach(document)
    if quotas:
        said = world.quotas.model_dump(exclude_none=True)
        limits.regions |= said.pop("regions", {})
        for name, count in said.items():
            setattr(limits, name, count)
    partition = get_partition(region)
    iam = iam_backends[ACCOUNT][partition]
    steps: list[tuple[str, str, Sequence[Any], Callable[[Any], None]]] = [
        ("policy", "name", world.policies, lambda one: _policy(iam, one)),
        ("role", "name", world.roles, lambda one: _role(iam, one, partition)),
        ("user", "name", world.users, lambda one: _user(iam, one, region)),
        ("bucket", "name", world.buckets, lambda one: _bucket(source, one, region)),
        ("snapshot", "id", world.snapshots, lambda one: _snapshot(source, one, region, contents)),
        ("image", "id", world.images, lambda one: _image(world, one, region)),
        ("instance", "id", world.instances, lambda one: _instance(one, region)),
    ]
    for kind, key, seeds, make in steps:
        for seed in seeds:
            with _named(source, f"{kind} {getattr(seed, key)}"):
                make(seed)


@contextmanager
def _named(source: SeedSource, what: str) -> Iterator[None]:
    """What fails in here is said of that entry."""
    try:
        yield
    except UsageError as error:
        if error.code == "SeedRefused":
            raise
        raise _impossible(source, what, error) from error
    except (VmieError, ApiError, HTTPException, ServiceException, OSError, ValueError) as error:
        raise _impossible(source, what, error) from error


def _impossible(source: SeedSource, what: str, error: Exception) -> UsageError:
    why = getattr(error, "message", None) or str(error)
    return UsageError(
        f"the seed file {source.name}: {what} cannot be made: {why}",
        cause="a sandbox begins with all that its seed file says, or not at all",
        cure="mend that entry",
        code="SeedRefused",
    )


def _policy(iam: Any, seed: Any) -> None:
    iam.create_policy(
        description="", path="/", policy_document=json.dumps(seed.document), policy_name=seed.name, tags=[]
    )


def _replaced(held: dict[str, Any], name: str) -> None:
    """What the file says of a role or user holds, whatever the sandbox would have made under that name."""
    for key in [key for key, one in held.items() if one.name == name]:
        del held[key]


def _role(iam: Any, seed: RoleSeed, partition: str) -> None:
    service = bool(seed.buckets or seed.export_buckets)
    _replaced(iam.roles, seed.name)
    trust = seed.trust or policy.trust(partition=partition)
    iam.create_role(
        role_name=seed.name,
        assume_role_policy_document=json.dumps(trust),
        path="/",
        permissions_boundary=seed.boundary,
        description="",
        tags=[],
        max_session_duration="3600",
    )
    if service:
        rights = policy.role(policy.Grants(tuple(seed.buckets), tuple(seed.export_buckets)), partition=partition)
        iam.put_role_policy(seed.name, seed.name, json.dumps(rights))
    for name, document in seed.policies.items():
        iam.put_role_policy(seed.name, name, json.dumps(document))
    for arn in seed.managed:
        iam.attach_role_policy(arn, seed.name)


def _user(iam: Any, seed: UserSeed, region: str) -> None:
    _replaced(iam.users, seed.name)
    iam.create_user(region_name=region, user_name=seed.name, path="/", tags=[])
    if seed.boundary:
        # moto has no such call for users
        iam.users[seed.name].permissions_boundary_arn = seed.boundary
    for name, document in seed.policies.items():
        iam.put_user_policy(seed.name, name, json.dumps(document))
    for arn in seed.managed:
        iam.attach_user_policy(arn, seed.name)
    if seed.access_key_id:
        key = iam.create_access_key(seed.name)
        key.access_key_id, key.secret_access_key = seed.access_key_id, seed.secret_access_key


def _bucket(source: SeedSource, seed: BucketSeed, region: str) -> None:
    where = seed.region or region
    partition = get_partition(where)
    s3 = s3_backends[ACCOUNT][partition]
    if seed.name in s3.buckets:
        s3.delete_bucket(seed.name)
    s3.create_bucket(seed.name, where)
    if seed.versioning:
        s3.put_bucket_versioning(seed.name, "Enabled")
    if seed.encryption:
        default = {"SSEAlgorithm": seed.encryption}
        s3.put_bucket_encryption(seed.name, {"Rule": {"ApplyServerSideEncryptionByDefault": default}})
    document = seed.policy
    exports = {one for role in source.world.roles for one in role.export_buckets}
    if document is None and seed.name in exports:
        document = policy.export_bucket(seed.name, canonical_id=export_canonical_id(where), partition=partition)
    if document is not None:
        s3.put_bucket_policy(seed.name, json.dumps(document).encode())
    if seed.tags:
        s3.put_bucket_tagging(seed.name, seed.tags)
    state = account_state.bucket(seed.name, partition=partition)
    assert state is not None  # noqa: S101 - made above
    for one in seed.objects:
        if one.disk is not None:
            account_state.put_disk(state, one.key, one.disk)
        else:
            content = bytes_of(source, one)
            account_state.put(state, one.key, content, etag=content.md5() if content.size <= _COPY else "")


def bytes_of(source: SeedSource, seed: SeedContent) -> Blob:
    """The bytes of an object: copied into the sandbox's own storage, runs of zeros as holes."""
    if seed.text is not None:
        return Blob.of(seed.text.encode())
    stored = BlobFile()
    extents: list[Any] = [(0, None)] if seed.extents is None else seed.extents
    end = 0
    with _opened(source, seed) as file:
        for offset, length in extents:
            end = _copy(file, stored, offset, length)
            if length is not None and end != offset + length:
                raise ValueError(f"{seed.file} is shorter than its extents")
    stored.extend(seed.size if seed.size is not None else end)
    return Blob.of_file(stored)


def _copy(file: BinaryIO, stored: BlobFile, offset: int, length: int | None) -> int:
    """`length` bytes, None for all that there are, to `offset`; where that ended."""
    end = None if length is None else offset + length
    while data := file.read(_COPY if end is None else min(_COPY, end - offset)):
        if data.count(0) != len(data):
            stored.write_at(offset, data)
        offset += len(data)
    return offset


def _opened(source: SeedSource, seed: SeedContent) -> Any:
    opener = source.blobs.get(str(seed.file))
    return opener() if opener else source.path(seed).open("rb")


def _snapshot(source: SeedSource, seed: SnapshotSeed, region: str, contents: SnapshotContents) -> None:
    backend = ec2_backends[ACCOUNT][seed.region or region]
    opener = _disk(source, seed)
    size = opener().size
    make_snapshot(backend, seed.id, size=size, description=seed.description, encrypted=False, kms_key=None)
    contents.remember(seed.id, opener)
    _tag(backend, seed.id, seed.tags)


def _disk(source: SeedSource, seed: SnapshotSeed) -> Callable[[], Disk]:
    """How to open what a snapshot holds: a disk in a file, the raw bytes of a saved one, or one made up."""
    if seed.disk is not None:
        size = -(-seed.disk // SECTOR) * SECTOR
        return lambda: SparseDisk(size, head=boot_sector(size), allocated_size=_COPY)
    if seed.text is not None or seed.extents is not None or str(seed.file) in source.blobs:
        kept = bytes_of(source, seed)
        return lambda: raw.open_source(kept.named(seed.id))
    path: Path = source.path(seed)
    return lambda: registry.open(path)


def _image(world: World, seed: ImageSeed, region: str) -> None:
    backend = ec2_backends[ACCOUNT][seed.region or region]
    sizes = {one.id: backend.snapshots[one.id].volume.size for one in world.snapshots if one.id in backend.snapshots}
    devices = [Device(one.device, one.snapshot, sizes[one.snapshot], one.volume_type) for one in seed.devices]
    backend.amis[seed.id] = RegisteredImage(
        backend,
        seed.id,
        devices=devices,
        name=seed.name,
        description=seed.description,
        architecture=seed.architecture,
        virtualization_type="hvm",
        hypervisor="xen",
        root_device_name=devices[0].name,
        firmware=seed.firmware,
        platform=seed.platform,
    )
    _tag(backend, seed.id, seed.tags)


def _instance(seed: InstanceSeed, region: str) -> None:
    where = seed.region or region
    backend = ec2_backends[ACCOUNT][where]
    subnet = next(iter(next(iter(backend.subnets.values())).values()))
    reservation = backend.run_instances(
        seed.image,
        1,
        None,
        [],
        region_name=where,
        instance_type=seed.type,
        is_instance_type_default=False,
        subnet_id=subnet.id,
        tags={},
    )
    reservation.instances[0].id = seed.id
    _tag(backend, seed.id, seed.tags)
    if seed.state == "stopped":
        backend.stop_instances([seed.id])


def _tag(backend: Any, resource_id: str, tags: Mapping[str, str]) -> None:
    if tags:
        backend.create_tags([resource_id], dict(tags))
