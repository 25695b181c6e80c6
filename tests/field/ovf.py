"""OVF descriptors, and the machines that COT and dissect.hypervisor find in them.

https://github.com/glennmatthews/cot/blob/master/COT/commands/tests/test_info.py
https://github.com/fox-it/dissect.hypervisor/blob/main/tests/descriptor/test_ovf.py
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from tests.field import pysource
from tests.field.corpora import Folder
from tests.field.judging import Case
from vmie import disk

NAME = "ovf"
CORPORA = ("cot", "dissect.hypervisor")
TOOLS = ()
_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_SIZE = r"([\d.]+) ([KMGT]?i?B)"


def cases(folders: Mapping[str, Folder], work: Path) -> Iterator[Case]:
    """Of each descriptor that COT describes, the disks, processors, memory and cards; of dissect's, the files."""
    yield from _cot(folders["cot"].root / "COT")
    module = pysource.parsed(folders["dissect.hypervisor"].root / "tests/descriptor/test_ovf.py")
    path = work / "test.ovf"
    path.write_text(pysource.constants(module)["TEST_OVF"])
    test = next(one for one in module.body if isinstance(one, ast.FunctionDef))
    files = next(node.comparators[0] for node in ast.walk(test) if isinstance(node, ast.Compare))
    yield Case("dissect test_ovf", ast.literal_eval(files), lambda: [one.file for one in disk.appliance(path).disks])


def _cot(folder: Path) -> Iterator[Case]:
    paths = dict(re.findall(r'(\w+) = _localfile\("([^"]+)"\)', (folder / "tests/cot_testcase.py").read_text()))
    for group in pysource.parsed(folder / "commands/tests/test_info.py").body:
        for test in group.body if isinstance(group, ast.ClassDef) else ():
            source = ast.unparse(test)
            named = re.findall(r"package_list = \[self\.(\w+)\]", source)
            texts = [node.value for node in ast.walk(test) if isinstance(node, ast.Constant)]
            said = [text for text in texts if isinstance(text, str) and "Configuration Profiles" in text]
            if named and said and isinstance(test, ast.FunctionDef):
                path = folder / "tests" / paths[named[0]]
                disks = _disks(said[0])
                if disks:
                    yield Case(f"cot {test.name} disks", disks, partial(_our_disks, path))
                yield Case(f"cot {test.name} hardware", _hardware(said[0]), partial(_our_hardware, path))


def _bytes(number: str, unit: str) -> int:
    return int(float(number) * _UNITS[unit])


def _disks(said: str) -> list[tuple[str, int, str, str]]:
    """Lines such as ``input.vmdk  149 KiB  1 GiB harddisk @ SCSI 0:0``; a disk without a file is a placeholder."""
    found = re.findall(rf"^  (\S+|\(disk placeholder\)) .*? {_SIZE} harddisk @ (\w+) (\d+:\d+)", said, re.MULTILINE)
    return sorted(
        ("" if name.startswith("(") else name, _bytes(number, unit), kind.lower(), place)
        for name, number, unit, kind, place in found
    )


def _our_disks(path: Path) -> object:
    found = disk.appliance(path, empty_disks=True).disks
    return sorted((one.file, one.capacity, one.controller, f"{one.bus}:{one.unit}") for one in found if one.attached)


def _hardware(said: str) -> tuple[int, int, int]:
    """Of the default profile: processors, bytes of memory, network cards."""
    line = re.search(rf"\(default\) +(\d+) +{_SIZE} +(\d+)", said)
    assert line, said
    return int(line[1]), _bytes(line[2], line[3]), int(line[4])


def _our_hardware(path: Path) -> object:
    found = disk.appliance(path, empty_disks=True)
    return found.cpus or 0, (found.memory_mib or 0) << 20, len(found.nics)
