"""A plan file as it was read: plain data, and where and how each thing in it was written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

#: ("items", 3, "tags", "team")
Path_ = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong with a plan file: `line` 0 where none is known."""

    line: int
    field: str
    message: str

    def as_json(self) -> dict[str, Any]:
        """One element of ``mistakes[]``."""
        return {"line": self.line, "field": self.field, "message": self.message}


@dataclass(slots=True)
class Raw:
    """A file as read: `data`, and the line where each path in it stands.

    `words`: how a number, a date or a boolean was written; `written`: the user's own name of a field. In a `sheet`
    (CSV) a field is called by its column.
    """

    data: Any
    lines: dict[Path_, int] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)
    words: dict[Path_, str] = field(default_factory=dict)
    written: dict[Path_, str] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)
    #: what could not be read, and was reported: nothing more is said of it
    spoilt: set[Path_] = field(default_factory=set)
    sheet: bool = False

    def line(self, where: Path_) -> int:
        """The line of a path, or of the nearest thing around it."""
        while where and where not in self.lines:
            where = where[:-1]
        return self.lines.get(where, 0)

    def name(self, where: Path_) -> str:
        """What the user calls a path: ``items[3].name``, or in a sheet the column."""
        if not self.sheet:
            if where in self.written:
                where = (*where[:-1], self.written[where])
            return dotted(where)
        match where:
            case ("items", int(), "tags", str(key), *_):
                return f"tag:{key}"
            case ("items", int(), str(name), *_):
                return self.columns.get(name, name)
            case _:
                return dotted(where[:1]) if len(where) < 2 else ""

    def wrong(self, where: Path_, message: str, *, line: int | None = None) -> None:
        """Note a mistake."""
        self.mistakes.append(Mistake(self.line(where) if line is None else line, self.name(where), message))


def dotted(where: Path_) -> str:
    """``items[3].name``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where).removeprefix(".")
