"""What an import was asked to do: options as values, judged before anything is read or sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from vmie.errors import UsageError
from vmie.model import Profile, Route, S3Object
from vmie.ops import transfer_options
from vmie.ops.import_ import launch

_AMI_NAME = re.compile(r"[A-Za-z0-9()\[\] ./\-'@_]{3,128}")
_CONFIG_ARN = re.compile(r"arn:[\w-]+:license-manager:[\w-]+:\d{12}:license-configuration[:/][\w-]+")

ARCHITECTURES = ("x86_64", "i386")
PLATFORMS = ("Linux", "Windows")
#: `uefi-preferred` is in the API's enumeration and refused for imports (aws-facts 1.1)
BOOT_MODES = ("legacy-bios", "uefi")
LICENSE_TYPES = ("AWS", "BYOL")


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """An import as the user meant it.

    `sources` are absolute local paths or ``s3://bucket/key``; several are the disks of one VM, boot disk
    first. `format` is the form to send (vmdk, vhd, raw), None to let vmie choose. `register` names the AMI to
    make from an imported snapshot. `skip_check` holds rule ids, or "all". `user_data` is the path of a file: its
    content is a secret that is read when it is sent. `volume_size` is GiB, of the first disk's volume, None for just
    enough. `attach_data_disks` attaches the other disks' volumes when all are there. `max_rate` is bytes per second.
    `copy` has the import copy its s3:// sources into the import bucket first.
    """

    sources: tuple[str, ...]
    route: Route = Route.IMAGE
    bucket: str | None = None
    prefix: str | None = None
    name: str = ""
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    architecture: str = ""
    platform: str = ""
    boot_mode: str = ""
    license_type: str = ""
    usage_operation: str = ""
    license_configurations: tuple[str, ...] = ()
    encrypted: bool = False
    kms_key: str = ""
    role_name: str | None = None
    client_token: str = ""
    keep_object: bool = False
    register: str = ""
    imds_v2: bool = False
    volume_type: str = "gp3"
    as_is: bool = False
    format: str | None = None
    skip_check: tuple[str, ...] = ()
    strict: bool = False
    rules: Profile = Profile.CURRENT
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
    sse: str = ""
    sse_kms_key: str = ""
    storage_class: str = ""
    max_rate: float | None = None
    accelerate: bool = False
    copy: bool = False

    def as_json(self) -> dict[str, Any]:
        """For the journal: everything, no secret among it."""
        # Not asdict of the whole: it copies each value deeply, and plans have thousands of requests.
        return {**{f.name: getattr(self, f.name) for f in fields(self)}, "tags": dict(self.tags)}

    def lasting(self) -> dict[str, Any]:
        """What makes two imports different ones: what is made, not how fast or by which way it is sent."""
        shape = self.as_json()
        del shape["max_rate"], shape["accelerate"]
        return shape

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ImportRequest:
        """Read back what `as_json` wrote, also by an older vmie that knew fewer fields."""
        known = {f.name for f in fields(cls)}
        values: dict[str, Any] = {
            name: tuple(v) if isinstance(v, list) else v for name, v in data.items() if name in known
        }
        values["route"] = Route(values["route"])
        values["rules"] = Profile(values["rules"])
        return cls(**values)

    def validate(self) -> None:
        """Raise UsageError for options that AWS would refuse, or that cannot be meant together."""
        _one_of("--arch", self.architecture, ARCHITECTURES)
        _one_of("--platform", self.platform, PLATFORMS)
        _one_of("--boot-mode", self.boot_mode, BOOT_MODES)
        _one_of("--license-type", self.license_type, LICENSE_TYPES)
        self._licences()
        self._route()
        launch.validate(self)
        transfer_options.validate(self)
        if self.as_is and self.format:
            raise UsageError("--as-is and --format cannot both be given", cure="leave one out")
        if self.client_token and not re.fullmatch(r"[\x21-\x7e]{1,64}", self.client_token):
            raise UsageError("--client-token takes 1 to 64 printable ASCII characters without spaces")
        if len(self.tags) > 50 or any(not key or len(key) > 128 or len(v) > 256 for key, v in self.tags.items()):
            raise UsageError(
                "too many or too long tags", cause="at most 50, keys of 1-128 and values of 0-256 characters"
            )
        if any(key.lower().startswith("aws:") for key in self.tags):
            raise UsageError("a tag's key cannot begin with aws:", cure="choose another key")
        if self.name and self.tags.get("Name", self.name) != self.name:
            raise UsageError("--name and --tag Name=… differ", cure="leave one out: --name sets that very tag")
        for source in self.sources:
            _place(source)

    def _licences(self) -> None:
        if self.license_type and self.usage_operation:
            raise UsageError(
                "--license-type and --usage-operation cannot both be given",
                cause="AWS refuses the two together: the usage operation says the licence already",
                cure="leave one out",
            )
        for arn in self.license_configurations:
            if not _CONFIG_ARN.fullmatch(arn):
                raise UsageError(
                    f"{arn!r} is no ARN of a licence configuration",
                    cure="arn:aws:license-manager:REGION:ACCOUNT:license-configuration:lic-…",
                )

    def _route(self) -> None:
        if self.route is Route.SNAPSHOT:
            if len(self.sources) != 1:
                raise UsageError(
                    "--as snapshot takes one disk",
                    cause="ImportSnapshot has one disk container",
                    cure="import the disks one by one, or all of them with --as image",
                )
            only_image = {
                "--license-type": self.license_type,
                "--usage-operation": self.usage_operation,
                "--license-configuration": self.license_configurations,
            }
            if given := [option for option, value in only_image.items() if value]:
                raise UsageError(f"{', '.join(given)}: not with --as snapshot", cause="ImportSnapshot has no licences")
            if self.register and not _AMI_NAME.fullmatch(self.register):
                raise UsageError(
                    f"{self.register!r} is no AMI name", cure="3 to 128 letters, digits, spaces and ()[]./-'@_"
                )
            if self.imds_v2 and not self.register:
                raise UsageError(
                    "--imds-v2 needs --register", cause="a snapshot has no metadata options", cure="add --register NAME"
                )
        elif self.register or self.imds_v2:
            raise UsageError(
                "--register and --imds-v2 need --as snapshot",
                cause="ImportImage registers the AMI itself and sets neither its name nor its metadata options",
                cure="add --as snapshot (no change is then made to the guest), or use --name",
            )


def _place(source: str) -> None:
    if source.startswith("s3://"):
        try:
            S3Object.parse(source)
        except ValueError as error:
            raise UsageError(f"{source!r} names no object in S3", cure="give s3://BUCKET/KEY") from error


def _one_of(option: str, value: str, allowed: tuple[str, ...]) -> None:
    if value and value not in allowed:
        raise UsageError(f"{option} {value!r}: choose from {', '.join(allowed)}")
