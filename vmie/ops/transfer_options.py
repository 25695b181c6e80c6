"""How bytes are sent and kept: the options of a transfer as `vmie.aws.upload` takes them."""

from __future__ import annotations

from vmie.aws.session import Aws
from vmie.aws.upload import UploadOptions
from vmie.options import TransferOptions
from vmie.settings import Settings


def upload_options(request: TransferOptions, aws: Aws, settings: Settings | None = None) -> UploadOptions:
    """As `vmie.aws.upload` takes them."""
    settings = settings or Settings()
    return UploadOptions(
        owner=aws.bucket_owner or None,
        kms_key=request.sse_kms_key,
        **request.model_dump(include=set(TransferOptions.model_fields) - {"sse_kms_key", "skip_verify", "keep_free"}),
        stall=settings.stall_seconds,
        patience=settings.patience_seconds,
        longest_pause=min(20.0, settings.patience_seconds / 10),
    )
