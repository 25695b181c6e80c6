"""The options of `vmie import`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Annotated, Self

from vmie.errors import Drop, UsageError, says
from vmie.limits import DISK_BYTES, GIB
from vmie.model import Profile, Route
from vmie.options import import_conflicts as together
from vmie.options.base import OneOf, allow_names, extra, option
from vmie.options.help_texts import EMPTY_DISKS_HELP, MACHINE_HELP
from vmie.options.shared import TransferOptions, judged_description, judged_selection, judged_tags
from vmie.options.spelling import FLAGS
from vmie.options.types import (
    Address,
    AmiName,
    Bucket,
    ClientToken,
    ImportFormat,
    InstanceType,
    KmsKey,
    LicenseConfigurations,
    LocalPath,
    Parent,
    Role,
    RouteName,
    RulesName,
    SecurityGroups,
    Sources,
    Subnet,
    Tags,
    Text,
    Texts,
    UsageOperation,
    VolumeType,
    Zone,
)

allow_names()

_ONE_FORM = (Drop(("as_is",), "or:"), Drop(("format",)))
_NEWER = ("image", "snapshot")
_OLDER = ("instance", "volume")
_IMPORTS = (*_NEWER, *_OLDER)
_READ = "Read from the image by default."
_guest = partial(option, group="The guest", routes=_IMPORTS)
_licence = partial(option, group="The guest", routes=("image",))
_sent = partial(option, group="Sending", routes=_IMPORTS)
_object = partial(option, via="s3")
_blocks = partial(option, group="Sending", routes=("image", "snapshot", "volume"), via="ebs")
_instance = partial(option, group="Instance", routes=("instance",))
#: of ImportInstance's instance, or of the one that proves an AMI
_launched = partial(option, group="Instance", routes=("instance", *_NEWER))


class ImportRequest(TransferOptions):
    """An import as the user asks for it.

    `sources` are absolute local paths or ``s3://bucket/key``; several are the disks of one VM, boot disk first. "" and
    None leave an option to vmie or AWS. `user_data` is the path of a file: its content is a secret, read when it is
    sent. `volume_size` is GiB, of the first disk's volume.
    """

    sources: Sources = option(..., "The disks.", bounds={"min_length": 1}, argument=True, in_plans=False)
    route: RouteName = option(
        Route.IMAGE,
        "What becomes of the disks. image: an AMI, by ImportImage. snapshot: by ImportSnapshot. instance: a stopped "
        "instance, by ImportInstance. volume: by ImportVolume.",
        flags=FLAGS["route"],
        routes=_IMPORTS,
        guesses=("type",),
    )
    machine: Text = option(
        "",
        MACHINE_HELP,
        bounds={"min_length": 1, "max_length": 256},
        metavar="NAME",
        routes=_IMPORTS,
        single=True,
        guesses=("system", "virtual_system", "vm_name"),
    )
    empty_disks: bool = option(False, EMPTY_DISKS_HELP, routes=_IMPORTS)
    via: Annotated[str, OneOf("s3", "ebs", "auto")] = option(
        "s3",
        "How the disks come to AWS. s3: as objects in a bucket. ebs: block by block into EBS snapshots, without bucket "
        "(and without role, but for {route=image}). auto: as suits what is found in them; it says why.",
        group="Sending",
        routes=("image", "snapshot", "volume"),
        guesses=("transport", "method", "through"),
    )
    zeros: Annotated[str, OneOf("used", "all", "none")] = _blocks(
        "used",
        "With {via=ebs}: the zeros that are written. used: where a file system may rely on them. all: all. none: none; "
        "for disks that will never be encrypted.",
    )
    parent: Parent = _blocks(
        "",
        "With {via=ebs}: write only what differs from this snapshot, which the new one is based on; last: from the "
        "newest one that the same disk was written to.",
        metavar="snap-…|last",
        guesses=("since", "base", "incremental"),
    )
    delete_parent: bool = _blocks(
        False,
        "With {parent}: delete that snapshot once the new one is completed. What EBS needs of its blocks stays.",
        guesses=("drop_parent", "delete_old"),
    )
    bucket: Bucket | None = _object(
        None,
        "S3 bucket, in the same Region. Default: the settings', or what the role may use.",
        group="Where to",
        guesses=("s3_bucket",),
    )
    prefix: Text | None = _object(
        None,
        "Begin the objects' keys with this.",
        group="Where to",
        bounds={"max_length": 500},
        guesses=("s3_prefix", "s3_key"),
    )
    name: Text = option(
        "",
        "Name tag of the task and of its results.",
        bounds={"min_length": 1, "max_length": 256},
        single=True,
        guesses=("image_name",),
    )
    description: Text = option("", "Of the task.", bounds={"max_length": 255}, guesses=("comment",))
    tags: Tags = option(
        {}, "On the task and on its results.", flags=FLAGS["tags"], metavar="K=V", guesses=("tag", "labels")
    )
    architecture: Annotated[str, OneOf("x86_64", "i386")] = _guest(
        "", _READ, flags=FLAGS["architecture"], guesses=("arch",)
    )
    platform: Annotated[str, OneOf("Linux", "Windows")] = _guest(
        "", _READ, guesses=("os", "os_type", "operating_system")
    )
    #: `uefi-preferred` is refused by ImportImage (aws-facts 1.1), and taken by RegisterImage
    boot_mode: Annotated[str, OneOf("legacy-bios", "uefi", "uefi-preferred")] = _guest(
        "", _READ, guesses=("boot", "firmware")
    )
    license_type: Annotated[str, OneOf("AWS", "BYOL")] = _licence(
        "", "Windows licence.", guesses=("license", "licence", "licence_type")
    )
    usage_operation: UsageOperation = _licence("", "Such as RunInstances:0800, instead of {license_type}.")
    license_configurations: LicenseConfigurations = _licence(
        (),
        "ARNs of License Manager.",
        flags=FLAGS["license_configurations"],
        metavar="ARN",
        guesses=("licenses", "licences", "license_configuration"),
    )
    encrypted: bool = option(
        False, "Encrypt with the account's default EBS key.", group="Encryption", routes=_NEWER, guesses=("encrypt",)
    )
    kms_key: KmsKey = option(
        "",
        "Encrypt with this key: its id, alias/NAME, or an ARN.",
        group="Encryption",
        routes=_NEWER,
        guesses=("kms", "key_id", "kms_key_id"),
    )
    role_name: Role | None = option(
        None, "The service role (default vmimport).", group="Where to", routes=_NEWER, guesses=("role",)
    )
    register: AmiName = option(
        "", "Register an AMI of this name.", metavar="NAME", routes=("snapshot",), single=True, guesses=("ami_name",)
    )
    prove: bool = option(False, "Launch the AMI afterwards, and see that it starts.", routes=_NEWER, guesses=("proof",))
    guard_types: bool = option(
        False, "Let the AMI be launched only as instance types that its guest has the drivers for.", routes=_NEWER
    )
    imds_v2: bool = option(False, "With {register}: instances demand IMDSv2.", routes=("snapshot",))
    volume_type: VolumeType = option("gp3", "With {register}: of the AMI's root volume.", routes=("snapshot",))
    repair: bool = _sent(
        False,
        "Mend on the way what the check finds, as `vmie repair` does; the file itself stays.",
        guesses=("mend",),
    )
    as_is: bool = _sent(False, "Send the file as it is, never re-streamed.", via="s3")
    format: ImportFormat | None = _object(
        None, "Send in this form; of an s3:// source the form it is in.", group="Sending", guesses=("disk_format",)
    )
    skip_check: Texts = option((), "Rules that shall not block, all for every rule.", metavar="RULE", guesses=("skip",))
    strict: bool = option(False, "Warnings of the check block too.", routes=_IMPORTS)
    rules: RulesName = option(Profile.CURRENT, "The rules of the check: today's, or those of 2016.", routes=_IMPORTS)
    keep_object: bool = _sent(False, "Leave the uploaded object in S3.", via="s3")
    client_token: ClientToken = option(
        "", "Idempotency token; made from the job by default.", routes=_NEWER, in_plans=False
    )
    copy: bool = _object(  # type: ignore[assignment]
        False,
        "Have S3 copy s3:// sources into the import bucket first, also from another Region.",
        group="Sending",
        routes=_NEWER,
    )
    instance_type: InstanceType = _instance("", "Such as m3.medium.")
    subnet: Subnet = _launched("", "A subnet's id.", metavar="subnet-…", guesses=("subnet_id",))
    security_groups: SecurityGroups = _launched(
        (),
        "Ids or names.",
        flags=FLAGS["security_groups"],
        metavar="sg-…|NAME",
        guesses=("security_group", "sg", "groups"),
    )
    private_ip: Address = _instance("", "An address of the {subnet}.", single=True)
    availability_zone: Zone = option(
        "", "Default: the subnet's, or AWS's choice.", group="Instance", routes=_OLDER, guesses=("az", "zone")
    )
    user_data: LocalPath = _instance(
        "",
        "A file that is given to the instance; read when the task starts, never kept or shown.",
        metavar="FILE",
        guesses=("userdata",),
    )
    shutdown_behavior: Annotated[str, OneOf("stop", "terminate")] = _instance(
        "", "What a shutdown from within does.", guesses=("shutdown",)
    )
    #: `host` is in the API's enumeration; ImportInstance does not take it (aws-facts 1.5)
    tenancy: Annotated[str, OneOf("default", "dedicated")] = _instance("", "Of the instance.")
    monitoring: bool = _instance(False, "Detailed monitoring.")
    volume_size: int | None = option(
        None,
        "GiB of the (first) disk's volume, larger than the disk.",
        bounds={"ge": 1, "le": DISK_BYTES.value // GIB},
        metavar="GIB",
        group="Instance",
        routes=_OLDER,
        single=True,
        guesses=("size",),
    )
    attach_data_disks: bool = _instance(False, "Attach the volumes of the other disks when all are there.")

    def conflicts(self) -> Iterator[UsageError]:
        """See `Options.conflicts`."""
        yield from super().conflicts()
        others = 1 + self.repair + self.prove + (self.name != "" and "Name" not in self.tags)
        yield from judged_tags(self.tags, others=others)
        yield from judged_description(self.description, marked=self.route.value in _OLDER)
        given = {name: extra(info) for name, info in type(self).model_fields.items() if name in self.model_fields_set}
        yield from together.judged_route(given, self.route, self.via)
        if self.via == "ebs":
            yield from together.judged_direct(given, self.sources, self.route)
        yield from together.judged_licence(self.license_type, self.usage_operation)
        yield from judged_selection(machine=self.machine, empty_disks=self.empty_disks, as_is=self.as_is)
        yield from together.judged_machine(self.machine, self.sources)
        yield from together.judged_repair(self.repair_of, as_is=self.as_is)
        if self.as_is and self.format:
            yield UsageError(says("{as_is} and {format} cannot both be given"), cure=_ONE_FORM)
        yield from together.judged_name(self.name, self.tags)
        if self.imds_v2 and not self.register:
            yield from together.judged_metadata("imds_v2", self.route)
        yield from together.judged_sources(self.sources, self.route, self.via)
        yield from together.judged_ami(given, self.route, register=self.register)
        if self.route is Route.INSTANCE:
            launch = {name: getattr(self, name) for name in ("instance_type", "tenancy", "private_ip", "subnet")}
            yield from together.judged_launch(**launch)
        if self.boot_mode == "uefi-preferred" and not self.register:
            cause, cure = f"{self.route.call} does not take it", says("leave it out, or give {register}")
            yield UsageError(says("{boot_mode=uefi-preferred} needs {register}"), cause=cause, cure=cure)
        if self.route.value in _OLDER:
            yield from together.judged_older({"boot_mode": self.boot_mode, "format": self.format}, self.route)

    @property
    def repair_of(self) -> tuple[str, ...]:
        """The local files of the machine that is mended on the way, () for none."""
        return tuple(self.sources) if self.repair else ()

    @property
    def uefi(self) -> bool:
        """Whether the machine boots by UEFI, as far as it is known."""
        return self.boot_mode == "uefi"

    def described(self) -> dict[str, str | None]:
        """The guest as the call describes it: None for what is left to AWS, or has no parameter."""
        older = self.route.value in _OLDER
        return {
            "architecture": self.architecture or None,
            "platform": self.platform or None,
            "boot_mode": None if older else self.boot_mode or None,
        }

    def filled(self, *, architecture: str, platform: str, firmware: str) -> tuple[Self, Mapping[str, str]]:
        """The same request with what an image says of itself where it was left open; and what that was.

        `firmware` is bios, uefi or hybrid, or anything else where that is not known. AWS takes BIOS for granted, so
        that it is said only of an AMI that vmie registers itself.
        """
        found: dict[str, str] = {}
        if not self.platform and platform in ("Linux", "Windows"):
            found["platform"] = platform
        if not self.architecture and architecture in ("x86_64", "i386"):
            found["architecture"] = architecture
        registered = {"bios": "legacy-bios", "hybrid": "uefi-preferred"} if self.register else {}
        if not self.boot_mode and (by := {"uefi": "uefi", **registered}.get(firmware)):
            found["boot_mode"] = by
        return self.model_copy(update=found), found
