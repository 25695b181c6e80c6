"""A page of help as text: usage, what the command does, examples, and lists that fit the terminal.

It knows neither Typer nor the verbs, so that `vmie --help` loads next to nothing.
"""

from __future__ import annotations

import os
import re
import sys
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

#: what a terminal has when nobody says how wide it is
_USUAL = 80
#: below this a name and its words do not fit beside each other
_NARROW = 60
#: names longer than this have their words on the next line
_NAMES = 30
#: what is not parted at the end of a line: ``[default: text]``
_BRACKET = re.compile(r"\[[^\]]{1,18}\]|`[^`]{1,24}`")
#: stand for a space that is kept, and for a place where a line may end
_FIXED, _BREAK = "\N{NO-BREAK SPACE}", "\N{ZERO WIDTH SPACE}"


class Row(NamedTuple):
    """A name (an option with its value, an argument, a verb) and what it means."""

    name: str
    words: str


class Section(NamedTuple):
    """A titled list; without rows, its `text`."""

    title: str
    rows: Sequence[Row] = ()
    text: str = ""


class HelpPage(NamedTuple):
    """What `--help` shows. `description` is prose: paragraphs; those that are commands are the examples."""

    usage: str
    description: str
    sections: Sequence[Section] = ()

    def text(self, width: int) -> str:
        """The page in lines of at most `width` characters; only commands, to be copied whole, may be longer."""
        prose, examples = parted(self.description)
        blocks = [_wrapped(f"Usage: {self.usage}", width, "", " " * 7)]
        blocks += [_wrapped(one, width, "  ", "  ") for one in prose[:1]]
        if examples:
            blocks.append("\n".join(("Examples:", *(f"  {one}" for one in examples))))
        blocks += [_wrapped(one, width, "  ", "  ") for one in prose[1:]]
        blocks += [_section(one, width) for one in self.sections if one.rows or one.text]
        return "\n\n".join(blocks)


def columns() -> int:
    """The width of the terminal: COLUMNS, else what stdout or stderr says, else 80."""
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and int(given) > 0:
        return max(20, int(given))
    for stream in (sys.__stdout__, sys.__stderr__):
        try:
            found = os.get_terminal_size(stream.fileno()).columns if stream else 0
        except (OSError, ValueError):
            continue
        if found > 0:
            return max(20, found)
    return _USUAL


def summary(description: str) -> str:
    """The first sentence of a description, whole."""
    prose, _ = parted(description)
    first, dot, _ = (prose[0] if prose else "").partition(". ")
    return first + ("." if dot else "")


def parted(description: str) -> tuple[list[str], list[str]]:
    """Paragraphs of prose, and the commands among them."""
    prose: list[str] = []
    examples: list[str] = []
    for paragraph in description.split("\n\n"):
        lines = [line.strip() for line in paragraph.splitlines() if line.strip()]
        if lines and all(line.startswith(("vmie ", 'eval "$(vmie ')) for line in lines):
            examples += lines
        elif lines:
            prose.append(" ".join(lines))
    return prose, examples


def _section(section: Section, width: int) -> str:
    if not section.rows:
        return f"{section.title}:\n{_wrapped(section.text, width, '  ', '  ')}"
    beside = max(len(row.name) for row in section.rows if len(row.name) <= _NAMES or row is section.rows[0])
    beside = min(beside, _NAMES)
    return "\n".join((f"{section.title}:", *(_row(row, beside, width) for row in section.rows)))


def _row(row: Row, beside: int, width: int) -> str:
    if not row.words:
        return f"  {row.name}"
    if width < _NARROW:
        return f"{_wrapped(row.name, width, '  ', ' ' * 6)}\n{_wrapped(row.words, width, ' ' * 6, ' ' * 6)}"
    indent = " " * (beside + 4)
    if len(row.name) > beside:
        return f"{_wrapped(row.name, width, '  ', ' ' * 6)}\n{_wrapped(row.words, width, indent, indent)}"
    return _wrapped(row.words, width, f"  {row.name:<{beside}}  ", indent)


def _wrapped(text: str, width: int, first: str, rest: str) -> str:
    """`text` in lines; a short bracket stays whole, choices may be parted after a bar."""
    kept = _BRACKET.sub(lambda found: found[0].replace(" ", _FIXED), text)
    if len(first) + len(text) > width:
        kept = kept.replace("|", f"|{_BREAK} ")
    filled = textwrap.fill(
        kept, width, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )
    return filled.replace(f"{_BREAK} ", "").replace(_BREAK, "").replace(_FIXED, " ")
