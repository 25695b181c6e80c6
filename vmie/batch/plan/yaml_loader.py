"""A plan file's text as plain data with line numbers: YAML (the safe subset, no aliases) or CSV."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from vmie.batch.plan import csv_loader
from vmie.batch.plan.document import Path_, Raw
from vmie.errors import UsageError

#: no plan of hand-written items is larger; 100,000 generated ones fit
_MOST_BYTES = 64 << 20
#: a plan has four
_MOST_LEVELS = 100
#: characters in which levels are counted
_MOST_COUNTED = 1 << 20
#: what PyYAML itself fails with: "\\UFFFFFFFF", ``%YAML 99…9``, ``!!timestamp x``, ``!!int ""``, ``!!bool x``
_CLUMSY = (ValueError, ArithmeticError, AttributeError, LookupError, TypeError)
_VARIABLE = re.compile(r"\$\{([^}]*)\}|\$\$")
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
#: variables that may hold what opens something; an address with a password in it is known by its value
_SECRET = re.compile(r"^AWS_|SECRET|TOKEN|PASSW|PASSPHRASE|CREDENTIAL|PRIVATE|API_?KEY|ACCESS_?KEY|AUTH", re.IGNORECASE)
_WITH_PASSWORD = re.compile(r"://[^/@\s]*:[^/@\s]*@")


def read(path: Path, *, variables: Mapping[str, str] | None = None) -> Raw:
    """Read a plan file; ``${NAME}`` in texts is replaced only when `variables` are given.

    Raises UsageError for a file that is no YAML or CSV.
    """
    text = _text(path)
    raw = csv_loader.read(path, text) if path.suffix.lower() == ".csv" else _yaml(path, text)
    if variables is not None:
        raw.data = _filled(raw.data, (), raw, variables)
    return raw


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        folder = path.is_dir()
        raise UsageError(
            f"cannot read the plan {path}: {error.strerror}",
            cure="name a YAML or CSV file" + (f" in it, such as {path / 'plan.yaml'}" if folder else ""),
        ) from error
    if len(data) > _MOST_BYTES:
        raise UsageError(f"{path} is larger than {_MOST_BYTES >> 20} MiB", cure="split the plan")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise _no_text(path, 1, "it is UTF-16")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _no_text(path, line, f"byte 0x{data[error.start]:02x} there is not UTF-8") from error
    if found := _UNPRINTABLE.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise _no_text(path, line, f"it holds the control character U+{ord(found[0]):04X}")
    return text


def _no_text(path: Path, line: int, why: str) -> UsageError:
    return UsageError(
        f"{path} line {line}: {why}",
        cause="plans are text in UTF-8",
        cure="save it as UTF-8 (in Excel: CSV UTF-8)",
        code="PlanRefused",
    )


# --- YAML -------------------------------------------------------------------------------------------------


def _yaml(path: Path, text: str) -> Raw:
    raw = Raw(None)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    try:
        node = loader.get_single_node()
        if node is not None:
            raw.data = _plain(node, (), raw, loader, set())
    except (yaml.YAMLError, *_CLUMSY, RecursionError) as error:
        # PyYAML meets its own bound in one way or the other, by version; what it says of it is not relied on.
        if isinstance(error, RecursionError) or _too_deep(text):
            raise UsageError(
                f"{path} is nested too deeply", cure="a plan is four levels deep", code="PlanRefused"
            ) from error
        raise _no_yaml(path, text, error) from error
    finally:
        loader.dispose()
    return raw


def _too_deep(text: str) -> bool:
    # libyaml stops before it says how deep it is: the slower parser, for no more than the beginning.
    depth = 0
    try:
        for event in yaml.parse(text[:_MOST_COUNTED], yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _MOST_LEVELS:
                return True
    except (yaml.YAMLError, *_CLUMSY):
        pass
    return False


def _no_yaml(path: Path, text: str, error: Exception) -> UsageError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line = mark.line + 1 if mark else 0
    shown = text.splitlines()[line - 1 : line]
    cure = "mend that line"
    if shown and "\t" in shown[0][: len(shown[0]) - len(shown[0].lstrip())]:
        cure = "YAML takes no tabs for indentation: use spaces"
    elif "expected a single document" in str(error):
        cure = "a plan is one document: take the --- away, or make two files"
    where = f" line {line}, column {mark.column + 1}" if mark else ""
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
    return UsageError(
        f"{path}{where}: {problem}",
        cause="the plan is no YAML",
        cure=cure,
        code="PlanRefused",
        result={"mistakes": [{"line": line, "field": "", "message": str(problem)}]},
    )


def _plain(node: Any, where: Path_, raw: Raw, loader: Any, seen: set[int]) -> Any:
    """What a node stands for, its lines noted on the way. A node met twice is an alias: refused, for it may explode."""
    if id(node) in seen:
        # The node's own line is where the name was given.
        raw.wrong(where, "aliases (*name) are not read: write it out, or use `defaults`")
        raw.spoilt.add(where)
        return None
    raw.lines[where] = node.start_mark.line + 1
    if not isinstance(node, yaml.ScalarNode):
        seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, where, raw, loader, seen)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(child, (*where, number), raw, loader, seen) for number, child in enumerate(node.value)]
    try:
        value = loader.construct_object(node)
    except (yaml.YAMLError, *_CLUMSY):
        known = node.tag in loader.yaml_constructors
        why = (
            f"cannot be read as {node.tag.rpartition(':')[2]}: put it in quotes"
            if known
            else "has a tag, and tags (!…) are not read"
        )
        raw.wrong(where, f"{_short(node.value)} {why}")
        raw.spoilt.add(where)
        return None
    if not isinstance(value, str):
        raw.words[where] = _short(node.value)
    return value


def _mapping(node: Any, where: Path_, raw: Raw, loader: Any, seen: set[int]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raw.wrong(where, "a field's name is one word", line=line)
            continue
        key = str(key_node.value)
        at = (*where, key)
        if key == "<<" and key_node.tag.endswith(":merge"):
            raw.wrong(where, "merge keys (<<) are not read: write it out, or use `defaults`", line=line)
            continue
        if key in out:
            raw.wrong(at, f"is given twice, first in line {raw.lines.get(at, 0)}", line=line)
            continue
        raw.lines[at] = line
        out[key] = _plain(value_node, at, raw, loader, seen)
        raw.lines[at] = line
    return out


def _short(text: str, most: int = 60) -> str:
    return text if len(text) <= most else f"{text[:most]}…"


# --- environment ------------------------------------------------------------------------------------------


def _filled(value: Any, where: Path_, raw: Raw, variables: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(one, (*where, key), raw, variables) for key, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, (*where, number), raw, variables) for number, one in enumerate(value)]
    if not isinstance(value, str) or "$" not in value:
        return value

    def put(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        if match[1] not in variables:
            why = "may hold a secret: it is never put into a plan" if _SECRET.search(match[1]) else "is not set"
            raw.wrong(where, f"the environment variable {_short(match[1])!r} {why}")
            return ""
        return variables[match[1]]

    filled = _VARIABLE.sub(put, value)
    return csv_loader.typed(str(where[-1]), filled) if where and filled != value else filled


def environment() -> Mapping[str, str]:
    """The variables that ``--env`` lets a plan name: never those that may hold a secret."""
    return {
        name: value
        for name, value in os.environ.items()
        if not _SECRET.search(name) and not _WITH_PASSWORD.search(value)
    }
