"""The seed file: what a sandbox begins with. Every name is AWS's own, in the spelling of YAML files.

What a field may hold is what AWS takes, as far as a mistake in it would otherwise show late or nowhere.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

#: the most of each kind, and of a text: a world is written by hand, or saved from a sandbox of a test
MOST = 10_000
_TIB = 1 << 40
_UNITS = {"": 1, "B": 1, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": _TIB}


def _size(value: Any) -> Any:
    """``10 GiB`` in bytes; a number is bytes already."""
    if not isinstance(value, str):
        return value
    number, unit = value.strip(), ""
    for at, character in enumerate(number):
        if character not in "0123456789":
            number, unit = number[:at], number[at:].strip().upper()
            break
    if not number or len(number) > 15 or unit not in _UNITS:
        raise ValueError("a size is a number of bytes, or one such as 8 GiB")
    return int(number) * _UNITS[unit]


Size = Annotated[int, BeforeValidator(_size), Field(ge=1, le=64 * _TIB)]
Region = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}(-[a-z]+)+-\d{1,2}$")]
Bucket = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
Key = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
Name = Annotated[str, StringConstraints(pattern=r"^[\w+=,.@-]{1,128}$")]
Document = dict[str, Any]
Documents = Annotated[dict[Name, Document], Field(max_length=MOST)]
Arns = Annotated[list[Annotated[str, StringConstraints(pattern=r"^arn:")]], Field(max_length=20)]
Tags = Annotated[dict[str, Annotated[str, StringConstraints(max_length=256)]], Field(max_length=50)]
Extent = Annotated[list[int], Field(min_length=2, max_length=2)]
Count = Annotated[int, Field(ge=0, le=100_000)]


_ID = "-([0-9a-f]{8}|[0-9a-f]{17})$"
SnapshotId = Annotated[str, StringConstraints(pattern=f"^snap{_ID}")]
ImageId = Annotated[str, StringConstraints(pattern=f"^ami{_ID}")]
InstanceId = Annotated[str, StringConstraints(pattern=f"^i{_ID}")]


class SeedPart(BaseModel):
    """A part of the file: no field but those that there are, no text taken for a number."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class SeedContent(SeedPart):
    """Bytes: one of a `file` beside the seed file, a `text`, or a `disk` of so many bytes with one Linux partition.

    `extents` are the ranges (offset, length) of a `file` that holds only what is not zero of `size` bytes.
    """

    file: Annotated[str, StringConstraints(min_length=1, max_length=4096)] | None = None
    text: Annotated[str, StringConstraints(max_length=1 << 20)] | None = None
    disk: Size | None = None
    size: Annotated[int, Field(ge=0, le=64 * _TIB)] | None = None
    extents: Annotated[list[Extent], Field(max_length=1_000_000)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [name for name in ("file", "text", "disk") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("one of file, text and disk says what it holds")
        if (self.extents is None) != (self.size is None) or (self.extents is not None and self.file is None):
            raise ValueError("extents and size go together, with a file")
        end = 0
        for offset, length in self.extents or ():
            if offset < end or length < 1 or offset + length > (self.size or 0):
                raise ValueError("extents are ranges within the size, in order, that do not overlap")
            end = offset + length
        return self


class ObjectSeed(SeedContent):
    """An object of a bucket."""

    key: Key


class BucketSeed(SeedPart):
    """A bucket; `encryption` is its default, AES256 or aws:kms."""

    name: Bucket
    region: Region | None = None
    versioning: bool = False
    encryption: Literal["AES256", "aws:kms"] | None = None
    policy: Document | None = None
    tags: Tags = Field(default_factory=dict)
    objects: Annotated[list[ObjectSeed], Field(max_length=MOST)] = Field(default_factory=list)


class PolicySeed(SeedPart):
    """A managed policy of the account."""

    name: Name
    document: Document


class RoleSeed(SeedPart):
    """A role. With `buckets` or `export_buckets` it is VM Import/Export's: trust and rights are as AWS's guide says."""

    name: Name
    buckets: Annotated[list[Bucket], Field(max_length=100)] = Field(default_factory=list)
    export_buckets: Annotated[list[Bucket], Field(max_length=100)] = Field(default_factory=list)
    trust: Document | None = None
    policies: Documents = Field(default_factory=dict)
    managed: Arns = Field(default_factory=list)
    boundary: str | None = None

    @model_validator(mode="after")
    def _trusts(self) -> Self:
        if self.trust is None and not (self.buckets or self.export_buckets):
            raise ValueError("a role needs a trust policy, or the buckets that VM Import/Export may use")
        return self


class UserSeed(SeedPart):
    """A user, with an access key where both halves of one are given."""

    name: Name
    access_key_id: Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]{16,128}$")] | None = None
    secret_access_key: Annotated[str, StringConstraints(min_length=1, max_length=256)] | None = None
    policies: Documents = Field(default_factory=dict)
    managed: Arns = Field(default_factory=list)
    boundary: str | None = None

    @model_validator(mode="after")
    def _key(self) -> Self:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("access_key_id and secret_access_key go together")
        return self


class SnapshotSeed(SeedContent):
    """A completed snapshot; a `file` may be of any format that `vmie check` reads."""

    id: SnapshotId
    region: Region | None = None
    description: Annotated[str, StringConstraints(max_length=255)] = ""
    tags: Tags = Field(default_factory=dict)


class DeviceSeed(SeedPart):
    """A disk of an image."""

    device: Annotated[str, StringConstraints(pattern=r"^(/dev/)?[a-z0-9]{1,16}$")] = "/dev/sda1"
    snapshot: SnapshotId
    volume_type: Literal["standard", "gp2", "gp3", "io1", "io2", "st1", "sc1"] = "gp2"


class ImageSeed(SeedPart):
    """An AMI of the account; its first device is the root."""

    id: ImageId
    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9()\[\] ./'@_-]{3,128}$")]
    devices: Annotated[list[DeviceSeed], Field(min_length=1, max_length=26)]
    region: Region | None = None
    description: Annotated[str, StringConstraints(max_length=255)] = ""
    architecture: Literal["i386", "x86_64", "arm64"] = "x86_64"
    firmware: Literal["legacy-bios", "uefi", "uefi-preferred"] | None = None
    platform: Literal["windows"] | None = None
    tags: Tags = Field(default_factory=dict)


class InstanceSeed(SeedPart):
    """An instance of one of the images above."""

    id: InstanceId
    image: ImageId
    region: Region | None = None
    type: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+\.[a-z0-9-]+$")] = "t3.micro"
    state: Literal["running", "stopped"] = "running"
    tags: Tags = Field(default_factory=dict)


class QuotasSeed(SeedPart):
    """How many tasks may be active at once, per account and Region."""

    imports: Count | None = None
    conversions: Count | None = None
    exports: Count | None = None
    regions: dict[Region, dict[Literal["imports", "conversions", "exports"], Count]] = Field(default_factory=dict)


class World(SeedPart):
    """The whole file."""

    version: Literal[1] = 1
    speed: Literal["human", "fast"] | float | int | None = None
    propagation: Annotated[float, Field(ge=0, le=86_400)] | None = None
    quotas: QuotasSeed = Field(default_factory=QuotasSeed)
    buckets: Annotated[list[BucketSeed], Field(max_length=MOST)] = Field(default_factory=list)
    policies: Annotated[list[PolicySeed], Field(max_length=MOST)] = Field(default_factory=list)
    roles: Annotated[list[RoleSeed], Field(max_length=MOST)] = Field(default_factory=list)
    users: Annotated[list[UserSeed], Field(max_length=MOST)] = Field(default_factory=list)
    service_control_policies: Annotated[list[Document], Field(max_length=100)] = Field(default_factory=list)
    snapshots: Annotated[list[SnapshotSeed], Field(max_length=MOST)] = Field(default_factory=list)
    images: Annotated[list[ImageSeed], Field(max_length=MOST)] = Field(default_factory=list)
    instances: Annotated[list[InstanceSeed], Field(max_length=MOST)] = Field(default_factory=list)

    @model_validator(mode="after")
    def _refers(self) -> Self:
        for kind, names in (
            ("bucket", [one.name for one in self.buckets]),
            ("role", [one.name for one in self.roles]),
            ("user", [one.name for one in self.users]),
            ("policy", [one.name for one in self.policies]),
            (
                "id",
                [
                    *(one.id for one in self.snapshots),
                    *(one.id for one in self.images),
                    *(one.id for one in self.instances),
                ],
            ),
        ):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"the {kind} {twice[0]} is given twice")
        snapshots = {one.id: one.region for one in self.snapshots}
        for image in self.images:
            for device in image.devices:
                if snapshots.get(device.snapshot, "absent") != image.region:
                    raise ValueError(f"image {image.id}: there is no snapshot {device.snapshot} in its Region")
        images = {one.id: one.region for one in self.images}
        for instance in self.instances:
            if images.get(instance.image, "absent") != instance.region:
                raise ValueError(f"instance {instance.id}: there is no image {instance.image} in its Region")
        return self
