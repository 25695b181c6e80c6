"""How bytes are sent and kept: the options that `vmie upload` and `vmie import` share."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

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


@dataclass(frozen=True, slots=True)
class Sending:
    """Options of a transfer. `sse`, `kms_key` and `storage_class` are "" for the bucket's own ways.

    `max_rate` is bytes per second. `copy` has an import copy its s3:// sources into the import bucket first.
    """

    sse: str = ""
    kms_key: str = ""
    storage_class: str = ""
    max_rate: float | None = None
    accelerate: bool = False
    copy: bool = False

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Sending:
        """Read back what `dataclasses.asdict` made of it, also by another version of vmie."""
        known = {f.name for f in fields(cls)}
        return cls(**{name: value for name, value in data.items() if name in known})

    def validate(self) -> None:
        """Raise UsageError for what S3 would refuse."""
        if self.sse and self.sse not in ENCRYPTIONS:
            raise UsageError(f"--sse {self.sse!r}: choose from {', '.join(ENCRYPTIONS)}")
        if self.kms_key and self.sse == "AES256":
            raise UsageError("a KMS key and --sse AES256 exclude each other", cure="leave one out")
        if self.storage_class in _FROZEN:
            raise UsageError(
                f"--storage-class {self.storage_class}: EC2 could not read the object",
                cause="objects of this class must be restored before anyone can read them",
                cure=f"choose from {', '.join(STORAGE_CLASSES)}",
            )
        if self.storage_class and self.storage_class not in STORAGE_CLASSES:
            raise UsageError(
                f"--storage-class {self.storage_class!r}: choose from {', '.join(STORAGE_CLASSES)}",
            )
        if self.max_rate is not None and not 0 < self.max_rate < float("inf"):
            raise UsageError("--max-rate must be a positive number of bytes per second")

    def lasting(self) -> dict[str, Any]:
        """What makes two transfers different ones: what is stored, not how fast or by which way."""
        shape = asdict(self)
        del shape["max_rate"], shape["accelerate"]
        return shape

    def options(self, aws: Aws, settings: Settings | None = None) -> UploadOptions:
        """As `vmie.aws.upload` takes them."""
        settings = settings or Settings()
        return UploadOptions(
            owner=aws.bucket_owner or None,
            sse=self.sse,
            kms_key=self.kms_key,
            storage_class=self.storage_class,
            max_rate=self.max_rate,
            accelerate=self.accelerate,
            stall=settings.stall_seconds,
            patience=settings.patience_seconds,
            longest_pause=min(20.0, settings.patience_seconds / 10),
        )


def rate(text: str) -> float | None:
    """Bytes per second of ``20M``; None for what is no rate."""
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,9})?)\s*([KMG]?)(?:i?B)?(?:/s)?", text, re.IGNORECASE | re.ASCII)
    return float(found[1]) * _UNITS[found[2].upper()] or None if found else None
