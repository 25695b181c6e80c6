"""What only ImportInstance and ImportVolume take: where, what kind of instance, how large a volume."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from vmie.errors import UsageError
from vmie.limits import DISK_BYTES, GIB, LINUX_INSTANCE_TYPES_2016
from vmie.model import Profile, Route

if TYPE_CHECKING:
    from vmie.ops.import_.request import ImportRequest

SHUTDOWN_BEHAVIORS = ("stop", "terminate")
#: `host` is in the API's enumeration; ImportInstance does not take it (aws-facts 1.5)
TENANCIES = ("default", "dedicated")
_TYPE = re.compile(r"[a-z0-9-]+\.[a-z0-9-]+")


#: the options of the two older calls
OPTIONS = (
    "instance_type",
    "subnet",
    "security_groups",
    "private_ip",
    "availability_zone",
    "user_data",
    "shutdown_behavior",
    "tenancy",
    "monitoring",
    "volume_size",
    "attach_data_disks",
)


def _given(request: ImportRequest) -> list[str]:
    """The options that were given, as they are typed."""
    return [f"--{_OPTIONS.get(name, name.replace('_', '-'))}" for name in OPTIONS if getattr(request, name)]


def validate(request: ImportRequest) -> None:
    """Raise UsageError for what the route does not take or AWS would refuse."""
    if request.route in (Route.IMAGE, Route.SNAPSHOT):
        if _given(request):
            raise UsageError(
                f"{', '.join(_given(request))}: only with --as instance or --as volume",
                cause="ImportImage and ImportSnapshot make no instance and no volume",
                cure="leave them out, and choose them when you launch an instance of the AMI",
            )
        return
    _only_image(request)
    if request.volume_size is not None and not 1 <= request.volume_size <= DISK_BYTES.value // GIB:
        raise UsageError(
            f"--volume-size {request.volume_size}: choose 1 to {DISK_BYTES.value // GIB}", cause="it is in GiB"
        )
    if request.route is Route.VOLUME:
        _volume(request)
    else:
        _instance(request)


def _volume(request: ImportRequest) -> None:
    instance_only = [one for one in _given(request) if one not in ("--availability-zone", "--volume-size")]
    if instance_only:
        raise UsageError(
            f"{', '.join(instance_only)}: not with --as volume", cause="ImportVolume makes a volume, no instance"
        )
    if len(request.sources) != 1:
        raise UsageError(
            "--as volume takes one disk",
            cause="ImportVolume has one disk image",
            cure="import the disks one by one; --as instance takes a machine with all its disks",
        )


def _instance(request: ImportRequest) -> None:
    if not _TYPE.fullmatch(request.instance_type):
        raise UsageError(
            f"--instance-type {request.instance_type!r} is none"
            if request.instance_type
            else "--instance-type is missing",
            cause="ImportInstance makes an instance, and an instance has a type",
            cure="add --instance-type, such as --instance-type m3.medium",
        )
    _one_of("--shutdown-behavior", request.shutdown_behavior, SHUTDOWN_BEHAVIORS)
    _one_of("--tenancy", request.tenancy, TENANCIES)
    if request.tenancy == "dedicated" and request.instance_type.startswith("t2."):
        raise UsageError(
            "--tenancy dedicated: not with a t2 instance",
            cause="t2 instances do not run on dedicated hardware (2016 prerequisites page)",
            cure="choose another --instance-type",
        )
    if request.private_ip:
        _address(request)


def _address(request: ImportRequest) -> None:
    try:
        ipaddress.IPv4Address(request.private_ip)
    except ValueError as error:
        raise UsageError(
            f"--private-ip {request.private_ip!r} is no IPv4 address",
            cause="an imported machine has IPv4 only",
            cure="leave it out, and AWS takes a free one",
        ) from error
    if not request.subnet:
        raise UsageError("--private-ip needs --subnet", cure="name the subnet that the address is in")


def expect_type(request: ImportRequest) -> str:
    """See that the instance type takes the platform; a warning where AWS may refuse it, else "".

    The page of 2016 lists the types for Linux; today's guide repeats the list in its troubleshooting chapter only.
    Raises UsageError under the 2016 profile.
    """
    if request.platform.lower() != "linux" or request.instance_type in LINUX_INSTANCE_TYPES_2016:
        return ""
    said = "Linux is not supported on the requested instance"
    if request.rules is Profile.Y2016:
        raise UsageError(
            f"--instance-type {request.instance_type}: {said}",
            cause="the 2016 prerequisites page does not list it for Linux",
            cure=f"choose one of {', '.join(LINUX_INSTANCE_TYPES_2016)}",
            code="InstanceType",
        )
    return f"{request.instance_type} is not on the page's list for ImportInstance: AWS may say {said!r}"


_OPTIONS = {"security_groups": "security-group"}


def _only_image(request: ImportRequest) -> None:
    """Options of the newer calls that the older ones have no field for."""
    other = {
        "--license-type": request.license_type,
        "--usage-operation": request.usage_operation,
        "--license-configuration": request.license_configurations,
        "--encrypted": request.encrypted,
        "--kms-key": request.kms_key,
        "--role-name": request.role_name,
        "--client-token": request.client_token,
        "--boot-mode": request.boot_mode if request.boot_mode != "legacy-bios" else "",
        "--copy": request.copy,
    }
    if given := [option for option, value in other.items() if value]:
        call = "ImportInstance" if request.route is Route.INSTANCE else "ImportVolume"
        raise UsageError(
            f"{', '.join(given)}: not with --as {request.route.value}",
            cause=f"{call} has no such parameter (and takes no Windows under a licence of your own)",
            cure="leave them out, or use --as image",
        )
    if request.format not in (None, "vmdk", "vhd", "raw"):
        raise UsageError(
            f"--format {request.format}: not with --as {request.route.value}",
            cause="the older calls take VMDK, VHD and raw",
            cure="leave it out: vmie sends a stream-optimised VMDK",
        )


def _one_of(option: str, value: str, allowed: tuple[str, ...]) -> None:
    if value and value not in allowed:
        raise UsageError(f"{option} {value!r}: choose from {', '.join(allowed)}")
