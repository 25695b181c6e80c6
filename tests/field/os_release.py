"""Which distribution and version: the trees and expectations of `distro`'s own tests.

https://github.com/python-distro/distro/blob/master/tests/test_distro.py (class TestOverall)
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from tests import guests
from tests.field.corpora import Folder
from tests.field.judging import Case, Said
from vmie.guest.linux.release import release

NAME = "os-release"
CORPORA = ("distro",)
TOOLS = ()
_WANTED = "desired_outcome"


def cases(folders: Mapping[str, Folder], work: Path) -> Iterator[Case]:
    """One case a distribution: its id in `distro`'s spelling, and a version as far as ours goes into detail."""
    root = folders["distro"].root
    names = _spellings(ast.parse((root / "src/distro/distro.py").read_text()))
    for name, outcome in _outcomes(ast.parse((root / "tests/test_distro.py").read_text())):
        place = root / "tests/resources/distros" / name
        if (place / "etc").is_dir() or (place / "usr/lib").is_dir():
            expected = (outcome.get("id", ""), outcome.get("best_version", ""))
            yield Case(name, expected, partial(_told, place, expected, outcome.get("version", ""), names))


def _told(place: Path, expected: tuple[str, str], version: str, names: Mapping[str, str]) -> object:
    files = {f"/{path.relative_to(place)}": path.read_bytes() for path in place.rglob("*") if path.is_file()}
    found = release(guests.tree(files))
    if found.id == "unknown":
        return Said.UNKNOWN
    if not found.version and expected[1]:
        return Said.UNKNOWN
    known = names.get(found.id, found.id)
    agreed = found.version in (version, expected[1]) or expected[1].startswith(f"{found.version}.")
    return expected if known == expected[0] and agreed else (known, found.version)


def _outcomes(tests: ast.Module) -> Iterator[tuple[str, dict[str, str]]]:
    overall = next(one for one in tests.body if isinstance(one, ast.ClassDef) and one.name == "TestOverall")
    for test in overall.body:
        if isinstance(test, ast.FunctionDef) and test.name.startswith("test_"):
            for line in test.body:
                if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == _WANTED:
                    yield test.name.split("_")[1], ast.literal_eval(line.value)
                    break


def _spellings(source: ast.Module) -> dict[str, str]:
    """`distro` renames some ids of os-release; ours are os-release's own."""
    for line in source.body:
        if isinstance(line, ast.AnnAssign | ast.Assign) and "NORMALIZED_OS_ID" in ast.unparse(line).split("=")[0]:
            return dict(ast.literal_eval(line.value))
    raise AssertionError("distro has no table of normalised ids any more")
