"""``vmie import``: options, one call, render."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from vmie.cli import context, render, summary
from vmie.cli.options import takes
from vmie.options import ImportRequest


@takes(ImportRequest)
def import_(
    ctx: typer.Context,
    source: Annotated[
        list[str],
        typer.Argument(help="A disk, an OVA, or s3://bucket/key; several are the disks of one VM, boot disk first."),
    ],
    given: dict[str, Any],
    no_wait: Annotated[
        bool,
        typer.Option(
            "--no-wait", rich_help_panel="Waiting", help="Return once AWS has the task; `vmie resume JOB` finishes it."
        ),
    ] = False,
) -> None:
    """Bring a virtual machine into EC2.

    vmie import disk.ova

    vmie import boot.qcow2 data.vhdx --name web-1 --tag team=web

    vmie import disk.raw --as snapshot --register web-1 --imds-v2

    vmie import boot.vmdk data.vmdk --as instance --instance-type m3.large --attach-data-disks

    The image is checked first; what AWS would refuse stops the import before a byte is sent (exit 4).
    """
    from vmie.jobs import runner
    from vmie.ops.import_ import operation

    request = ImportRequest(**{"sources": source, **given})
    run = context.of(ctx)
    show(run, runner.run(operation(run.work(), request), wait=not no_wait, dry_run=run.dry_run))


def show(run: context.Invocation, outcome: Any, *, command: str = "import") -> None:
    """Print what an import came to; `vmie resume` shares it."""
    findings = outcome.plan.findings
    if outcome.result is None:
        plan = {"plan": outcome.plan.as_json()}
        render.finish(run, command, plan, text=plan_text(outcome.plan), findings=findings)
        return
    render.finish(run, command, outcome.result.as_json(), text=text(run, outcome.result), findings=findings)


def text(run: context.Invocation, result: Any) -> str:
    """The lines a person reads at the end of an import."""
    from vmie.model import S3Object

    bucket = f"{S3Object.parse(result.object).bucket} (from {result.bucket_from})" if result.bucket_from else ""
    took = f", {result.seconds:.1f} s in all" if result.status == "completed" else ""
    blocks = f"{result.blocks_written:,} written, {result.blocks_skipped:,} not needed" if result.via == "ebs" else ""
    stopped = " (stopped)" if result.status == "completed" else ""
    return summary.text(
        f"{result.route.value} import {result.status}" + (f": {result.task_id}" if result.task_id else ""),
        [
            ("AMI", result.image_id or ""),
            ("snapshots", ", ".join(result.snapshot_ids)),
            ("instance", f"{result.instance_id}{stopped}" if result.instance_id else ""),
            ("volumes", ", ".join(result.volume_ids)),
            ("bucket", bucket),
            ("sent", summary.sent(result.bytes_source, result.bytes_sent, seconds=result.seconds_sending)),
            ("left out", render.left_out(result.bytes_left_out) if result.bytes_left_out else ""),
            ("blocks", blocks),
            ("parent", result.parent or ""),
            ("mended", ", ".join((result.repaired or {}).get("mended", ()))),
            ("proof", f"it starts as {result.proof['instances'][0]['instance_type']}" if result.proof else ""),
            ("job", f"{result.job}{took}"),
            *_next(run, result),
        ],
    )


def _next(run: context.Invocation, result: Any) -> list[summary.Fact]:
    """The command that goes on from here."""
    for found, argv in (
        (result.status == "active", ("vmie", "resume", result.job)),
        (result.image_id, ("aws", "ec2", "run-instances", "--image-id", result.image_id)),
        (result.instance_id, ("aws", "ec2", "start-instances", "--instance-ids", result.instance_id)),
        (result.volume_ids, ("aws", "ec2", "describe-volumes", "--volume-ids", *result.volume_ids)),
        (result.snapshot_ids, ("aws", "ec2", "describe-snapshots", "--snapshot-ids", *result.snapshot_ids)),
    ):
        if found:
            return [summary.following(run, *argv)]
    return []


def plan_text(plan: Any) -> str:
    """What --dry-run prints."""
    shape = plan.as_json()
    lines = [shape["call"] + (f" with role {shape['role']}" if shape["role"] else "")]
    lines += [f"  then {step}" for step in shape.get("then", ())]
    if launch := shape.get("launch"):
        zone = shape["availability_zone"] or "a zone of AWS's choice"
        lines.append(f"  {launch['instance_type']} in {launch['subnet'] or zone}, {shape['platform']}")
    if shape["bucket"]:
        lines.append(f"  bucket {shape['bucket']['name']} (from {shape['bucket']['from']})")
    for planned in shape["disks"]:
        if shape.get("via") == "ebs":
            lines.append(_direct(planned, shape))
            continue
        verb = "upload" if planned["upload"] else "copy" if planned.get("copy") else "use"
        lines.append(
            f"  {verb} {planned['source']} → {planned['object']} as {planned['format']}"
            f", {render.size(planned['bytes_source'])}, at most {render.size(planned['bytes_at_most'])} sent"
        )
        lines += [f"    because: {reason}" for reason in planned["reasons"]]
    lines += [f"  {note}" for note in shape["notes"]]
    if shape["register"]:
        lines.append(f"  register the AMI {shape['register']!r}")
    if shape["delete_object_after"]:
        lines.append("  delete the uploaded object after success")
    return "\n".join(lines)


def _direct(planned: Any, shape: Any) -> str:
    """A disk that goes block by block, as --dry-run prints it."""
    number = "" if planned["disk"] is None else f" disk {planned['disk'] + 1}"
    how = f"encrypted with {shape['kms_key'] or 'the default key'}" if shape["encrypted"] else "not encrypted"
    return (
        f"  write {planned['source']}{number} ({planned['format']}) block by block into a snapshot of "
        f"{planned['volume_gib']:,} GiB, {how}, {render.size(planned['bytes_source'])}"
    )
