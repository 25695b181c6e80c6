"""`vmie boot` held to the truth: each guest is started, and what is said is compared with what is true.

A slice in every run, all in `make soak`, where each line shows the CPU seconds that QEMU used.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.boot_guests import GUESTS
from tests.debian import debian_disk
from tests.e2e.conftest import Done
from tests.tools import need, run
from vmie.boot import installed

Vmie = Callable[..., Done]
#: the quick ones, and one that comes up
_SLICE = ("empty, by UEFI", "no configuration of GRUB", "debian")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in _SLICE else pytest.mark.soak) for name in GUESTS]
)
def test_what_is_said_is_true(vmie: Vmie, tmp_path: Path, name: str) -> None:
    need("qemu-system-x86_64", "qemu-img", "debugfs")
    one = GUESTS[name]
    if "uefi" in one.arguments and not any(Path(variables).exists() for _, variables in installed.PLACES):
        need("ovmf")  # no program, and so never there
    disk = tmp_path / "disk.raw"
    if one.copied:
        run(["cp", "--sparse=always", debian_disk(), disk])
    try:
        done = vmie("boot", str(one.make(disk)), "--timeout", "400", *one.arguments)
    finally:
        shutil.rmtree(tmp_path)
    found = done.json["result"]
    print(f"{name}: {found['verdict']}, {found['stage']}, {found['cpu_seconds']} CPU s, {found['seconds']} s")
    shown = "\n".join(f"{one['meaning']}: {one['line']}" for one in found["evidence"]) + str(found["last_lines"])
    assert (found["verdict"], found["stage"]) == (one.verdict, one.stage), shown
    assert done.code == {"boots": 0, "fails": 4}[one.verdict]
    if one.rules:
        assert set(one.rules) & set(found["explained_by"]), found
    if one.verdict == "boots":
        assert found["address"]
        assert found["check"]["agrees"], found["check"]
