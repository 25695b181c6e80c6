"""Windows on NTFS made ready in its hives: hivex and ntfs-3g's tools read what was written."""

from __future__ import annotations

import hashlib
import io
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests import hives
from tests.tools import need, run
from tests.unit.repair.test_network import judge
from tests.windows_guest import CONFIG, NT, SERVICES, SET, Keys, software, system, windows_disk
from vmie import disk
from vmie.disk.overlay import Overlay
from vmie.guest.registry import Hive, HiveError
from vmie.repair import Repair, repair
from vmie.repair.hive_edit import HiveEdit
from vmie.repair.mends import MENDS

RULES = SERVICES + r"\SharedAccess\Parameters\FirewallPolicy\FirewallRules"
CLOSED = "v2.10|Action=Allow|Active=FALSE|Dir=In|Protocol=6|LPort=3389|App=System|Name=@FirewallAPI.dll,-28775|"
LONG = "v2.30|Action=Allow|Active=FALSE|Dir=In|Name=" + "x" * 7000 + "|"
LEFT_BEHIND: Keys = {
    SERVICES + r"\stornvme": {"Start": 3, "ImagePath": r"\SystemRoot\System32\drivers\stornvme.sys"},
    SERVICES + r"\stornvme\StartOverride": {"0": 3, "1": 3},
    SERVICES + r"\pci": {"Start": 0, "ImagePath": r"System32\drivers\pci.sys"},
    SERVICES + r"\pci\StartOverride": {"0": 3},
    SERVICES + r"\storahci": {"Start": 3},
    SERVICES + r"\Dhcp": {"Start": 4},
    SERVICES + r"\Tcpip\Parameters\Interfaces\{0aa1}": {
        "EnableDHCP": 0,
        "IPAddress": ["10.0.0.4"],
        "DefaultGateway": ["10.0.0.1"],
    },
    SERVICES + r"\TermService": {"Start": 4},
    SET + r"\Control\Terminal Server": {"fDenyTSConnections": 1},
    SET + r"\Control\Session Manager\Power": {"HiberbootEnabled": 1},
    SET + r"\Control\TimeZoneInformation": {"RealTimeIsUniversal": 0, "TimeZoneKeyName": "W. Europe Standard Time"},
    SET + r"\Control\CrashControl": {"AutoReboot": 1},
    RULES: {"RemoteDesktop-UserMode-In-TCP": CLOSED, "RemoteDesktop-UserMode-In-UDP": LONG, "Other": CLOSED},
}
STORE: Keys = {
    r"Objects\{4b1d}\Elements\16000009": {"Element": b"\x01"},
    r"Objects\{4b1d}\Elements\12000004": {"Element": "Windows 10"},
}
MENDED = {
    "VMIE-BOOT-008",
    "VMIE-WIN-013",
    "VMIE-NET-003",
    "VMIE-NET-008",
    "VMIE-WIN-009",
    "VMIE-WIN-020",
    "VMIE-WIN-017",
}


def files(more: dict[str, Any]) -> dict[str, Any]:
    """The drivers' files, and `more`."""
    return {f"/Windows/System32/drivers/{name}.sys": b"MZ" for name in ("stornvme", "pci")} | more


def hash_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_by_hivex(hive: Path, key: str, value: str) -> str:
    need("hivexget")
    return run(["hivexget", str(hive), key, value]).stdout.strip()


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    soft = software() | {NT + r"\Winlogon": {"AutoAdminLogon": "1"}}
    folder = tmp_path_factory.mktemp("windows")
    return windows_disk(folder / "disk.raw", soft, system() | LEFT_BEHIND, **files({"/Boot/BCD": hives.build(STORE)}))


@pytest.fixture(scope="module")
def mended(guest: Path) -> tuple[Repair, Path]:
    """What was done, and the disk with the layer written over a copy."""
    before = hash_of(guest)
    with disk.open(guest) as base:
        layer = Overlay(base)
        done = repair([layer], MENDS, judge=judge)
        assert not repair([layer], MENDS, judge=judge).changes
        data = bytearray(guest.read_bytes())
        for offset, changed in layer.changes():
            data[offset : offset + len(changed)] = changed
    assert hash_of(guest) == before
    copy = guest.with_name("mended.raw")
    copy.write_bytes(data)
    return done, copy


def test_the_findings_are_gone(mended: tuple[Repair, Path]) -> None:
    done, _ = mended
    assert set(done.mended) >= MENDED
    assert {one.path for one in done.changes} == {f"{CONFIG}/SYSTEM", f"{CONFIG}/SOFTWARE", "/Boot/BCD"}
    assert all(len(one.before) == len(one.after) for one in done.changes)
    assert [one.by_hand for one in done.left if one.rule == "VMIE-BOOT-009"] == ["pnputil /add-driver ena.inf /install"]


def test_hivex_and_ntfs_read_what_was_written(mended: tuple[Repair, Path], tmp_path: Path) -> None:
    """A volume that is clean to ntfsfix, and hives that another reader takes."""
    need("ntfscat", "ntfsfix", "hivexget")
    _, path = mended
    volume = tmp_path / "volume"
    volume.write_bytes(path.read_bytes()[1 << 20 : 47 << 20])
    assert "successfully" in run(["ntfsfix", "-n", str(volume)]).stdout
    hive = tmp_path / "SYSTEM"
    hive.write_bytes(
        subprocess.run(["ntfscat", "-f", str(volume), f"{CONFIG}/SYSTEM"], capture_output=True, check=True).stdout
    )
    wanted = {
        (SERVICES + r"\stornvme", "Start"): "0",
        (SERVICES + r"\stornvme\StartOverride", "0"): "0",
        (SERVICES + r"\stornvme\StartOverride", "1"): "0",
        (SERVICES + r"\pci\StartOverride", "0"): "0",
        (SERVICES + r"\storahci", "Start"): "3",  # its file is not there
        (SERVICES + r"\TermService", "Start"): "3",
        (SERVICES + r"\Tcpip\Parameters\Interfaces\{0aa1}", "EnableDHCP"): "1",
        (SERVICES + r"\Tcpip\Parameters\Interfaces\{0aa1}", "IPAddress"): "10.0.0.4",
        (SERVICES + r"\Tcpip\Parameters\Interfaces\{0aa1}", "DefaultGateway"): "",
        (SET + r"\Control\CrashControl", "AutoReboot"): "0",
        (SET + r"\Control\TimeZoneInformation", "TimeZoneKeyName"): "W. Europe Standard Time",
        (RULES, "RemoteDesktop-UserMode-In-TCP"): CLOSED.replace("FALSE", "TRUE"),
        (RULES, "RemoteDesktop-UserMode-In-UDP"): LONG.replace("FALSE", "TRUE"),
        (RULES, "Other"): CLOSED,
    }
    assert {where: read_by_hivex(hive, *where) for where in wanted} == wanted


def test_what_cannot_be_changed_is_left_with_its_command(tmp_path: Path) -> None:
    """No value to change, no rule, no driver."""
    keys = {path: values for path, values in system().items() if "stornvme" not in path}
    keys |= {RULES: {"Other": CLOSED}, SET + r"\Control\Terminal Server": {"fDenyTSConnections": 1}}
    with disk.open(windows_disk(tmp_path / "disk.raw", None, keys)) as base:
        done = repair([Overlay(base)], MENDS, judge=judge)
    by_hand = {one.rule: one.by_hand for one in done.left if one.by_hand}
    assert "Enable-NetFirewallRule" in by_hand["VMIE-WIN-013"]
    assert "awsnvme" in by_hand["VMIE-BOOT-008"]


def log(*numbers: int) -> bytes:
    entries = b"".join(
        struct.pack("<4sIIIIIQQ", b"HvLE", 512, 0, number, 4096, 1, 0, 0).ljust(512, b"\0") for number in numbers
    )
    return b"regf".ljust(512, b"\0") + entries


@pytest.mark.parametrize(
    ("logs", "refused"),
    [((), False), ((b"", log(1)), False), ((log(1), log(2)), True), ((log(0, 1, 2),), True), ((b"x" * 3000,), False)],
)
def test_a_hive_with_changes_in_its_logs_is_refused(logs: tuple[bytes, ...], refused: bool) -> None:
    data = hives.build(system())
    if not refused:
        assert HiveEdit(data, name="SYSTEM", logs=logs).bytes() == data
        return
    with pytest.raises(HiveError, match="logs"):
        HiveEdit(data, name="SYSTEM", logs=logs)


def test_a_dirty_hive_and_a_hibernated_windows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(HiveError, match="logs"):
        HiveEdit(hives.build(system(), dirty=True), name="SYSTEM")
    path = windows_disk(
        tmp_path / "disk.raw", None, system() | LEFT_BEHIND, **files({"/hiberfil.sys": b"hibr" + bytes(5000)})
    )
    with disk.open(path) as base:
        layer = Overlay(base)
        done = repair([layer], MENDS, judge=judge)
        assert not layer.changes()
    assert any("hibernated" in one.why for one in done.left)


def test_texts_that_do_not_fit_and_other_types_stay() -> None:
    edit = HiveEdit(hives.build({"K": {"text": "abcdef", "short": "1", "number": 7, "raw": b"\x01\x02\x03"}}), name="X")
    before = edit.bytes()
    assert not edit.set_text("K", "text", "longer than it was")
    assert not edit.set_text("K", "text", "1")  # would have to move into its record
    assert not edit.set_text("K", "short", "12")
    assert not edit.set_text("K", "number", "7")
    assert not edit.set_number("K", "text", 1)
    assert not edit.set_number("K", "missing", 1)
    assert not edit.set_number("L", "number", 1)
    assert not edit.set_byte("K", "raw", 1)
    assert edit.bytes() == before
    assert edit.set_text("K", "text", "abc")
    assert edit.set_text("K", "short", "0")
    assert edit.set_number("K", "number", 0xFFFFFFFF)
    with Hive(io.BytesIO(edit.bytes()), name="X", size=len(before)) as hive:
        assert [hive.value("K", name) for name in ("text", "short", "number")] == ["abc", "0", 0xFFFFFFFF]
