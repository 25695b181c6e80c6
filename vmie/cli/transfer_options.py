"""Options that `vmie upload` and `vmie import` share: how bytes are sent and kept."""

from __future__ import annotations

from typing import Annotated

import typer

from vmie.errors import UsageError

Sse = Annotated[
    str, typer.Option("--sse", metavar="AES256|aws:kms", help="Encrypt the object; by default as the bucket says.")
]
StorageClass = Annotated[
    str, typer.Option("--storage-class", metavar="CLASS", help="Of the object, such as STANDARD_IA.")
]
MaxRate = Annotated[
    str, typer.Option("--max-rate", metavar="RATE", help="Send at most this: bytes per second, such as 20M or 1.5G.")
]
Accelerate = Annotated[
    bool, typer.Option("--accelerate", help="Send by S3 Transfer Acceleration; the bucket must have it enabled.")
]


def rate(text: str) -> float | None:
    """Bytes per second of ``20M``; None for "". Raises UsageError."""
    from vmie.ops import transfer_options

    if text and not transfer_options.rate(text):
        raise UsageError(f"--max-rate {text!r} is no rate", cure="such as 500K, 20M or 1.5G: bytes per second")
    return transfer_options.rate(text)
