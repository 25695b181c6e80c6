"""Snapshots, images and instances, kept in moto's EC2, with what their disks hold.

moto gives every image one 15 GiB snapshot whatever it was made of, and volumes no content. Here an
image has the devices it was registered with, an instance gets them, and `SnapshotContents` remembers the
bytes behind snapshots and volumes so that what comes out is what went in.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from botocore import xform_name
from moto.ec2.exceptions import InvalidAMIIdError, InvalidInstanceIdError
from moto.ec2.models import ec2_backends
from moto.ec2.models.amis import Ami
from moto.ec2.models.elastic_block_store import Snapshot

from vmie.disk.base import Disk
from vmie.sandbox.api_errors import ApiError
from vmie.sandbox.block_disk import BlocksDisk
from vmie.sandbox.block_store import BlocksOfDisk, BlockSource

GIB = 1 << 30
#: the volume that snapshots made by the service name; there is no such volume (aws-facts 1.2)
NO_VOLUME = "vol-ffffffff"


@dataclass(frozen=True, slots=True)
class Device:
    """One entry of a block device mapping."""

    name: str
    snapshot_id: str
    size_gib: int
    volume_type: str = "gp2"
    delete_on_termination: bool = False
    encrypted: bool = False
    iops: int | None = None
    throughput: int | None = None


class SnapshotContents:
    """What each snapshot and each volume holds, by its id. Thread-safe."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[BlockSource, int]] = {}
        self._lock = threading.Lock()

    def restart(self) -> None:
        """Forget everything."""
        with self._lock:
            self._held.clear()

    def remember(self, resource_id: str, opener: Callable[[], Disk]) -> None:
        """The snapshot or volume holds what `opener` opens."""
        self.keep(resource_id, BlocksOfDisk(opener), size=0)

    def keep(self, resource_id: str, blocks: BlockSource, *, size: int) -> None:
        """The snapshot or volume of `size` bytes holds `blocks`."""
        with self._lock:
            self._held[resource_id] = blocks, size

    def copy(self, resource_id: str, source_id: str, *, size: int = 0, encrypt: bool = False) -> None:
        """It holds what another one holds, encrypted for the first time or not; `size` where it is a larger volume."""
        with self._lock:
            if found := self._held.get(source_id):
                blocks = found[0].encrypted(resource_id) if encrypt else found[0]
                self._held[resource_id] = blocks, max(size, found[1])

    def forget(self, resource_id: str) -> None:
        """It is no more."""
        with self._lock:
            self._held.pop(resource_id, None)

    def blocks(self, resource_id: str) -> BlockSource | None:
        """The blocks, where they are known."""
        with self._lock:
            return self._held.get(resource_id, (None, 0))[0]

    def open(self, resource_id: str) -> Disk | None:
        """The disk, where it is known: one that was imported as it came, whatever the size of what holds it."""
        with self._lock:
            blocks, size = self._held.get(resource_id, (None, 0))
        if blocks is None:
            return None
        return blocks.opener() if isinstance(blocks, BlocksOfDisk) else BlocksDisk(blocks, size)


class RegisteredImage(Ami):
    """An image with its own devices."""

    def __init__(
        self, backend: Any, ami_id: str, *, devices: Sequence[Device], firmware: str | None = None, **attributes: Any
    ) -> None:
        self.firmware = firmware
        # moto calls it as the API's parameter is called
        attributes[xform_name("BootMode")] = firmware
        super().__init__(backend, ami_id, region_name=f"{backend.region_name}a", **attributes)
        backend.snapshots.pop(self.ebs_snapshot.id, None)
        self.devices = tuple(devices)
        root = next((device for device in devices if device.name == self.root_device_name), devices[0])
        self.ebs_snapshot = dict.get(backend.snapshots, root.snapshot_id)
        self.root_device_type = "ebs"
        self.image_location = self.image_location or f"{self.owner_id}/{self.name}"
        self.ena_support = True
        #: "simple" where it was asked for, None elsewhere: moto says simple of all
        self.sriov_net_support: str | None = None
        self.imds_support: str | None = None
        self.tpm_support: str | None = None
        self.uefi_data: str | None = None
        self.source_image_id: str | None = None
        self.source_image_region: str | None = None
        self.usage_operation = "RunInstances"
        #: as DescribeImages shows it, {} for none
        self.instance_type_specification: dict[str, list[dict[str, str]]] = {}
        #: ImportImage has put EC2's drivers into the guest
        self.prepared = False
        self.platform_details = "Windows" if self.platform == "windows" else "Linux/UNIX"

    @property
    def block_device_mappings(self) -> list[dict[str, Any]]:
        """As DescribeImages shows them."""
        return [{"DeviceName": device.name, "Ebs": _shown(device)} for device in self.devices]


def _shown(device: Device) -> dict[str, Any]:
    known = {"SnapshotId": device.snapshot_id or None, "Iops": device.iops, "Throughput": device.throughput}
    return {
        "VolumeSize": device.size_gib,
        "VolumeType": device.volume_type,
        "DeleteOnTermination": device.delete_on_termination,
        "Encrypted": device.encrypted,
        **{name: value for name, value in known.items() if value is not None},
    }


def backend_of(account: str, region: str) -> Any:
    """moto's EC2 of an account and Region."""
    return ec2_backends[account][region]


def make_snapshot(
    backend: Any, snapshot_id: str, *, size: int, description: str, encrypted: bool, kms_key: str | None
) -> Any:
    """A completed snapshot that holds `size` bytes, rounded up to whole GiB."""
    volume = SimpleNamespace(id=NO_VOLUME, size=max(1, -(-size // GIB)), encrypted=encrypted)
    snapshot = Snapshot(backend, snapshot_id, volume, description, encrypted=encrypted, kms_key_id=kms_key)
    backend.snapshots[snapshot_id] = snapshot
    return snapshot


def find_image(backend: Any, image_id: str) -> Any:
    """The image; raises ApiError."""
    image = backend.amis.get(image_id)
    if image is None:
        raise ApiError("InvalidAMIID.NotFound", str(InvalidAMIIdError([image_id]).message))
    return image


def find_instance(backend: Any, instance_id: str) -> Any:
    """The instance; raises ApiError."""
    for reservation in backend.reservations.values():
        for instance in reservation.instances:
            if instance.id == instance_id:
                return instance
    raise ApiError("InvalidInstanceID.NotFound", str(InvalidInstanceIdError([instance_id]).message))


def volumes_of(backend: Any, instance: Any) -> list[Any]:
    """The instance's volumes, root first."""
    mapping = sorted(instance.get_block_device_mapping, key=lambda item: item[0] != instance.root_device_name)
    return [backend.volumes[block.volume_id] for _, block in mapping if block.volume_id in backend.volumes]
