"""What RunInstances refuses of an image and an instance type together, in EC2's words.

The facts of a type are moto's, which are those of DescribeInstanceTypes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.instance_types import INSTANCE_TYPES

_ENTRY = re.compile(r"[A-Za-z0-9_.*-]{1,24}")
_MOST_ENTRIES = 100


def facts(kind: str) -> Mapping[str, Any]:
    """What DescribeInstanceTypes shows of a type; {} for one that moto does not know."""
    found: Mapping[str, Any] = INSTANCE_TYPES.get(kind) or {}
    return found


def nitro(kind: str) -> bool:
    """Whether it is of the Nitro generations, bare metal among them."""
    return facts(kind).get("Hypervisor") != "xen"


def firmware_of(image: Any, kind: str) -> str:
    """legacy-bios or uefi, as the image and the type decide it together.

    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-boot.html
    """
    offered = list(facts(kind).get("SupportedBootModes") or ("legacy-bios",))
    wanted = getattr(image, "firmware", None)
    if wanted == "uefi-preferred":
        return "uefi" if "uefi" in offered else "legacy-bios"
    if wanted:
        return str(wanted)
    return "legacy-bios" if "legacy-bios" in offered else "uefi"


def require(image: Any, kind: str) -> None:
    """Raise moto's error for an image that cannot be launched as a type; what moto does not know is not judged."""
    known = facts(kind)
    if not known:
        return
    _require_specified(image.instance_type_specification, kind)
    offered = known["ProcessorInfo"]["SupportedArchitectures"]
    if image.architecture not in offered:
        raise EC2ClientError(
            "InvalidParameterValue",
            f"The architecture '{','.join(offered)}' of the specified instance type does not match the architecture "
            f"'{image.architecture}' of the specified AMI. Specify an instance type and an AMI that have matching "
            "architectures, and try again. You can use 'describe-instance-types' or 'describe-images' to discover the "
            "architecture of the instance type or AMI.",
        )
    if image.virtualization_type not in known.get("SupportedVirtualizationTypes", ("hvm",)):
        raise EC2ClientError(
            "InvalidParameterCombination",
            "Non-Windows instances with a virtualization type of 'paravirtual' are not supported for this instance "
            f"type: {kind}.",
        )
    if known["NetworkInfo"].get("EnaSupport") == "required" and not image.ena_support:
        raise EC2ClientError(
            "InvalidParameterCombination",
            f"Enhanced networking with the Elastic Network Adapter (ENA) is required for the '{kind}' instance type. "
            "Ensure that you are using an AMI that is enabled for ENA.",
        )
    if image.firmware == "uefi" and "uefi" not in known.get("SupportedBootModes", ()):
        raise EC2ClientError(
            "InvalidParameterValue",
            f"The {kind} instance type does not support an AMI with a boot mode of UEFI. Only instance types built on "
            "the Nitro System support UEFI. Specify an instance type that supports UEFI, and try again.",
        )


def _require_specified(given: Mapping[str, Sequence[Mapping[str, str]]], kind: str) -> None:
    """The types that the image's owner allows: see the EC2 API reference, ReplaceImageInstanceTypeSpecification."""
    supported, unsupported = (
        [one["InstanceType"] for one in given.get(name) or ()]
        for name in ("SupportedInstanceTypes", "UnsupportedInstanceTypes")
    )
    fits = not supported or any(_matches(kind, one) for one in supported)
    if not fits or any(_matches(kind, one) for one in unsupported):
        raise EC2ClientError(
            "InvalidParameterCombination",
            f"The instance type '{kind}' is not compatible with the instance type specification of the AMI.",
        )


def _matches(kind: str, pattern: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), kind) is not None


def require_specification(given: Mapping[str, Sequence[str]]) -> None:
    """Raise moto's error for a specification that EC2 does not take (botocore's model has the constraints)."""
    entries = [one for listed in given.values() for one in listed]
    for listed in given.values():
        if len(listed) > _MOST_ENTRIES:
            raise EC2ClientError("InvalidParameterValue", f"At most {_MOST_ENTRIES} instance types may be listed.")
    for one in entries:
        if not _ENTRY.fullmatch(one) or "**" in one:
            raise EC2ClientError("InvalidParameterValue", f"Value ({one}) for parameter InstanceType is invalid.")
    if len(set(entries)) != len(entries):
        raise EC2ClientError("InvalidParameterValue", "Duplicate instance types are not allowed.")
