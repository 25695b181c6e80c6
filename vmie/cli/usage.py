"""Mistakes that Typer finds in what was typed, in our words: what is wrong, and what to type instead."""

from __future__ import annotations

import re
from typing import Any

from vmie.errors import Run, UsageError
from vmie.options.reasons import brief, either, suggestion

#: how click and pydantic say that a value is none of several, or none at all
_NO_CHOICE = re.compile(r"'([^']*)' is not one of ((?:'[^']*'(?:, )?)+)")
_NO_VALUE = re.compile(r"Input should be (.*)", re.DOTALL)
_WANTED = {"a valid integer, unable to parse string as an integer": "a whole number"}


def told(error: Any) -> UsageError:
    """One of click's usage errors as ours."""
    context: Any = getattr(error, "ctx", None)
    parameter: Any = getattr(error, "param", None)
    path = str(context.command_path) if context else "vmie"
    page = Run((*path.split(), "--help"), "shows how it is typed")
    message: str = getattr(error, "format_message", error.__str__)()
    name = _name(parameter) if parameter is not None else ""
    if name and (found := _NO_CHOICE.search(message)):
        choices = re.findall("'([^']*)'", found[2])
        wanted = f"choose {either(choices)}{suggestion(found[1], choices)}"
        return UsageError(f"{name}: {brief(found[1])} does not fit", cure=wanted)
    if name and (found := _NO_VALUE.search(message)):
        return UsageError(f"{name} must be {_WANTED.get(found[1], found[1])}", cure=page)
    if name and type(error).__name__ == "MissingParameter":
        value = f" {parameter.metavar or ''}".rstrip()
        flag = parameter.param_type_name == "option"
        return UsageError(f"{name} is missing", cure=(f"add {name}{value}" if flag else f"name {name}", page))
    return UsageError(message, cure=page)


def _name(parameter: Any) -> str:
    """The option's first flag, or what stands for an argument."""
    if parameter.param_type_name == "option":
        return str(parameter.opts[0])
    return str(parameter.metavar or parameter.name.upper())
