"""Each part of a plan against its model: every field's own mistakes are told, the rest of the part is kept."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from vmie.batch.plan import suggestions
from vmie.batch.plan.document import Path_, Raw
from vmie.batch.plan.schema import ALIASES, spelled

#: what YAML makes of plain words, as its users call it
_READ_AS = {bool: "a boolean", int: "a number", float: "a number", dt.date: "a date", dt.datetime: "a time"}
_WANTED = {
    "string_type": "a text is wanted",
    "int_type": "a whole number is wanted",
    "int_from_float": "a whole number is wanted",
    "bool_type": "true or false is wanted",
    "list_type": "a text or a list of texts is wanted",
    "dict_type": "names with their texts are wanted, such as {team: red}",
    "model_type": "fields with their values are wanted",
}


def part(raw: Raw, model: type[BaseModel], given: Any, where: Path_) -> dict[str, Any]:
    """The fields of `given` that are right, by their names in Python; every other one is told.

    A field that was given as null is None; what was not given is not there.
    """
    if given is None:
        return {}
    if not isinstance(given, dict):
        raw.wrong(where, f"{_shown(raw, where, given)}: fields with their values are wanted")
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
            if not _told(raw, error, fields, where, given=given):
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


def _told(raw: Raw, error: ValidationError, fields: dict[str, Any], where: Path_, *, given: Mapping[str, Any]) -> bool:
    """Tell the mistakes and take their fields out; False when there is nothing left to judge."""
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
    kind, context = str(one["type"]), one.get("ctx") or {}
    if kind == "value_error":
        return str(context.get("error", one["msg"]))
    if kind in ("string_too_short", "too_short") and context.get("min_length") == 1:
        return "is empty"
    message = str(one["msg"])
    wanted = message[:1].lower() + message[1:]
    match kind:
        case "literal_error":
            choices = re.findall(r"'([^']*)'|\b(\d+)\b", str(context.get("expected", "")))
            names = [text or number for text, number in choices]
            wanted = f"choose {_either(names)}{suggestions.value(one.get('input'), names)}"
        case "string_pattern_mismatch":
            wanted = _PATTERNS.get(str(where[-1]), "this is not how it is written")
        case "greater_than_equal":
            wanted = f"at least {context['ge']}"
        case "less_than_equal":
            wanted = f"at most {context['le']}"
        case "string_too_long" | "too_long":
            wanted = f"{len(str(one['input']))} characters are too many, at most {context['max_length']}"
        case "string_too_short" | "too_short":
            wanted = f"at least {context['min_length']} characters"
        case _ if kind in _WANTED:
            wanted = f"{_WANTED[kind]}{_quotes(raw, where, one.get('input'), kind)}"
    return f"{_shown(raw, where, one.get('input'))}: {wanted}"


_PATTERNS = {
    "key": "a key is made of 1 to 64 letters, digits, dots, hyphens and underscores, a letter or digit first",
    "queue": "a label is made of 1 to 32 lower-case letters, digits and hyphens, a letter or digit first",
}


def _quotes(raw: Raw, where: Path_, given: Any, kind: str) -> str:
    """For a word that YAML did not read as a text."""
    if kind not in ("string_type", "list_type") or where not in raw.words or type(given) not in _READ_AS:
        return ""
    return f", and YAML reads {raw.words[where]} as {_READ_AS[type(given)]}: put it in quotes"


def _shown(raw: Raw, where: Path_, given: Any) -> str:
    """The value as it was written, short."""
    if where in raw.words:
        return raw.words[where]
    if given is None:
        return "nothing"
    if isinstance(given, str):
        return repr(given[:60]) + ("…" if len(given) > 60 else "")
    if isinstance(given, dict | list):
        return "a list" if isinstance(given, list) else "a mapping"
    return f"a value of {type(given).__name__}"


def _either(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
