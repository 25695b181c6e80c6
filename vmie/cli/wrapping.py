"""Lines on a terminal: no word is parted, what goes on stands below, and a command can be copied whole.

Through a pipe every line is as it was given, however long.
"""

from __future__ import annotations

import os
import re
import shlex
import textwrap
from collections.abc import Iterator, Sequence
from typing import IO

#: narrower terminals part the lines themselves
_LEAST = 40
_USUAL = (80, 24)
#: stands for a space where no line may end
TOGETHER = "\N{NO-BREAK SPACE}"
#: a number stays with its unit
_AMOUNT = re.compile(r"(\d) (?=(?:[KMGT]i)?B\b|s\b)")


def drawable(stream: IO[str]) -> bool:
    """Whether what stands on `stream` can be drawn over: a terminal, and none that only prints."""
    return stream.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")


def columns(stream: IO[str]) -> int | None:
    """The width of the terminal that `stream` is, None where it is none."""
    return _size(stream, "COLUMNS", 0, _LEAST)


def rows(stream: IO[str]) -> int | None:
    """The height of the terminal that `stream` is, None where it is none."""
    return _size(stream, "LINES", 1, 1)


def _size(stream: IO[str], variable: str, number: int, least: int) -> int | None:
    if not stream.isatty():
        return None
    asked = os.environ.get(variable, "")
    try:
        there = os.get_terminal_size(stream.fileno())[number]
    except (OSError, ValueError):
        there = 0
    return max(int(asked) if asked.isdecimal() else there or _USUAL[number], least)


def wrapped(text: str, width: int | None, *, first: str = "", indent: int = 0) -> Iterator[str]:
    """`text` after `first`, in lines of `width`; those below are indented. None leaves it in one."""
    if width is None:
        yield first + text.replace(TOGETHER, " ")
        return
    lines = textwrap.wrap(
        _AMOUNT.sub(rf"\1{TOGETHER}", text),
        width,
        initial_indent=first,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    yield from (line.replace(TOGETHER, " ") for line in lines or [first])


def command(argv: Sequence[str], width: int | None, *, first: str = "", indent: int = 0) -> Iterator[str]:
    """A command after `first`; where it has to go on below, the line ends as a shell wants it."""
    words = _together(argv)
    line = first + words[0]
    for number, word in enumerate(words[1:], 2):
        room = (width or 0) - (2 if number < len(words) else 0)
        if width is not None and len(line) + 1 + len(word) > room:
            yield f"{line} \\"
            line = " " * indent + word
        else:
            line += f" {word}"
    yield line


def _together(argv: Sequence[str]) -> list[str]:
    """The words as a shell takes them, an option's value with the option."""
    words: list[str] = []
    for word in map(shlex.quote, argv):
        if words and words[-1].startswith("--") and " " not in words[-1] and not word.startswith("-"):
            words[-1] += f" {word}"
        else:
            words.append(word)
    return words
