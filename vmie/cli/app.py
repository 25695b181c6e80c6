"""The verbs and the global options, put together. Nothing heavy is imported here."""

from __future__ import annotations

import inspect
from enum import StrEnum
from typing import Annotated, Any

import typer

from vmie._version import __version__
from vmie.cli import completion
from vmie.cli.commands import Verbs
from vmie.cli.context import Invocation
from vmie.cli.global_options import GLOBALS, Global


def _version(value: bool) -> None:
    if value:
        print(f"vmie {__version__}")  # noqa: T201
        raise typer.Exit


def root(ctx: typer.Context, **given: Any) -> None:
    """Keep the global options, which are declared in `vmie.cli.global_options`, for the verb."""
    run = ctx.find_object(Invocation) or Invocation()
    run.options = {name: given[name] for name in ("profile", "region", "endpoint_url")}
    run.output, run.log_format = given["output"], given["log_format"]
    run.quiet, run.verbose, run.progress = given["quiet"], given["verbose"], not given["no_progress"]
    run.dry_run, run.sandbox = given["dry_run"], given["sandbox"]
    ctx.obj = run


def build() -> typer.Typer:
    """The application; its verbs are loaded when they are asked for."""
    app = typer.Typer(
        name="vmie",
        cls=Verbs,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        add_completion=True,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    def callback(ctx: typer.Context, **given: Any) -> None:
        root(ctx, **{name: getattr(value, "value", value) for name, value in given.items()})

    parameters = [inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)]
    parameters += map(_parameter, GLOBALS)
    callback.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    callback.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    app.callback()(callback)
    return app


_COMPLETED = {"profile": completion.profiles, "region": completion.regions}
#: an enumeration from names that are only known here
_CHOICES: Any = StrEnum


def _parameter(one: Global) -> inspect.Parameter:
    settings: dict[str, Any] = {"help": one.words.partition(" [default")[0]}
    kind: Any = str | None
    default: Any = None
    if one.name == "version":
        settings |= {"callback": _version, "is_eager": True}
    if one.switch:
        kind, default = bool, False
    elif one.choices:
        kind = _CHOICES(one.name, {choice.upper(): choice for choice in one.choices})
        default = kind(one.choices[0])
    else:
        settings |= {"metavar": one.value, "autocompletion": _COMPLETED.get(one.name)}
    flags = (one.flag, *filter(None, [one.short]))
    return inspect.Parameter(
        one.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[kind, typer.Option(*flags, **settings)],
    )
