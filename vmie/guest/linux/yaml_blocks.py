"""The part of YAML that netplan files are written in: nested block mappings, lists, plain scalars.

A YAML library would be one more dependency for one kind of file; what this reader does not
understand (flow mappings, anchors, multi-line scalars) it says so, and the facts stay unknown.
"""

from __future__ import annotations

from dataclasses import dataclass

_MAX_LINES = 5000
_MAX_DEPTH = 24

Node = dict[str, "Node"] | list["Node"] | str


class YamlError(Exception):
    """The text uses more of YAML than is read here."""


@dataclass(slots=True)
class _Lines:
    lines: list[tuple[int, str]]
    at: int = 0

    def peek(self) -> tuple[int, str] | None:
        return self.lines[self.at] if self.at < len(self.lines) else None


def parse(text: str) -> Node:
    """`text` as dictionaries, lists and strings. Raises YamlError."""
    lines = []
    for raw in text.splitlines()[:_MAX_LINES]:
        line = raw.split(" #")[0].rstrip()
        body = line.lstrip(" ")
        if not body or body.startswith(("#", "---", "...", "%")):
            continue
        if body.startswith("\t"):
            raise YamlError("it is indented with tabs")
        lines.append((len(line) - len(body), body))
    reader = _Lines(lines)
    found = _node(reader, -1, 0) if lines else {}
    if reader.peek() is not None:
        raise YamlError(f"unexpected {reader.lines[reader.at][1]!r}")
    return found


def _node(reader: _Lines, above: int, depth: int) -> Node:
    first = reader.peek()
    if first is None or (first[0] <= above and not (first[0] == above and first[1].startswith("- "))):
        return ""
    if depth > _MAX_DEPTH:
        raise YamlError("it is nested too deeply")
    if first[1] == "-" or first[1].startswith("- "):
        return _sequence(reader, first[0], depth)
    return _mapping(reader, first[0], depth)


def _sequence(reader: _Lines, indent: int, depth: int) -> Node:
    items: list[Node] = []
    while (line := reader.peek()) is not None and line[0] == indent and (line[1] == "-" or line[1].startswith("- ")):
        rest = line[1][1:].lstrip(" ")
        if not rest:
            reader.at += 1
            items.append(_node(reader, indent, depth + 1))
        elif _key(rest) is not None:
            inner = indent + len(line[1]) - len(rest)
            reader.lines[reader.at] = (inner, rest)
            items.append(_mapping(reader, inner, depth + 1))
        else:
            reader.at += 1
            items.append(_scalar(rest))
    return items


def _mapping(reader: _Lines, indent: int, depth: int) -> Node:
    found: dict[str, Node] = {}
    while (line := reader.peek()) is not None and line[0] == indent:
        pair = _key(line[1])
        if pair is None:
            raise YamlError(f"{line[1]!r} is no mapping")
        reader.at += 1
        key, value = pair
        found[key] = _scalar(value) if value else _node(reader, indent, depth + 1)
    return found


def _key(text: str) -> tuple[str, str] | None:
    if text[:1] in ("'", '"'):
        end = text.find(text[0], 1)
        if end < 0 or text[end + 1 : end + 2] != ":":
            return None
        return text[1:end], text[end + 2 :].strip()
    if text.endswith(":") and ": " not in text:
        return text[:-1], ""
    key, colon, value = text.partition(": ")
    return (key.strip(), value.strip()) if colon and not key.startswith(("[", "{")) else None


def _scalar(text: str) -> Node:
    if text.startswith("{") and text != "{}":
        raise YamlError("it holds flow mappings")
    if text[:1] in ("|", ">", "&", "*"):
        raise YamlError("it holds anchors or block scalars")
    if text == "{}":
        return {}
    if text.startswith("["):
        if not text.endswith("]") or "{" in text:
            raise YamlError("it holds a list over several lines")
        return [part.strip().strip("\"'") for part in text[1:-1].split(",") if part.strip()]
    return text.strip("\"'")
