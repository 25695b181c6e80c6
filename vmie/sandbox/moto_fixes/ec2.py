"""moto's EC2 made to keep what it is given: an image's devices, its description, and what its snapshots hold."""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.models.elastic_block_store import Snapshot
from moto.ec2.models.instances import Instance
from moto.ec2.responses import EC2Response
from moto.ec2.utils import random_id

from vmie.sandbox.moto_fixes.compute import Device, RegisteredImage, SnapshotContents
from vmie.sandbox.patching import Patcher


def install(patcher: Patcher, contents: SnapshotContents) -> None:
    """Let RegisterImage, CopyImage and RunInstances keep devices, ModifyImageAttribute a description."""
    patcher.attribute(EC2Response, "register_image", _register_image(EC2Response.register_image))
    patcher.attribute(EC2Response, "modify_image_attribute", _modify_image(EC2Response.modify_image_attribute))
    patcher.attribute(Instance, "setup_defaults", _setup_defaults(Instance.setup_defaults))
    patcher.attribute(EC2Backend, "copy_image", _copy_image(EC2Backend.copy_image, contents))


def _setup_defaults(original: Any) -> Any:
    def setup_defaults(instance: Any) -> None:
        image = instance.ec2_backend.amis.get(instance.image_id)
        if not isinstance(image, RegisteredImage):
            original(instance)
            return
        for device in image.devices:
            snapshot = device.snapshot_id or None
            instance.add_block_device(
                device.size_gib, device.name, snapshot, device.encrypted, True, None, device.volume_type
            )

    return setup_defaults


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


def _register_image(original: Any) -> Any:
    def register_image(self: Any) -> Any:
        mappings = [one for one in self._get_param("BlockDeviceMappings") or () if one.get("Ebs")]
        if not mappings:
            return original(self)
        self.error_on_dryrun()
        backend, name = self.ec2_backend, self._get_param("Name")
        if not name:
            raise EC2ClientError("MissingParameter", "The request must contain the parameter name")
        taken = next((image.id for image in backend.amis.values() if image.name == name and _own(image)), None)
        if taken:
            raise EC2ClientError("InvalidAMIName.Duplicate", f"AMI name {name} is already in use by AMI {taken}")
        image = RegisteredImage(
            backend,
            random_id("ami"),
            devices=[_device(backend, mapping) for mapping in mappings],
            name=name,
            description=self._get_param("Description", ""),
            architecture=self._get_param("Architecture", "i386"),
            virtualization_type=self._get_param("VirtualizationType", "paravirtual"),
            root_device_name=self._get_param("RootDeviceName") or mappings[0]["DeviceName"],
            firmware=self._get_param("BootMode"),
            tags=self._parse_tag_specification("image").get("image", {}),
        )
        image.ena_support = bool(self._get_param("EnaSupport"))
        image.imds_support, image.tpm_support = self._get_param("ImdsSupport"), self._get_param("TpmSupport")
        backend.amis[image.id] = image
        return ActionResult({"ImageId": image.id})

    return register_image


def _own(image: Any) -> bool:
    return bool(image.owner_id == image.ec2_backend.account_id)


def _device(backend: Any, mapping: dict[str, Any]) -> Device:
    ebs = mapping["Ebs"]
    snapshot_id = ebs.get("SnapshotId") or ""
    snapshot = backend.snapshots.get(snapshot_id)
    if snapshot_id and snapshot is None:
        raise EC2ClientError("InvalidSnapshot.NotFound", f"The snapshot '{snapshot_id}' does not exist.")
    least = snapshot.volume_size if snapshot else 1
    size = ebs.get("VolumeSize") or least
    if size < least:
        raise EC2ClientError(
            "InvalidBlockDeviceMapping",
            f"Volume of size {size}GB is smaller than snapshot '{snapshot_id}', expect size >= {least}GB",
        )
    return Device(
        mapping.get("DeviceName") or "/dev/sda1",
        snapshot_id,
        size,
        ebs.get("VolumeType") or "gp2",
        bool(ebs.get("DeleteOnTermination")),
        bool(snapshot.encrypted) if snapshot else False,
    )


def _copy_image(original: Any, contents: SnapshotContents) -> Any:
    def copy_image(
        self: Any, source_image_id: str, source_region: str, name: str | None = None, description: str | None = None
    ) -> Any:
        there = ec2_backends[self.account_id][source_region]
        source = there.amis.get(source_image_id)
        if not isinstance(source, RegisteredImage):
            return original(self, source_image_id, source_region, name, description)
        ami_id, devices = random_id("ami"), []
        for device in source.devices:
            snapshot_id, before = "", there.snapshots.get(device.snapshot_id)
            if before is not None:
                snapshot_id = random_id("snap")
                text = f"Copied for DestinationAmi {ami_id} from SourceAmi {source_image_id}"
                self.snapshots[snapshot_id] = Snapshot(
                    self, snapshot_id, before.volume, text, encrypted=before.encrypted, kms_key_id=before.kms_key_id
                )
                contents.copy(snapshot_id, device.snapshot_id)
            devices.append(
                Device(device.name, snapshot_id, device.size_gib, device.volume_type, encrypted=device.encrypted)
            )
        image = RegisteredImage(
            self,
            ami_id,
            devices=devices,
            source_ami=source,
            name=name,
            description=description,
            root_device_name=source.root_device_name,
            firmware=source.firmware,
        )
        image.ena_support, image.imds_support = source.ena_support, source.imds_support
        self.amis[ami_id] = image
        return image

    return copy_image
