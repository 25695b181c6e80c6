"""`vmie boot` as a user has it: verdicts, exit codes, what the check had said, every format."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

import vmie as library
from tests.e2e.conftest import Done
from tests.tools import need, run
from tests.unit.boot.sectors import guest
from vmie.boot.model import BootVerdict

Vmie = Callable[..., Done]
OVF = """<?xml version="1.0"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1">
 <References><File ovf:href="d.vmdk" ovf:id="f1"/></References>
 <DiskSection><Info/><Disk ovf:capacity="1048576" ovf:diskId="d1" ovf:fileRef="f1"/></DiskSection>
 <VirtualSystem ovf:id="vm"><Info/></VirtualSystem>
</Envelope>"""


@pytest.fixture(autouse=True)
def _qemu() -> None:
    need("qemu-system-x86_64", "qemu-img")


def test_a_disk_that_fails_is_told_with_its_stage_and_what_the_check_said(vmie: Vmie, tmp_path: Path) -> None:
    disk = tmp_path / "empty.raw"
    disk.write_bytes(bytes(4 << 20))
    picture = tmp_path / "screen.png"
    done = vmie("boot", str(disk), "--screenshot", str(picture))
    found = done.json["result"]
    assert (done.code, found["verdict"], found["stage"], found["firmware"]) == (4, "fails", "firmware", "bios")
    assert "VMIE-OS-001" in found["explained_by"]
    assert found["check"] == {
        "expected": "fails",
        "agrees": True,
        "rules": ["VMIE-OS-001"],
        "disagreement": "",
    }
    assert found["evidence"][-1]["line"] == "No bootable device."
    assert (found["screenshot"], picture.read_bytes()[:4]) == (str(picture), b"\x89PNG")
    assert {"seconds", "cpu_seconds", "instance_id", "address", "last_lines"} <= found.keys()


def test_a_disk_that_starts_though_the_check_saw_no_system_is_a_disagreement(vmie: Vmie, tmp_path: Path) -> None:
    """In an appliance, whose disk is a stream-optimised VMDK."""
    raw = guest(tmp_path / "d.raw", "\r\nother login: ", screen=False)
    run(["qemu-img", "convert", "-O", "vmdk", "-o", "subformat=streamOptimized", raw, tmp_path / "d.vmdk"])
    (tmp_path / "d.ovf").write_text(OVF)
    appliance = tmp_path / "d.ova"
    with tarfile.open(appliance, "w", format=tarfile.USTAR_FORMAT) as archive:
        archive.add(tmp_path / "d.ovf", "d.ovf")
        archive.add(tmp_path / "d.vmdk", "d.vmdk")
    done = vmie("boot", str(appliance), "--repair")
    found = done.json["result"]
    assert (done.code, found["verdict"], found["explained_by"]) == (0, "boots", [])
    assert (found["check"]["expected"], found["check"]["agrees"]) == ("fails", False)
    assert "VMIE-OS-001" in found["check"]["disagreement"]
    assert found["repaired"]["changes"] == []


def test_what_nothing_shows_is_unknown_and_the_library_says_the_same(vmie: Vmie, tmp_path: Path) -> None:
    raw = guest(tmp_path / "d.raw", "")
    copy = tmp_path / "d.qcow2"
    run(["qemu-img", "convert", "-O", "qcow2", raw, copy])
    done = vmie("boot", str(copy), "--timeout", "2")
    assert (done.code, done.json["result"]["verdict"], done.json["result"]["check"]["agrees"]) == (1, "unknown", None)
    report = library.boot_image(copy, timeout=2)
    assert report.result.verdict is BootVerdict.UNKNOWN
    assert not report.result.screenshot


def test_a_dry_run_starts_nothing(vmie: Vmie, tmp_path: Path) -> None:
    done = vmie("--dry-run", "boot", str(guest(tmp_path / "d.raw", "x")))
    plan = done.json["result"]["plan"]
    assert (done.code, plan["firmware"], plan["disks"], plan["check"]) == (0, "bios", 1, "fails")


def test_what_cannot_be_started_is_refused_in_words(
    vmie: Vmie, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = guest(tmp_path / "d.raw", "x")
    absent = vmie("boot", str(tmp_path / "absent.raw"))
    assert absent.code == 2
    odd = vmie("boot", str(disk), "--firmware", "openfirmware")
    assert (odd.code, "--firmware" in odd.json["error"]["message"]) == (2, True)
    packed = tmp_path / "d.raw.gz"
    run(["gzip", "-k", str(disk)])
    assert vmie("boot", str(packed)).code in (2, 4)
    unwritable = vmie("boot", str(disk), "--timeout", "1", "--screenshot", str(disk / "x.png"))
    assert (unwritable.code, "--screenshot" in unwritable.json["error"]["message"]) == (2, True)
    monkeypatch.setenv("PATH", str(tmp_path))
    missing = vmie("boot", str(disk))
    assert (missing.code, missing.json["error"]["code"]) == (2, "NoQemu")
    assert "qemu" in missing.json["error"]["cure"]
