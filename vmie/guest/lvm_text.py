"""LVM2's metadata text: sections in braces, ``key = value``, lists in brackets, ``#`` comments (lvm.conf(5) syntax)."""

from __future__ import annotations

import re
from typing import TypeGuard

Value = int | str | list[int | str]
Section = dict[str, "Value | Section"]

_MAX_DEPTH = 12
_MAX_TOKENS = 500_000
_TOKEN = re.compile(
    r"""\s+|\#[^\n]*|"(?P<text>(?:[^"\\\n]|\\.)*)"|(?P<number>-?\d{1,20}(?:\.\d+)?)(?![\w.+-])"""
    r"""|(?P<name>[\w.+/@-]+)|(?P<sign>[{}=\[\],])"""
)


class MetadataError(Exception):
    """The text does not follow the syntax; `str` says where."""


def parse(text: str) -> Section:
    """The whole text as nested dictionaries. Raises MetadataError."""
    stack: list[Section] = [{}]
    tokens = _Tokens(text)
    while (token := tokens.next()) is not None:
        kind, word = token
        if (kind, word) == ("sign", "}"):
            stack.pop()
            if not stack:
                raise MetadataError("a brace too many")
            continue
        if kind not in ("name", "number"):
            raise MetadataError(f"{word!r} stands where a name should")
        sign = tokens.next()
        if sign == ("sign", "{"):
            if len(stack) > _MAX_DEPTH:
                raise MetadataError("sections too deep in each other")
            section: Section = {}
            stack[-1][word] = section
            stack.append(section)
        elif sign == ("sign", "="):
            stack[-1][word] = _value(tokens)
        else:
            raise MetadataError(f"{word!r} is neither a section nor a value")
    if len(stack) != 1:
        raise MetadataError("it ends inside a section")
    return stack[0]


class _Tokens:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._count = 0

    def next(self) -> tuple[str, str] | None:
        while self._at < len(self._text):
            found = _TOKEN.match(self._text, self._at)
            if found is None:
                raise MetadataError(f"unexpected {self._text[self._at]!r} at character {self._at}")
            self._at = found.end()
            if found.lastgroup:
                self._count += 1
                if self._count > _MAX_TOKENS:
                    raise MetadataError("too long")
                return found.lastgroup, found[found.lastgroup]
        return None


def _value(tokens: _Tokens) -> Value:
    first = tokens.next()
    if first != ("sign", "["):
        return _scalar(first)
    items: list[int | str] = []
    while (token := tokens.next()) != ("sign", "]"):
        if token != ("sign", ","):
            items.append(_scalar(token))
    return items


def _scalar(token: tuple[str, str] | None) -> int | str:
    if token is None or token[0] not in ("text", "number"):
        raise MetadataError(f"{token[1] if token else 'the end'!r} stands where a value should")
    kind, word = token
    if kind == "number":
        return int(float(word)) if "." in word else int(word)
    return re.sub(r"\\(.)", r"\1", word)


def section(value: object) -> Section:
    """`value` if it is a section, else an empty one."""
    return value if _is_section(value) else {}


def _is_section(value: object) -> TypeGuard[Section]:
    return isinstance(value, dict)


def number(value: object, default: int = 0) -> int:
    """`value` if it is a number that is not negative, else `default`."""
    return value if isinstance(value, int) and value >= 0 else default


def text(value: object) -> str:
    """`value` if it is a text, else ""."""
    return value if isinstance(value, str) else ""


def items(value: object) -> list[int | str]:
    """`value` if it is a list, else an empty one."""
    return value if isinstance(value, list) else []
