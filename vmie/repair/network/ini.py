"""INI files: NetworkManager's profiles (nm-settings-keyfile(5)), systemd.network(5) and systemd.link(5)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from vmie.guest.linux.shell import sections
from vmie.repair.network.stacked import Stacked

_ADDRESSES = re.compile(r"address(?:es)?\d*|gateway|route\d*(?:_options)?|routes|dns|dns-search")
_NETWORKD = re.compile(r"address|gateway|dns|domains|ipv6acceptra|dhcp")
#: how networkd spells its sections
_TITLES = {"match": "Match", "network": "Network", "link": "Link"}
_WIRED = ("ethernet", "802-3-ethernet")
#: (section, key) in lower case ──► whether the line goes
_Gone = Callable[[str, str], bool]


def networkmanager(text: str, names: list[str], first: bool) -> str:
    """The profile for any card by DHCP; with `first` False one that does not connect by itself."""
    profile = sections(text)
    connection = {key: values[-1] for key, values in profile.get("connection", {}).items()}
    if connection.get("type") not in _WIRED or {"master", "controller"} & set(connection):
        raise Stacked("it is no plain Ethernet card")
    six = {key: values[-1] for key, values in profile.get("ipv6", {}).items()}

    def gone(section: str, key: str) -> bool:
        if section == "connection":
            return key in ("interface-name", "autoconnect")
        if section in _WIRED:
            return key in ("mac-address", "cloned-mac-address")
        if section == "match":
            return True
        if section == "ipv4":
            return key == "method" or bool(_ADDRESSES.fullmatch(key))
        return section == "ipv6" and bool(_ADDRESSES.fullmatch(key) or (key == "method" and six[key] == "manual"))

    wanted = {"ipv4": "method=auto"} | ({"ipv6": "method=auto"} if six.get("method") == "manual" else {})
    if not first:
        wanted["connection"] = "autoconnect=false"
    return _edited(text, gone, wanted)


def networkd(text: str, names: list[str], first: bool) -> str:
    """The same of systemd-networkd."""
    parts = sections(text)
    if {"bond", "bridge", "vlan", "macvlan", "vrf"} & set(parts.get("network", {})):
        raise Stacked("the card belongs to a bond, a bridge or a VLAN")

    def gone(section: str, key: str) -> bool:
        if section == "network":
            return bool(_NETWORKD.fullmatch(key))
        if section == "link":
            return key in ("macaddress", "unmanaged")
        return section in ("address", "route") or (first and section == "match")

    other = {"match": "Name=e*"} if first else {"link": "Unmanaged=yes"}
    return _edited(text, gone, {**other, "network": "DHCP=yes"})


def link(text: str) -> str:
    """A .link file that gives no name."""
    return _edited(text, lambda section, key: (section, key) == ("link", "name"), {})


def _edited(text: str, gone: _Gone, wanted: Mapping[str, str]) -> str:
    """`text` without the lines that are `gone`, and with a line of `wanted` at the head of each section."""
    lines: list[str] = []
    left, section = dict(wanted), ""
    for line in text.splitlines(keepends=True):
        stripped = line.strip()
        if stripped.startswith("[") and stripped.endswith("]"):
            section = stripped[1:-1].lower()
            lines.append(line if line.endswith("\n") else line + "\n")
            if section in left:
                lines.append(left.pop(section) + "\n")
        elif (
            "=" not in stripped
            or stripped.startswith(("#", ";"))
            or not gone(section, stripped.partition("=")[0].strip().lower())
        ):
            lines.append(line)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    return "".join([*lines, *(f"\n[{_TITLES.get(name, name)}]\n{line}\n" for name, line in left.items())])


def _assigned(line: str) -> str:
    """The key of a line, in lower case; "" for a comment."""
    return "" if "=" not in line or line.startswith(("#", ";")) else line.partition("=")[0].strip().lower()
