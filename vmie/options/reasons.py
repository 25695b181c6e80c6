"""Why a value is none of an option's: what was given, what is wanted, what is probably intended."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

_WANTED = {
    "string_type": "a text is wanted",
    "int_type": "a whole number is wanted",
    "int_from_float": "a whole number is wanted",
    "bool_type": "true or false is wanted",
    "tuple_type": "a text or a list of texts is wanted",
    "list_type": "a text or a list of texts is wanted",
    "dict_type": "names with their texts are wanted, such as {team: red}",
    "model_type": "fields with their values are wanted",
}
#: values as other tools call them
_VALUES: Mapping[str, str] = {
    "amd64": "x86_64",
    "ami": "image",
    "bios": "legacy-bios",
    "ebs": "snapshot",
    "efi": "uefi",
    "hyper-v": "microsoft",
    "i686": "i386",
    "img": "raw",
    "legacy": "legacy-bios",
    "vhdx": "vhd",
    "vsphere": "vmware",
    "win": "Windows",
    "x64": "x86_64",
    "x86": "i386",
    "x86-64": "x86_64",
    "xen": "citrix",
}


def reason(one: Mapping[str, Any], *, shown: str | None = None, hint: str = "") -> tuple[str, str]:
    """What is wrong and what is wanted, of one of pydantic's errors.

    `shown`: how the value was written; `hint`: of a wrong type.
    """
    kind, context = str(one["type"]), one.get("ctx") or {}
    if kind == "value_error":
        what, *more = context["error"].args
        return str(what), str(more[0]) if more else ""
    if kind in ("string_too_short", "too_short", "tuple_too_short") and context.get("min_length") == 1:
        return "is empty", ""
    message = str(one["msg"])
    wanted = message[:1].lower() + message[1:]
    match kind:
        case "literal_error" | "enum":
            choices = re.findall(r"'([^']*)'|\b(\d+)\b", str(context.get("expected", "")))
            names = [text or number for text, number in choices]
            wanted = f"choose {either(names)}{suggestion(one.get('input'), names)}"
        case "greater_than_equal":
            wanted = f"at least {context['ge']}"
        case "less_than_equal":
            wanted = f"at most {context['le']}"
        case "string_too_long" | "too_long":
            wanted = f"{len(str(one['input']))} characters are too many, at most {context['max_length']}"
        case "string_too_short" | "too_short":
            wanted = f"at least {context['min_length']} characters"
        case _ if kind in _WANTED:
            wanted = f"{_WANTED[kind]}{hint}"
    return brief(one.get("input")) if shown is None else shown, wanted


def brief(given: Any) -> str:
    """A value, short."""
    if given is None:
        return "nothing"
    if isinstance(given, str):
        return repr(given[:60]) + ("…" if len(given) > 60 else "")
    if isinstance(given, dict | list | tuple):
        return "a mapping" if isinstance(given, dict) else "a list"
    if isinstance(given, bool | int | float):
        return str(given)
    return f"a value of {type(given).__name__}"


def either(names: list[str]) -> str:
    """``a, b or c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def suggestion(given: object, choices: Iterable[str]) -> str:
    """``; did you mean uefi?`` for a value that is not among `choices`, or "" """
    known = {choice.lower(): choice for choice in choices}
    text = str(given).strip().lower().replace("_", "-")
    likely = _VALUES.get(text, text)
    for one in (likely, text.replace("-", "_"), likely.lower()):
        if one.lower() in known:
            return f"; did you mean {known[one.lower()]}?"
    near = get_close_matches(text, known, n=1)
    return f"; did you mean {known[near[0]]}?" if near else ""
