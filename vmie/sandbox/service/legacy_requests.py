"""Parameter validation of ImportInstance and ImportVolume (aws-facts 1.5, 5.1)."""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import urlsplit

from vmie.limits import DISK_BYTES, LEGACY_REGIONS
from vmie.sandbox.api_errors import ApiError, dry_run, invalid_parameter, missing_parameter
from vmie.sandbox.service.requests import Params, expect_choice

FORMATS = ("VMDK", "RAW", "VHD")
_USER_DATA = 16 << 10


def check_import_instance(params: Params, *, region: str) -> None:
    """Check an ImportInstance request; raises ApiError, also for DryRun."""
    _check_region(region)
    if not params.get("Platform"):
        raise missing_parameter("Platform")
    expect_choice(params, "Platform", ("Windows", "Linux"))
    images = params.get("DiskImages") or ()
    if not images:
        raise missing_parameter("DiskImage")
    if len(images) > 1:
        raise invalid_parameter("Only one disk image is supported: import the others as volumes")
    _check_image(images[0])
    launch: Params = params.get("LaunchSpecification") or {}
    _check_launch(launch)
    if params.get("DryRun"):
        raise dry_run()


def check_import_volume(params: Params, *, region: str) -> None:
    """Check an ImportVolume request; raises ApiError, also for DryRun."""
    _check_region(region)
    zones = [name for name in ("AvailabilityZone", "AvailabilityZoneId") if params.get(name)]
    if not zones:
        raise missing_parameter("AvailabilityZone")
    if len(zones) > 1:
        raise ApiError("InvalidParameterCombination", f"The parameters {' and '.join(zones)} cannot be used together")
    _check_image(params)
    if params.get("DryRun"):
        raise dry_run()


def _check_region(region: str) -> None:
    if region not in LEGACY_REGIONS:
        raise ApiError("UnsupportedOperation", "The functionality you requested is not available in this region.")


def _check_image(params: Params) -> None:
    image: Params = params.get("Image") or {}
    volume: Params = params.get("Volume") or {}
    for name in ("Format", "Bytes", "ImportManifestUrl"):
        if not image.get(name):
            raise missing_parameter(f"Image.{name}")
    if not volume.get("Size"):
        raise missing_parameter("Volume.Size")
    if str(image["Format"]).upper() not in FORMATS:
        raise ApiError("InvalidFormat", "The specified disk format (for the instance or volume import) is not valid.")
    url = urlsplit(str(image["ImportManifestUrl"]))
    if url.scheme not in ("http", "https") or not url.netloc:
        raise ApiError("InaccessibleStorageLocation", "The specified Amazon S3 URL cannot be accessed.")
    if int(image["Bytes"]) > DISK_BYTES.value or int(volume["Size"]) << 30 > DISK_BYTES.value:
        raise ApiError(
            "DiskImageSizeTooLarge", "The disk image exceeds the allowed limit (for instance or volume import)."
        )


def _check_launch(launch: Params) -> None:
    expect_choice(launch, "Architecture", ("i386", "x86_64"))
    expect_choice(launch, "InstanceInitiatedShutdownBehavior", ("stop", "terminate"))
    placement: Params = launch.get("Placement") or {}
    if placement.get("Tenancy") == "host" or placement.get("Affinity"):
        raise invalid_parameter("The tenancy host and affinity are not supported for ImportInstance")
    expect_choice(placement, "Tenancy", ("default", "dedicated"))
    kind = launch.get("InstanceType")
    if kind and not re.fullmatch(r"[a-z0-9-]+\.[a-z0-9-]+", kind):
        raise ApiError("InvalidParameterValue", f"Invalid value '{kind}' for InstanceType.")
    if data := (launch.get("UserData") or {}).get("Data"):
        try:
            plain = base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ApiError("InvalidParameterValue", "Invalid BASE64 encoding of user data") from error
        if len(plain) > _USER_DATA:
            raise ApiError("InvalidParameterValue", "User data is limited to 16384 bytes")
