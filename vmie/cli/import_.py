"""``vmie import``: options, one call, render."""

from __future__ import annotations

import shlex
from typing import Annotated, Any

import typer

from vmie.cli import context, render
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
    lines = [text(outcome.result), *_next(run, outcome.result)]
    render.finish(run, command, outcome.result.as_json(), text="\n".join(lines), findings=findings)


def text(result: Any) -> str:
    """The lines a person reads at the end of an import."""
    from vmie.model import S3Object

    lines = [f"{result.route.value} import {result.status}" + (f": {result.task_id}" if result.task_id else "")]
    if result.image_id:
        lines.append(f"  AMI        {result.image_id}")
    if result.snapshot_ids:
        lines.append(f"  snapshots  {', '.join(result.snapshot_ids)}")
    if result.instance_id:
        lines.append(f"  instance   {result.instance_id}" + (" (stopped)" if result.status == "completed" else ""))
    if result.volume_ids:
        lines.append(f"  volumes    {', '.join(result.volume_ids)}")
    if result.bucket_from:
        lines.append(f"  bucket     {S3Object.parse(result.object).bucket} (from {result.bucket_from})")
    lines.append(f"  sent       {render.sent(result.bytes_source, result.bytes_sent)}")
    if result.bytes_left_out:
        lines.append(f"  left out   {render.left_out(result.bytes_left_out)}")
    if result.via == "ebs":
        lines.append(f"  blocks     {result.blocks_written:,} written, {result.blocks_skipped:,} not needed")
    if result.parent:
        lines.append(f"  parent     {result.parent}")
    lines.append(f"  took       {result.seconds:.1f} s, job {result.job}")
    return "\n".join(lines)


def _next(run: context.Invocation, result: Any) -> list[str]:
    """The command that goes on from here; none where a sandbox ends with this one."""
    if run.sandbox:
        return []
    where = [f"--{name.replace('_', '-')} {shlex.quote(value)}" for name, value in run.options.items() if value]
    for found, command in (
        (result.status == "active", f"vmie resume {result.job}"),
        (result.image_id, f"aws ec2 run-instances --image-id {result.image_id}"),
        (result.instance_id, f"aws ec2 start-instances --instance-ids {result.instance_id}"),
        (result.volume_ids, f"aws ec2 describe-volumes --volume-ids {' '.join(result.volume_ids)}"),
        (result.snapshot_ids, f"aws ec2 describe-snapshots --snapshot-ids {' '.join(result.snapshot_ids)}"),
    ):
        if found:
            return [f"  next       {' '.join((command, *where))}"]
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
