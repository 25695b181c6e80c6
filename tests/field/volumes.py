"""LVM2 and software RAID: the members that dissect.volume is tested with, and what its tests read from them.

https://github.com/fox-it/dissect.volume/tree/main/tests
"""

from __future__ import annotations

import ast
import gzip
import uuid as uuids
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from tests.field import pysource
from tests.field.corpora import Folder
from tests.field.judging import Case, Said
from tests.guests import Bytes
from vmie.guest import md, volumes

NAME = "volumes"
CORPORA = ("dissect.volume",)
TOOLS = ()


def cases(folders: Mapping[str, Folder], work: Path) -> Iterator[Case]:
    """One case a logical volume and its bytes; one an array: name, UUID, level and, of a mirror, its bytes."""
    tests = folders["dissect.volume"].root / "tests"
    files = {
        one.name: [
            tests / node.value
            for node in ast.walk(one)
            if isinstance(node, ast.Constant) and "_data" in str(node.value)
        ]
        for one in pysource.parsed(tests / "conftest.py").body
        if isinstance(one, ast.FunctionDef)
    }
    for test in pysource.parsed(tests / "lvm/test_lvm.py").body:
        if isinstance(test, ast.FunctionDef) and test.args.args:
            yield from _logical(test, files[test.args.args[0].arg])
    module = pysource.parsed(tests / "md/test_md.py")
    test = next(one for one in module.body if isinstance(one, ast.FunctionDef) and one.name == "test_md_read")
    marks = next(node for node in ast.walk(test.decorator_list[0]) if isinstance(node, ast.List))
    for mark in marks.elts:
        fixture, name, uuid, level, _, count = (pysource.value(each, {}) for each in mark.args)  # type: ignore[attr-defined]
        content = _reads(test, {"num_test_blocks": count})
        expected = _Short((name, _mdadm(uuid, words="90" in fixture), level, content))
        yield Case(f"md {fixture}", expected, partial(_array, files[fixture], len(content), named=name is not None))


def _mdadm(uuid: str, *, words: bool) -> str:
    """The UUID as mdadm writes it: dissect takes the bytes for a GUID's, and metadata 0.90 has words of four bytes."""
    raw = uuids.UUID(uuid).bytes_le
    if words:
        raw = b"".join(raw[at : at + 4][::-1] for at in range(0, 16, 4))
    return str(uuids.UUID(bytes=raw))


class _Short(tuple[Any, ...]):
    """A tuple that is printed without megabytes of content."""

    __slots__ = ()

    def __str__(self) -> str:
        return str(tuple(f"{len(one)} bytes" if isinstance(one, bytes) else one for one in self))


def _logical(test: ast.FunctionDef, files: list[Path]) -> Iterator[Case]:
    content = _reads(test, {})
    strings = [node.value for node in ast.walk(test) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    subscripts = [
        node for node in ast.walk(test) if isinstance(node, ast.Subscript) and "logical_volumes" in ast.unparse(node)
    ]
    compared = {ast.unparse(node.left): node.comparators[0] for node in ast.walk(test) if isinstance(node, ast.Compare)}
    named = [one.slice.value for one in subscripts if isinstance(one.slice, ast.Constant) and one.slice.value != "data"]
    names = (
        [ast.literal_eval(compared["lv.name"])]
        if "lv.name" in compared
        else named or [each for each in strings if each.startswith("lv-")]
    )
    for name in names:
        yield Case(f"{test.name} {name}", _Short((name, content)), partial(_volume, files, name, len(content)))


def _reads(test: ast.FunctionDef, names: Mapping[str, Any]) -> bytes:
    """The bytes that the test's ``assert fh.read(n) == …`` expect, one after another."""
    found = []
    for node in ast.walk(test):
        if isinstance(node, ast.For) and isinstance(node.target, ast.Name) and node.target.id == "i":
            first, end = (pysource.value(each, names) for each in node.iter.args)  # type: ignore[attr-defined]
            line = node.body[0]
            assert isinstance(line, ast.Assert)
            assert isinstance(line.test, ast.Compare)
            return b"".join(pysource.value(line.test.comparators[0], {**names, "i": i}) for i in range(first, end))
        if isinstance(node, ast.Compare) and ast.unparse(node.left).startswith("fh.read"):
            found.append(pysource.value(node.comparators[0], names))
    return b"".join(found)


def _blocks(files: list[Path]) -> list[Bytes]:
    return [Bytes(gzip.decompress(path.read_bytes())) for path in files]


def _volume(files: list[Path], name: str, length: int) -> object:
    physical = [
        volumes.physical_volume(blocks, where=f"disk {index}", disk=index)[0]
        for index, blocks in enumerate(_blocks(files))
    ]
    mapped = next((one for one in volumes.assemble(physical)[0] if one.facts.name == name), None)
    if mapped is None or mapped.blocks is None:
        return Said.UNKNOWN
    return _Short((name, mapped.blocks.read(0, length)))


def _array(files: list[Path], length: int, *, named: bool) -> object:
    found = [(md.member(blocks), blocks) for blocks in _blocks(files)]
    member, blocks = found[0]
    if member is None:
        return Said.UNKNOWN
    told = (member.name if named else None, member.uuid, member.level)
    if not member.whole:
        return Said.UNKNOWN
    return _Short((*told, blocks.read(member.start, length)))
