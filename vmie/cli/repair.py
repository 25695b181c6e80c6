"""`vmie repair`: what a check finds, mended in a layer over the image."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vmie.cli import context, render
from vmie.cli.check_text import on_routes
from vmie.cli.terms import TERMS
from vmie.errors import PreflightError, Run
from vmie.escaping import visible
from vmie.model import Route
from vmie.options.help_texts import EMPTY_DISKS_HELP, MACHINE_HELP

if TYPE_CHECKING:
    from vmie.ops.repair import RepairResult
    from vmie.repair import FileChange

#: lines of one diff, in the text
_MOST = 200


def repair(
    ctx: typer.Context,
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="An appliance, or a disk; several are of one machine.")
    ],
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="RULE", help="Mend this alone; may be given several times.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Where to: .qcow2 lies over the image, others are whole disks."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE where it exists.")] = False,
    route: Annotated[Route, typer.Option("--route", "--as", help="The route that must not be blocked.")] = Route.IMAGE,
    machine: Annotated[str, typer.Option("--machine", metavar="NAME", help=MACHINE_HELP)] = "",
    empty_disks: Annotated[bool, typer.Option("--empty-disks", help=EMPTY_DISKS_HELP)] = False,
) -> None:
    """Mend what a check finds in an image, in a layer over it.

    The image itself is never written. Shows each change, and why; what was written is read back and checked again, and
    a mend that took no finding away is taken back. Without --out nothing is kept. Ends with 4 when the image route, or
    the one given with --route, is still blocked.

    vmie repair server.qcow2

    vmie repair server.qcow2 --out mended.qcow2

    vmie repair appliance.ova --out mended.vmdk --only VMIE-LNX-001 --only serial-console
    """
    from vmie.ops import repair_output as op
    from vmie.poll import SystemClock

    run = context.of(ctx)
    if out is not None:
        op.check(out, images, force=force)
    found = op.repair_image(
        images,
        clock=SystemClock(),
        target=None if run.dry_run else out,
        force=force,
        only=only or (),
        machine=machine,
        empty_disks=empty_disks,
        reporter=run.reporter,
    )
    result, stops = found.as_json(), found.failing(route)
    if run.output == "json" and stops:
        failure = PreflightError(
            f"the {route.value} route is still blocked: {stops[0].rule} {stops[0].message}",
            cure=stops[0].cure_text(TERMS),
            code=stops[0].rule,
        )
        failure.result, failure.findings = result, found.findings
        raise failure
    text = "\n".join(_lines(found, out))
    render.finish(run, "repair", result, text=text, findings=found.findings)
    if stops:
        raise typer.Exit(PreflightError.exit_code)


def _lines(found: RepairResult, out: Path | None) -> Iterator[str]:
    done, names = found.done, " + ".join(map(str, found.paths))
    for change in done.changes:
        yield from _change(change)
    count = len(done.changes)
    yield visible(f"{names}: {f'{count} file{_s(count)} changed' if count else 'nothing to mend'}")
    if done.mended:
        yield f"  mended: {', '.join(done.mended)}"
    routes = {(one.rule, one.message): one.routes for one in found.findings}
    for left in done.left:
        on = on_routes(routes.get((left.rule, left.why), ()))
        yield visible(f"  left: {' '.join(filter(None, (left.rule, left.why)))}{on}")
        if left.by_hand:
            yield visible(f"        in the guest: {left.by_hand}")
    for path in found.outputs:
        yield visible(f"  written: {path}")
    if done.changes:
        yield visible(f"  next: {_next(found, out)}")


def _next(found: RepairResult, out: Path | None) -> str:
    if found.outputs:
        return Run(("vmie", "import", *map(str, found.outputs))).text(TERMS)
    return Run(("vmie", "repair", *map(str, found.paths), "--out", str(out or "mended.qcow2"))).text(TERMS)


def _s(count: int) -> str:
    return "" if count == 1 else "s"


def _change(change: FileChange) -> Iterator[str]:
    from vmie.ops.repair import diff

    lines = diff(change)
    for line in lines[:_MOST]:
        yield visible(line)
    if len(lines) > _MOST:
        yield f"  and {len(lines) - _MOST} lines more"
    for one in change.reasons:
        rules = f" ({', '.join(one.rules)})" if one.rules else ""
        yield visible(f"  {one.why}{rules}")
    yield ""
