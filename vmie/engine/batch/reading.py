"""A plan file's text as plain data with line numbers: YAML (the safe subset, no aliases) or CSV."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from vmie.errors import UsageError

#: no plan of hand-written items is larger; 100,000 generated ones fit
_MOST_BYTES = 64 << 20
#: what may be in a cell of a CSV that stands for a list
_LISTS = ("source", "after", "skip_check", "license_configurations")
_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")
_BOOLEANS = ("encrypted", "keep_object", "imds_v2", "as_is", "strict")
_VARIABLE = re.compile(r"\$\{([^}]*)\}|\$\$")

Path_ = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong with a plan file: `line` 0 where none can be told."""

    line: int
    field: str
    message: str

    def as_json(self) -> dict[str, Any]:
        """One element of ``mistakes[]``."""
        return {"line": self.line, "field": self.field, "message": self.message}


@dataclass(slots=True)
class Raw:
    """A file as read: `data`, and the line where each path in it (("items", 3, "source")) stands."""

    data: Any
    lines: dict[Path_, int] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)

    def line(self, where: Path_) -> int:
        """The line of a path, or of the nearest thing around it."""
        while where and where not in self.lines:
            where = where[:-1]
        return self.lines.get(where, 0)


def read(path: Path, *, variables: Mapping[str, str] | None = None) -> Raw:
    """Read a plan file; ``${NAME}`` in texts is replaced only when `variables` are given.

    Raises UsageError for a file that is no YAML or CSV.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise UsageError(f"{path} is larger than {_MOST_BYTES >> 20} MiB", cure="split the plan")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the plan {path}: {error}", cure="check the path; plans are UTF-8") from error
    raw = _csv(text) if path.suffix.lower() == ".csv" else _yaml(path, text)
    if variables is not None:
        raw.data = _filled(raw.data, (), raw, variables)
    return raw


def _yaml(path: Path, text: str) -> Raw:
    raw = Raw(None)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    try:
        node = loader.get_single_node()
        if node is not None:
            raw.data = _plain(node, (), raw, loader, set())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise UsageError(
            f"{path}{where}: {getattr(error, 'problem', None) or error}",
            cause="the file is no YAML",
            cure="mend that line",
            code="PlanRefused",
        ) from error
    except RecursionError as error:
        raise UsageError(
            f"{path} is nested too deeply", cure="a plan is four levels deep", code="PlanRefused"
        ) from error
    finally:
        loader.dispose()
    return raw


def _plain(node: Any, where: Path_, raw: Raw, loader: Any, seen: set[int]) -> Any:
    """What a node stands for, its lines noted on the way. A node met twice is an alias: refused, for it may explode."""
    line = node.start_mark.line + 1
    raw.lines[where] = line
    if id(node) in seen:
        raw.mistakes.append(Mistake(line, dotted(where), "aliases (*name) are not read: write it out, or use defaults"))
        return None
    if not isinstance(node, yaml.ScalarNode):
        seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        out: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else "?"
            if key in out:
                raw.mistakes.append(Mistake(key_node.start_mark.line + 1, dotted((*where, key)), "is given twice"))
            out[key] = _plain(value_node, (*where, key), raw, loader, seen)
            raw.lines[*where, key] = key_node.start_mark.line + 1
        return out
    if isinstance(node, yaml.SequenceNode):
        return [_plain(child, (*where, number), raw, loader, seen) for number, child in enumerate(node.value)]
    try:
        return loader.construct_object(node)
    except (yaml.YAMLError, ValueError, TypeError) as error:
        problem = getattr(error, "problem", None) or str(error)
        raw.mistakes.append(Mistake(line, dotted(where), str(problem)))
        return None


def _csv(text: str) -> Raw:
    """A header of field names, one item per line; ``tag:KEY`` columns are tags, ``;`` parts lists."""
    raw = Raw({"items": []}, {(): 1, ("items",): 1})
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
        for name in {name for name in header if header.count(name) > 1}:
            raw.mistakes.append(Mistake(1, name, "two columns have this name"))
        for cells in reader:
            if not any(cells):
                continue
            _record(raw, header, cells, reader.line_num)
    except csv.Error as error:
        raise UsageError(
            f"line {reader.line_num}: {error}", cause="the file is no CSV", cure="mend that line", code="PlanRefused"
        ) from error
    return raw


def _record(raw: Raw, header: list[str], cells: list[str], line: int) -> None:
    where: Path_ = ("items", len(raw.data["items"]))
    item: dict[str, Any] = {}
    raw.lines[where] = line
    if len(cells) > len(header):
        raw.mistakes.append(Mistake(line, dotted(where), f"{len(cells)} cells under {len(header)} columns"))
    for name, cell in zip(map(str.strip, header), map(str.strip, cells), strict=False):
        if not cell:
            continue
        if name.startswith("tag:"):
            item.setdefault("tags", {})[name[4:]] = cell
        elif name in _LISTS:
            item[name] = [part.strip() for part in cell.split(";") if part.strip()]
        elif name == "wave" and cell.isdecimal():
            item[name] = int(cell)
        elif name in _BOOLEANS and cell.lower() in (*_TRUE, *_FALSE):
            item[name] = cell.lower() in _TRUE
        else:
            item[name] = cell
    raw.data["items"].append(item)


def _filled(value: Any, where: Path_, raw: Raw, variables: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(one, (*where, key), raw, variables) for key, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, (*where, number), raw, variables) for number, one in enumerate(value)]
    if not isinstance(value, str):
        return value

    def put(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        if match[1] not in variables:
            raw.mistakes.append(Mistake(raw.line(where), dotted(where), f"no environment variable {match[1]!r} is set"))
            return ""
        return variables[match[1]]

    return _VARIABLE.sub(put, value)


def dotted(where: Path_) -> str:
    """``items[3].boot_mode``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where).removeprefix(".")


def environment() -> Mapping[str, str]:
    """The variables that ``--env`` lets a plan name: never those that hold credentials."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("AWS_") and not re.search(r"SECRET|TOKEN|PASSWORD", name, re.IGNORECASE)
    }
