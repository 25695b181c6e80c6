"""``vmie upload``: the pipeline of `vmie import` alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vmie.cli import context, render
from vmie.cli.import_ import Form
from vmie.cli.transfer_options import Accelerate, MaxRate, Sse, StorageClass, rate
from vmie.errors import UsageError

if TYPE_CHECKING:
    from vmie.jobs.uploads import UploadOutcome


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
    sse: Sse = "",
    kms_key: Annotated[
        str, typer.Option("--kms-key", "--sse-kms-key", help="Encrypt the object with this key (SSE-KMS).")
    ] = "",
    storage_class: StorageClass = "",
    max_rate: MaxRate = "",
    accelerate: Accelerate = False,
) -> None:
    """Send a disk to S3 in the form that EC2 takes; no EC2 call is made.

    vmie upload server.qcow2 s3://my-images/server.vmdk

    vmie upload appliance.ova s3://my-images/incoming/

    Interrupted, the same command goes on: what S3 holds is not sent again.
    """
    from vmie.jobs import uploads
    from vmie.ops import transfer_options

    if not re.fullmatch(r"s3://[^/]+/.+|s3://[^/]+/", target):
        raise UsageError(f"{target!r} is no s3://BUCKET/KEY")
    run = context.of(ctx)
    request = uploads.UploadRequest(
        path=str(source.absolute()),
        target=target if not re.fullmatch(r"s3://[^/]+/", target) else target + source.name,
        as_is=as_is,
        format=form.value if form else None,
        disk=disk,
        sse=sse,
        sse_kms_key=kms_key,
        storage_class=storage_class,
        max_rate=rate(max_rate),
        accelerate=accelerate,
    )
    transfer_options.validate(request)
    show(run, uploads.run(run.desk(), request, dry_run=run.dry_run))


def show(run: context.Run, outcome: UploadOutcome, *, command: str = "upload") -> None:
    """Print what an upload came to; `vmie resume` shares it."""
    plan, result = outcome.plan, outcome.result
    if result is None:
        lines = [
            f"{plan.path} → {plan.target.url} as {plan.choice.aws_format}",
            f"  {render.size(plan.source_size)}, at most {render.size(plan.bound)} sent",
            *(f"  because: {reason}" for reason in plan.choice.reasons),
            *(f"  note: {note}" for note in plan.notes),
        ]
        render.finish(run, command, {"plan": plan.as_json()}, text="\n".join(lines))
        return
    text = (
        f"{result.object}: {render.size(result.bytes_total)} as {result.format}, made from "
        f"{render.size(result.bytes_source)}, {render.size(result.bytes_sent)} sent in {result.seconds:.1f} s"
    )
    render.finish(run, command, result.as_json(), text=text)
