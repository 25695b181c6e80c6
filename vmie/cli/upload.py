"""``vmie upload``: the pipeline of `vmie import` alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from vmie.cli import context, render
from vmie.cli.import_ import Form
from vmie.errors import UsageError


def upload(
    ctx: typer.Context,
    source: Annotated[Path, typer.Argument(metavar="FILE", help="A disk in any format that vmie reads, or an OVA.")],
    target: Annotated[
        str, typer.Argument(metavar="s3://BUCKET/KEY", help="A key that ends in / gets the file's name.")
    ],
    disk: Annotated[
        int | None, typer.Option("--disk", min=0, metavar="N", help="Which disk of an OVA, from 0.")
    ] = None,
    as_is: Annotated[bool, typer.Option("--as-is", help="Send the file as it is, whatever it is.")] = False,
    form: Annotated[Form | None, typer.Option("--format", help="Send in this form: vmdk, vhd or raw.")] = None,
    sse: Annotated[str, typer.Option(help="AES256 or aws:kms; the bucket's own encryption by default.")] = "",
    kms_key: Annotated[str, typer.Option(help="Encrypt the object with this key (SSE-KMS).")] = "",
    storage_class: Annotated[str, typer.Option(help="Such as STANDARD_IA.")] = "",
    max_rate: Annotated[str, typer.Option(metavar="RATE", help="Bytes per second, such as 20M or 1.5G.")] = "",
) -> None:
    """Send a disk to S3 in the form that EC2 takes; no EC2 call is made.

    vmie upload server.qcow2 s3://my-images/server.vmdk

    vmie upload appliance.ova s3://my-images/incoming/

    Interrupted, the same command goes on: what S3 holds is not sent again.
    """
    from vmie.engine import uploads

    if sse not in ("", "AES256", "aws:kms"):
        raise UsageError(f"--sse {sse!r}: choose AES256 or aws:kms")
    if not re.fullmatch(r"s3://[^/]+/.+|s3://[^/]+/", target):
        raise UsageError(f"{target!r} is no s3://BUCKET/KEY")
    run = context.of(ctx)
    request = uploads.UploadRequest(
        path=str(source.absolute()),
        target=target if not re.fullmatch(r"s3://[^/]+/", target) else target + source.name,
        as_is=as_is,
        wanted=form.value if form else None,
        index=disk,
        sse=sse,
        kms_key=kms_key,
        storage_class=storage_class,
        max_rate=rate(max_rate),
    )
    plan, result = uploads.run(run.aws(), request, state=run.state, dry_run=run.dry_run, reporter=run.reporter)
    if result is None:
        text = (
            f"{plan.path} → {plan.target.url} as {plan.choice.aws_format}, at most {render.size(plan.bound)}\n"
            f"  because: {plan.choice.reasons[0]}"
        )
        render.finish(run, "upload", {"plan": plan.as_json()}, text=text)
        return
    show(run, result)


def show(run: context.Run, result: Any) -> None:
    """Print what an upload came to; `vmie resume` shares it."""
    text = (
        f"{result.object}: {render.size(result.bytes_total)} as {result.format}, made from "
        f"{render.size(result.bytes_source)}, {render.size(result.bytes_sent)} sent in {result.seconds:.1f} s"
    )
    render.finish(run, "upload", result.as_json(), text=text)


_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def rate(text: str) -> float | None:
    """Bytes per second of ``20M``; None for "". Raises UsageError."""
    if not text:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]?)(?:i?B)?(?:/s)?", text, re.IGNORECASE)
    if not found or float(found[1]) <= 0:
        raise UsageError(f"--max-rate {text!r} is no rate", cure="such as 500K, 20M or 1.5G: bytes per second")
    return float(found[1]) * _UNITS[found[2].upper()]
