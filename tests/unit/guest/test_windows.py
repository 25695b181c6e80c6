"""Windows from its hives: the facts, whose spelling they have, and what damage does to them."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any

import pytest

from tests import hives
from tests.tools import need, run
from tests.windows_guest import CONFIG, CURRENT, NT, SERVICES, SET, FakeVolume, software, system, volume, windows_disk
from vmie import disk
from vmie.guest import Budget
from vmie.guest import inspect as inspect_disks
from vmie.guest.budget import OverBudget
from vmie.guest.registry import Hive, HiveError
from vmie.guest.windows import inspect
from vmie.guest.windows_facts import WindowsFacts


def facts(found: FakeVolume) -> WindowsFacts:
    told = inspect(found, volume="disk 0 partition 1")
    assert told is not None
    return told


def told(soft: dict[str, Any] | None = None, sys: dict[str, Any] | None = None, **files: bytes) -> WindowsFacts:
    """The facts of a volume whose hives have further keys."""
    return facts(volume({**software(), **(soft or {})}, {**system(), **(sys or {})}, **files))


def test_the_hives_are_what_hivex_reads(tmp_path: Path) -> None:
    need("hivexget")
    path = tmp_path / "SOFTWARE"
    path.write_bytes(hives.build(software()))
    assert run(["hivexget", str(path), NT, "ProductName"]).stdout.strip() == "Windows Server 2019 Datacenter"
    with path.open("rb") as file, Hive(file, name="SOFTWARE", size=path.stat().st_size) as hive:
        assert hive.text(NT, "ProductName") == "Windows Server 2019 Datacenter"


def test_hivexsh_wrote_it_and_we_read_it(tmp_path: Path) -> None:
    need("hivexsh")
    path = tmp_path / "SOFTWARE"
    path.write_bytes(hives.build(software()))
    values = {
        "ProductName": "string:Windows Server 2022 Standard",
        "CurrentBuild": "string:20348",
        "CurrentMajorVersionNumber": "dword:10",
        "InstallationType": "string:Server",
    }
    lines = [f"cd \\{NT}", f"setval {len(values)}", *(part for pair in values.items() for part in pair), "commit"]
    script = "\n".join(lines) + "\n"
    run(["hivexsh", "-w", str(path)], input=script)
    found = facts(volume(path.read_bytes()))
    assert (found.product, found.release) == ("Windows Server 2022 Standard", "2022")


def test_a_server_tells_all() -> None:
    found = told()
    assert (found.product, found.release, found.edition) == (
        "Windows Server 2019 Datacenter",
        "2019",
        "ServerDatacenter",
    )
    assert (found.build, found.architecture, found.kind) == (17763, "x86_64", "server")
    assert found.languages == ("en-US",)
    assert found.rdp_enabled is True
    assert found.rdp_firewall_open is True
    assert found.interfaces[0].dhcp is True
    assert found.universal_time is True
    assert found.dotnet == ("4.8",)
    assert found.has_nvme
    assert not found.has_ena
    assert found.unknown == ()


RELEASES = [
    ({"CurrentVersion": "5.2", "ProductName": "Microsoft Windows Server 2003"}, "ServerNT", "2003"),
    ({"CurrentVersion": "5.2", "ProductName": "Microsoft Windows Server 2003 R2"}, "ServerNT", "2003 R2"),
    ({"CurrentVersion": "6.0", "ProductName": "Windows Server (R) 2008 Standard"}, "ServerNT", "2008"),
    ({"CurrentVersion": "6.1", "ProductName": "Windows Server 2008 R2 Standard"}, "LanmanNT", "2008 R2"),
    ({"CurrentVersion": "6.1", "ProductName": "Windows 7 Professional"}, "WinNT", "7"),
    ({"CurrentVersion": "6.2", "ProductName": "Windows Server 2012 Standard"}, "ServerNT", "2012"),
    ({"CurrentVersion": "6.3", "ProductName": "Windows Server 2012 R2 Standard"}, "ServerNT", "2012 R2"),
    ({"CurrentVersion": "6.3", "ProductName": "Windows 8.1 Pro"}, "WinNT", "8.1"),
    ({"CurrentBuild": "14393"}, "ServerNT", "2016"),
    ({"CurrentBuild": "17134"}, "ServerNT", "1803"),
    ({"CurrentBuild": "26100"}, "ServerNT", "2025"),
    ({"CurrentBuild": "19045"}, "WinNT", "10"),
    ({"CurrentBuild": "22631", "ProductName": "Windows 10 Pro"}, "WinNT", "11"),
    ({"CurrentVersion": "6.0", "ProductName": "Windows Vista"}, "WinNT", "Vista"),
]


@pytest.mark.parametrize(("identity", "kind", "release"), RELEASES, ids=lambda value: str(value)[:30])
def test_releases(identity: dict[str, hives.Data], kind: str, release: str) -> None:
    soft = software(**identity)
    if "CurrentVersion" in identity:
        del soft[NT]["CurrentMajorVersionNumber"]
    soft[NT].pop("InstallationType")
    assert facts(volume(soft, system(kind))).release == release


RESTRICTIONS = r"Policies\Microsoft\Windows\DeviceInstall\Restrictions"
NETWORK_CLASS = "{4D36E972-E325-11CE-BFC1-08002BE10318}"
USB_DISKS = "{eec5ad98-8080-425f-922a-dabf3de3f69a}"


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ({}, ()),
        ({RESTRICTIONS: {"DenyUnspecified": 0}}, ()),
        ({RESTRICTIONS: {"DenyUnspecified": 1}}, ("all that no policy allows (DenyUnspecified)",)),
        (
            {
                RESTRICTIONS: {"DenyDeviceClasses": 1},
                RESTRICTIONS + r"\DenyDeviceClasses": {"1": USB_DISKS},
            },
            (),
        ),
        (
            {
                RESTRICTIONS: {"DenyDeviceClasses": 1},
                RESTRICTIONS + r"\DenyDeviceClasses": {"1": USB_DISKS, "2": NETWORK_CLASS},
            },
            (f"DenyDeviceClasses {NETWORK_CLASS.lower()}",),
        ),
        ({RESTRICTIONS: {"DenyDeviceClasses": 0}, RESTRICTIONS + r"\DenyDeviceClasses": {"1": NETWORK_CLASS}}, ()),
        (
            {RESTRICTIONS: {"DenyDeviceIDs": 1}, RESTRICTIONS + r"\DenyDeviceIDs": {"1": r"PCI\VEN_1D0F&DEV_EC20"}},
            (r"DenyDeviceIDs pci\ven_1d0f&dev_ec20",),
        ),
    ],
)
def test_policies_against_drivers(keys: dict[str, Any], found: tuple[str, ...]) -> None:
    assert facts(volume({**software(), **keys}, system())).driver_restrictions == found


SYSTEM_FACTS: list[tuple[dict[str, Any], str, Any]] = [
    ({SET + r"\Control\Terminal Server": {"fDenyTSConnections": 1}}, "rdp_enabled", False),
    (
        {
            SERVICES + r"\SharedAccess\Parameters\FirewallPolicy\FirewallRules": {
                "RemoteDesktop-UserMode-In-TCP": "v2.10|Action=Allow|Active=FALSE|"
            }
        },
        "rdp_firewall_open",
        False,
    ),
    ({SERVICES + r"\Dhcp": {"Start": 4}}, "dhcp_service", False),
    ({SERVICES + r"\vmms": {"Start": 2}}, "hyperv_role", True),
    ({SERVICES + r"\csfalconservice": {"Start": 2}}, "security_products", ("CrowdStrike Falcon",)),
    ({SERVICES + r"\Sense": {"Start": 2}}, "security_products", ("Microsoft Defender for Endpoint",)),
    ({SERVICES + r"\Sense": {"Start": 3}}, "security_products", ()),
    ({SERVICES + r"\NTDS\Parameters": {"DSA Database file": "D:\\ntds.dit"}}, "ad_database", "D:\\ntds.dit"),
    ({SET + r"\Control\Session Manager\Power": {"HiberbootEnabled": 1}}, "fast_startup", True),
    (
        {SET + r"\Control\Session Manager": {"PendingFileRenameOperations": ["\\??\\C:\\a", "\\??\\C:\\b"]}},
        "pending_reboot",
        ("file renames",),
    ),
    (
        {SET + r"\Control\Session Manager\Memory Management": {"PagingFiles": ["?:\\pagefile.sys"]}},
        "page_file_managed",
        True,
    ),
    (
        {SERVICES + r"\Tcpip\Parameters\Interfaces\{0aa1}": {"EnableDHCP": 0, "IPAddress": ["10.0.0.9"]}},
        "static_addresses",
        ("10.0.0.9",),
    ),
    ({SET + r"\Control\Nls\Language": {"InstallLanguage": "0411"}}, "languages", ("ja-JP", "en-US")),
    ({SET + r"\Control\Nls\Language": {"InstallLanguage": "0411"}}, "utf16_language_packs", ("ja-JP",)),
    ({SET + r"\Control\ProductOptions": {"ProductType": "LanmanNT"}}, "kind", "domain-controller"),
    ({SERVICES + r"\ena": {"Start": 3}}, "has_ena", True),
    ({SERVICES + r"\VMTools": {"Start": 2}}, "vmware_tools", True),
    ({"Setup": {"SystemSetupInProgress": 1}}, "setup_in_progress", True),
]


@pytest.mark.parametrize(("keys", "name", "value"), SYSTEM_FACTS, ids=[f"{row[1]}-{row[2]}" for row in SYSTEM_FACTS])
def test_the_system_hive(keys: dict[str, Any], name: str, value: object) -> None:
    assert getattr(told(sys=keys), name) == value


SOFTWARE_FACTS: list[tuple[dict[str, Any], str, Any]] = [
    ({CURRENT + r"\Component Based Servicing\RebootPending": {}}, "pending_reboot", ("component servicing",)),
    ({CURRENT + r"\WindowsUpdate\Auto Update\RebootRequired": {}}, "pending_reboot", ("Windows Update",)),
    ({NT + r"\Winlogon": {"AutoAdminLogon": "1"}}, "autologon", True),
    ({r"VMware, Inc.\VMware Tools": {}}, "vmware_tools", True),
    (
        {CURRENT + r"\Setup\State": {"ImageState": "IMAGE_STATE_UNDEPLOYABLE"}},
        "sysprep_state",
        "IMAGE_STATE_UNDEPLOYABLE",
    ),
    ({r"Microsoft\NET Framework Setup\NDP\v3.5": {"Install": 1, "SP": 1}}, "dotnet", ("3.5 SP1", "4.8")),
]


@pytest.mark.parametrize(
    ("keys", "name", "value"), SOFTWARE_FACTS, ids=[f"{row[1]}-{row[2]}" for row in SOFTWARE_FACTS]
)
def test_the_software_hive(keys: dict[str, Any], name: str, value: object) -> None:
    assert getattr(told(soft=keys), name) == value


@pytest.mark.parametrize("select", [{"Current": 3}, {"Current": 3, "Default": 3}, {"Current": 1, "Default": 3}])
def test_the_control_set_of_the_next_boot_is_the_one_that_select_names(select: dict[str, int]) -> None:
    keys: dict[str, Any] = {path.replace("ControlSet001", "ControlSet003"): value for path, value in system().items()}
    keys["Select"] = select
    keys[r"ControlSet001\Control\Terminal Server"] = {"fDenyTSConnections": 1}
    keys[SERVICES + r"\stornvme"] = {"Start": 3}
    found = facts(volume(None, keys))
    assert (found.rdp_enabled, found.has_nvme) == (True, True)


@pytest.mark.parametrize(
    ("keys", "ready", "late"),
    [
        ({r"\stornvme": {"Start": 0}}, True, ()),
        ({r"\stornvme": {"Start": 0}, r"\stornvme\StartOverride": {"0": 0}}, True, ()),
        ({r"\stornvme": {"Start": 0}, r"\stornvme\StartOverride": {"0": 3}}, False, ("stornvme (StartOverride 3)",)),
        ({r"\stornvme": {"Start": 1}}, False, ("stornvme (Start 1)",)),
        ({r"\stornvme": {"Start": 3}}, False, ("stornvme (Start 3)",)),
        ({r"\stornvme": {"Start": 4}}, False, ("stornvme (Start 4)",)),
        ({r"\stornvme": {"Start": 3}, r"\AWSNVMe": {"Start": 0}}, True, ("stornvme (Start 3)",)),
        # what a Hyper-V machine of the second generation leaves: it has no PCI bus of its own
        ({r"\pci": {"Start": 0}, r"\pci\StartOverride": {"0": 3}}, False, ("pci (StartOverride 3)",)),
        ({r"\storahci": {"Start": 0}, r"\storahci\StartOverride": {"0": 3}}, True, ("storahci (StartOverride 3)",)),
    ],
)
def test_a_disk_driver_is_ready_when_the_boot_loader_loads_it(
    keys: dict[str, Any], ready: bool, late: tuple[str, ...]
) -> None:
    found = told(sys={SERVICES + path: values for path, values in keys.items()})
    assert (found.has_nvme, found.late_drivers) == (ready, late)


@pytest.mark.parametrize(("start", "xen"), [({"Start": 0}, True), ({"Start": 3}, False)])
def test_xen_drivers_are_for_the_boot_too(start: dict[str, int], xen: bool) -> None:
    assert told(sys={SERVICES + r"\xenvbd": start}).has_xen is xen


def test_filters_of_disks_without_a_driver() -> None:
    disks = SET + r"\Control\Class\{4d36e967-e325-11ce-bfc1-08002be10318}"
    keys = {
        disks: {"UpperFilters": ["partmgr", "DKDFM", "off"], "LowerFilters": ["EhStorClass"]},
        SERVICES + r"\partmgr": {"Start": 0},
        SERVICES + r"\off": {"Start": 4},
        SERVICES + r"\EhStorClass": {"Start": 0},
    }
    assert told(sys=keys).missing_filters == ("DKDFM", "off")
    assert told().missing_filters == ()


def test_names_in_another_case_are_found() -> None:
    files = {
        path.replace("System32", "system32").replace("SOFTWARE", "software"): data
        for path, data in volume().files.items()
    }
    assert facts(FakeVolume(files)).release == "2019"


@pytest.mark.parametrize(("head", "asleep"), [(b"hibr", True), (b"HIBR", True), (b"wake", False), (b"\0\0\0\0", False)])
def test_hibernation(head: bytes, asleep: bool) -> None:
    assert told(**{"/hiberfil.sys": head + bytes(4092)}).hibernated is asleep


def test_ems_and_the_hypervisor_in_the_boot_store() -> None:
    loader = r"Objects\{abc}\Elements"
    store = hives.build(
        {loader + r"\16000020": {"Element": b"\1"}, loader + r"\250000f0": {"Element": b"\1" + bytes(7)}}
    )
    found = told(**{"/Boot/BCD": store})
    assert (found.ems, found.hyperv_role) == (True, True)


def test_a_hive_with_unwritten_changes_is_named() -> None:
    assert facts(volume(None, hives.build(system(), dirty=True))).dirty_hives == ("SYSTEM",)


def test_a_volume_without_windows_is_none() -> None:
    assert inspect(FakeVolume({"/data/file": b"x"})) is None
    assert inspect(FakeVolume({"/Windows/notepad.exe": b"x"})) is None


@pytest.mark.parametrize("data", [b"", b"regf", b"regf" + bytes(508), bytes(8192), b"\xff" * 8192])
def test_garbage_instead_of_a_hive_is_unknown_with_a_reason(data: bytes) -> None:
    found = facts(volume(data, data))
    assert (found.product, found.rdp_enabled) == ("", None)
    assert any("SOFTWARE" in reason for reason in found.unknown)
    assert any("SYSTEM" in reason for reason in found.unknown)


def test_flipped_bits_never_raise() -> None:
    dice = random.Random(4)
    good = hives.build(software()), hives.build(system())
    for _ in range(150):
        soft, sys = (bytearray(part) for part in good)
        for hive in (soft, sys):
            for _ in range(dice.randrange(1, 12)):
                hive[dice.randrange(32, len(hive))] = dice.randrange(256)
        facts(volume(bytes(soft), bytes(sys)))


def test_a_hive_beyond_the_limit_is_not_read() -> None:
    with pytest.raises(HiveError, match="more than"):
        Hive(io.BytesIO(b"regf"), name="SOFTWARE", size=1 << 30)


def test_the_end_of_the_budget_is_passed_on() -> None:
    class Tired(FakeVolume):
        def read(self, path: str, limit: int, offset: int = 0) -> bytes:
            raise OverBudget("not finished within 20 s")

    with pytest.raises(OverBudget):
        inspect(Tired(volume().files))


def test_a_real_ntfs_disk(tmp_path: Path) -> None:
    need("mkntfs", "ntfscp", "ntfsls", "sfdisk")
    path = windows_disk(tmp_path / "windows.raw", **{"/hiberfil.sys": b"hibr" + bytes(100)})
    with disk.open(path) as opened:
        guest = inspect_disks([opened], budget=Budget())
    found = guest.windows[0]
    assert (found.release, found.volume, found.architecture) == ("2019", "disk 0 partition 1", "x86_64")
    assert (found.hibernated, found.dirty_volume) == (True, False)
    assert found.free_bytes is not None
    assert 30 << 20 < found.free_bytes < 46 << 20
    assert CONFIG.startswith(f"/{found.root}")
