"""`vmie diff`: where two disks differ, by ranges and by files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vmie.cli import context, render
from vmie.escaping import visible
from vmie.options.help_texts import MACHINE_HELP

if TYPE_CHECKING:
    from vmie.ops.diff import Difference

#: of each kind, in the text
_MOST = 50


def diff(
    ctx: typer.Context,
    one: Annotated[Path, typer.Argument(metavar="ONE", help="A disk in any format, or a snapshot (snap-…).")],
    other: Annotated[Path, typer.Argument(metavar="OTHER", help="The disk to compare it with.")],
    machine: Annotated[str, typer.Option("--machine", metavar="NAME", help=MACHINE_HELP)] = "",
) -> None:
    """Show where two disks differ: which bytes, and which files by name.

    What AWS changed in a machine, say. Ends with 0 when the disks are equal and with 1 when they differ. A shorter disk
    counts as followed by zeros: a snapshot is of whole GiB.

    vmie diff server.qcow2 snap-0123456789abcdef0

    vmie diff snap-0123456789abcdef0 snap-0fedcba9876543210

    vmie diff before.vmdk after.raw
    """
    from vmie.ops import diff as op

    run = context.of(ctx)
    found = op.diff(one, other, machine=machine, snapshots=run.snapshot, reporter=run.reporter)
    render.finish(run, "diff", found.as_json(), text="\n".join(_lines(found, str(one), str(other))))
    if not found.equal:
        raise typer.Exit(1)


def _lines(found: Difference, one: str, other: str) -> Iterator[str]:
    from vmie.ops.diff import shown

    yield visible(shown(found, (one, other)))
    yield from details(found)


def details(found: Difference) -> Iterator[str]:
    """The files and ranges that differ, the first of each."""
    for change in found.files[:_MOST]:
        yield f"  {change.change:8} {visible(f'{change.where}: {change.path}')}"
    if (more := len(found.files) + found.more_files - _MOST) > 0:
        yield f"  and {more:,} files more"
    for where, why in found.unread[:_MOST]:
        yield visible(f"  not compared by file: {where}: {why}")
    for offset, length in found.ranges[:_MOST]:
        yield f"  bytes {offset:,} to {offset + length - 1:,}"
    if (more := len(found.ranges) + found.more_ranges - _MOST) > 0:
        yield f"  and {more:,} ranges more"
