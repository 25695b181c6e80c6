"""IAM's patterns: ``*`` any run of characters, ``?`` one, ``${key}`` a value of the request; nothing else is special.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

#: a character that no value has: a variable without a value equals nothing and is like nothing
NOTHING = "\0"
_VARIABLE = re.compile(r"\$\{([^{}]*)\}")
_SPECIAL = re.compile(r"([*?])")
#: ``${*}`` stands for a star that is no wildcard
_LITERAL = ("*", "?", "$")
_DEFAULT = re.compile(r"([^,]*?)\s*,\s*'([^']*)'\s*")


def matches(pattern: str, value: str) -> bool:
    """Whether `value` is like `pattern`, in time linear in the value for each star."""
    if "*" not in pattern and "?" not in pattern:
        return pattern == value
    return _compiled(_pieces(pattern)).fullmatch(value) is not None


def like(text: str, value: str, context: Mapping[str, Sequence[str]] | None) -> bool:
    """`matches` with the variables of `text` filled from `context` (keys in lower case); what they hold is no pattern.

    None is for documents that know no variables: before version 2012-10-17 a ``${…}`` is the text that it is.
    """
    if context is None or "${" not in text:
        return matches(text, value)
    pieces: list[str] = []
    for literal, variable in _parted(text):
        pieces += _pieces(literal)
        if variable is not None:
            pieces.append(f"={_value(variable, context)}")
    return _compiled(tuple(pieces)).fullmatch(value) is not None


def filled(text: str, context: Mapping[str, Sequence[str]] | None) -> str:
    """`text` with its variables filled, for a comparison that knows no wildcards; None as for `like`."""
    if context is None or "${" not in text:
        return text
    return "".join(
        literal + ("" if variable is None else _value(variable, context)) for literal, variable in _parted(text)
    )


def _parted(text: str) -> list[tuple[str, str | None]]:
    """`text` as pairs of what stands before a variable, and the variable."""
    parts: list[str | None] = [*_VARIABLE.split(text), None]
    return [(parts[place] or "", parts[place + 1]) for place in range(0, len(parts), 2)]


def _value(variable: str, context: Mapping[str, Sequence[str]]) -> str:
    if variable in _LITERAL:
        return variable
    found = _DEFAULT.fullmatch(variable)
    key, default = (found[1], found[2]) if found else (variable, NOTHING)
    values = context.get(key.strip().lower(), ())
    # a key of several values cannot be a variable
    return values[0] if len(values) == 1 else default


def _pieces(pattern: str) -> tuple[str, ...]:
    """The pattern's parts: ``*``, ``?``, or ``=`` and the text that stands there."""
    return tuple(part if part in ("*", "?") else f"={part}" for part in _SPECIAL.split(pattern) if part)


@lru_cache(maxsize=4096)
def _compiled(pieces: tuple[str, ...]) -> re.Pattern[str]:
    """An expression that never tries a star's second place again: so it cannot take exponential time."""
    runs: list[str] = [""]
    for piece in pieces:
        if piece == "*":
            if runs[-1] or len(runs) == 1:
                runs.append("")
        else:
            runs[-1] += "." if piece == "?" else re.escape(piece[1:])
    if len(runs) == 1:
        return re.compile(runs[0], re.DOTALL)
    first, *middle, last = runs
    return re.compile(first + "".join(f"(?>.*?{run})" for run in middle) + f".*{last}", re.DOTALL)
