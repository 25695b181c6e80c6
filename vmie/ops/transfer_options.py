"""How bytes are sent and kept: the options that `vmie upload` and `vmie import` share."""

from __future__ import annotations

import re
from typing import Protocol

from vmie.aws.session import Aws
from vmie.aws.upload import UploadOptions
from vmie.errors import UsageError
from vmie.settings import Settings

#: what S3 may keep an object in and still give it to an import at once
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-class-intro.html
STORAGE_CLASSES = (
    "STANDARD",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER_IR",
    "REDUCED_REDUNDANCY",
)
_FROZEN = ("GLACIER", "DEEP_ARCHIVE")
ENCRYPTIONS = ("AES256", "aws:kms", "aws:kms:dsse")
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


class Transfer(Protocol):
    """A request that sends bytes. `sse`, `sse_kms_key` and `storage_class` are "" for the bucket's own ways.

    `max_rate` is bytes per second.
    """

    @property
    def sse(self) -> str: ...  # noqa: D102
    @property
    def sse_kms_key(self) -> str: ...  # noqa: D102
    @property
    def storage_class(self) -> str: ...  # noqa: D102
    @property
    def max_rate(self) -> float | None: ...  # noqa: D102
    @property
    def accelerate(self) -> bool: ...  # noqa: D102


def validate(request: Transfer) -> None:
    """Raise UsageError for what S3 would refuse."""
    if request.sse and request.sse not in ENCRYPTIONS:
        raise UsageError(f"--sse {request.sse!r}: choose from {', '.join(ENCRYPTIONS)}")
    if request.sse_kms_key and request.sse == "AES256":
        raise UsageError("a KMS key and --sse AES256 exclude each other", cure="leave one out")
    if request.storage_class in _FROZEN:
        raise UsageError(
            f"--storage-class {request.storage_class}: EC2 could not read the object",
            cause="objects of this class must be restored before anyone can read them",
            cure=f"choose from {', '.join(STORAGE_CLASSES)}",
        )
    if request.storage_class and request.storage_class not in STORAGE_CLASSES:
        raise UsageError(
            f"--storage-class {request.storage_class!r}: choose from {', '.join(STORAGE_CLASSES)}",
        )
    if request.max_rate is not None and not 0 < request.max_rate < float("inf"):
        raise UsageError("--max-rate must be a positive number of bytes per second")


def upload_options(request: Transfer, aws: Aws, settings: Settings | None = None) -> UploadOptions:
    """As `vmie.aws.upload` takes them."""
    settings = settings or Settings()
    return UploadOptions(
        owner=aws.bucket_owner or None,
        sse=request.sse,
        kms_key=request.sse_kms_key,
        storage_class=request.storage_class,
        max_rate=request.max_rate,
        accelerate=request.accelerate,
        stall=settings.stall_seconds,
        patience=settings.patience_seconds,
        longest_pause=min(20.0, settings.patience_seconds / 10),
    )


def rate(text: str) -> float | None:
    """Bytes per second of ``20M``; None for what is no rate."""
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,9})?)\s*([KMG]?)(?:i?B)?(?:/s)?", text, re.IGNORECASE | re.ASCII)
    return float(found[1]) * _UNITS[found[2].upper()] or None if found else None
