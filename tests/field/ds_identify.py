"""cloud-init's ds-identify: guests whose datasource lies on their own disk, and is found before EC2's elsewhere too.

https://github.com/canonical/cloud-init/blob/main/tests/unittests/test_ds_identify.py: of its guests those that are
told by files in /var/lib/cloud and /etc/cloud, or by the labels of their volumes; not by firmware or hypervisor.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from tests import guests
from tests.field import pysource
from tests.field.corpora import Folder
from tests.field.judging import Case
from vmie.guest.linux.cloud_init import cloud_init
from vmie.guest.linux.devices import Devices, names_of

NAME = "ds-identify"
CORPORA = ("cloud-init",)
TOOLS = ()
_ON_DISK = ("NoCloud", "ConfigDrive", "OVF", "OpenNebula", "RbxCloud")
#: labels of volumes that hold what a datasource says
_NAMES = ("cidata", "CIDATA", "config-2", "CONFIG-2", "CONTEXT", "CLOUDMD", "cloudmd")
_KEPT = ("var/", "etc/", "writable/")


class _Plain(ast.NodeTransformer):
    """Calls that only make text of what they are given: os.path.join, and what prints volumes as blkid does."""

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        match ast.unparse(node.func):
            case "os.path.join":
                parts = [part for each in node.args for part in (each, ast.Constant("/"))][:-1]
                joined: ast.expr = parts[0]
                for part in parts[1:]:
                    joined = ast.BinOp(joined, ast.Add(), part)
                return joined
            case "blkid_out":
                return node.args[0]
            case "uuid4":
                return ast.Constant("")
        return node


def cases(folders: Mapping[str, Folder], work: Path) -> Iterator[Case]:
    """One case a guest: whether EC2's datasource counts, when it comes after the one that the test finds."""
    module = _Plain().visit(pysource.parsed(folders["cloud-init"].root / "tests/unittests/test_ds_identify.py"))
    names = pysource.constants(module)
    for line in module.body:
        if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "VALID_CFG":
            assert isinstance(line.value, ast.Dict)
            for key, value in zip(line.value.keys, line.value.values, strict=True):
                try:
                    guest = pysource.value(value, names)
                except pysource.UnreadableError:
                    continue
                if isinstance(key, ast.Constant) and isinstance(guest, dict) and guest.get("ds") in _ON_DISK:
                    yield from _case(str(key.value), guest)


def _case(name: str, guest: dict[str, Any]) -> Iterator[Case]:
    files = {path.lstrip("/"): text for path, text in (guest.get("files") or {}).items()}
    kept = {f"/{path}": text for path, text in files.items() if path.startswith(_KEPT)}
    rows = [row for mock in guest.get("mocks", ()) if mock.get("name") == "blkid" for row in mock.get("out") or ()]
    found = [row.get("LABEL") or row.get("LABEL_FATBOOT", "") for row in rows if isinstance(row, dict)]
    labels = [label for label in found if label in _NAMES]
    if labels or any("/seed/" in path or guest["ds"] in text for path, text in kept.items()):
        yield Case(name, False, partial(_asks_ec2, kept, labels, guest["ds"]))


def _asks_ec2(files: Mapping[str, str], labels: list[str], datasource: str) -> bool:
    devices = Devices(disks=1)
    for number, label in enumerate(labels):
        devices.add(number, names_of(label=label))
    ours = {"/usr/bin/cloud-init": "", "/etc/cloud/cloud.cfg.d/99.cfg": f"datasource_list: [ {datasource}, Ec2, None ]"}
    return cloud_init(guests.tree({**files, **ours}), "", devices).ec2
