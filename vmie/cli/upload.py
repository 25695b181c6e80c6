"""``vmie upload``: the pipeline of `vmie import` alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmie.cli import context, render, summary
from vmie.cli.options import takes
from vmie.options import UploadRequest

if TYPE_CHECKING:
    from vmie.jobs.runner import JobOutcome
    from vmie.ops.upload import UploadResult
    from vmie.ops.upload_plan import UploadPlan


@takes(UploadRequest)
def upload(
    ctx: typer.Context,
    source: Annotated[Path, typer.Argument(metavar="FILE", help="A disk in any format that vmie reads, or an OVA.")],
    target: Annotated[
        str, typer.Argument(metavar="s3://BUCKET/KEY", help="A key that ends in / gets the file's name.")
    ],
    given: dict[str, Any],
) -> None:
    """Send a disk to S3 in the form that EC2 takes; no EC2 call is made.

    vmie upload server.qcow2 s3://my-images/server.vmdk

    vmie upload appliance.ova s3://my-images/incoming/

    vmie upload server.vhdx s3://my-images/server.vmdk --max-rate 20M

    Interrupted, the same command goes on: what S3 holds is not sent again.
    """
    from vmie.jobs import runner
    from vmie.ops.upload import UploadOperation

    run = context.of(ctx)
    request = UploadRequest(**{"path": source, "url": target, **given})
    show(run, runner.run(UploadOperation(run.work(), request), dry_run=run.dry_run))


def show(run: context.Invocation, outcome: JobOutcome[UploadPlan, UploadResult], *, command: str = "upload") -> None:
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
    sent = summary.sent(result.bytes_source, result.bytes_total, over_wire=result.bytes_sent, seconds=result.seconds)
    text = summary.text(
        f"{result.object}: {result.format}",
        [
            ("sent", sent),
            ("left out", render.left_out(result.bytes_left_out) if result.bytes_left_out else ""),
            summary.following(run, "vmie", "import", result.object),
        ],
    )
    render.finish(run, command, result.as_json(), text=text)
