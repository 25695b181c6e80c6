"""What RegisterImage refuses. Sources: botocore's EC2 model; EC2 API reference, RegisterImage; aws-facts 7.4."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from moto.ec2.exceptions import EC2ClientError

from vmie.sandbox.service import volume_rules

Params = Mapping[str, Any]

_CHOICES = {
    "Architecture": ("i386", "x86_64", "arm64", "x86_64_mac", "arm64_mac"),
    "VirtualizationType": ("hvm", "paravirtual"),
    "BootMode": ("legacy-bios", "uefi", "uefi-preferred"),
    "TpmSupport": ("v2.0",),
    "ImdsSupport": ("v2.0",),
    "SriovNetSupport": ("simple",),
}
_UEFI_DATA = 64000


def require_attributes(params: Params) -> None:
    """Raise moto's error for values that there are not, and for those that exclude each other."""
    for name, choices in _CHOICES.items():
        value = params.get(name)
        if value is not None and value not in choices:
            raise EC2ClientError("InvalidParameterValue", f"Value ({value}) for parameter {name} is invalid.")
    uefi = params.get("BootMode") in ("uefi", "uefi-preferred")
    for name, needs in (("TpmSupport", params.get("BootMode") == "uefi"), ("UefiData", uefi)):
        if params.get(name) and not needs:
            raise EC2ClientError("InvalidParameterCombination", f"{name} requires the boot mode uefi.")
    if data := params.get("UefiData"):
        try:
            base64.b64decode(data, validate=True)
        except (ValueError, binascii.Error) as error:
            raise EC2ClientError("InvalidParameterValue", "UefiData is not valid Base64.") from error
        if len(data) > _UEFI_DATA:
            raise EC2ClientError("InvalidParameterValue", f"UefiData is longer than {_UEFI_DATA} characters.")


def require_size(ebs: Params) -> None:
    """Raise moto's error for a device of which nothing says how large it is to be."""
    if not (ebs.get("SnapshotId") or ebs.get("VolumeSize")):
        raise EC2ClientError("MissingParameter", "The request must contain the parameter size or snapshotId")


def require_device(name: str, ebs: Params, snapshot: Any | None, *, root: str) -> None:
    """Raise moto's error for a device that cannot be."""
    require_size(ebs)
    if name == root and snapshot is None:
        raise EC2ClientError("InvalidBlockDeviceMapping", f"The root device {root} has no snapshot.")
    if snapshot is not None and ebs.get("Encrypted") is not None:
        raise EC2ClientError(
            "InvalidBlockDeviceMapping",
            f"the encrypted flag cannot be specified since device {name} has a snapshot specified.",
        )
    kind = volume_rules.kind(ebs.get("VolumeType"))
    if name == root and not kind.boots:
        raise EC2ClientError(
            "InvalidBlockDeviceMapping", f"The volume type {ebs['VolumeType']} is not supported for a root device."
        )
    size = ebs.get("VolumeSize") or snapshot.volume_size  # type: ignore[union-attr]
    if snapshot is not None and size < snapshot.volume_size:
        least = snapshot.volume_size
        raise EC2ClientError(
            "InvalidBlockDeviceMapping",
            f"Volume of size {size}GB is smaller than snapshot '{snapshot.id}', expect size >= {least}GB",
        )
    volume_rules.require_size(ebs.get("VolumeType"), size)
    volume_rules.require_rates(ebs.get("VolumeType"), ebs.get("Iops"), ebs.get("Throughput"))
