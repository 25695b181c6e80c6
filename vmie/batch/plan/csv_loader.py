"""A plan as CSV: a header of field names, one item per record; ``tag:KEY`` columns are tags, ``;`` parts lists."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from vmie.batch.plan.document import Path_, Raw
from vmie.batch.plan.schema import ALIASES, ItemModel, LimitsModel, spelled
from vmie.batch.plan.suggestions import unknown
from vmie.errors import UsageError
from vmie.options.base import kind

_TRUE, _FALSE = ("true", "yes", "y", "1", "on"), ("false", "no", "n", "0", "off")
#: what Excel writes for a comma, by the country; the first one that fits wins
_DELIMITERS = (",", ";", "\t")
#: a header is one line of short names
_HEADER = 4096
#: far more than fields and tags; the columns of a spreadsheet that are empty to its right edge do not count
_MOST_COLUMNS = 1000


def read(path: Path, text: str) -> Raw:
    """The items of a sheet. Raises UsageError for what is no CSV."""
    raw = Raw({"items": []}, {(): 1, ("items",): 1}, sheet=True)
    skipped, text = _named_delimiter(text)
    delimiter = skipped or _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
    first = 1 + bool(skipped)
    try:
        columns = _columns(raw, _bounded(path, next(reader, []), first), first)
        # A quoted cell may hold line breaks: a record begins where the last one ended.
        begins = reader.line_num
        for cells in reader:
            line, begins = begins + first, reader.line_num
            if any(cell.strip() for cell in cells):
                _record(raw, columns, cells, line)
    except csv.Error as error:
        line = reader.line_num + first - 1
        raise UsageError(
            f"{path} line {line}: {error}",
            cause="the plan is no CSV",
            cure="mend that line: a cell with quotes or line breaks stands in double quotes, quotes in it doubled",
            code="PlanRefused",
            result={"mistakes": [{"line": line, "field": "", "message": str(error)}]},
        ) from error
    return raw


def _bounded(path: Path, header: list[str], line: int) -> list[str]:
    """The columns of a header; raises UsageError at once when it has more than any sheet of items."""
    if any(cell.strip() for cell in header[_MOST_COLUMNS:]):
        message = f"{len(header)} columns; a plan has {_MOST_COLUMNS} at most"
        raise UsageError(
            f"{path} line {line}: {message}",
            cause="the first line names the fields of the items",
            cure="see that this file is the plan, and its first line the header",
            code="PlanRefused",
            result={"mistakes": [{"line": line, "field": "", "message": message}]},
        )
    return header[:_MOST_COLUMNS]


def typed(name: str, text: str) -> Any:
    """What the text of a cell stands for in a field; the text itself where it does not fit, to be reported."""
    what = _kinds().get(name, "")
    if what == "number" and re.fullmatch(r"-?[0-9]{1,9}", text):
        return int(text)
    if what == "flag" and text.lower() in (*_TRUE, *_FALSE):
        return text.lower() in _TRUE
    return text


def _named_delimiter(text: str) -> tuple[str, str]:
    """Excel's own first line ``sep=;``, and what follows it."""
    found = re.match(r"\"?sep=(.)\"?\r?\n", text, re.IGNORECASE)
    return (found[1], text[found.end() :]) if found else ("", text)


def _delimiter(text: str) -> str:
    """The delimiter that makes the most known names of the first line."""
    header = re.match(r"[^\r\n]*", text[:_HEADER])
    line = header[0] if header else ""

    def known(delimiter: str) -> int:
        names = (_named(cell.strip(' "')) for cell in line.split(delimiter))
        return sum(name in spelled(ItemModel) or name in ALIASES or name.startswith("tag:") for name in names)

    return max(_DELIMITERS, key=known)


def _named(cell: str) -> str:
    """A header as a field's name: Excel's users write Boot Mode."""
    if cell[:4].lower() == "tag:":
        return f"tag:{cell[4:].strip()}"
    return re.sub(r"[\s-]+", "_", cell.lower())


def _columns(raw: Raw, header: list[str], line: int) -> list[str]:
    """The field of each column, "" for what was reported to be none."""
    columns: list[str] = []
    for number, cell in enumerate(map(str.strip, header)):
        name = _named(cell)
        field = ALIASES.get(name, name)
        if field and field in columns:
            raw.wrong((cell,), "two columns have this name", line=line)
            field = ""
        elif field and not field.startswith("tag:") and field not in spelled(ItemModel):
            raw.wrong((cell,), unknown(name, ItemModel), line=line)
            field = ""
        elif field == "tag:":
            raw.wrong((cell,), "a column of tags is called tag:KEY", line=line)
            field = ""
        elif not cell:
            field = f"?{number}"
        if field:
            raw.columns[field] = cell
        columns.append(field)
    if "source" not in columns:
        raw.wrong(("source",), "there is no column of this name: the first line names the fields", line=line)
    return columns


def _record(raw: Raw, columns: list[str], cells: list[str], line: int) -> None:
    where: Path_ = ("items", len(raw.data["items"]))
    # Without its column the source was reported to be missing, once for all.
    item: dict[str, Any] = {} if "source" in columns else {"source": ["?"]}
    raw.lines[where] = line
    if any(cell.strip() for cell in cells[len(columns) :]):
        raw.wrong(where, f"{len(cells)} cells under {len(columns)} columns", line=line)
    for number, (name, cell) in enumerate(zip(columns, map(str.strip, cells), strict=False)):
        if not cell or not name:
            continue
        if name.startswith("?"):
            raw.wrong(where, f"{cell!r} stands in column {number + 1}, which has no name", line=line)
        elif name.startswith("tag:"):
            item.setdefault("tags", {})[name[4:]] = cell
        elif _kinds()[name] == "list":
            item[name] = [part.strip() for part in re.split(r"[;\n]", cell) if part.strip()]
        else:
            item[name] = typed(name, cell)
            if _kinds()[name] in ("flag", "number"):
                raw.words[*where, name] = cell
    raw.data["items"].append(item)


@cache
def _kinds() -> Mapping[str, str]:
    """What stands in each field; see `vmie.options.base.kind`."""
    return {
        written: kind(model.model_fields[name].annotation)
        for model in (LimitsModel, ItemModel)
        for written, name in spelled(model).items()
    }
