"""Windows made ready for EC2 in its registry: disk drivers, Remote Desktop, DHCP, and what shows a crash.

Values are changed where they lie in the hives. What needs a new value, key or file is left, with the command for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from vmie.guest.registry import HiveError
from vmie.guest.windows import locate
from vmie.guest.windows_facts import WindowsFacts
from vmie.guest.windows_system import control_set
from vmie.repair.files import GuestFiles
from vmie.repair.hive_edit import HiveEdit
from vmie.repair.model import Edit, Left

_NVME, _ENA = "VMIE-BOOT-008", "VMIE-BOOT-009"
_RDP, _FAST, _LOGON, _CLOCK = "VMIE-WIN-013", "VMIE-WIN-009", "VMIE-WIN-017", "VMIE-WIN-020"
_STATIC = "VMIE-NET-003"
#: Windows' own drivers of the buses and controllers that its disk may be on, and Amazon's
_BOOT_DRIVERS = ("pci", "stornvme", "awsnvme", "storahci", "vpci")
_NEEDED = ("pci", "stornvme", "awsnvme")
_BOOT, _AUTOMATIC, _ON_DEMAND, _DISABLED = 0, 2, 3, 4
_FIREWALL = r"\Services\SharedAccess\Parameters\FirewallPolicy\FirewallRules"
#: https://learn.microsoft.com/windows-hardware/customize/desktop/unattend/networking-mpssvc-svc
_RDP_RULES = ("RemoteDesktop-UserMode-In-TCP", "RemoteDesktop-UserMode-In-UDP", "RemoteDesktop-In-TCP")
_MAX_INTERFACES = 64
_LOGON_KEY = r"Microsoft\Windows NT\CurrentVersion\Winlogon"
#: BCD: automatic repair after a failed start (https://learn.microsoft.com/windows-hardware/drivers/devtest/bcdedit--set)
_RECOVERY = "16000009"
_DRIVERS_BY_HAND = (
    r"reg add HKLM\SYSTEM\CurrentControlSet\Services\stornvme /v Start /t REG_DWORD /d 0 /f & "
    r"reg delete HKLM\SYSTEM\CurrentControlSet\Services\stornvme\StartOverride /f"
)
_RDP_BY_HAND = (
    r"reg add 'HKLM\SYSTEM\CurrentControlSet\Control\Terminal Server' /v fDenyTSConnections /t REG_DWORD /d 0 /f; "
    "Enable-NetFirewallRule -DisplayGroup 'Remote Desktop'"
)

#: asked for a hive, its control set, and the facts: changes the hive, and says what stays
Change = Callable[[HiveEdit, str, WindowsFacts, GuestFiles], Iterator[Left]]


def _changing(
    rule: str, change: Change, why: str, *, hive: str = "SYSTEM"
) -> Callable[[GuestFiles], Iterator[Edit | Left]]:
    """The mend that opens the hive, has `change` change it, and wants it written."""

    def apply(files: GuestFiles) -> Iterator[Edit | Left]:
        facts = files.facts
        if not isinstance(facts, WindowsFacts):
            return
        if facts.hibernated is not False:
            yield Left(
                rule, "Windows is hibernated: what lies on its disk is not what it goes on with", "shutdown /s /f"
            )
            return
        try:
            path, edit = _opened(files, facts, hive)
            yield from change(edit, control_set(edit.hive) if hive == "SYSTEM" else "", facts, files)
        except HiveError as error:
            yield Left(rule, str(error))
            return
        yield Edit(path, edit.bytes(), why, fill=b"", comment="")

    return apply


def _opened(files: GuestFiles, facts: WindowsFacts, name: str) -> tuple[str, HiveEdit]:
    folder = f"/{facts.root}/System32/config"
    found = locate(files.tree.root, f"{folder}/{name}")
    data = files.read(found[0]) if found is not None else None
    if found is None or data is None:
        raise HiveError(f"there is no {name} hive")
    logs = [locate(files.tree.root, f"{folder}/{name}.LOG{number}") for number in ("", "1", "2")]
    return found[0], HiveEdit(data, name=name, logs=tuple(files.read(log[0]) or b"" for log in logs if log is not None))


def _drivers(edit: HiveEdit, current: str, facts: WindowsFacts, files: GuestFiles) -> Iterator[Left]:
    found = False
    for name in _BOOT_DRIVERS:
        key = f"{current}\\Services\\{name}"
        start = edit.hive.number(key, "Start")
        if start is None:
            continue
        if not _has_file(edit, key, name, facts, files):
            if name in _NEEDED:
                yield Left(_NVME, f"the driver {name} is registered, and its file is not there", "sfc /scannow")
            continue
        found |= name in ("stornvme", "awsnvme")
        if start != _BOOT and not edit.set_number(key, "Start", _BOOT):
            yield Left(_NVME, f"Start of {name} is no number", _DRIVERS_BY_HAND)
        for profile in edit.hive.values(f"{key}\\StartOverride"):
            edit.set_number(f"{key}\\StartOverride", profile, _BOOT)
    if not found:
        why = "this Windows has no NVMe driver: Amazon's has to be installed"
        yield Left(_NVME, why, "pnputil /add-driver awsnvme.inf /install")


def _has_file(edit: HiveEdit, key: str, name: str, facts: WindowsFacts, files: GuestFiles) -> bool:
    """Whether the driver's file is where ImagePath says: a boot driver without one is the end of the start."""
    path = edit.hive.text(key, "ImagePath").replace("\\", "/").lstrip("/") or f"System32/drivers/{name}.sys"
    for prefix in ("systemroot/", "??/c:/windows/", "%systemroot%/"):
        path = path[len(prefix) :] if path.lower().startswith(prefix) else path
    return locate(files.tree.root, f"/{facts.root}/{path}") is not None


def _desktop(edit: HiveEdit, current: str, facts: WindowsFacts, files: GuestFiles) -> Iterator[Left]:
    key = current + r"\Control\Terminal Server"
    if edit.hive.number(key, "fDenyTSConnections") != 0 and not edit.set_number(key, "fDenyTSConnections", 0):
        yield Left(_RDP, "whether Remote Desktop is on has no value that could be changed", _RDP_BY_HAND)
    service = current + r"\Services\TermService"
    if edit.hive.number(service, "Start") == _DISABLED:
        edit.set_number(service, "Start", _ON_DEMAND)
    opened = False
    for name in _RDP_RULES:
        rule = edit.hive.text(current + _FIREWALL, name)
        parts = ["Active=TRUE" if part.lower() == "active=false" else part for part in rule.split("|")]
        opened |= "Active=TRUE" in parts or "active=true" in rule.lower()
        if "|".join(parts) != rule:
            edit.set_text(current + _FIREWALL, name, "|".join(parts))
    if not opened:
        yield Left(_RDP, "the firewall has no rule for Remote Desktop that could be made active", _RDP_BY_HAND)


def _dhcp(edit: HiveEdit, current: str, facts: WindowsFacts, files: GuestFiles) -> Iterator[Left]:
    parameters = current + r"\Services\Tcpip\Parameters\Interfaces"
    for name in edit.hive.subkeys(parameters)[:_MAX_INTERFACES]:
        key = f"{parameters}\\{name}"
        if edit.hive.number(key, "EnableDHCP") == 0:
            edit.set_number(key, "EnableDHCP", 1)
            # a gateway that stays would be used beside the one that DHCP brings
            edit.empty(key, "DefaultGateway")
        elif edit.hive.number(key, "EnableDHCP") is None and edit.hive.texts(key, "IPAddress"):
            yield Left(
                _STATIC, f"the interface {name} has no value EnableDHCP", "netsh interface ip set address NAME dhcp"
            )
    client = current + r"\Services\Dhcp"
    if edit.hive.number(client, "Start") == _DISABLED:
        edit.set_number(client, "Start", _AUTOMATIC)


def _crash(edit: HiveEdit, current: str, facts: WindowsFacts, files: GuestFiles) -> Iterator[Left]:
    """A stop stays on the screen, where get-console-screenshot sees it."""
    edit.set_number(current + r"\Control\CrashControl", "AutoReboot", 0)
    yield from ()


def _fast_startup(edit: HiveEdit, current: str, facts: WindowsFacts, files: GuestFiles) -> Iterator[Left]:
    edit.set_number(current + r"\Control\Session Manager\Power", "HiberbootEnabled", 0)
    yield from ()


def _clock(edit: HiveEdit, current: str, facts: WindowsFacts, files: GuestFiles) -> Iterator[Left]:
    key = current + r"\Control\TimeZoneInformation"
    if not edit.set_number(key, "RealTimeIsUniversal", 1):
        by_hand = (
            rf"reg add HKLM\SYSTEM\CurrentControlSet{key[len(current) :]} /v RealTimeIsUniversal /t REG_DWORD /d 1 /f"
        )
        yield Left(_CLOCK, "there is no value RealTimeIsUniversal that could be changed", by_hand)


def _automatic_logon(edit: HiveEdit, current: str, facts: WindowsFacts, files: GuestFiles) -> Iterator[Left]:
    if not edit.set_number(_LOGON_KEY, "AutoAdminLogon", 0):
        edit.set_text(_LOGON_KEY, "AutoAdminLogon", "0")
    yield from ()


def _ena(files: GuestFiles) -> Iterator[Left]:
    if isinstance(files.facts, WindowsFacts):
        why = "Amazon's network driver has to be installed: that needs new files and keys, which are not added here"
        yield Left(_ENA, why, "pnputil /add-driver ena.inf /install")


def _repair_off(files: GuestFiles) -> Iterator[Edit]:
    """In the boot store, where it lies on the volume of Windows and has the element."""
    found = locate(files.tree.root, "/Boot/BCD") if isinstance(files.facts, WindowsFacts) else None
    data = files.read(found[0]) if found is not None else None
    if found is None or data is None or files.facts.hibernated is not False:  # type: ignore[union-attr]
        return
    try:
        edit = HiveEdit(data, name="BCD")
        for name in edit.hive.subkeys("Objects")[:_MAX_INTERFACES]:
            edit.set_byte(f"Objects\\{name}\\Elements\\{_RECOVERY}", "Element", 0)
    except HiveError:
        return
    yield Edit(
        found[0], edit.bytes(), "Windows does not start its own repair, which no one would see", fill=b"", comment=""
    )


DRIVERS = _changing(_NVME, _drivers, "the drivers of NVMe, AHCI and PCI are loaded at the start of Windows")
DESKTOP = _changing(_RDP, _desktop, "Remote Desktop is on, and the firewall lets it in")
DHCP = _changing(_STATIC, _dhcp, "addresses come by DHCP")
FAST_STARTUP = _changing(_FAST, _fast_startup, "Windows shuts down whole")
CLOCK = _changing(_CLOCK, _clock, "EC2's clock is in UTC")
LOGON = _changing(_LOGON, _automatic_logon, "no one is logged on automatically", hive="SOFTWARE")
CRASH = _changing("", _crash, "a crash stays on the screen, where EC2 shows it")
ENA = _ena
REPAIR_OFF = _repair_off
