"""The SYSTEM hive: the current control set's services, network, remote desktop, clock and page file."""

from __future__ import annotations

import locale
from typing import Any

from vmie.guest.registry import Hive, HiveError
from vmie.guest.windows_facts import InterfaceFacts

_AUTOMATIC = 2
_DISABLED = 4
_MAX_INTERFACES = 64
_MAX_ADDRESSES = 16

_KINDS = {"winnt": "workstation", "servernt": "server", "lanmannt": "domain-controller"}
_PROCESSORS = {"amd64": "x86_64", "x86": "i386", "arm64": "arm64", "ia64": "ia64"}

#: services of disk and network drivers that a move to EC2 is about
_DRIVERS = (
    *("stornvme", "awsnvme", "nvme", "ena", "xenbus", "xenvbd", "xennet", "xeniface", "rhelscsi", "rhelnet"),
    *("vioscsi", "viostor", "netkvm", "pvscsi", "vmxnet3ndis6", "storvsc", "netvsc", "ixgbe", "vxn", "vxs"),
)
#: those by which a Windows on EC2 reaches its system disk: they must be loaded by the boot loader (Start 0)
_BOOT_DRIVERS = ("stornvme", "awsnvme", "nvme", "nvmedrv", "xenvbd", "xenbus", "rhelscsi", "storahci", "pci")
_BOOT_START = 0
#: classes whose filters sit between Windows and its disk: disks, volumes, and both kinds of controllers
_DISK_CLASSES = (
    "{4d36e967-e325-11ce-bfc1-08002be10318}",
    "{71a27cdd-812a-11d0-bec7-08002be2092f}",
    "{4d36e97b-e325-11ce-bfc1-08002be10318}",
    "{4d36e96a-e325-11ce-bfc1-08002be10318}",
)
_SECURITY = {
    "sense": "Microsoft Defender for Endpoint",
    "msmpsvc": "Microsoft Security Essentials",
    "ccsvchst": "Symantec Endpoint Protection",
    "sepmasterservice": "Symantec Endpoint Protection",
    "mcshield": "McAfee VirusScan",
    "mfefire": "McAfee Endpoint Security",
    "mfemms": "Trellix Endpoint Security",
    "ntrtscan": "Trend Micro Apex One",
    "ds_agent": "Trend Micro Deep Security",
    "ekrn": "ESET",
    "savservice": "Sophos Anti-Virus",
    "sophos endpoint defense service": "Sophos",
    "csfalconservice": "CrowdStrike Falcon",
    "sentinelagent": "SentinelOne",
    "cbdefense": "VMware Carbon Black",
    "cylancesvc": "Cylance",
    "avast! antivirus": "Avast",
    "avgsvc": "AVG",
    "avp": "Kaspersky",
    "vsserv": "Bitdefender",
    "wrsvc": "Webroot",
    "xagt": "FireEye",
}
#: languages written in another script than Latin
_OTHER_SCRIPTS = (
    *("am", "ar", "bg", "bn", "el", "fa", "gu", "he", "hi", "hy", "ja", "ka", "kk", "km", "kn", "ko", "lo", "mk"),
    *("ml", "mr", "my", "pa", "ru", "si", "sr", "ta", "te", "th", "uk", "ur", "vi", "zh"),
)


def control_set(hive: Hive) -> str:
    """The control set that the next boot uses, "ControlSet001"; raises HiveError when the hive names none."""
    number = hive.number("Select", "Default")  # "Current" is the one of the boot that ended
    if number is None:
        number = hive.number("Select", "Current")
    name = f"ControlSet{number or 1:03d}"
    if hive.has_key(name):
        return name
    raise HiveError(f"the SYSTEM hive has no {name}")


def facts(hive: Hive) -> tuple[dict[str, Any], list[str]]:
    """What the control set says, as `WindowsFacts` names it, and why parts could not be determined."""
    current = control_set(hive)
    out: dict[str, Any] = {}
    unknown = []
    for ask in (_options, _remote_desktop, _network, _clock, _sessions, _services, _languages, _setup, _directory):
        try:
            out.update(ask(hive, current))
        except HiveError as error:
            unknown.append(str(error))
    return out, unknown


def _options(hive: Hive, current: str) -> dict[str, Any]:
    kind = hive.text(current + r"\Control\ProductOptions", "ProductType").lower()
    processor = hive.text(current + r"\Control\Session Manager\Environment", "PROCESSOR_ARCHITECTURE").lower()
    found = {"kind": _KINDS.get(kind, ""), "architecture": _PROCESSORS.get(processor, processor[:20])}
    return {name: value for name, value in found.items() if value}


def suites(hive: Hive) -> list[str]:
    """ProductSuite: where Windows 2003 keeps its edition ("Enterprise", "DataCenter")."""
    return hive.texts(control_set(hive) + r"\Control\ProductOptions", "ProductSuite")[:20]


def _remote_desktop(hive: Hive, current: str) -> dict[str, Any]:
    denied = hive.number(current + r"\Control\Terminal Server", "fDenyTSConnections")
    return {"rdp_enabled": None if denied is None else denied == 0, "rdp_firewall_open": _rdp_open(hive, current)}


def _rdp_open(hive: Hive, current: str) -> bool | None:
    """Whether some rule lets TCP 3389 in, or the firewall is off for every network."""
    policy = current + r"\Services\SharedAccess\Parameters\FirewallPolicy"
    profiles = [
        hive.number(f"{policy}\\{name}", "EnableFirewall")
        for name in ("StandardProfile", "DomainProfile", "PublicProfile")
    ]
    known = [state for state in profiles if state is not None]
    if known and not any(known):
        return True
    port = hive.text(policy + r"\StandardProfile\GloballyOpenPorts\List", "3389:TCP")
    if port:
        return ":enabled" in port.lower()
    rules = [
        hive.text(policy + r"\FirewallRules", name)
        for name in ("RemoteDesktop-UserMode-In-TCP", "RemoteDesktop-In-TCP")
    ]
    active = [rule.lower() for rule in rules if rule]
    if not active:
        return None
    return any("active=true" in rule and "action=allow" in rule for rule in active)


def _network(hive: Hive, current: str) -> dict[str, Any]:
    parameters = current + r"\Services\Tcpip\Parameters"
    interfaces = []
    for name in hive.subkeys(parameters + r"\Interfaces")[:_MAX_INTERFACES]:
        key = f"{parameters}\\Interfaces\\{name}"
        dhcp = hive.number(key, "EnableDHCP")
        given = [a for a in hive.texts(key, "IPAddress") if a != "0.0.0.0"]  # noqa: S104 - means "none"
        if dhcp is not None or given:
            addresses = tuple(address[:64] for address in given[:_MAX_ADDRESSES])
            interfaces.append(InterfaceFacts(name[:64], None if dhcp is None else dhcp == 1, addresses))
    client = hive.number(current + r"\Services\Dhcp", "Start")
    return {
        "interfaces": tuple(interfaces),
        "dhcp_service": None if client is None else client != _DISABLED,
        "domain": hive.text(parameters, "Domain")[:255],
    }


def _clock(hive: Hive, current: str) -> dict[str, Any]:
    key = current + r"\Control\TimeZoneInformation"
    universal = hive.number(key, "RealTimeIsUniversal")
    zone = hive.text(key, "TimeZoneKeyName") or hive.text(key, "StandardName")
    return {"time_zone": zone[:100], "universal_time": universal == 1}


def _sessions(hive: Hive, current: str) -> dict[str, Any]:
    key = current + r"\Control\Session Manager"
    files = hive.texts(key + r"\Memory Management", "PagingFiles")[:16]
    fast = hive.number(key + r"\Power", "HiberbootEnabled")
    return {
        "page_files": tuple(entry[:200] for entry in files),
        "page_file_managed": any(_managed(entry) for entry in files) if files else None,
        "fast_startup": None if fast is None else fast == 1,
        "renames_pending": bool(hive.texts(key, "PendingFileRenameOperations")),
    }


def _managed(entry: str) -> bool:
    """True for "?:\\pagefile.sys" and "C:\\pagefile.sys 0 0": Windows chooses the size."""
    sizes = entry.split()[1:]
    return entry.startswith("?") or (bool(sizes) and all(size == "0" for size in sizes)) or not sizes


def _services(hive: Hive, current: str) -> dict[str, Any]:
    services = current + r"\Services"
    drivers = frozenset(name for name in _DRIVERS if _starts(hive, services, name))
    products = {label for name, label in _SECURITY.items() if _starts_itself(hive, services, name)}
    starts = {name: _boot_start(hive, services, name) for name in _BOOT_DRIVERS}
    found: dict[str, Any] = {
        "drivers": drivers,
        "boot_drivers": frozenset(name for name, why in starts.items() if why == ""),
        "late_drivers": tuple(f"{name} ({why})" for name, why in starts.items() if why),
        "missing_filters": tuple(_missing_filters(hive, current)),
        "security_products": tuple(sorted(products)),
        "hyperv_role": _starts(hive, services, "vmms"),
    }
    if _starts(hive, services, "VMTools"):
        found["vmware_tools"] = True
    return found


def _boot_start(hive: Hive, services: str, name: str) -> str | None:
    """ "" where the boot loader loads the driver, else what keeps it from that; None where there is none.

    Windows puts a driver off by the key StartOverride when its device is absent: the value "0" is that of the only
    hardware profile (https://github.com/Azure/SAP-on-Azure-Scripts-and-Utilities/issues/147).
    """
    start = hive.number(f"{services}\\{name}", "Start")
    if start is None:
        return None
    override = hive.number(f"{services}\\{name}\\StartOverride", "0")
    if override not in (None, _BOOT_START):
        return f"StartOverride {override}"
    return "" if start == _BOOT_START else f"Start {start}"


def _missing_filters(hive: Hive, current: str) -> list[str]:
    """Filter drivers of disks and volumes that are not installed, or disabled."""
    listed = (
        driver[:100]
        for name in _DISK_CLASSES
        for kind in ("UpperFilters", "LowerFilters")
        for driver in hive.texts(f"{current}\\Control\\Class\\{name}", kind)[:20]
    )
    services = current + r"\Services"
    return [driver for driver in dict.fromkeys(listed) if not _starts(hive, services, driver)]


def _starts(hive: Hive, services: str, name: str) -> bool:
    start = hive.number(f"{services}\\{name}", "Start")
    return start is not None and start != _DISABLED


def _starts_itself(hive: Hive, services: str, name: str) -> bool:
    """Without being asked: Start 0 to 2. Stock Windows has Sense (Defender for Endpoint) at 3, on demand."""
    start = hive.number(f"{services}\\{name}", "Start")
    return start is not None and start <= _AUTOMATIC


def _languages(hive: Hive, current: str) -> dict[str, Any]:
    installed = [name[:20] for name in hive.subkeys(current + r"\Control\MUI\UILanguages")[:50]]
    code = hive.text(current + r"\Control\Nls\Language", "InstallLanguage")[:8]
    default = ""
    if code and all(char in "0123456789abcdefABCDEF" for char in code):
        default = locale.windows_locale.get(int(code, 16), "").replace("_", "-")
    ordered = [default] if default else []
    ordered += [name for name in installed if name.lower() != default.lower()]
    packs = tuple(name for name in ordered if name.split("-")[0].lower() in _OTHER_SCRIPTS)
    return {"languages": tuple(ordered), "utf16_language_packs": packs}


def _setup(hive: Hive, current: str) -> dict[str, Any]:
    del current  # Setup lies beside the control sets
    running = [hive.number("Setup", name) for name in ("SystemSetupInProgress", "OOBEInProgress")]
    known = [state for state in running if state is not None]
    return {"setup_in_progress": any(known) if known else None}


def _directory(hive: Hive, current: str) -> dict[str, Any]:
    return {"ad_database": hive.text(current + r"\Services\NTDS\Parameters", "DSA Database file")[:260]}
