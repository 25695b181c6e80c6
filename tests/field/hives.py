"""Registry hives: dissect.regf's, and those of libguestfs' made-up Windows beside the text that they were made from.

https://github.com/fox-it/dissect.regf/blob/main/tests/test_regf.py
https://github.com/libguestfs/libguestfs/tree/master/test-data/phony-guests
"""

from __future__ import annotations

import ast
import gzip
import io
import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from tests.field import pysource
from tests.field.corpora import Folder
from tests.field.judging import Case
from vmie.guest.registry import Hive

NAME = "hives"
CORPORA = ("libguestfs", "dissect.regf")
TOOLS = ()


def cases(folders: Mapping[str, Folder], work: Path) -> Iterator[Case]:
    """One case a value, and what dissect's test says of the keys."""
    guests = folders["libguestfs"].root / "test-data/phony-guests"
    for name in ("windows-software", "windows-system"):
        data = (guests / name).read_bytes()
        for key, value, expected in _values((guests / f"{name}.reg").read_text()):
            yield Case(f"{name} {key}\\{value}", expected, partial(_value, data, key, value))
    tests = folders["dissect.regf"].root / "tests"
    data = gzip.decompress((tests / "_data/SYSTEM.gz").read_bytes())
    test = next(one for one in pysource.parsed(tests / "test_regf.py").body if isinstance(one, ast.FunctionDef))
    for node in ast.walk(test):
        if isinstance(node, ast.Compare) and ast.unparse(node.left) == "len(list(root.subkeys()))":
            yield Case("SYSTEM root", ast.literal_eval(node.comparators[0]), partial(_count, data, ""))
    for key in dict.fromkeys(_keys((tests / "test_regf.py").read_text())):
        yield Case(f"SYSTEM {key}", True, partial(_there, data, key))


def _keys(text: str) -> Iterator[str]:
    for path, name in re.findall(r'hive\.open\("([^"]+)"\)|lsa\.subkey\("([^"]+)"\)', text):
        yield path.replace("\\\\", "\\") or f"ControlSet001\\Control\\Lsa\\{name}"


def _values(text: str) -> Iterator[tuple[str, str, object]]:
    """The values of a .reg file: strings, dwords and raw bytes."""
    key = ""
    for line in text.splitlines():
        if line.startswith("["):
            key = line.strip("[]").split("\\", 2)[2] if line.count("\\") > 1 else ""
        named = re.fullmatch(r'"((?:[^"\\]|\\.)*)"=(str\(\d\):"(.*)"|dword:(\w+)|hex\(3\):(.*))', line)
        if named:
            name, _, string, number, raw = named.groups()
            value: object = bytes.fromhex(raw.replace(",", " ")) if raw else int(number, 16) if number else None
            value = string.replace("\\\\", "\\") if value is None else value
            yield key, name.replace("\\\\", "\\"), value


def _open(data: bytes) -> Hive:
    return Hive(io.BytesIO(data), name="SYSTEM", size=len(data))


def _value(data: bytes, key: str, name: str) -> object:
    with _open(data) as hive:
        return hive.value(key, name)


def _count(data: bytes, key: str) -> object:
    with _open(data) as hive:
        return len(hive.subkeys(key))


def _there(data: bytes, key: str) -> object:
    with _open(data) as hive:
        return hive.has_key(key)
