"""Machines that QEMU starts: of one sector each, so that it takes a second."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from tests.tools import ROOT, need
from tests.unit.boot.sectors import OFF, REPEAT, RESET, guest
from vmie import disk
from vmie.boot import local, qemu
from vmie.boot.model import BootResult, BootStage, BootVerdict
from vmie.boot.tpm import tpm

T = TypeVar("T")


@pytest.fixture(autouse=True)
def _qemu() -> None:
    need("qemu-system-x86_64")


def boot(path: Path, timeout: float = 20) -> tuple[BootResult, bytes | None]:
    before = path.read_bytes()
    with disk.open(path) as opened:
        found, picture = local.boot([opened], timeout=timeout)
    assert path.read_bytes() == before
    return found, picture


def test_what_the_screen_alone_shows_is_read(tmp_path: Path) -> None:
    found, picture = boot(guest(tmp_path / "d.raw", "Missing operating system", serial=False))
    assert (found.verdict, found.stage, found.rules[0]) == (BootVerdict.FAILS, BootStage.LOADER, "VMIE-PART-006")
    assert picture is not None
    assert picture.startswith(b"\x89PNG")
    assert found.seconds < 15
    assert 0 < (found.cpu_seconds or 0) < 10


def test_a_prompt_on_the_serial_port_is_a_machine_that_starts(tmp_path: Path) -> None:
    found, _ = boot(guest(tmp_path / "d.raw", "\r\nDebian GNU/Linux 12 host ttyS0\r\n\r\nhost login: ", screen=False))
    assert (found.verdict, found.stage, found.address) == (BootVerdict.BOOTS, BootStage.LOGIN, "")


def test_a_machine_that_says_nothing_is_unknown_and_ended(tmp_path: Path) -> None:
    found, _ = boot(guest(tmp_path / "d.raw", ""), timeout=3)
    assert found.verdict is BootVerdict.UNKNOWN
    assert 3 <= found.seconds < 12


def test_a_machine_that_starts_over_and_over_fails(tmp_path: Path) -> None:
    found, _ = boot(guest(tmp_path / "d.raw", "x", then=RESET))
    assert found.verdict is BootVerdict.FAILS
    assert "reset" in found.evidence[-1].line


def test_a_machine_that_switches_itself_off_is_over(tmp_path: Path) -> None:
    found, _ = boot(guest(tmp_path / "d.raw", "bye\r\n", screen=False, then=OFF), timeout=60)
    assert (found.verdict, "bye" in found.last_lines) == (BootVerdict.UNKNOWN, True)
    assert found.seconds < 30
    assert (found.cpu_seconds or 0) > 0


def test_a_machine_may_have_a_tpm_which_ends_with_it(tmp_path: Path) -> None:
    need("swtpm")
    others = {*_children(os.getpid())}
    with qemu.private_folder() as folder, tpm(folder), qemu.QemuMachine(folder, [], tpm=True) as machine:
        assert machine.control("query-tpm-models")
        (found,) = machine.control("query-tpm")
        assert (found["model"], found["id"]) == ("tpm-crb", "tpm")
        mine = {*_children(os.getpid())} - others
        assert len(mine) >= 2
    assert _until(lambda: [] if mine & {*_children(os.getpid())} else [True])


def test_a_guest_that_never_stops_writing_fills_nothing(tmp_path: Path) -> None:
    found, _ = boot(guest(tmp_path / "d.raw", "error: not found \x1b[31m", screen=False, then=REPEAT), timeout=3)
    assert found.seconds < 12
    assert len(found.evidence) < 50
    assert all(line.isprintable() for line in found.last_lines)


def test_qemu_ends_with_the_process_that_started_it_and_its_folder_is_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = guest(tmp_path / "d.raw", "")
    code = f"from vmie import disk\nfrom vmie.boot import local\nlocal.boot([disk.open({str(path)!r})], timeout=60)"
    environ = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", code], env=environ) as process:
        (folder,) = _until(lambda: [one for one in tmp_path.glob("vmie-boot-*") if (one / "control").exists()])
        assert folder.stat().st_mode & 0o777 == 0o700
        (emulator,) = _until(lambda: _children(process.pid))
        process.send_signal(signal.SIGKILL)
    assert _until(lambda: [] if _alive(emulator) else [True])
    qemu.sweep(tmp_path)
    assert folder.exists()  # it may be one that was made this moment
    os.utime(folder, (time.time() - 100,) * 2)
    qemu.sweep(tmp_path)
    assert not folder.exists()


def test_a_folder_of_a_living_machine_is_not_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with qemu.private_folder() as folder:
        os.utime(folder, (time.time() - 100,) * 2)
        qemu.sweep(tmp_path)
        assert folder.exists()
    assert not folder.exists()


def _until(asked: Callable[[], list[T]], seconds: float = 15) -> list[T]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := asked():
            return found
        time.sleep(0.05)
    raise AssertionError("it took too long")


def _children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(one) for one in listed]


def _alive(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
