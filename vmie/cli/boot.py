"""`vmie boot`: whether a machine starts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vmie.cli import boot_text, context, render
from vmie.options.help_texts import MACHINE_HELP

if TYPE_CHECKING:
    from vmie.ops.boot import BootReport

#: the exit code of each verdict
CODES = {"boots": 0, "fails": 4, "unknown": 1}


def boot(
    ctx: typer.Context,
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="A disk in any format, an OVA, or snap-….")],
    repair: Annotated[bool, typer.Option("--repair", help="Mend first what can be mended, in memory alone.")] = False,
    firmware: Annotated[
        str, typer.Option("--firmware", metavar="<auto|bios|uefi>", help="What starts the disk.")
    ] = "auto",
    timeout: Annotated[
        int, typer.Option("--timeout", min=1, max=86400, metavar="S", help="Seconds until it is given up.")
    ] = 600,
    machine: Annotated[str, typer.Option("--machine", metavar="NAME", help=MACHINE_HELP)] = "",
    screenshot: Annotated[
        Path | None,
        typer.Option("--screenshot", metavar="FILE", help="Keep its last screen here, as PNG."),
    ] = None,
) -> None:
    """Show whether a machine starts: here, in QEMU, before it is sent.

    The disk is only read: what the guest writes is thrown away, and it has no network but an address. Ends with 0 when
    it starts, with 4 when it does not, and with 1 when nothing shows either.

    vmie boot server.qcow2

    vmie boot appliance.ova --repair

    vmie boot snap-0123456789abcdef0 --firmware uefi --timeout 1200
    """
    from vmie.ops import boot as op
    from vmie.poll import SystemClock

    run = context.of(ctx)
    with op.plan(
        Path(image),
        clock=SystemClock(),
        mend=repair,
        by=op.firmware(firmware),
        machine=machine,
        snapshots=run.snapshot,
        reporter=run.reporter,
    ) as planned:
        if run.dry_run:
            told = planned.as_json()
            render.finish(run, "boot", {"plan": told}, text=boot_text.planned(told))
            return
        report = op.start(
            planned, timeout=timeout, screenshot=screenshot, pictures=run.state / "boot", reporter=run.reporter
        )
    _end(run, report)


def _end(run: context.Invocation, report: BootReport) -> None:
    text = "\n".join(boot_text.here(report))
    render.finish(run, "boot", report.as_json(), findings=report.explained_by, text=text)
    if code := CODES[report.result.verdict.value]:
        raise typer.Exit(code)
