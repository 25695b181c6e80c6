"""Sizes that keep a file readable in one sitting, and one name for one thing."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from tests.tools import ROOT

FILES = sorted((ROOT / "vmie").rglob("*.py"))
#: a table
TABLES = {Path("vmie/limits.py")}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert path.relative_to(ROOT) in TABLES or text.count("\n") <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, node.name


def test_no_two_classes_have_one_name() -> None:
    names = Counter(
        node.name
        for path in FILES
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert [name for name, count in names.items() if count > 1] == []
