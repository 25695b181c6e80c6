"""Parameter validation, before the account's state is read: one by one and together (aws-facts 1.1-1.9, 5.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from vmie.sandbox.api_errors import ApiError, dry_run, invalid_parameter, missing_parameter
from vmie.sandbox.service import tag_rules

Params = Mapping[str, Any]

IMAGE_FORMATS = ("OVA", "VHD", "VHDX", "VMDK", "RAW")
SNAPSHOT_FORMATS = ("VHD", "VHDX", "VMDK", "RAW")
EXPORT_FORMATS = ("VMDK", "RAW", "VHD")
TARGETS = ("citrix", "vmware", "microsoft")
MAX_VOLUMES = 21
#: aws-facts 3.9
_USAGE_OPERATIONS = frozenset(
    f"RunInstances{code}"
    for code in ("", ":0002", ":0006", ":0102", ":0202", ":0800", ":0004", ":0100", ":0200", ":0010", ":000g")
)


@dataclass(frozen=True, slots=True)
class SourceLocation:
    """Where a disk container points: an object or a snapshot.

    `signed` is the presigned URL that it came as, which needs no role to read it; without a bucket it leads elsewhere.
    """

    bucket: str = ""
    key: str = ""
    signed: str = ""
    snapshot_id: str = ""


def check_import_image(params: Params) -> list[SourceLocation]:
    """The sources of an ImportImage request; raises ApiError, also for DryRun."""
    containers: Sequence[Params] = params.get("DiskContainers") or ()
    if not containers:
        raise missing_parameter("DiskContainers")
    if len(containers) > MAX_VOLUMES:
        raise invalid_parameter(f"The number of disk containers exceeds the limit of {MAX_VOLUMES}")
    locations = [_container(container, IMAGE_FORMATS) for container in containers]
    if len(containers) > 1 and any(_format(container) == "OVA" for container in containers):
        raise invalid_parameter("An OVA must be the only disk container")
    expect_choice(params, "Architecture", ("i386", "x86_64"))
    expect_choice(params, "Platform", ("Windows", "Linux"))
    expect_choice(params, "Hypervisor", ("xen",))
    expect_choice(params, "LicenseType", ("AWS", "BYOL"))
    if params.get("BootMode") == "uefi-preferred":
        raise invalid_parameter("The boot mode uefi-preferred is not supported for image import")
    expect_choice(params, "BootMode", ("legacy-bios", "uefi"))
    if params.get("LicenseType") and params.get("UsageOperation"):
        raise ApiError(
            "InvalidParameterCombination", "The parameters LicenseType and UsageOperation cannot be used together"
        )
    if params.get("UsageOperation") and params["UsageOperation"] not in _USAGE_OPERATIONS:
        raise invalid_parameter(f"The usage operation {params['UsageOperation']} is not supported")
    if params.get("BootMode") == "uefi" and any(one.snapshot_id for one in locations) and not params.get("Platform"):
        raise missing_parameter("Platform")
    _common(params, "import-image-task")
    return locations


def check_import_snapshot(params: Params) -> SourceLocation:
    """The source of an ImportSnapshot request; raises ApiError, also for DryRun."""
    container = params.get("DiskContainer")
    if not container:
        raise missing_parameter("DiskContainer")
    location = _container(container, SNAPSHOT_FORMATS)
    _common(params, "import-snapshot-task")
    return location


def check_export_image(params: Params) -> None:
    """Check an ExportImage request; raises ApiError, also for DryRun."""
    for name in ("ImageId", "DiskImageFormat", "S3ExportLocation"):
        if not params.get(name):
            raise missing_parameter(name)
    if not params["S3ExportLocation"].get("S3Bucket"):
        raise missing_parameter("S3ExportLocation.S3Bucket")
    _resource_id(params["ImageId"], "ami", "InvalidAMIID.Malformed")
    expect_choice(params, "DiskImageFormat", EXPORT_FORMATS)
    _common(params, "export-image-task")


def check_export_instance(params: Params) -> None:
    """Check a CreateInstanceExportTask request; raises ApiError. It has neither DryRun nor ClientToken."""
    for name in ("InstanceId", "TargetEnvironment", "ExportToS3Task"):
        if not params.get(name):
            raise missing_parameter(name)
    _resource_id(params["InstanceId"], "i", "InvalidInstanceID.Malformed")
    expect_choice(params, "TargetEnvironment", TARGETS)
    task: Params = params["ExportToS3Task"]
    for name in ("DiskImageFormat", "S3Bucket"):
        if not task.get(name):
            raise missing_parameter(f"ExportToS3.{name}")
    expect_choice(task, "DiskImageFormat", EXPORT_FORMATS)
    expect_choice(task, "ContainerFormat", ("ova",))
    if task.get("ContainerFormat") and task["DiskImageFormat"].upper() != "VMDK":
        raise invalid_parameter("The container format ova needs the disk image format VMDK")
    _description(params)
    tags_of(params, "export-instance-task")


def tags_of(params: Params, resource_type: str) -> dict[str, str]:
    """The tags to put on the new task; raises ApiError for tags of another kind of resource."""
    out: dict[str, str] = {}
    for specification in params.get("TagSpecifications") or ():
        given = specification.get("ResourceType")
        if given != resource_type:
            raise invalid_parameter(f"'{given}' is not a valid taggable resource type for this operation.")
        tags = specification.get("Tags") or ()
        if found := tag_rules.fault(tags):
            raise ApiError(*found)
        out |= {tag["Key"]: tag.get("Value") or "" for tag in tags}
    return out


_VIRTUAL = re.compile(r"(.+?)\.s3[.-](?:.+\.)?amazonaws\.com(?:\.cn)?")
_S3 = re.compile(r"s3[.-](?:.+\.)?amazonaws\.com(?:\.cn)?")
#: where the sandbox itself may be asked
_LOCAL = re.compile(r"(?:.+\.)?localhost|127\.\d+\.\d+\.\d+|::1|host\.docker\.internal")


def location_of(url: str) -> SourceLocation:
    """An object's address from ``s3://`` or ``https://``; raises ApiError "Invalid S3 source location"."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    path = unquote(parts.path).lstrip("/")
    query = parse_qs(parts.query)
    web = parts.scheme in ("https", "http")
    signed = url if web and {"Signature", "X-Amz-Signature"} & set(query) else ""
    if parts.scheme == "s3":
        bucket, key = parts.netloc, path
    elif web and (virtual := _VIRTUAL.fullmatch(host)):
        bucket, key = virtual[1], path
    elif web and (_S3.fullmatch(host) or _LOCAL.fullmatch(host)):
        bucket, _, key = path.partition("/")
    elif signed and host:
        return SourceLocation(signed=signed)
    else:
        bucket = key = ""
    if not bucket or not key:
        raise invalid_parameter("Invalid S3 source location")
    return SourceLocation(bucket, key, signed=signed)


def _container(container: Params, formats: Iterable[str]) -> SourceLocation:
    url, user_bucket, snapshot_id = (container.get(name) for name in ("Url", "UserBucket", "SnapshotId"))
    given = [name for name, value in (("Url", url), ("UserBucket", user_bucket), ("SnapshotId", snapshot_id)) if value]
    if not given:
        raise missing_parameter("DiskContainer.UserBucket")
    if len(given) > 1:
        raise ApiError("InvalidParameterCombination", f"The parameters {' and '.join(given)} cannot be used together")
    if snapshot_id:
        _resource_id(snapshot_id, "snap", "InvalidSnapshotID.Malformed")
        return SourceLocation(snapshot_id=snapshot_id)
    if not container.get("Format"):
        raise missing_parameter("Format")
    if _format(container) not in formats:
        # What the service says of a format it does not know (aws-facts 5.1).
        raise invalid_parameter("Parameter disk-image-size=0 has an invalid format.")
    if user_bucket:
        if not user_bucket.get("S3Bucket") or not user_bucket.get("S3Key"):
            raise invalid_parameter("Invalid S3 source location")
        return SourceLocation(user_bucket["S3Bucket"], user_bucket["S3Key"])
    return location_of(str(url))


def _format(container: Params) -> str:
    return str(container.get("Format") or "").upper()


def expect_choice(params: Params, name: str, choices: Iterable[str]) -> None:
    """Raises ApiError for a parameter that is given and none of `choices`, in any case."""
    value = params.get(name)
    if value and str(value).lower() not in {choice.lower() for choice in choices}:
        raise ApiError("InvalidParameterValue", f"Value ({value}) for parameter {name} is invalid.")


def _resource_id(value: str, prefix: str, code: str) -> None:
    if not re.fullmatch(prefix + r"-([0-9a-f]{8}|[0-9a-f]{17})", value):
        raise ApiError(code, f'Invalid id: "{value}"')


def _description(params: Params) -> None:
    if len(params.get("Description") or "") > 255:
        raise ApiError("InvalidParameterValue", "The description is longer than 255 characters.")


def _common(params: Params, resource_type: str) -> None:
    token = params.get("ClientToken") or ""
    if len(token) > 64 or not token.isascii():
        raise ApiError("InvalidClientToken", "The client token must be at most 64 ASCII characters.")
    if params.get("KmsKeyId") and not params.get("Encrypted"):
        raise ApiError(
            "InvalidParameterDependency",
            "The parameter [KmsKeyId] requires the parameter Encrypted to be set.",
        )
    role = params.get("RoleName")
    if role is not None and not re.fullmatch(r"[\w+=,.@-]{1,64}", role):
        raise ApiError("InvalidParameterValue", f"Value ({role}) for parameter RoleName is invalid.")
    _description(params)
    tags_of(params, resource_type)
    if params.get("DryRun"):
        raise dry_run()
