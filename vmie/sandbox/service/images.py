"""Images in moto's EC2 that keep what they are given: registered, copied, made of instances, described, removed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from botocore import xform_name
from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError, InvalidAMIIdError
from moto.ec2.models import ec2_backends
from moto.ec2.responses import EC2Response
from moto.ec2.utils import random_id

from vmie.sandbox.moto_fixes import compute
from vmie.sandbox.moto_fixes.compute import Device, RegisteredImage, SnapshotContents
from vmie.sandbox.patching import Patcher
from vmie.sandbox.service import image_rules, volumes

_NAME = re.compile(r"[\w()\[\] ./\-'@]{3,128}", re.ASCII)
#: of DescribeImageAttribute → where the image has it
_NAMED_ALIKE = (
    "description",
    "sriovNetSupport",
    "bootMode",
    "tpmSupport",
    "uefiData",
    "imdsSupport",
    "lastLaunchedTime",
)
_ATTRIBUTES = {"kernel": "kernel_id", "ramdisk": "ramdisk_id"} | {name: xform_name(name) for name in _NAMED_ALIKE}
_MEMBERS = {"kernel": "KernelId", "ramdisk": "RamdiskId"}
#: what a copy of an image has as well
_KEPT = ("ena_support", "sriov_net_support", "imds_support", "tpm_support", "uefi_data", "usage_operation", "prepared")


def install(patcher: Patcher, contents: SnapshotContents) -> None:
    """Patch the actions."""
    response = EC2Response
    patcher.attribute(response, "register_image", _register_image(response.register_image))
    patcher.attribute(response, "modify_image_attribute", _modify_image(response.modify_image_attribute))
    patcher.attribute(response, "describe_image_attribute", _describe(response.describe_image_attribute))
    patcher.attribute(response, "copy_image", _copy_image(response.copy_image, contents))
    patcher.attribute(response, "create_image", _create_image(response.create_image, contents))
    patcher.attribute(response, "deregister_image", _deregister(response.deregister_image))


def _register_image(original: Any) -> Any:
    def register_image(self: Any) -> Any:
        mappings = [one for one in self._get_param("BlockDeviceMappings") or () if one.get("Ebs")]
        if not mappings:
            return original(self)
        backend, params = self.ec2_backend, self._get_params()
        _require_name(backend, params.get("Name"))
        image_rules.require_attributes(params)
        root = params.get("RootDeviceName") or mappings[0].get("DeviceName") or "/dev/sda1"
        devices = [_device(backend, mapping, root=root) for mapping in mappings]
        tags = self._parse_tag_specification("image").get("image", {})
        self.error_on_dryrun()
        image = RegisteredImage(
            backend,
            random_id("ami"),
            devices=devices,
            name=params["Name"],
            description=params.get("Description") or "",
            architecture=params.get("Architecture") or "i386",
            virtualization_type=params.get("VirtualizationType") or "paravirtual",
            hypervisor="xen",
            root_device_name=root,
            image_location=params.get("ImageLocation"),
            firmware=params.get("BootMode"),
            tags=tags,
        )
        image.ena_support = bool(params.get("EnaSupport"))
        image.sriov_net_support = params.get("SriovNetSupport")
        image.imds_support, image.tpm_support = params.get("ImdsSupport"), params.get("TpmSupport")
        image.uefi_data = params.get("UefiData")
        backend.amis[image.id] = image
        return ActionResult({"ImageId": image.id})

    return register_image


def _require_name(backend: Any, name: str | None) -> None:
    if not name:
        raise EC2ClientError("MissingParameter", "The request must contain the parameter name")
    if not _NAME.fullmatch(name):
        raise EC2ClientError(
            "InvalidAMIName.Malformed",
            "AMI names must be between 3 and 128 characters long, and may contain letters, numbers, '(', ')', '[', "
            "']', ' ', '.', '/', '-', ''', '@' and '_'",
        )
    own = (image for image in list(dict.values(backend.amis)) if image.owner_id == backend.account_id)
    if taken := next((image.id for image in own if image.name == name), None):
        raise EC2ClientError("InvalidAMIName.Duplicate", f"AMI name {name} is already in use by AMI {taken}")


def _device(backend: Any, mapping: Mapping[str, Any], *, root: str) -> Device:
    ebs, name = mapping["Ebs"], mapping.get("DeviceName") or "/dev/sda1"
    snapshot = volumes.completed(backend, ebs["SnapshotId"]) if ebs.get("SnapshotId") else None
    image_rules.require_device(name, ebs, snapshot, root=root)
    return Device(
        name,
        snapshot.id if snapshot else "",
        ebs.get("VolumeSize") or snapshot.volume_size,  # type: ignore[union-attr]
        ebs.get("VolumeType") or "gp2",
        bool(ebs.get("DeleteOnTermination")),
        bool(snapshot.encrypted) if snapshot else bool(ebs.get("Encrypted")),
        ebs.get("Iops"),
        ebs.get("Throughput"),
    )


def _modify_image(original: Any) -> Any:
    def modify_image_attribute(self: Any) -> Any:
        answer = original(self)
        image = self.ec2_backend.amis.get(self._get_param("ImageId"))
        attribute, value = self._get_param("Attribute"), self._get_param("Value")
        given = {"description": value} if attribute == "description" else {}
        for name, key in (("Description", "description"), ("ImdsSupport", "imds_support")):
            if self._get_param(name):
                given[key] = self._get_param(name).get("Value")
        if image is not None:
            vars(image).update(given)
        return answer

    return modify_image_attribute


def _describe(original: Any) -> Any:
    def describe_image_attribute(self: Any) -> Any:
        image = self.ec2_backend.amis.get(self._get_param("ImageId"))
        if image is None:
            raise InvalidAMIIdError([self._get_param("ImageId")])
        attribute = self._get_param("Attribute")
        if not isinstance(image, RegisteredImage) or attribute not in _ATTRIBUTES:
            return original(self)
        value = getattr(image, _ATTRIBUTES[attribute], None)
        member = _MEMBERS.get(attribute, attribute[0].upper() + attribute[1:])
        return ActionResult({"ImageId": image.id, member: {"Value": value} if value else {}})

    return describe_image_attribute


def _copy_image(original: Any, contents: SnapshotContents) -> Any:
    def copy_image(self: Any) -> Any:
        params, backend = self._get_params(), self.ec2_backend
        there = ec2_backends[backend.account_id][params.get("SourceRegion") or backend.region_name]
        source = there.amis.get(params.get("SourceImageId"))
        if not isinstance(source, RegisteredImage):
            return original(self)
        tags = self._parse_tag_specification()
        self.error_on_dryrun()
        ami_id, devices = random_id("ami"), []
        for device in source.devices:
            text = f"Copied for DestinationAmi {ami_id} from SourceAmi {source.id}"
            before = there.snapshots.get(device.snapshot_id)
            if before is None:
                devices.append(device)
                continue
            key = volumes.key_for(
                backend, encrypted=bool(params.get("Encrypted")), name=params.get("KmsKeyId"), before=before
            )
            snapshot = volumes.copy_of(backend, contents, before, description=text, key=key)
            snapshot.add_tags(tags.get("snapshot", {}))
            devices.append(replace(device, snapshot_id=snapshot.id, encrypted=key is not None))
        kept = dict(there.tags.get(source.id) or {}) if params.get("CopyImageTags") else {}
        image = _like(source, backend, ami_id, devices=devices, params=params, tags=kept | tags.get("image", {}))
        image.source_image_id, image.source_image_region = source.id, there.region_name
        backend.amis[ami_id] = image
        return ActionResult({"ImageId": ami_id})

    return copy_image


def _like(
    source: Any, backend: Any, ami_id: str, *, devices: list[Device], params: Mapping[str, Any], tags: Mapping[str, str]
) -> RegisteredImage:
    """An image as another one, with devices, name and tags of its own."""
    image = RegisteredImage(
        backend,
        ami_id,
        devices=devices,
        source_ami=source,
        name=params.get("Name"),
        description=params.get("Description"),
        hypervisor=source.hypervisor,
        root_device_name=source.root_device_name,
        firmware=getattr(source, "firmware", None),
        tags=dict(tags),
    )
    for name in (*_KEPT, "platform_details"):
        if hasattr(source, name):
            setattr(image, name, getattr(source, name))
    return image


def _create_image(original: Any, contents: SnapshotContents) -> Any:
    def create_image(self: Any) -> Any:
        params, backend = self._get_params(), self.ec2_backend
        instance = next(iter(backend.get_multi_instances_by_id([params.get("InstanceId")])), None)
        held = compute.volumes_of(backend, instance) if instance is not None else []
        source = backend.amis.get(instance.image_id) if instance is not None else None
        known = isinstance(source, RegisteredImage) or any(contents.blocks(volume.id) for volume in held)
        if not held or not known:
            return original(self)
        tags = self._parse_tag_specification()
        _require_name(backend, params.get("Name"))
        self.error_on_dryrun()
        ami_id = random_id("ami")
        text = f"Created by CreateImage({instance.id}) for {ami_id}"  # type: ignore[union-attr]
        changes = {one.get("DeviceName"): one for one in params.get("BlockDeviceMappings") or ()}
        devices = []
        for volume in held:
            change = changes.pop(volume.attachment.device, {})
            if change.get("NoDevice") is None:
                snapshot = backend.create_snapshot(volume.id, text)
                snapshot.add_tags(tags.get("snapshot", {}))
                devices.append(_of_volume(volume, snapshot, change.get("Ebs") or {}))
        root = instance.root_device_name  # type: ignore[union-attr]
        devices += [_device(backend, one, root=root) for one in changes.values() if one.get("Ebs")]
        backend.amis[ami_id] = _of_instance(
            instance, source, ami_id, devices=devices, params=params, tags=tags.get("image", {})
        )
        return ActionResult({"ImageId": ami_id})

    return create_image


def _of_volume(volume: Any, snapshot: Any, change: Mapping[str, Any]) -> Device:
    return Device(
        volume.attachment.device,
        snapshot.id,
        change.get("VolumeSize") or volume.size,
        change.get("VolumeType") or volume.volume_type,
        bool(change.get("DeleteOnTermination", True)),
        bool(snapshot.encrypted),
        change.get("Iops") or volume.iops,
        change.get("Throughput") or volume.throughput,
    )


def _of_instance(
    instance: Any,
    source: Any,
    ami_id: str,
    *,
    devices: list[Device],
    params: Mapping[str, Any],
    tags: Mapping[str, str],
) -> RegisteredImage:
    if isinstance(source, RegisteredImage):
        given = {**params, "Description": params.get("Description") or ""}
        image = _like(source, instance.ec2_backend, ami_id, devices=devices, params=given, tags=tags)
        image.description = given["Description"]
    else:
        image = RegisteredImage(
            instance.ec2_backend,
            ami_id,
            devices=devices,
            name=params["Name"],
            description=params.get("Description") or "",
            architecture=instance.architecture,
            virtualization_type=instance.virtualization_type,
            hypervisor="xen",
            platform=instance.platform,
            root_device_name=instance.root_device_name,
            tags=dict(tags),
        )
    image.instance_id = instance.id
    return image


def _deregister(original: Callable[[Any], Any]) -> Any:
    def deregister_image(self: Any) -> Any:
        image = self.ec2_backend.amis.get(self._get_param("ImageId"))
        answer = original(self)
        if isinstance(image, RegisteredImage) and self._get_param("DeleteAssociatedSnapshots"):
            for device in image.devices:
                if device.snapshot_id in self.ec2_backend.snapshots:
                    self.ec2_backend.delete_snapshot(device.snapshot_id)
        return answer

    return deregister_image
