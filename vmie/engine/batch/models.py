"""The plan file's shape: what may be written, field by field. `docs/reference/plan-file.md` is made from it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

KEY = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
REGION = r"^[a-z]{2}(-[a-z]+)+-[0-9]$"
LABEL = r"^[a-z0-9][a-z0-9-]{0,31}$"


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Texts = Annotated[list[str], BeforeValidator(_listed)]


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
        description="Active tasks of ImportInstance and ImportVolume per account and Region. Default: the setting, 5.",
    )
    uploads: int = Field(2, ge=1, le=64, description="Items checked and uploaded at once by one machine.")
    ahead: int = Field(
        10,
        ge=1,
        le=10_000,
        description="Items of a Region that are uploaded, or are being, before AWS has room for them.",
    )
    tries: int = Field(3, ge=1, le=10, description="Tasks per item, when AWS fails one through a fault of its own.")


class Common(_Strict):
    """What an item may say, and `defaults` for all of them."""

    # where and when
    region: str | None = Field(None, pattern=REGION, description="AWS Region. Default: the session's.")
    profile: str | None = Field(
        None,
        min_length=1,
        max_length=128,
        description="AWS profile, for another account. Default: the session's. Every worker needs it.",
    )
    queue: str | None = Field(
        None, pattern=LABEL, description="Label of the workers near the item's disks (`vmie worker --queue`)."
    )
    wave: int | None = Field(None, ge=0, le=10_000, description="Begins when every item of a lower wave has ended.")
    # both ways
    bucket: str | None = Field(None, min_length=3, max_length=63, description="S3 bucket, in the item's Region.")
    prefix: str | None = Field(None, max_length=500, description="What the objects' keys begin with.")
    description: str | None = Field(None, max_length=255, description="Of the task.")
    tags: dict[str, str] | None = Field(
        None, description="On the task and on its results; an item's add to the defaults'."
    )
    role_name: str | None = Field(None, max_length=64, description="The service role. Default: vmimport.")
    format: Literal["ova", "vmdk", "vhd", "vhdx", "raw"] | None = Field(
        None, description="Import: send in this form. Export: the form to make; an export needs one."
    )
    skip_check: Texts | None = Field(None, description="Rules that shall not block; all for every rule.")
    # imports
    route: Literal["image", "snapshot"] | None = Field(
        None, alias="as", description="image: an AMI, by ImportImage. snapshot: by ImportSnapshot."
    )
    architecture: Literal["x86_64", "i386"] | None = Field(None, description="Read from the image by default.")
    platform: Literal["Linux", "Windows"] | None = Field(None, description="Read from the image by default.")
    boot_mode: Literal["legacy-bios", "uefi"] | None = Field(None, description="Read from the image by default.")
    license_type: Literal["AWS", "BYOL"] | None = Field(None, description="Windows licence.")
    usage_operation: str | None = Field(None, description="Such as RunInstances:0800, instead of license_type.")
    license_configurations: Texts | None = Field(None, description="ARNs of License Manager.")
    encrypted: bool | None = Field(None, description="Encrypt with the account's default EBS key.")
    kms_key: str | None = Field(None, description="Encrypt with this key.")
    keep_object: bool | None = Field(None, description="Leave the uploaded object in S3.")
    imds_v2: bool | None = Field(None, description="With register: instances demand IMDSv2.")
    volume_type: str | None = Field(None, description="With register. Default: gp3.")
    as_is: bool | None = Field(None, description="Send the file as it is, never re-streamed.")
    strict: bool | None = Field(None, description="Warnings of the check block too.")
    rules: Literal["current", "2016"] | None = Field(None, description="The rules of the check.")
    # exports
    target: Literal["vmware", "microsoft", "citrix"] | None = Field(
        None, description="Virtualisation environment of an instance's export."
    )


class DefaultsModel(Common):
    """What holds for every item that does not say otherwise."""


class ItemModel(Common):
    """One VM, or with a pattern in `source` one VM per file."""

    source: Texts = Field(
        min_length=1,
        description="A disk, an OVA or `s3://bucket/key`; several are the disks of one VM, boot disk first. "
        "A pattern (`*`, `?`, `[…]`, `**`) makes one item of each file. `i-…` or `ami-…` is an export. "
        "Relative paths begin at the plan file.",
    )
    key: str | None = Field(
        None, pattern=KEY, description="Names the item in `after`, in tags and in S3. Default: from name or source."
    )
    name: str | None = Field(None, max_length=255, description="Name tag of the task and of its results.")
    after: Texts | None = Field(None, description="Keys of items that must be completed first.")
    register_as: str | None = Field(
        None, alias="register", description="With `as: snapshot`: register an AMI of this name."
    )


class PlanModel(_Strict):
    """The whole file."""

    version: Literal[1] = Field(1, description="Of this format.")
    name: str = Field("", max_length=100, description="Of the batch, for people.")
    limits: LimitsModel = Field(default_factory=LimitsModel, description="How much at once.")  # type: ignore[arg-type]
    defaults: DefaultsModel = Field(default_factory=DefaultsModel, description="For every item.")  # type: ignore[arg-type]
    items: list[ItemModel] = Field(min_length=1, max_length=100_000, description="The VMs.")
