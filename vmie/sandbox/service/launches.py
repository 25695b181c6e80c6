"""RunInstances: an instance gets its image's devices, with what the request changes of them, and what they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from moto.ec2.models import EC2Backend
from moto.ec2.models.instances import Instance
from moto.ec2.responses import EC2Response

from vmie.sandbox.moto_fixes.compute import Device, RegisteredImage
from vmie.sandbox.patching import Patcher
from vmie.sandbox.service import image_rules, launch_rules, volumes

Mapped = Mapping[str, Any]


def install(patcher: Patcher) -> None:
    """Patch it."""
    patcher.attribute(EC2Backend, "run_instances", _run_instances(EC2Backend.run_instances))
    check = EC2Response._validate_block_device_mapping  # noqa: SLF001 - moto's own
    patcher.attribute(EC2Response, "_validate_block_device_mapping", staticmethod(_changes_or(check)))


def _changes_or(original: Any) -> Any:
    def validate(mapping: Mapped) -> None:
        # of a device of the image: only what is to be different
        if not (mapping.get("DeviceName") and mapping.get("Ebs")):
            original(mapping)

    return validate


def _run_instances(original: Any) -> Any:
    def run_instances(self: Any, image_id: str, *args: Any, **kwargs: Any) -> Any:
        template = kwargs.get("launch_template")
        data = self._get_template_from_args(template).data if template else {}
        image = self.amis.get(image_id or data.get("ImageId") or "")
        asked = kwargs.get("block_device_mappings", data.get("BlockDeviceMappings"))
        if not isinstance(image, RegisteredImage) or "launch_config" in kwargs:
            return original(self, image_id, *args, **_of_own(image, kwargs))
        launch_rules.require(image, kwargs.get("instance_type") or data.get("InstanceType") or "")
        wanted = mapping_of(self, image, asked or ())
        tags = (kwargs.get("tags") or {}).get("volume", {})
        # moto would replace all devices by those that are given, without what they hold
        reservation = original(self, image_id, *args, **kwargs | {"block_device_mappings": []})
        for instance in reservation.instances:
            for device, ebs in wanted:
                _attach(instance, device, ebs, tags)
        return reservation

    return run_instances


def _of_own(image: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The same without changes of an image's root: moto knows none of images that were not registered here."""
    roots = {getattr(image, "root_device_name", None), "/dev/sda1", "/dev/xvda"}
    asked, new = kwargs.get("block_device_mappings") or (), []
    for one in asked:
        if one.get("NoDevice") != "" and one.get("Ebs"):
            sized = one["Ebs"].get("VolumeSize") or one["Ebs"].get("SnapshotId")
            if not sized and one.get("DeviceName") in roots:
                continue
            image_rules.require_size(one["Ebs"])
        new.append(one)
    if len(new) == len(asked):
        return kwargs
    rest = {name: value for name, value in kwargs.items() if name != "block_device_mappings"}
    return {**rest, "block_device_mappings": new} if new else rest


def mapping_of(backend: Any, image: RegisteredImage, asked: Sequence[Mapped]) -> list[tuple[str, Mapped]]:
    """Device names and what each is: of the image, changed and added to by what is asked for; raises moto's errors."""
    found: dict[str, Mapped] = {device.name: _as_mapping(device) for device in image.devices}
    for one in asked:
        name = one.get("DeviceName") or ""
        if one.get("NoDevice") is not None:
            found.pop(name, None)
            continue
        given = {key: value for key, value in (one.get("Ebs") or {}).items() if value is not None}
        # moto's parser writes what was not asked for as False
        given = {key: value for key, value in given.items() if value is not False or key == "DeleteOnTermination"}
        before = found.get(name, {})
        if given.get("VolumeType", before.get("VolumeType")) != before.get("VolumeType"):
            before = {key: value for key, value in before.items() if key not in ("Iops", "Throughput")}
        found[name] = {**before, **given}
    for name, ebs in found.items():
        snapshot = volumes.completed(backend, ebs["SnapshotId"]) if ebs.get("SnapshotId") else None
        plain = {key: value for key, value in ebs.items() if key != "Encrypted"}
        image_rules.require_device(name, plain, snapshot, root=image.root_device_name)
    return list(found.items())


def _as_mapping(device: Device) -> Mapped:
    known = {
        "SnapshotId": device.snapshot_id or None,
        "VolumeSize": device.size_gib,
        "VolumeType": device.volume_type,
        "Iops": device.iops,
        "Throughput": device.throughput,
        "Encrypted": device.encrypted or None,
        "DeleteOnTermination": True,
    }
    return {name: value for name, value in known.items() if value is not None}


def _attach(instance: Instance, name: str, ebs: Mapped, tags: Mapping[str, str]) -> None:
    backend = instance.ec2_backend
    volume = backend.create_volume(
        size=ebs.get("VolumeSize"),
        zone_name=instance.placement.zone,
        snapshot_id=ebs.get("SnapshotId"),
        encrypted=bool(ebs.get("Encrypted") or ebs.get("KmsKeyId")),
        kms_key_id=ebs.get("KmsKeyId"),
        volume_type=ebs.get("VolumeType"),
        iops=ebs.get("Iops"),
        throughput=ebs.get("Throughput"),
    )
    volume.add_tags(dict(tags))
    backend.attach_volume(volume.id, instance.id, name, bool(ebs.get("DeleteOnTermination", True)))
