"""What only ImportInstance and ImportVolume take: where, what kind of instance, how large a volume."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from vmie.errors import UsageError
from vmie.limits import DISK_BYTES, GIB, LINUX_INSTANCE_TYPES_2016
from vmie.model import Profile, Route

if TYPE_CHECKING:
    from vmie.ops.import_.request import ImportRequest

SHUTDOWN_BEHAVIORS = ("stop", "terminate")
#: `host` is in the API's enumeration; ImportInstance does not take it (aws-facts 1.5)
TENANCIES = ("default", "dedicated")
_TYPE = re.compile(r"[a-z0-9-]+\.[a-z0-9-]+")


@dataclass(frozen=True, slots=True)
class Launch:
    """Options of the two older calls; "" leaves one to AWS.

    `user_data` is the path of a file: its content is a secret that is read when it is sent. `volume_size` is GiB, of
    the first disk's volume, None for just enough. `attach_data_disks` attaches the other disks' volumes when all are
    there.
    """

    instance_type: str = ""
    subnet: str = ""
    security_groups: tuple[str, ...] = ()
    private_ip: str = ""
    availability_zone: str = ""
    user_data: str = ""
    shutdown_behavior: str = ""
    tenancy: str = ""
    monitoring: bool = False
    volume_size: int | None = None
    attach_data_disks: bool = False

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Launch:
        """Read back what `dataclasses.asdict` wrote."""
        known = {f.name for f in fields(cls)}
        values: dict[str, Any] = {
            name: tuple(v) if isinstance(v, list) else v for name, v in data.items() if name in known
        }
        return cls(**values)

    def given(self) -> list[str]:
        """The options that were given, as they are typed."""
        return [f"--{_OPTIONS.get(f.name, f.name.replace('_', '-'))}" for f in fields(self) if getattr(self, f.name)]

    def validate(self, request: ImportRequest) -> None:
        """Raise UsageError for what the route does not take or AWS would refuse."""
        if request.route in (Route.IMAGE, Route.SNAPSHOT):
            if self.given():
                raise UsageError(
                    f"{', '.join(self.given())}: only with --as instance or --as volume",
                    cause="ImportImage and ImportSnapshot make no instance and no volume",
                    cure="leave them out, and choose them when you launch an instance of the AMI",
                )
            return
        _only_image(request)
        if self.volume_size is not None and not 1 <= self.volume_size <= DISK_BYTES.value // GIB:
            raise UsageError(
                f"--volume-size {self.volume_size}: choose 1 to {DISK_BYTES.value // GIB}", cause="it is in GiB"
            )
        if request.route is Route.VOLUME:
            self._volume(request)
        else:
            self._instance(request)

    def _volume(self, request: ImportRequest) -> None:
        instance_only = [one for one in self.given() if one not in ("--availability-zone", "--volume-size")]
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

    def _instance(self, request: ImportRequest) -> None:
        if not _TYPE.fullmatch(self.instance_type):
            raise UsageError(
                f"--instance-type {self.instance_type!r} is none"
                if self.instance_type
                else "--instance-type is missing",
                cause="ImportInstance makes an instance, and an instance has a type",
                cure="add --instance-type, such as --instance-type m3.medium",
            )
        _one_of("--shutdown-behavior", self.shutdown_behavior, SHUTDOWN_BEHAVIORS)
        _one_of("--tenancy", self.tenancy, TENANCIES)
        if self.tenancy == "dedicated" and self.instance_type.startswith("t2."):
            raise UsageError(
                "--tenancy dedicated: not with a t2 instance",
                cause="t2 instances do not run on dedicated hardware (2016 prerequisites page)",
                cure="choose another --instance-type",
            )
        if self.private_ip:
            self._address()

    def _address(self) -> None:
        try:
            ipaddress.IPv4Address(self.private_ip)
        except ValueError as error:
            raise UsageError(
                f"--private-ip {self.private_ip!r} is no IPv4 address",
                cause="an imported machine has IPv4 only",
                cure="leave it out, and AWS takes a free one",
            ) from error
        if not self.subnet:
            raise UsageError("--private-ip needs --subnet", cure="name the subnet that the address is in")


def expect_type(launch: Launch, *, platform: str, profile: Profile) -> str:
    """See that the instance type takes the platform; a warning where AWS may refuse it, else "".

    The page of 2016 lists the types for Linux; today's guide repeats the list in its troubleshooting chapter only.
    Raises UsageError under the 2016 profile.
    """
    if platform.lower() != "linux" or launch.instance_type in LINUX_INSTANCE_TYPES_2016:
        return ""
    said = "Linux is not supported on the requested instance"
    if profile is Profile.Y2016:
        raise UsageError(
            f"--instance-type {launch.instance_type}: {said}",
            cause="the 2016 prerequisites page does not list it for Linux",
            cure=f"choose one of {', '.join(LINUX_INSTANCE_TYPES_2016)}",
            code="InstanceType",
        )
    return f"{launch.instance_type} is not on the page's list for ImportInstance: AWS may say {said!r}"


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
        "--copy": request.sending.copy,
    }
    if given := [option for option, value in other.items() if value]:
        call = "ImportInstance" if request.route is Route.INSTANCE else "ImportVolume"
        raise UsageError(
            f"{', '.join(given)}: not with --as {request.route.value}",
            cause=f"{call} has no such parameter (and takes no Windows under a licence of your own)",
            cure="leave them out, or use --as image",
        )
    if request.wanted not in (None, "vmdk", "vhd", "raw"):
        raise UsageError(
            f"--format {request.wanted}: not with --as {request.route.value}",
            cause="the older calls take VMDK, VHD and raw",
            cure="leave it out: vmie sends a stream-optimised VMDK",
        )


def _one_of(option: str, value: str, allowed: tuple[str, ...]) -> None:
    if value and value not in allowed:
        raise UsageError(f"{option} {value!r}: choose from {', '.join(allowed)}")
