"""``vmie export``: options, one call, render."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmie.cli import context, render, summary
from vmie.cli.options import takes
from vmie.options import ExportRequest

if TYPE_CHECKING:
    from vmie.jobs.runner import JobOutcome
    from vmie.ops.export import ExportPlan, ExportResult


@takes(ExportRequest)
def export(
    ctx: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            metavar="i-…|ami-…|snap-…|vol-…", help="An instance or an AMI; with --via ebs also a snapshot or a volume."
        ),
    ],
    given: dict[str, Any],
    file: Annotated[
        str | None, typer.Argument(metavar="OUT", help="With --via ebs: the new file, or the folder to make it in.")
    ] = None,
    no_wait: Annotated[
        bool,
        typer.Option(
            "--no-wait", rich_help_panel="Waiting", help="Return once AWS has the task; `vmie resume JOB` finishes it."
        ),
    ] = False,
) -> None:
    """Take a virtual machine out of EC2: an instance, an AMI, a snapshot or a volume.

    vmie export i-0123456789abcdef0 --format vmdk

    vmie export ami-0123456789abcdef0 --format vhd --download ./out

    vmie export i-0123456789abcdef0 --format ova --bucket my-exports --prefix nightly/

    vmie export snap-0123456789abcdef0 --via ebs --format qcow2 server.qcow2

    What AWS would refuse is checked first and stops the export before it is asked for (exit 4).
    """
    from vmie.jobs import runner
    from vmie.ops.export import operation

    run = context.of(ctx)
    request = ExportRequest(**{"source": source, **given, **({} if file is None else {"file": file})})
    show(run, runner.run(operation(run.work(), request), wait=not no_wait, dry_run=run.dry_run))


def show(run: context.Invocation, outcome: JobOutcome[ExportPlan, ExportResult], *, command: str = "export") -> None:
    """Print what an export came to; `vmie resume` shares it."""
    findings = outcome.plan.findings
    if outcome.result is None:
        render.finish(run, command, {"plan": outcome.plan.as_json()}, text=plan_text(outcome.plan), findings=findings)
        return
    render.finish(run, command, outcome.result.as_json(), text=text(run, outcome.result), findings=findings)


def text(run: context.Invocation, result: ExportResult) -> str:
    """The lines a person reads at the end of an export."""
    if result.via == "ebs":
        facts: list[summary.Fact] = [("file", path) for path in result.downloaded]
        facts += [("read", f"{result.blocks_read:,} blocks"), ("job", f"{result.job}, {result.seconds:.1f} s in all")]
        return summary.text("export completed", [*facts, *_next(run, result)])
    over = result.status == "completed"
    size = sum(item.size or 0 for item in result.objects)
    rate = f", {render.size(size / result.seconds)}/s" if size and result.seconds > 0 else ""
    return summary.text(
        f"export {result.status}: {result.task_id}",
        [
            *(("object", f"{item.url}{_sized(item.size)}") for item in result.objects),
            ("location", "" if result.objects else result.location),
            *(("downloaded", path) for path in result.downloaded),
            ("job", f"{result.job}, {result.seconds:.1f} s in all{rate}" if over else result.job),
            *_next(run, result),
        ],
    )


def _next(run: context.Invocation, result: ExportResult) -> list[summary.Fact]:
    """The command that goes on from here."""
    if result.status == "active":
        return [summary.following(run, "vmie", "resume", result.job)]
    if result.downloaded:
        return [("next", ["vmie", "check", *result.downloaded])]
    return [summary.following(run, "aws", "s3", "cp", item.url, ".") for item in result.objects[:1]]


def _sized(size: int | None) -> str:
    return "" if size is None else f"  {render.size(size)}"


def plan_text(plan: ExportPlan) -> str:
    """What --dry-run prints."""
    shape = plan.as_json()
    if shape.get("via") == "ebs":
        return _direct_text(shape)
    lines = [f"{shape['call']} of {shape['source']} as {shape['container'] or shape['format']}"]
    if shape["target"]:
        lines.append(f"  target environment {shape['target']}")
    if shape["role"]:
        lines.append(f"  with role {shape['role']}")
    if shape["bucket"]:
        lines.append(f"  to s3://{shape['bucket']['name']}/{shape['prefix']}… (bucket from {shape['bucket']['from']})")
    if shape["download"]:
        lines.append(f"  then download to {shape['download']}")
    return "\n".join(lines)


def _direct_text(shape: dict[str, Any]) -> str:
    lines = [f"{shape['source']} as {shape['format']}, read by EBS direct"]
    lines += [f"  disk        {one['id']}, {render.size(one['bytes'])}" for one in shape["disks"]]
    lines += [f"  to          {path}" for path in shape["files"]]
    if shape["temporary_snapshots"]:
        lines.append(f"  takes       {shape['temporary_snapshots']} snapshots, and removes them afterwards")
    if shape["since"]:
        lines.append(f"  reads       what changed since {shape['since']}, onto {shape['base']}")
    lines.append(f"  costs       {shape['blocks_at_most']:,} blocks at most, about ${shape['costs_usd']:.2f}")
    return "\n".join([*lines, *(f"  note        {one}" for one in shape["notes"])])
