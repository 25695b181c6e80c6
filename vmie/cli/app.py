"""The verbs and the global options, put together. Nothing heavy is imported here."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from vmie._version import __version__
from vmie.cli.context import Invocation
from vmie.cli.verbs import Verbs


class LogFormat(StrEnum):
    """The format of progress on stderr."""

    TEXT = "text"
    JSON = "json"


class Output(StrEnum):
    """How results are printed."""

    TEXT = "text"
    JSON = "json"


def _version(value: bool) -> None:
    if value:
        print(f"vmie {__version__}")  # noqa: T201
        raise typer.Exit


def root(
    ctx: typer.Context,
    profile: Annotated[str | None, typer.Option(help="AWS profile (before the verb).")] = None,
    region: Annotated[str | None, typer.Option(help="AWS Region.")] = None,
    endpoint_url: Annotated[str | None, typer.Option(help="Another endpoint, such as `vmie sandbox serve`.")] = None,
    sandbox: Annotated[bool, typer.Option("--sandbox", help="Use AWS offline, emulated in this process.")] = False,
    output: Annotated[Output, typer.Option(help="text for people, json for scripts.")] = Output.TEXT,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only results and errors.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print more, with every AWS call.")] = False,
    no_progress: Annotated[bool, typer.Option("--no-progress", help="No bars.")] = False,
    log_format: Annotated[
        LogFormat, typer.Option(help="json: every event, with every AWS call, as a line of JSON on stderr.")
    ] = LogFormat.TEXT,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, do nothing.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Virtual machines into Amazon EC2 and out again.

    Global options may stand before or after the verb.

    Exit codes: 0 done, 1 failed, 2 usage or unreadable input, 3 partial, 4 preflight found a blocking
    problem, 5 AWS refused, 130 interrupted (can be resumed).
    """
    run = ctx.find_object(Invocation) or Invocation()
    run.options = {"profile": profile, "region": region, "endpoint_url": endpoint_url}
    run.output = output.value
    run.quiet, run.verbose, run.progress = quiet, verbose, not no_progress
    run.dry_run, run.sandbox = dry_run, sandbox
    run.log_format = log_format.value
    ctx.obj = run


def build() -> typer.Typer:
    """The application; its verbs are loaded when they are asked for."""
    app = typer.Typer(
        name="vmie", cls=Verbs, pretty_exceptions_enable=False, rich_markup_mode=None, add_completion=True
    )
    app.callback()(root)
    return app
