"""AWS's numbers, each with the seed's value, today's value and where it stands written.

`seed` is the 2016 prerequisites page; `current` is what today's guide or API model says. Where today's guide no
longer prints a number, `current` is None and the seed's holds: `value` is the one that holds (aws-facts 3).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vmie.errors import UsageError
from vmie.model import Profile

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30
TIB = 1 << 40
DAY = 86_400


@dataclass(frozen=True, slots=True)
class Limit:
    """One number of AWS. `seed` and `current` are in `unit`; None where that source gives none."""

    id: str
    title: str
    unit: str
    seed: int | None
    current: int | None
    source: str
    adjustable: bool = False
    note: str = ""

    @property
    def value(self) -> int:
        """The number that holds today: the current one, else the seed's."""
        return self.of(Profile.CURRENT)

    def of(self, profile: Profile) -> int:
        """The number under a profile; the other source's where this one gives none."""
        first, second = (self.seed, self.current) if profile is Profile.Y2016 else (self.current, self.seed)
        chosen = first if first is not None else second
        if chosen is None:  # pragma: no cover - every limit below has one
            raise UsageError(f"{self.id} has no value")
        return chosen

    def as_json(self) -> dict[str, Any]:
        """One element of ``limits[]``."""
        return {
            "id": self.id,
            "title": self.title,
            "unit": self.unit,
            "seed": self.seed,
            "current": self.current,
            "value": self.value,
            "adjustable": self.adjustable,
            "source": self.source,
            "note": self.note,
        }


# --- tasks ---------------------------------------------------------------------------------------------------------
CONCURRENT_IMPORTS = Limit(
    "concurrent-imports",
    "active ImportImage and ImportSnapshot tasks per account and Region, together",
    "tasks",
    seed=20,
    current=None,
    source="2016 page, ImportImage limits",
    adjustable=True,
    note="the guide no longer prints it; over it AWS answers ResourceCountLimitExceeded",
)
CONCURRENT_CONVERSIONS = Limit(
    "concurrent-conversions",
    "active ImportInstance and ImportVolume tasks per account and Region, together",
    "tasks",
    seed=5,
    current=None,
    source="2016 page, ImportInstance limits",
    adjustable=True,
    note="over it AWS answers ResourceLimitExceeded",
)
CONCURRENT_EXPORTS = Limit(
    "concurrent-exports",
    "active export tasks per account and Region",
    "tasks",
    seed=5,
    current=5,
    source="2016 page, export limits; VM Import/Export guide, export limitations",
    adjustable=True,
    note="up to 20 on request",
)
CONCURRENT_EXPORTS_MOST = Limit(
    "concurrent-exports-most",
    "active export tasks per account and Region that AWS grants on request",
    "tasks",
    seed=None,
    current=20,
    source="VM Import/Export guide, export limitations",
)
EXPORTS_PER_IMAGE = Limit(
    "exports-per-image",
    "active exports of one AMI",
    "tasks",
    seed=None,
    current=1,
    source="VM Import/Export guide, export limitations",
)
TASK_SECONDS = Limit(
    "task-seconds",
    "time from the start of a task to its end",
    "seconds",
    seed=7 * DAY,
    current=None,
    source="2016 page, ImportImage and ImportInstance limits",
)
TASK_SHOWN_SECONDS = Limit(
    "task-shown-seconds",
    "time for which Describe shows a task that ended",
    "seconds",
    seed=None,
    current=7 * DAY,
    source="EC2 API, DescribeImportImageTasks",
)

# --- images and volumes --------------------------------------------------------------------------------------------
DISK_BYTES = Limit(
    "disk-bytes",
    "virtual size of one disk",
    "bytes",
    seed=TIB,
    current=16 * TIB,
    source="2016 page, uncompressed size; VM Import/Export guide, image limitations",
    note="today's limit is exclusive (smaller than)",
)
IMAGE_DISK_BYTES = Limit(
    "image-disk-bytes",
    "virtual size of one disk given to ImportImage without a manifest",
    "bytes",
    seed=TIB,
    current=8 * TIB,
    source="VM Import/Export guide, image limitations",
    note="today's limit is exclusive (smaller than)",
)
VOLUMES_PER_VM = Limit(
    "volumes-per-vm",
    "disks of one ImportImage",
    "disks",
    seed=None,
    current=21,
    source="VM Import/Export guide, image limitations",
    note="further disks go through ImportSnapshot",
)
INSTANCE_DISKS = Limit(
    "instance-disks",
    "disks of one ImportInstance",
    "disks",
    seed=1,
    current=1,
    source="2016 page, ImportInstance limits",
    note="further disks go through ImportVolume",
)
FREE_BYTES_LINUX = Limit(
    "free-bytes-linux",
    "free space in a Linux guest",
    "bytes",
    seed=250 * 1000 * 1000,
    current=None,
    source="2016 page, 250 MB; the guide says only `sufficient`",
)
FREE_BYTES_WINDOWS = Limit(
    "free-bytes-windows",
    "free space in a Windows guest",
    "bytes",
    seed=250 * 1000 * 1000,
    current=6 * GIB,
    source="2016 page, 250 MB; VM Import/Export guide, 6 GB",
)
EXPORT_VOLUME_BYTES = Limit(
    "export-volume-bytes",
    "size of one exported volume",
    "bytes",
    seed=None,
    current=TIB,
    source="VM Import/Export guide, export limitations",
)
EXPORT_INSTANCE_DISKS = Limit(
    "export-instance-disks",
    "volumes of an exported instance",
    "volumes",
    seed=1,
    current=1,
    source="2016 page, export limits; VM Import/Export guide, instance export",
)
EXPORT_INSTANCE_INTERFACES = Limit(
    "export-instance-interfaces",
    "network interfaces of an exported instance",
    "interfaces",
    seed=1,
    current=1,
    source="2016 page, export limits; VM Import/Export guide, instance export",
)

# --- S3, EBS, presigned URLs -----------------------------------------------------------------------------------------
S3_PARTS = Limit(
    "s3-parts",
    "parts of one multipart upload",
    "parts",
    seed=10_000,
    current=10_000,
    source="S3 guide, multipart limits",
)
S3_PART_BYTES_LEAST = Limit(
    "s3-part-bytes-least",
    "size of one part, the last excepted",
    "bytes",
    seed=5 * MIB,
    current=5 * MIB,
    source="S3 guide, multipart limits",
)
S3_PART_BYTES_MOST = Limit(
    "s3-part-bytes-most",
    "size of one part",
    "bytes",
    seed=5 * GIB,
    current=5 * GIB,
    source="S3 guide, multipart limits",
)
S3_OBJECT_BYTES = Limit(
    "s3-object-bytes",
    "size of one object",
    "bytes",
    seed=5 * TIB,
    current=10_000 * 5 * GIB,
    source="S3 guide; 48.8 TiB is 10,000 parts of 5 GiB",
)
PRESIGNED_SECONDS = Limit(
    "presigned-seconds",
    "life of a presigned URL (SigV4)",
    "seconds",
    seed=None,
    current=7 * DAY,
    source="SigV4, 604,800 s",
    note="dies earlier with temporary credentials",
)
EBS_VOLUME_GIB = Limit(
    "ebs-volume-gib",
    "size of a snapshot written through the EBS direct APIs",
    "GiB",
    seed=None,
    current=65_536,
    source="EBS model, StartSnapshot",
)
EBS_BLOCK_BYTES = Limit(
    "ebs-block-bytes",
    "size of a block of the EBS direct APIs",
    "bytes",
    seed=None,
    current=524_288,
    source="EBS model, PutSnapshotBlock",
)
EBS_PUTS_PER_SECOND = Limit(
    "ebs-puts-per-second",
    "PutSnapshotBlock calls per second, per snapshot and per account",
    "calls/s",
    seed=None,
    current=1000,
    source="EBS quotas",
)
EBS_PENDING_SNAPSHOTS = Limit(
    "ebs-pending-snapshots",
    "snapshots that are being written through the EBS direct APIs, per account and Region",
    "snapshots",
    seed=None,
    current=100,
    source="EBS quotas",
)
DESCRIPTION_CHARACTERS = Limit(
    "description-characters",
    "length of the description of an export",
    "characters",
    seed=None,
    current=255,
    source="EC2 model, ExportImage and CreateInstanceExportTask",
)
TAGS_PER_RESOURCE = Limit(
    "tags-per-resource",
    "tags of one resource",
    "tags",
    seed=None,
    current=50,
    source="EC2 guide, tag restrictions",
)
ROLE_INLINE_POLICY_CHARACTERS = Limit(
    "role-inline-policy-characters",
    "length of a role's inline policies together, without white space",
    "characters",
    seed=None,
    current=10_240,
    source="https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html",
)

ALL: tuple[Limit, ...] = tuple(
    value for name, value in list(globals().items()) if name.isupper() and isinstance(value, Limit)
)
BY_ID: Mapping[str, Limit] = {limit.id: limit for limit in ALL}

#: What ImportImage takes, and when: VHDX came after the seed.
IMPORT_FORMATS: Mapping[Profile, tuple[str, ...]] = {
    Profile.Y2016: ("OVA", "VMDK", "VHD", "RAW"),
    Profile.CURRENT: ("OVA", "VMDK", "VHD", "VHDX", "RAW"),
}

#: Regions of ImportInstance and ImportVolume: frozen, none will be added (aws-facts 1.5).
LEGACY_REGIONS: tuple[str, ...] = (
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
    "ca-central-1",
    "us-gov-west-1",
    "sa-east-1",
    "eu-west-1",
    "eu-central-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-south-1",
    "cn-north-1",
)

#: Instance types that the 2016 page lists for Linux (its `C3.8xlarge` is c3.8xlarge). Windows goes on most types.
LINUX_INSTANCE_TYPES_2016: tuple[str, ...] = (
    *(f"t2.{size}" for size in ("micro", "small", "medium")),
    *(f"m3.{size}" for size in ("medium", "large", "xlarge", "2xlarge")),
    *(f"c3.{size}" for size in ("large", "xlarge", "2xlarge", "4xlarge", "8xlarge")),
    "cc1.4xlarge",
    *(f"r3.{size}" for size in ("large", "xlarge", "2xlarge", "4xlarge", "8xlarge")),
    *(f"i2.{size}" for size in ("xlarge", "2xlarge", "4xlarge", "8xlarge")),
)

_ELSEWHERE = "c4d8eabf8db69dbe46bfe0e517100c554f01200b104d59cd408e777ba442a322"
_GOVCLOUD = "af913ca13efe7a94b88392711f6cfc8aa07c9d1454d4f190a624b126733a5602"
# Printed in the guide of 2022 only (aws-facts 4.4).
_CHINA = "834bafd86b15b6ca71074df0fd1f93d234b9d5e848a2cb31f880c149003ce36f"

#: The service's canonical user per Region, to which a bucket must grant an instance export (aws-facts 4.4).
#: Every Region that is not here shares one: see `export_canonical_id`.
EXPORT_CANONICAL_IDS: Mapping[str, str] = {
    "af-south-1": "3f7744aeebaf91dd60ab135eb1cf908700c8d2bc9133e61261e6c582be6e33ee",
    "ap-east-1": "97ee7ab57cc9b5034f31e107741a968e595c0d7a19ec23330eae8d045a46edfb",
    "ap-east-2": "a9fa0eb7c8483f9558cd14b24d16e9c4d1555261a320b586a3a06908ff0047ce",
    "ap-northeast-3": "40f22ffd22d6db3b71544ed6cd00c8952d8b0a63a87d58d5b074ec60397db8c9",
    "ap-south-2": "77ab5ec9eac9ade710b7defed37fe0640f93c5eb76ea65a64da49930965f18ca",
    "ap-southeast-3": "de34aaa6b2875fa3d5086459cb4e03147cf1a9f7d03d82f02bedb991ff3d1df5",
    "ap-southeast-4": "8b8ea36ab97c280aa8558c57a380353ac7712f01f82c21598afbb17e188b9ad5",
    "ap-southeast-5": "ed006f67543afcfe0779e356e52d5ed53fa45f95bcd7d277147dfc027aaca0e7",
    "ap-southeast-6": "2dc8fa4ca1c59da5c6a4c5b0e397eea130ec62e49f18cff179034665fd20e8a2",
    "ap-southeast-7": "d011fe83abcc227a7ac0f914ce411d3630c4ef735e92e88ce0aa796dcfecfbdd",
    "ca-west-1": "78e12f8d798f89502177975c4ccdac686c583765cea2bf06e9b34224e2953c83",
    "eu-central-2": "5d9fcea77b2fb3df05fc15c893f212ae1d02adb4b24c13e18586db728a48da67",
    "eu-south-1": "04636d9a349e458b0c1cbf1421858b9788b4ec28b066148d4907bb15c52b5b9c",
    "eu-south-2": "6e81c4c52a37a7f59e103625162ed97bcd0e646593adb107d21310d093151518",
    "il-central-1": "328a78de7561501444823ebeb59152eca7cb58fee2fe2e4223c2cdd9f93ae931",
    "me-central-1": "7d3018832562b7b6c126f5832211fae90bd3eee3ed3afde192d990690267e475",
    "me-south-1": "aa763f2cf70006650562c62a09433f04353db3cba6ba6aeb3550fdc8065d3d9f",
    "mx-central-1": "edaff67fe25d544b855bd0ba9a74a99a2584ab89ceda0a9661bdbeca530d0fca",
    "us-gov-east-1": _GOVCLOUD,
    "us-gov-west-1": _GOVCLOUD,
    "cn-north-1": _CHINA,
    "cn-northwest-1": _CHINA,
}


def export_canonical_id(region: str) -> str:
    """The canonical user that writes instance exports in `region`."""
    return EXPORT_CANONICAL_IDS.get(region, _ELSEWHERE)
