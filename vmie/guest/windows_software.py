"""The SOFTWARE hive: which Windows it is, what is pending, what is installed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from vmie.guest.registry import Hive

_NT = r"Microsoft\Windows NT\CurrentVersion"
_CURRENT = r"Microsoft\Windows\CurrentVersion"
_NDP = r"Microsoft\NET Framework Setup\NDP"

_RESTRICTIONS = r"Policies\Microsoft\Windows\DeviceInstall\Restrictions"
_MAX_DENIED = 100
#: network cards, SCSI and IDE controllers, disks, system devices
_CLASSES = (
    "{4d36e972-e325-11ce-bfc1-08002be10318}",
    "{4d36e97b-e325-11ce-bfc1-08002be10318}",
    "{4d36e96a-e325-11ce-bfc1-08002be10318}",
    "{4d36e967-e325-11ce-bfc1-08002be10318}",
    "{4d36e97d-e325-11ce-bfc1-08002be10318}",
)
#: what EC2 has: Amazon's own, and Xen's
_DEVICES = (r"pci\ven_1d0f", r"pci\ven_5853", "xen")

#: first build of each server release with version 10.0, newest first
_SERVERS = (
    (26100, "2025"),
    (25398, "23H2"),
    (20348, "2022"),
    (18363, "1909"),
    (18362, "1903"),
    (17763, "2019"),
    (17134, "1803"),
    (16299, "1709"),
    (14393, "2016"),
)
_RELEASES = {"6.3": ("2012 R2", "8.1"), "6.2": ("2012", "8"), "6.1": ("2008 R2", "7"), "6.0": ("2008", "Vista")}

#: smallest Release value of each .NET Framework 4.x
#: https://learn.microsoft.com/dotnet/framework/install/how-to-determine-which-versions-are-installed
_DOTNET_4 = (
    (533320, "4.8.1"),
    (528040, "4.8"),
    (461808, "4.7.2"),
    (461308, "4.7.1"),
    (460798, "4.7"),
    (394802, "4.6.2"),
    (394254, "4.6.1"),
    (393295, "4.6"),
    (379893, "4.5.2"),
    (378675, "4.5.1"),
    (378389, "4.5"),
)


def identity(hive: Hive) -> dict[str, Any]:
    """Product, edition, version, build and service pack, as `WindowsFacts` names them (release comes later)."""
    build = _build(hive)
    major = hive.number(_NT, "CurrentMajorVersionNumber")
    minor = hive.number(_NT, "CurrentMinorVersionNumber")
    version = f"{major}.{minor or 0}" if major is not None else hive.text(_NT, "CurrentVersion")[:20]
    pack = re.search(r"Service Pack (\d{1,3})", hive.text(_NT, "CSDVersion")[:100])
    installation = hive.text(_NT, "InstallationType")[:100]
    return {
        "product": hive.text(_NT, "ProductName")[:200],
        "edition": hive.text(_NT, "EditionID")[:100],
        "version": version,
        "build": build,
        "service_pack": int(pack[1]) if pack else 0,
        "nano": "nano" in installation.lower(),
        "kind": _kind(installation),
    }


def _kind(installation: str) -> str:
    if not installation:
        return ""
    return "workstation" if installation.lower() == "client" else "server"


def _build(hive: Hive) -> int | None:
    for name in ("CurrentBuild", "CurrentBuildNumber"):
        text = hive.text(_NT, name)
        if text[:9].isdecimal():
            return int(text[:9])
    return None


def release(*, version: str, build: int | None, kind: str, product: str) -> str:
    """The short name of AWS's list ("2012 R2", "10"); "" when it is none we know."""
    server = kind != "workstation" if kind else "server" in product.lower()
    if version.startswith("10.") and build is not None:
        if server:
            return next((name for first, name in _SERVERS if build >= first), "")
        return "11" if build >= 22000 else "10"
    if version.startswith("5.2") and server:
        return "2003 R2" if "R2" in product else "2003"
    if version.startswith("5."):
        return {"5.0": "2000"}.get(version, "XP")
    return _RELEASES.get(version, ("", ""))[0 if server else 1]


def state(hive: Hive) -> dict[str, Any]:
    """What set-up and servicing left behind, .NET and automatic logon."""
    pending = []
    if hive.has_key(_CURRENT + r"\Component Based Servicing\RebootPending"):
        pending.append("component servicing")
    if hive.has_key(_CURRENT + r"\WindowsUpdate\Auto Update\RebootRequired"):
        pending.append("Windows Update")
    autologon = hive.value(_NT + r"\Winlogon", "AutoAdminLogon")
    return {
        "sysprep_state": hive.text(_CURRENT + r"\Setup\State", "ImageState")[:100],
        "pending_reboot": tuple(pending),
        "dotnet": dotnet(hive),
        "autologon": str(autologon).strip() == "1",
        "vmware_tools": hive.has_key(r"VMware, Inc.\VMware Tools"),
        "driver_restrictions": tuple(_restrictions(hive)),
    }


def _restrictions(hive: Hive) -> Iterator[str]:
    """Policies that keep network and disk devices, or Amazon's, from being installed.

    https://learn.microsoft.com/windows/client-management/mdm/policy-csp-deviceinstallation
    """
    if hive.number(_RESTRICTIONS, "DenyUnspecified") == 1:
        yield "all that no policy allows (DenyUnspecified)"
    for name, wanted in (("DenyDeviceClasses", _CLASSES), ("DenyDeviceIDs", _DEVICES)):
        if hive.number(_RESTRICTIONS, name) == 1:
            listed = (
                hive.text(f"{_RESTRICTIONS}\\{name}", str(number)).lower() for number in range(1, _MAX_DENIED + 1)
            )
            if denied := next((one for one in listed if one.startswith(wanted)), ""):
                yield f"{name} {denied[:80]}"


def dotnet(hive: Hive) -> tuple[str, ...]:
    """Installed versions of .NET Framework, oldest first: ("2.0", "3.5 SP1", "4.8")."""
    found = []
    for key, name in (("v2.0.50727", "2.0"), ("v3.0", "3.0"), ("v3.5", "3.5")):
        if hive.number(f"{_NDP}\\{key}", "Install") == 1:
            pack = hive.number(f"{_NDP}\\{key}", "SP")
            found.append(f"{name} SP{pack}" if pack else name)
    four = hive.number(_NDP + r"\v4\Full", "Release")
    if four is not None:
        found.append(next((name for least, name in _DOTNET_4 if four >= least), "4.0"))
    elif hive.number(_NDP + r"\v4\Full", "Install") == 1:
        found.append("4.0")
    return tuple(found)
