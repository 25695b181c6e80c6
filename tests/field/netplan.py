"""netplan's YAML, against the networkd files that netplan's own tests expect of it.

Files that netplan refuses are left out: they gave the machine no network where it came from either.
https://github.com/canonical/netplan/tree/main/tests/generator
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from tests.field import pysource
from tests.field.corpora import Folder
from tests.field.judging import Case
from vmie.guest.linux import netplan

NAME = "netplan"
CORPORA = ("netplan.io",)
TOOLS = ()
#: kinds that a machine in EC2 has
_KINDS = ("ethernets", "bonds", "bridges", "vlans")

#: dhcp, an address of its own, IPv6 for good or alone
Way = tuple[bool, bool, bool]


def cases(folders: Mapping[str, Folder], work: Path) -> Iterator[Case]:
    """One case a test that generates once and says what networkd gets."""
    tests = folders["netplan.io"].root / "tests/generator"
    known = pysource.constants(pysource.parsed(tests / "base.py"))
    for path in sorted(tests.glob("test_*.py")):
        module = pysource.parsed(path)
        names = pysource.constants(module, known)
        for group in module.body:
            for test in group.body if isinstance(group, ast.ClassDef) else ():
                if isinstance(test, ast.FunctionDef) and test.name.startswith("test_"):
                    yield from _case(f"{path.stem} {group.name}.{test.name}", test, names)


def _case(name: str, test: ast.FunctionDef, names: Mapping[str, Any]) -> Iterator[Case]:
    calls = [node for node in ast.walk(test) if isinstance(node, ast.Call)]
    generated = [call for call in calls if ast.unparse(call.func) == "self.generate"]
    asserted = [call for call in calls if ast.unparse(call.func) == "self.assert_networkd"]
    if (
        len(generated) != 1
        or len(asserted) != 1
        or any(one.arg in ("expect_fail", "confs") for one in generated[0].keywords)
    ):
        return
    try:
        text, files = pysource.value(generated[0].args[0], names), pysource.value(asserted[0].args[0], names)
    except (pysource.UnreadableError, IndexError, TypeError):
        return
    if not isinstance(text, str) or not isinstance(files, dict):
        return
    judged = _judged(text)
    expected = sorted(
        _way(content)
        for file, content in files.items()
        if file.endswith(".network") and file.removesuffix(".network") in judged
    )
    if expected and len(expected) == len(judged):
        yield Case(name, expected, partial(_read, text))


def _judged(text: str) -> set[str]:
    network = (yaml.load(text, yaml.BaseLoader) or {}).get("network") or {}
    return {name for kind in _KINDS if isinstance(network, dict) for name in network.get(kind) or {}}


def _way(content: str) -> Way:
    lines = [line.partition("=")[::2] for line in content.splitlines()]
    addresses = [set_to for key, set_to in lines if key == "Address"]
    dhcp = dict(lines).get("DHCP", "no")
    return (dhcp != "no", bool(addresses), dhcp == "ipv6" or any(":" in one for one in addresses))


def _read(text: str) -> list[Way]:
    found = netplan.interfaces(text, "/etc/netplan/a.yaml")
    return sorted((bool(one.dhcp), bool(one.static), bool(one.ipv6)) for one in found)
