"""`vmie boot`: whether a machine starts, here in QEMU or in EC2."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmie.cli import boot_text, context, render
from vmie.cli.options import takes
from vmie.errors import Drop, UsageError, says
from vmie.options import ProofRequest
from vmie.options.help_texts import MACHINE_HELP
from vmie.options.proof_request import LONGEST

if TYPE_CHECKING:
    from vmie.jobs.runner import JobOutcome
    from vmie.ops.boot import BootReport
    from vmie.ops.prove import ProofPlan, ProofResult

#: the exit code of each verdict
CODES = {"boots": 0, "fails": 4, "unknown": 1}


@takes(ProofRequest)
def boot(
    ctx: typer.Context,
    image: Annotated[
        str, typer.Argument(metavar="IMAGE", help="A disk in any format, an OVA, or snap-…; or ami-…, in EC2.")
    ],
    given: dict[str, Any],
    repair: Annotated[bool, typer.Option("--repair", help="Mend first what can be mended, in memory alone.")] = False,
    firmware: Annotated[
        str, typer.Option("--firmware", metavar="<auto|bios|uefi>", help="What starts the disk.")
    ] = "auto",
    tpm: Annotated[bool, typer.Option("--tpm", help="Give the machine a TPM 2.0 (swtpm).")] = False,
    machine: Annotated[str, typer.Option("--machine", metavar="NAME", help=MACHINE_HELP)] = "",
    screenshot: Annotated[
        Path | None,
        typer.Option("--screenshot", metavar="FILE", help="Keep its last screen here, as PNG."),
    ] = None,
) -> None:
    """Show whether a machine starts: here, in QEMU, or an AMI in EC2.

    Here the disk is only read: what the guest writes is thrown away, and it has no network but an address. An AMI is
    launched: what that may cost is told before, the instance may do nothing, and it is ended in every case. Ends with 0
    when the machine starts, with 4 when it does not, and with 1 when nothing shows either.

    vmie boot server.qcow2

    vmie boot appliance.ova --repair

    vmie boot snap-0123456789abcdef0 --firmware uefi --timeout 1200

    vmie boot ami-0123456789abcdef0 --instance-types t3.micro,m5.large --max-cost 0.10
    """
    run = context.of(ctx)
    own: dict[str, Any] = {"repair": repair, "tpm": tpm, "machine": machine, "screenshot": screenshot}
    own["firmware"] = firmware if firmware != "auto" else ""
    if re.fullmatch(r"ami-[0-9a-f]{8,17}", image) and not Path(image).exists():
        _expect_none(tuple(name for name, value in own.items() if value), "{_image} is launched in EC2", image)
        _there(run, ProofRequest(**{"image_id": image, **given}))
        return
    timeout = given.pop("timeout", ProofRequest.model_fields["timeout"].default)
    _expect_none(tuple(given), "{_image} is started here", image)
    if not 1 <= timeout <= LONGEST:
        raise UsageError(says("{timeout}: not between 1 and {_most} seconds", _most=LONGEST), fields=("timeout",))
    own |= {"firmware": firmware, "timeout": timeout}
    _here(run, Path(image), **own)


def _expect_none(names: tuple[str, ...], why: str, image: str) -> None:
    """Raise UsageError for options of the other place."""
    if names:
        raise UsageError(
            says(f"{', '.join(f'{{{name}}}' for name in names)}: {why}", _image=image), cure=Drop(names), fields=names
        )


def _here(
    run: context.Invocation,
    image: Path,
    *,
    repair: bool,
    firmware: str,
    tpm: bool,
    timeout: int,
    machine: str,
    screenshot: Path | None,
) -> None:
    from vmie.ops import boot as op
    from vmie.poll import SystemClock

    with op.plan(
        image,
        clock=SystemClock(),
        mend=repair,
        by=op.firmware(firmware),
        tpm=tpm,
        machine=machine,
        snapshots=run.snapshot,
        reporter=run.reporter,
    ) as planned:
        if run.dry_run:
            told = planned.as_json()
            render.finish(run, "boot", {"plan": told}, text=boot_text.planned(told))
            return
        kept = None if run.sandbox else run.state / "boot"
        report = op.start(planned, timeout=timeout, screenshot=screenshot, pictures=kept, reporter=run.reporter)
    _end(run, report)


def _end(run: context.Invocation, report: BootReport) -> None:
    text = "\n".join(boot_text.here(report))
    render.finish(run, "boot", report.as_json(), findings=report.explained_by, text=text)
    if code := CODES[report.result.verdict.value]:
        raise typer.Exit(code)


def _there(run: context.Invocation, request: ProofRequest) -> None:
    from vmie.jobs import runner
    from vmie.ops.prove import ProofOperation

    show(run, runner.run(ProofOperation(run.work(), request), dry_run=run.dry_run))


def show(run: context.Invocation, outcome: JobOutcome[ProofPlan, ProofResult], *, command: str = "boot") -> None:
    """Print what a proof in EC2 came to, and end with its exit code; `vmie resume` shares it."""
    result = outcome.result
    if result is None:
        render.finish(run, command, {"plan": outcome.plan.as_json()}, text=f"would launch {outcome.plan.summary}")
        return
    render.finish(run, command, result.as_json(), text="\n".join(boot_text.there(result)))
    if code := CODES[result.verdict.value]:
        raise typer.Exit(code)
