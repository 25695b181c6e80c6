"""Tables that fit the terminal: an id is never parted; what does not fit beside it goes below it.

A column may shrink to its longest word; a path, and a word longer than any id, may be parted. Where even that is too
wide, each row becomes a record: its first cells on one line, the others below, named. Through a pipe every row
is a line, however long.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from itertools import compress
from typing import TYPE_CHECKING

from vmie.escaping import visible

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.text import Text

_GAP = 2
#: no id of AWS or of vmie is longer; only longer words are parted
_WORD = 36
#: paths and addresses may be parted down to this
_PATH = 20
#: stands for a place where a line may end; `visible` leaves none in a cell
_BREAK = "\0"
#: the cells on the first line of a record: what it is, and how it stands
_HEAD = 2

#: colours by meaning, of the words that say how something stands
STYLES = {
    **dict.fromkeys(("completed", "done", "pass"), "good"),
    **dict.fromkeys(("failed", "fail", "deleted", "deleting", "damaged", "error"), "bad"),
    **dict.fromkeys(("cancelled", "cancelling", "interrupted", "paused", "warn"), "warning"),
    **dict.fromkeys(("unknown",), "unclear"),
    **dict.fromkeys(("active", "running", "submitted"), "busy"),
}


class TextTable:
    """Rows of text under named columns. Nothing in a cell is markup, and controls are shown as escapes."""

    def __init__(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        cells = [[visible(cell.replace("\n", " ")) for cell in row] for row in rows]
        kept = [any(row[number] for row in cells) or number == 0 for number in range(len(columns))]
        #: without those that have nothing in them
        self.columns = tuple(compress(columns, kept))
        self.rows = [list(compress(row, kept)) for row in cells]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterable[Text]:
        """The lines, for the width there is."""
        from rich.text import Text

        width = options.max_width if console.is_terminal else 1 << 30
        for line in self._lines(width):
            yield Text.assemble(*line, no_wrap=True, overflow="ignore", end="\n")

    def _lines(self, width: int) -> Iterable[list[tuple[str, str]]]:
        wanted = [max(map(_cells, column)) for column in zip(self.columns, *self.rows, strict=True)]
        least = [_longest(column) for column in zip(self.columns, *self.rows, strict=True)]
        room = width - _GAP * (len(wanted) - 1)
        if sum(least) > room:
            yield from self._records(width)
            return
        widths = _shrunk(wanted, least, room)
        yield from _row(self.columns, widths, header=True)
        for row in self.rows:
            yield from _row(row, widths)

    def _records(self, width: int) -> Iterable[list[tuple[str, str]]]:
        names = self.columns[_HEAD:]
        beside = max(map(len, names), default=0)
        for row in self.rows:
            first, *head = row[:_HEAD]
            yield [(first or "-", "bold"), *((f"  {cell}", _style(cell)) for cell in head if cell)]
            for name, cell in zip(names, row[_HEAD:], strict=True):
                for number, line in enumerate(_wrapped(cell, max(width - beside - 4, _WORD))):
                    yield [(f"  {name if number == 0 else '':<{beside}}  ", "quiet"), (line, _style(cell))]


def _row(cells: Sequence[str], widths: Sequence[int], *, header: bool = False) -> Iterable[list[tuple[str, str]]]:
    wrapped = [_wrapped(cell, width) for cell, width in zip(cells, widths, strict=True)]
    for number in range(max(1, *map(len, wrapped))):
        line: list[tuple[str, str]] = []
        gap = ""
        for cell, lines, width in zip(cells, wrapped, widths, strict=True):
            part = lines[number] if number < len(lines) else ""
            if part:
                line.append((gap, ""))
                line.append((part, "bold" if header else _style(cell)))
                gap = ""
            gap += " " * (width - _cells(part) + _GAP)
        yield line


def _shrunk(wanted: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    """Widths that fit: the widest column gives way first."""
    widths = list(wanted)
    while sum(widths) > room:
        widest = max((one for one in range(len(widths)) if widths[one] > least[one]), key=widths.__getitem__)
        others = [width for one, width in enumerate(widths) if one != widest and width < widths[widest]]
        goal = max([least[widest], *others])
        goal = goal if goal < widths[widest] else widths[widest] - 1
        widths[widest] = max(goal, widths[widest] - (sum(widths) - room))
    return widths


def _wrapped(text: str, width: int) -> list[str]:
    """Lines of a cell; only a word longer than the column is parted."""
    if _cells(text) <= width:
        return [text] if text else []
    if _cells(text) != len(text):  # wide characters: as many as surely fit
        width = max(1, width // 2)
    # A path that must be parted ends its lines after a slash, as far as that goes.
    words = (word if _cells(word) <= width else word.replace("/", f"/{_BREAK} ") for word in text.split(" "))
    lines = textwrap.wrap(" ".join(words), width, break_on_hyphens=False)
    return [line.replace(f"{_BREAK} ", "").replace(_BREAK, "") for line in lines]


def _longest(column: Iterable[str]) -> int:
    """The least width of a column: its longest word, of a path its longest name."""
    words = (word for cell in column for word in cell.split())
    return max((min(_least(word), _WORD) for word in words), default=0)


def _least(word: str) -> int:
    if "/" not in word:
        return _cells(word)
    return min(_cells(word), max(_PATH, *(_cells(name) + 1 for name in word.split("/"))))


def _cells(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)


def _style(cell: str) -> str:
    return STYLES.get(cell.partition(" ")[0], "")
