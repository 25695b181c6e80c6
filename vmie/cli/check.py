"""`vmie check`: AWS's verdict on disks and appliances, before the upload."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmie import events
from vmie.cli import context, render, wrapping
from vmie.cli.terms import TERMS
from vmie.errors import ImageError, PreflightError
from vmie.escaping import visible
from vmie.model import Profile, Route
from vmie.options.help_texts import EMPTY_DISKS_HELP, MACHINE_HELP

if TYPE_CHECKING:
    from vmie.ops.check import CheckReport


def check(
    ctx: typer.Context,
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Disks, OVAs, OVFs, folders of them, or snap-….")
    ],
    route: Annotated[Route | None, typer.Option("--route", "--as", help="The route that must not be blocked.")] = None,
    rules: Annotated[
        Profile, typer.Option("--rules", help="Whose rules: today's, or the 2016 page to the letter.")
    ] = Profile.CURRENT,
    profile: Annotated[str, typer.Option("--profile", hidden=True, help="As --rules was called.")] = "",
    strict: Annotated[bool, typer.Option("--strict", help="Warnings and unknowns block too.")] = False,
    together: Annotated[bool, typer.Option("--together", help="All files are disks of one machine.")] = False,
    machine: Annotated[str, typer.Option("--machine", metavar="NAME", help=MACHINE_HELP)] = "",
    empty_disks: Annotated[bool, typer.Option("--empty-disks", help=EMPTY_DISKS_HELP)] = False,
    as_is: Annotated[bool, typer.Option("--as-is", help="Check the file as it is: nothing is converted.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read all of it: unpack every grain, compare an appliance's manifest.")
    ] = False,
    details: Annotated[bool, typer.Option("--details", help="Of several images, show each in full.")] = False,
) -> None:
    """Show whether AWS will accept an image, and why not, without AWS. Of a snapshot only the blocks needed are read.

    Every file is a machine of its own, an OVA with all its disks; a folder stands for the images in it. Several
    are one table, worst first.
    Ends with 4 when the image route, or the one given with --route, is blocked, and with 2 when a file
    cannot be read.

    vmie check server.vmdk

    vmie check appliance.ova exports/ --rules 2016

    vmie check data.vhdx --route snapshot --strict

    vmie check sda.qcow2 sdb.qcow2 --together

    vmie check appliance.ova --verify
    """
    from vmie.ops import check as op
    from vmie.poll import SystemClock

    run = context.of(ctx)
    if profile in tuple(Profile):
        run.reporter(events.Note(f"`--profile {profile}` is `--rules {profile}` now: a profile is AWS's", "warning"))
        rules = Profile(profile)
    with _counting(run, verify=verify) as reporter:
        report = op.check(
            files,
            clock=SystemClock(),
            profile=rules,
            routes=(route,) if route else tuple(Route),
            strict=strict,
            as_is=as_is,
            together=together,
            machine=machine,
            empty_disks=empty_disks,
            verify=verify,
            snapshots=run.snapshot,
            reporter=reporter,
        )
    _end(run, report, route, details=details)


@contextmanager
def _counting(run: context.Invocation, *, verify: bool) -> Iterator[events.Reporter]:
    """A reporter that names the image at hand in one line of a terminal, from the second image on."""
    lines = run.quiet or run.verbose or not run.progress or run.log_format != "text"
    if lines or verify or not wrapping.drawable(sys.stderr):  # verifying has its own bars
        yield run.reporter
        return
    looked = 0
    line: Any = None
    with ExitStack() as stack:

        def report(event: events.Event, /) -> None:
            nonlocal looked, line
            if isinstance(event, events.Note) and event.level == "debug":
                looked += 1
                if looked > 1:
                    line = line or stack.enter_context(render.console(stderr=True).status(""))
                    line.update(visible(f"{looked}: {event.text}"))
            else:
                run.reporter(event)

        yield report


def _end(run: context.Invocation, report: CheckReport, route: Route | None, *, details: bool) -> None:
    """Show the report and end with what stands in it."""
    failure = _failure(report, route)
    shown = report.everything if run.verbose else report.findings
    if run.output == "json" and failure is None:
        render.finish(run, "check", report.as_json(), findings=shown)
    elif failure is not None and (run.output == "json" or (report.unreadable and len(report.images) == 1)):
        failure.result = report.as_json()
        failure.findings = shown
        raise failure
    else:
        _show(run, report, route or Route.IMAGE, details=details or run.verbose)
        if failure is not None:
            raise typer.Exit(failure.exit_code)  # what it would say stands in the report


def _failure(report: CheckReport, route: Route | None) -> ImageError | PreflightError | None:
    """What ends the command with 2 or 4; None when nothing does."""
    from vmie.ops.check import blocking, named

    if report.unreadable is not None:
        return report.unreadable
    wanted = route or Route.IMAGE
    stops = blocking(report, wanted)
    if not stops:
        return None
    first = stops[0]
    message, cause = named(stops)
    return PreflightError(
        f"the {wanted.value} route is blocked: {message}",
        cause=cause,
        cure=first.cure_text(TERMS) + _open_routes(report, route),
        code=first.rule,
    )


def _open_routes(report: CheckReport, route: Route | None) -> str:
    other = {image.recommended for image in report.images} - {route or Route.IMAGE, None}
    listed = ", ".join(sorted(f"`--route {one.value}`" for one in other if one is not None))
    return f"\n(open: {listed})" if listed else ""


def _show(run: context.Invocation, report: CheckReport, route: Route, *, details: bool) -> None:
    from vmie.cli.check_text import lines, styled

    if len(report.images) > 1 and not details:
        from vmie.cli.check_table import table

        render.finish(run, "check", {}, text=table(report, route))
        return
    render.finish(run, "check", {}, text=styled(lines(report, route, everything=run.verbose)))
