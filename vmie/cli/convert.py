"""`vmie convert`: a disk in any format into one that EC2 takes, or another virtualiser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vmie.cli import context, render, summary
from vmie.options.help_texts import EMPTY_DISKS_HELP, MACHINE_HELP


def convert(
    ctx: typer.Context,
    source: Annotated[
        Path, typer.Argument(metavar="FILE", help="The disk: any format that vmie reads, or a snapshot (snap-…).")
    ],
    target: Annotated[
        Path, typer.Argument(metavar="OUT", help="The new file: .vmdk, .vhd, .raw, .qcow2 or .vhdx names its format.")
    ],
    disk: Annotated[
        int | None,
        typer.Option("--disk", min=0, metavar="N", help="Which disk of an appliance, from 0, boot disk first."),
    ] = None,
    machine: Annotated[str, typer.Option("--machine", metavar="NAME", help=MACHINE_HELP)] = "",
    empty_disks: Annotated[bool, typer.Option("--empty-disks", help=EMPTY_DISKS_HELP)] = False,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, metavar="N", help="Threads; all cores by default.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace OUT where it exists.")] = False,
) -> None:
    """Write a disk as stream-optimised VMDK, dynamic VHD, raw, qcow2 or VHDX.

    vmie convert server.qcow2 server.vmdk

    vmie convert appliance.ova data.vmdk --disk 1

    vmie convert server.vhdx server.raw --force
    """
    from vmie.ops import convert as op

    run = context.of(ctx)
    plan = op.plan(
        source,
        target,
        index=disk,
        machine=machine,
        empty_disks=empty_disks,
        force=force,
        workers=workers,
        snapshots=run.snapshot,
        reporter=run.reporter,
    )
    if run.dry_run:
        text = (
            f"{source} ({plan.source_format} {plan.source_variant}, {render.size(plan.virtual_size)}) "
            f"would be written as {plan.format} to {target}: at most {render.size(plan.upper_bound)}"
        )
        render.finish(run, "convert", plan.as_json(), text=text)
        return
    done = op.apply(plan, reporter=run.reporter)
    written = summary.sent(done.virtual_size, done.bytes_written, seconds=done.seconds)
    follows = ("next", ["vmie", "import", str(target)])
    text = summary.text(f"{target}: {done.format}", [("written", written), follows])
    render.finish(run, "convert", done.as_json(), text=text)
