"""The plan file's fields, one by one. `docs/reference/plan-file.md` is made from it.

`ways` of a field says which items take it: the four routes of an import, and exports. What every item takes has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from vmie.batch.plan import aws_names

KEY = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
LABEL = r"^[a-z0-9][a-z0-9-]{0,31}$"

EXPORT = "export"
_NEWER = ("image", "snapshot")
_OLDER = ("instance", "volume")
_IMPORTS = (*_NEWER, *_OLDER)


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


Text = Annotated[str, AfterValidator(aws_names.clean)]
Texts = Annotated[list[Text], BeforeValidator(_listed)]
Region = Annotated[Text, AfterValidator(aws_names.region)]
Bucket = Annotated[Text, AfterValidator(aws_names.bucket)]
Role = Annotated[Text, AfterValidator(aws_names.role)]
UsageOperation = Annotated[Text, AfterValidator(aws_names.usage_operation)]
KmsKey = Annotated[Text, AfterValidator(aws_names.kms_key)]
Rate = Annotated[Text, AfterValidator(aws_names.rate)]
InstanceType = Annotated[Text, AfterValidator(aws_names.instance_type)]
Zone = Annotated[Text, AfterValidator(aws_names.zone)]
Subnet = Annotated[Text, AfterValidator(aws_names.subnet)]
Address = Annotated[Text, AfterValidator(aws_names.address)]
LicenseConfiguration = Annotated[Text, AfterValidator(aws_names.license_configuration)]
SecurityGroup = Annotated[Text, AfterValidator(aws_names.security_group)]
LicenseConfigurations = Annotated[list[LicenseConfiguration], BeforeValidator(_listed)]
SecurityGroups = Annotated[list[SecurityGroup], BeforeValidator(_listed)]
StorageClass = Literal[
    "STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR", "REDUCED_REDUNDANCY"
]


def _field(description: str, *ways: str, **limits: Any) -> Any:
    return Field(None, description=description, json_schema_extra={"ways": list(ways)}, **limits)


class _Strict(BaseModel):
    """Unknown fields are mistakes, and so is a number where a text is meant."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class LimitsModel(_Strict):
    """How much at once."""

    imports: int | None = Field(
        None, ge=1, le=1000, description="Active import tasks per account and Region. Default: the setting, 20."
    )
    exports: int | None = Field(
        None, ge=1, le=1000, description="Active export tasks per account and Region. Default: the setting, 5."
    )
    conversions: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="Active tasks of routes instance and volume per account and Region. Default: the setting, 5.",
    )
    uploads: int = Field(2, ge=1, le=64, description="Items checked and uploaded at once by one machine.")
    ahead: int = Field(
        10,
        ge=1,
        le=10_000,
        description="Items of an account and Region that are uploaded, or are being, before AWS has room for them.",
    )
    tries: int = Field(3, ge=1, le=10, description="Tasks per item, when AWS fails one through a fault of its own.")


class Common(_Strict):
    """What an item may say, and `defaults` for all of them."""

    # where and when
    region: Region | None = _field("AWS Region. Default: the session's.")
    profile: Text | None = _field(
        "AWS profile, for another account. Default: the session's. Every worker needs it.",
        min_length=1,
        max_length=128,
    )
    queue: str | None = _field(
        "Label of the workers near the item's disks (`vmie worker --queue`). Default: `default`.", pattern=LABEL
    )
    wave: int | None = _field("Begins when every item of a lower wave has ended. Default: 0.", ge=0, le=10_000)
    route: Annotated[Literal["image", "snapshot", "instance", "volume"], BeforeValidator(_lower)] | None = _field(
        "What becomes of the disks: an AMI by ImportImage (the default), an EBS snapshot by ImportSnapshot, a stopped "
        "instance by ImportInstance, a volume by ImportVolume. `as` is another name of this field.",
        *_IMPORTS,
    )
    # what it is called and where it goes
    bucket: Bucket | None = _field(
        "S3 bucket, in the item's Region. Default: the settings', or what the role may read."
    )
    prefix: Text | None = _field(
        "What the objects' keys begin with; of an export as it is, so end it with `/` for a folder.", max_length=500
    )
    description: Text | None = _field("Of the task.", max_length=255)
    tags: dict[Text, Text] | None = _field("On the task and on its results; an item's add to the defaults'.")
    role_name: Role | None = _field("The service role. Default: vmimport.", *_NEWER, EXPORT)
    format: Annotated[Literal["ova", "vmdk", "vhd", "vhdx", "raw"], BeforeValidator(_lower)] | None = _field(
        "Import: send in this form; of an object in S3 the form it is in. Export: the form to make (`ova`, `vmdk`, "
        "`vhd`, `raw`); an export needs one."
    )
    # the check
    skip_check: Texts | None = _field("Rules that shall not block; `all` for every rule.")
    strict: bool | None = _field("Warnings of the check block too.", *_IMPORTS)
    rules: Annotated[Literal["current", "2016"], BeforeValidator(_lower)] | None = _field(
        "The rules of the check.", *_IMPORTS
    )
    # the guest
    architecture: Literal["x86_64", "i386"] | None = _field("Read from the image by default.", *_IMPORTS)
    platform: Literal["Linux", "Windows"] | None = _field("Read from the image by default.", *_IMPORTS)
    boot_mode: Literal["legacy-bios", "uefi"] | None = _field("Read from the image by default.", *_IMPORTS)
    license_type: Literal["AWS", "BYOL"] | None = _field("Windows licence.", "image")
    usage_operation: UsageOperation | None = _field("Such as `RunInstances:0800`, instead of `license_type`.", "image")
    license_configurations: LicenseConfigurations | None = _field("ARNs of License Manager.", "image")
    # what it becomes
    encrypted: bool | None = _field("Encrypt with the account's default EBS key.", *_NEWER)
    kms_key: KmsKey | None = _field("Encrypt with this key: its id, `alias/NAME`, or an ARN.", *_NEWER)
    imds_v2: bool | None = _field("With `register`: instances demand IMDSv2.", "snapshot")
    volume_type: Literal["gp3", "gp2", "standard"] | None = _field("With `register`. Default: `gp3`.", "snapshot")
    # how it is sent
    as_is: bool | None = _field("Send the file as it is, never re-streamed.", *_IMPORTS)
    copy_first: bool | None = Field(
        None,
        alias="copy",
        description="Have S3 copy `s3://` sources into the import bucket first, also from another Region.",
        json_schema_extra={"ways": list(_NEWER)},
    )
    keep_object: bool | None = _field("Leave the uploaded object in S3.", *_IMPORTS)
    sse: Literal["AES256", "aws:kms", "aws:kms:dsse"] | None = _field(
        "Encrypt the uploaded object; by default as the bucket says.", *_IMPORTS
    )
    sse_kms_key: KmsKey | None = _field("Encrypt the uploaded object with this key.", *_IMPORTS)
    storage_class: StorageClass | None = _field("Of the uploaded object.", *_IMPORTS)
    max_rate: Rate | None = _field(
        "Send at most this, in bytes per second, such as `20M`; each item by itself.", *_IMPORTS
    )
    accelerate: bool | None = _field("Send by S3 Transfer Acceleration; the bucket must have it enabled.", *_IMPORTS)
    # the instance or volume
    instance_type: InstanceType | None = _field("Such as `m3.large`; the route `instance` needs one.", "instance")
    availability_zone: Zone | None = _field("Default: the subnet's, or AWS's choice.", *_OLDER)
    subnet: Subnet | None = _field("A subnet's id.", "instance")
    security_groups: SecurityGroups | None = _field("Ids or names.", "instance")
    user_data: Text | None = _field(
        "A file that is given to the instance. It is read when the task starts, and never kept or shown.", "instance"
    )
    shutdown_behavior: Literal["stop", "terminate"] | None = _field("What a shutdown from within does.", "instance")
    tenancy: Literal["default", "dedicated"] | None = _field("Of the instance.", "instance")
    monitoring: bool | None = _field("Detailed monitoring.", "instance")
    attach_data_disks: bool | None = _field("Attach the volumes of the other disks when all are there.", "instance")
    # exports
    target: Annotated[Literal["vmware", "microsoft", "citrix"], BeforeValidator(_lower)] | None = _field(
        "Virtualisation environment of an instance's export. Default: the one that goes with the format.", EXPORT
    )
    download: Text | None = _field("Then fetch the objects into this folder; it is made if need be.", EXPORT)


class DefaultsModel(Common):
    """What holds for every item that takes it and does not say otherwise."""


class ItemModel(Common):
    """One VM, or with a pattern in `source` one VM per file."""

    source: Annotated[list[Text], BeforeValidator(_listed)] = Field(
        min_length=1,
        description="A disk, an OVA or `s3://bucket/key`; several are the disks of one VM, boot disk first. "
        "A pattern (`*`, `?`, `[…]`, `**`) makes one item of each file. `i-…` or `ami-…` is an export.",
    )
    without: Texts | None = Field(
        None, alias="except", description="Files that a pattern in `source` is not to match; patterns too."
    )
    key: str | None = _field(
        "Names the item in `after`, in tags and in S3. Default: from `name` or `source`.", pattern=KEY
    )
    name: Text | None = _field("Name tag of the task and of its results.", min_length=1, max_length=256)
    after: Texts | None = _field("Keys of items that must be completed first; `web-*` for all that begin so.")
    register_as: Text | None = Field(
        None,
        alias="register",
        description="Register an AMI of this name.",
        json_schema_extra={"ways": ["snapshot"]},
        min_length=3,
        max_length=128,
    )
    private_ip: Address | None = _field("An address of the `subnet`.", "instance")
    volume_size: int | None = _field("GiB of the (first) disk's volume, larger than the disk.", *_OLDER, ge=1, le=16384)


class HeadModel(_Strict):
    """The top of the file."""

    version: Literal[1] = Field(1, description="Of this format.")
    name: Text = Field("", max_length=100, description="Of the batch, for people.")


class PlanModel(HeadModel):
    """The whole file."""

    limits: LimitsModel = Field(default_factory=LimitsModel, description="How much at once.")  # type: ignore[arg-type]
    defaults: DefaultsModel = Field(
        default_factory=DefaultsModel,  # type: ignore[arg-type]
        description="For every item that takes it; an item's `null` takes a default back.",
    )
    items: list[ItemModel] = Field(min_length=1, max_length=100_000, description="The VMs.")


#: other names of fields that are read like them
ALIASES = {"as": "route"}


@cache
def spelled(model: type[BaseModel]) -> Mapping[str, str]:
    """How the fields of a model are written in a plan → their names in Python."""
    return {field.alias or name: name for name, field in model.model_fields.items()}


@cache
def ways_of(model: type[BaseModel], name: str) -> tuple[str, ...]:
    """The routes, and "export", that take a field; () for all of them."""
    extra = model.model_fields[name].json_schema_extra
    ways = extra.get("ways", []) if isinstance(extra, dict) else []
    return tuple(str(way) for way in ways) if isinstance(ways, list) else ()
