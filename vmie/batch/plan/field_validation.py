"""Each part of a plan against its model: every field's own mistakes are reported, the rest of the part is kept."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from vmie.batch.plan import suggestions
from vmie.batch.plan.document import Path_, Raw
from vmie.batch.plan.schema import ALIASES, spelled
from vmie.options.reasons import brief, reason

#: what YAML makes of plain words, as its users call it
_READ_AS = {bool: "a boolean", int: "a number", float: "a number", dt.date: "a date", dt.datetime: "a time"}


def part(raw: Raw, model: type[BaseModel], given: Any, where: Path_) -> dict[str, Any]:
    """The fields of `given` that are right, by their names in Python; every other one is reported.

    A field that was given as null is None; what was not given is not there.
    """
    if given is None:
        return {}
    if not isinstance(given, dict):
        raw.wrong(where, f"{raw.words.get(where) or brief(given)}: fields with their values are wanted")
        return {}
    fields = {name: value for name, value in _renamed(raw, given, where).items() if (*where, name) not in raw.spoilt}
    known = spelled(model)
    for name in [name for name in fields if name not in known]:
        raw.wrong((*where, name), suggestions.unknown(name, model))
        del fields[name]
    for _ in range(len(fields) + 2):
        try:
            made = model.model_validate(fields)
        except ValidationError as error:
            if not _report(raw, error, fields, where, given=given):
                return {}
        else:
            return {name: getattr(made, name) for name in made.model_fields_set}
    return {}


def _renamed(raw: Raw, given: Mapping[str, Any], where: Path_) -> dict[str, Any]:
    """With the aliases of fields replaced by their names."""
    fields = dict(given)
    for alias, name in ALIASES.items():
        if alias not in fields:
            continue
        value = fields.pop(alias)
        if name in fields:
            raw.wrong((*where, alias), f"{alias} is another name of {name}: give one of the two")
            continue
        fields[name] = value
        raw.written[*where, name] = alias
        raw.lines[*where, name] = raw.line((*where, alias))
        if (*where, alias) in raw.words:
            raw.words[*where, name] = raw.words[*where, alias]
    return fields


def _report(
    raw: Raw, error: ValidationError, fields: dict[str, Any], where: Path_, *, given: Mapping[str, Any]
) -> bool:
    """Report the mistakes and take their fields out; False when there is nothing left to judge."""
    found = error.errors(include_url=False)
    for one in found:
        location: Path_ = tuple(one["loc"])
        if one["type"] == "missing":
            # Stands in, so that the other fields can be judged.
            fields[str(location[0])] = ["?"]
            if location[0] not in given:
                raw.wrong((*where, *location), "is missing")
            continue
        raw.wrong((*where, *location), _sentence(raw, one, (*where, *location)))
        if location:
            fields.pop(str(location[0]), None)
    return all(one["loc"] for one in found)


def _sentence(raw: Raw, one: Any, where: Path_) -> str:
    """What is wrong, and what is wanted."""
    kind, given = str(one["type"]), one.get("input")
    what, wanted = reason(one, shown=raw.words.get(where), hint=_quotes(raw, where, given, kind))
    return f"{what}{', ' if wanted.startswith('such as') else ': '}{wanted}" if wanted else what


def _quotes(raw: Raw, where: Path_, given: Any, kind: str) -> str:
    """For a word that YAML did not read as a text."""
    if kind not in ("string_type", "list_type", "tuple_type") or where not in raw.words or type(given) not in _READ_AS:
        return ""
    return f", and YAML reads {raw.words[where]} as {_READ_AS[type(given)]}: put it in quotes"
