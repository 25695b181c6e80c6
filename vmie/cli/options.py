"""The options of a verb, from their one declaration in `vmie.options`: a Typer parameter for each field."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer
from pydantic.fields import FieldInfo

from vmie.cli.terms import TERMS
from vmie.errors import UsageError, says
from vmie.options import Options
from vmie.options.base import choices, extra, fields_of, kind
from vmie.options.reasons import either

_TYPES: dict[str, Any] = {"flag": bool, "number": int, "list": list[str], "mapping": list[str], "text": str}
_EVERY = ("image", "snapshot", "instance", "volume")


def takes(model: type[Options]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Put the options of `model` in the place of a verb's parameter `given`, which gets what was typed, by field."""

    def decorate(verb: Callable[..., None]) -> Callable[..., None]:
        options = {name: info for name, info in fields_of(model).items() if not extra(info).argument}
        own = inspect.signature(verb, eval_str=True).parameters
        parameters: list[inspect.Parameter] = []
        for name, parameter in own.items():
            if name == "given":
                parameters += [_parameter(option, info) for option, info in options.items()]
            else:
                parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))

        def command(**values: Any) -> None:
            typed = {name: values.pop(name) for name in options}
            given = {name: value for name, value in typed.items() if value not in (None, []) and value is not False}
            verb(**values, given={name: _value(options[name], value) for name, value in given.items()})

        command.__name__, command.__doc__ = verb.__name__, verb.__doc__
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return command

    return decorate


def _parameter(name: str, info: FieldInfo) -> inspect.Parameter:
    said, listed = extra(info), choices(info)
    what, flags = kind(info.annotation), said.flags or (f"--{name.replace('_', '-')}",)
    settings: dict[str, Any] = {"help": _help(info), "rich_help_panel": said.group}
    if what == "flag":
        default: Any = False
    else:
        default = ... if info.is_required() else None
        settings["metavar"] = said.metavar or (f"<{'|'.join(listed)}>" if listed else None)
    if listed:
        settings["autocompletion"] = lambda incomplete: [one for one in listed if one.startswith(incomplete)]
    annotation = _TYPES[what] if what == "flag" or default is ... else _TYPES[what] | None
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if default is ... else default,
        annotation=Annotated[annotation, typer.Option(*flags, **settings)],
    )


def _help(info: FieldInfo) -> str:
    """The help of an option, with its default and the routes that take it where not all do."""
    routes = [route for route in extra(info).routes if route in _EVERY]
    only = f" [{TERMS.option('route')} {either(routes)}]" if routes and len(routes) < len(_EVERY) else ""
    default = info.get_default()
    usual = f" [default: {default}]" if isinstance(default, str) and default else ""
    again = "; repeatable." if kind(info.annotation) in ("list", "mapping") else "."
    return f"{says(info.description or '').text(TERMS).removesuffix('.')}{again}{only}{usual}"


def _value(info: FieldInfo, value: Any) -> Any:
    return tags(value) if kind(info.annotation) == "mapping" else tuple(value) if isinstance(value, list) else value


def tags(pairs: list[str]) -> dict[str, str]:
    """``K=V`` arguments as a dict; raises UsageError."""
    out: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError(says("{tags} {_pair!r} is not KEY=VALUE", _pair=pair), cure="such as team=web")
        out[key] = value
    return out
