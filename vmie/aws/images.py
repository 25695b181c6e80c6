"""What EC2 says of AMIs and of instance types, and which types an AMI may be launched as."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vmie.aws.errors import refusals
from vmie.errors import AwsRefused, Run
from vmie.poll import VISIBILITY, Clock, retrying

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import ImageTypeDef

    from vmie.aws.session import Aws


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """An AMI as DescribeImages shows it.

    `firmware` is its boot mode, "" where it has none, and `tpm` the same; `size_gib` is that of all volumes.
    """

    id: str
    state: str
    architecture: str
    ena: bool
    firmware: str
    tpm: str
    windows: bool
    devices: tuple[str, ...]
    size_gib: int
    owner: str = ""
    name: str = ""
    platform: str = ""


@dataclass(frozen=True, slots=True)
class TypeFacts:
    """An instance type as DescribeInstanceTypes shows it. `ena` is required, supported or unsupported."""

    name: str
    nitro: bool
    ena: str
    architectures: tuple[str, ...]
    boots_by: tuple[str, ...]
    tpm: bool
    vcpus: int = 2

    def refuses(self, image: ImageFacts) -> str:
        """Why the AMI cannot be launched as this type, "" where nothing is against it."""
        if image.architecture not in self.architectures:
            return f"{self.name} is {' or '.join(self.architectures)}, the AMI {image.architecture}"
        if self.ena == "required" and not image.ena:
            return f"{self.name} needs ENA, and the AMI is registered without it: its guest lacks the driver"
        if image.firmware == "uefi" and "uefi" not in self.boots_by:
            return f"{self.name} starts by BIOS only, and the AMI by UEFI"
        if image.tpm and not self.tpm:
            return f"{self.name} has no TPM, and the AMI asks for one"
        return ""


def new_image(aws: Aws, image_id: str, *, clock: Clock) -> ImageFacts:
    """The same of one that was made a moment ago, and may not be shown yet. Raises AwsRefused."""

    def classify(error: BaseException) -> str:
        return "unseen" if isinstance(error, AwsRefused) and error.code == "InvalidAMIID.NotFound" else ""

    return retrying(lambda: image(aws, image_id), clock=clock, classify=classify, patience={"unseen": VISIBILITY})


def image(aws: Aws, image_id: str) -> ImageFacts:
    """What EC2 shows of an AMI. Raises AwsRefused, also where there is none."""
    with refusals("DescribeImages", operand=image_id):
        found = aws.client("ec2").describe_images(ImageIds=[image_id]).get("Images") or ()
    if not found:
        raise AwsRefused(
            f"there is no AMI {image_id}",
            cause=f"EC2 shows none of that id in {aws.region}",
            cure=Run(("aws", "ec2", "describe-images", "--owners", "self"), "lists your own"),
            code="InvalidAMIID.NotFound",
        )
    return _image(found[0])


def _image(raw: ImageTypeDef) -> ImageFacts:
    mapped = [one for one in raw.get("BlockDeviceMappings") or () if one.get("Ebs")]
    return ImageFacts(
        id=str(raw["ImageId"]),
        state=str(raw.get("State") or ""),
        architecture=str(raw.get("Architecture") or ""),
        ena=bool(raw.get("EnaSupport")),
        firmware=str(raw.get("BootMode") or ""),
        tpm=str(raw.get("TpmSupport") or ""),
        windows=str(raw.get("Platform") or "").lower() == "windows",
        devices=tuple(str(one["DeviceName"]) for one in mapped),
        size_gib=sum(int(one["Ebs"].get("VolumeSize") or 0) for one in mapped),
        owner=str(raw.get("OwnerId") or ""),
        name=str(raw.get("Name") or ""),
        platform=str(raw.get("PlatformDetails") or ""),
    )


def types(aws: Aws, names: Sequence[str]) -> dict[str, TypeFacts]:
    """Instance types by name. Raises AwsRefused, also for a name that is none."""
    with refusals("DescribeInstanceTypes", operand=", ".join(names)):
        answer = aws.client("ec2").describe_instance_types(InstanceTypes=list(names))  # type: ignore[arg-type] # new types come
    return {str(one["InstanceType"]): _type(one) for one in answer.get("InstanceTypes") or ()}


def _type(raw: Any) -> TypeFacts:
    return TypeFacts(
        name=str(raw["InstanceType"]),
        # bare metal has no hypervisor, and the Nitro cards all the same
        nitro=raw.get("Hypervisor") != "xen",
        ena=str((raw.get("NetworkInfo") or {}).get("EnaSupport") or "unsupported"),
        architectures=tuple((raw.get("ProcessorInfo") or {}).get("SupportedArchitectures") or ()),
        boots_by=tuple(raw.get("SupportedBootModes") or ("legacy-bios",)),
        tpm=raw.get("NitroTpmSupport") == "supported",
        vcpus=int((raw.get("VCpuInfo") or {}).get("DefaultVCpus") or 2),
    )


def specify_types(aws: Aws, image_id: str, *, supported: Sequence[str] = (), unsupported: Sequence[str] = ()) -> None:
    """Let the AMI be launched only as types that match `supported` (``t2.*``), and not as others. Raises AwsRefused."""
    named = {"SupportedInstanceTypes": list(supported), "UnsupportedInstanceTypes": list(unsupported)}
    given: Any = {name: listed for name, listed in named.items() if listed}
    with refusals("ReplaceImageInstanceTypeSpecification", operand=image_id):
        aws.client("ec2").replace_image_instance_type_specification(ImageId=image_id, InstanceTypeSpecification=given)
