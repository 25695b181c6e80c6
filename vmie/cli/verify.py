"""`vmie verify`: whether a snapshot holds what was sent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmie.cli import context, diff, render
from vmie.escaping import visible
from vmie.options.help_texts import EMPTY_DISKS_HELP, MACHINE_HELP

if TYPE_CHECKING:
    from vmie.ops.verify_statement import Verified, VerifiedSnapshot


def verify(
    ctx: typer.Context,
    source: Annotated[str, typer.Argument(metavar="JOB|IMAGE", help="An import's job, or the disk that was sent.")],
    snapshots: Annotated[
        list[str] | None,
        typer.Argument(metavar="SNAPSHOT", help="snap-…, one for each disk; of a job its own, or copies of them."),
    ] = None,
    disk: Annotated[
        int | None, typer.Option("--disk", min=0, metavar="N", help="Which disk alone, from 0, boot disk first.")
    ] = None,
    machine: Annotated[str, typer.Option("--machine", metavar="NAME", help=MACHINE_HELP)] = "",
    empty_disks: Annotated[bool, typer.Option("--empty-disks", help=EMPTY_DISKS_HELP)] = False,
    statement: Annotated[
        Path | None,
        typer.Option("--statement", metavar="FILE", help="Write an in-toto Statement here, if they are identical."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the statement where it exists.")] = False,
) -> None:
    """Prove that a snapshot holds what was sent, block by block.

    The snapshot's blocks are read back: what that costs is said first. Ends with 0 when it is identical and with 1 when
    it differs, with the blocks that do, and the files in them.

    vmie verify job-20260102-030405-a1b2c3

    vmie verify server.qcow2 snap-0123456789abcdef0

    vmie verify server.qcow2 snap-0123456789abcdef0 --statement server.intoto.json
    """
    from vmie.jobs import sent as jobs
    from vmie.ops import verify as op
    from vmie.ops.opening import Opening
    from vmie.poll import SystemClock

    run = context.of(ctx)
    opening = Opening(machine, empty_disks=empty_disks, snapshots=run.snapshot)
    clock = SystemClock()
    sent = jobs.of(source, snapshots or (), state=run.state, opening=opening, index=disk, clock=clock)
    plan = op.plan(sent, snapshots=run.snapshot, target=statement, force=force)
    if run.dry_run:
        told = plan.as_json()
        render.finish(run, "verify", told, text="\n".join(_planned(told)))
        return
    found = op.apply(plan, clock=clock, reporter=run.reporter)
    render.finish(run, "verify", found.as_json(), text="\n".join(_lines(found)))
    if not found.identical:
        raise typer.Exit(1)


def _planned(told: dict[str, Any]) -> Iterator[str]:
    for one in told["snapshots"]:
        most = f"{one['blocks_at_most']:,} blocks at most"
        yield visible(f"{one['snapshot_id']} would be compared with {one['compared_with']}: {most}")
    yield f"that costs about ${told['costs_usd']:.2f}"


def _lines(found: Verified) -> Iterator[str]:
    for one in found.snapshots:
        yield visible(_outcome(one))
        if not one.identical:
            yield from diff.details(one.difference)
    if found.statement:
        yield visible(f"statement: {found.statement}")


def _outcome(one: VerifiedSnapshot) -> str:
    if one.why:
        return f"{one.snapshot_id} does not hold {one.source}: {one.why}"
    if not one.identical:
        many = f"{one.different_blocks:,} of {one.blocks:,} blocks"
        return f"{one.snapshot_id} does not hold {one.source}: {many} differ"
    free = f", {one.free_blocks:,} of them but for free space" if one.free_blocks else ""
    read = f"{one.difference.blocks_read:,} read"
    return f"{one.snapshot_id} holds {one.source}: {one.blocks:,} blocks are the same ({read}){free}"
