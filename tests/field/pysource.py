"""Expectations in another project's Python tests, read without running them: constants, and text made of them."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: methods of text that tests call on their constants
_METHODS = frozenset(("strip", "rstrip", "lstrip", "format", "join", "replace", "to_bytes"))
_MAX_TIMES = 1 << 16


class UnreadableError(Exception):
    """More than constants: it would have to be run."""


def parsed(path: Path) -> ast.Module:
    """The file's syntax tree."""
    return ast.parse(path.read_text())


def constants(module: ast.Module, known: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The module's names whose values can be read."""
    found = dict(known or {})
    for line in module.body:
        if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name):
            try:
                found[line.targets[0].id] = value(line.value, found)
            except UnreadableError:
                continue
    return found


def value(node: ast.expr, names: Mapping[str, Any]) -> Any:  # noqa: PLR0911 - one line a kind
    """What the expression comes to. Raises UnreadableError."""
    match node:
        case ast.Constant():
            return node.value
        case ast.Name() if node.id in names:
            return names[node.id]
        case ast.Dict():
            return {
                value(key, names): value(each, names) for key, each in zip(node.keys, node.values, strict=True) if key
            }
        case ast.List() | ast.Tuple():
            items = [value(each, names) for each in node.elts]
            return items if isinstance(node, ast.List) else tuple(items)
        case ast.BinOp(op=ast.Add()):
            return value(node.left, names) + value(node.right, names)
        case ast.BinOp(op=ast.Mod()):
            return value(node.left, names) % value(node.right, names)
        case ast.BinOp(op=ast.Mult(), right=ast.Constant(value=int(times))) if times <= _MAX_TIMES:
            return value(node.left, names) * times
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant()):
            return -node.operand.value
        case ast.Call():
            return _called(node, names)
    raise UnreadableError(ast.unparse(node)[:60])


def _called(node: ast.Call, names: Mapping[str, Any]) -> Any:
    given = [value(each, names) for each in node.args]
    if ast.unparse(node.func) in ("textwrap.dedent", "dedent"):
        return textwrap.dedent(given[0])
    if isinstance(node.func, ast.Attribute) and node.func.attr in _METHODS:
        held = value(node.func.value, names)
        if isinstance(held, str) and node.func.attr != "to_bytes":
            return getattr(held, node.func.attr)(*given)
        if isinstance(held, int) and node.func.attr == "to_bytes" and given[0] <= _MAX_TIMES:
            return held.to_bytes(*given)
    raise UnreadableError(ast.unparse(node)[:60])
