"""The same network in seven forms: what cloud-init's own tests render of a configuration, each read by its own reader.

https://github.com/canonical/cloud-init/blob/main/tests/unittests/test_net.py (NETWORK_CONFIGS)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from tests import guests
from tests.field import pysource
from tests.field.corpora import Folder
from tests.field.judging import Case
from vmie.guest.linux.network import network
from vmie.guest.network_facts import Interface

NAME = "cloud-init"
CORPORA = ("cloud-init",)
TOOLS = ()
_DHCP = ("dhcp", "dhcp4")
_DHCP6 = ("dhcp6", "ipv6_dhcpv6-stateful", "ipv6_dhcpv6-stateless", "ipv6_slaac")
#: a rendering, and where a guest has it; of several files the name stands behind
_PLACES = {
    "yaml": "/etc/cloud/cloud.cfg.d/90-network.cfg",
    "yaml_v1": "/etc/cloud/cloud.cfg.d/90-network.cfg",
    "yaml_v2": "/etc/cloud/cloud.cfg.d/90-network.cfg",
    "expected_eni": "/etc/network/interfaces",
    "expected_netplan": "/etc/netplan/50-cloud-init.yaml",
    "expected_networkd": "/etc/systemd/network/10-cloud-init.network",
    "expected_sysconfig_rhel": "/etc/sysconfig/network-scripts/",
    "expected_sysconfig_opensuse": "/etc/sysconfig/network/",
    "expected_network_manager": "/etc/NetworkManager/system-connections/",
}


def cases(folders: Mapping[str, Folder], work: Path) -> Iterator[Case]:
    """One case a configuration and rendering: of each interface whether it asks a server or has its address."""
    tests = folders["cloud-init"].root / "tests/unittests/test_net.py"
    configs = pysource.constants(pysource.parsed(tests))["NETWORK_CONFIGS"]
    for name, forms in configs.items():
        written = next(forms[key] for key in ("yaml", "yaml_v1", "yaml_v2") if key in forms)
        asked = yaml.safe_load(written)
        asked = asked.get("network", asked)
        expected = _version_1(asked) if asked["version"] == 1 else _version_2(asked)
        for form, place in _PLACES.items():
            if form in forms:
                files = _files(place, forms[form])
                yield Case(f"{name} {form}", _told(expected, files), partial(_read, files, sorted(expected)))


def _version_1(asked: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    for device in asked["config"]:
        if device["type"] in ("physical", "bond", "bridge", "vlan"):
            kinds = [subnet["type"] for subnet in device.get("subnets") or ()]
            found[device["name"]] = _word(
                four=any(kind in _DHCP for kind in kinds),
                six=any(kind in _DHCP6 for kind in kinds),
                fixed=any(kind in ("static", "static6") for kind in kinds),
            )
    return found


def _version_2(asked: Mapping[str, Any]) -> dict[str, str]:
    return {
        device.get("set-name", name): _word(
            four=device.get("dhcp4", False), six=device.get("dhcp6", False), fixed=bool(device.get("addresses"))
        )
        for kind in ("ethernets", "bonds", "bridges", "vlans")
        for name, device in asked.get(kind, {}).items()
    }


def _word(*, four: bool, six: bool, fixed: bool) -> str:
    """A server's IPv4 address goes before all: with it a machine is reached in EC2."""
    return "dhcp" if four else "static" if fixed else "dhcp6" if six else "none"


def _files(place: str, written: Any) -> dict[str, str]:
    if isinstance(written, dict):
        return {f"{place}{name}": text for name, text in written.items()}
    if place.startswith("/etc/cloud") and not re.search("^network:", written, re.MULTILINE):
        written = "network:\n" + "".join(f"  {line}\n" for line in written.splitlines())
    return {place: written}


def _told(expected: Mapping[str, str], files: Mapping[str, str]) -> dict[str, str]:
    """Without interfaces that the rendering leaves out; and NetworkManager asks by DHCP where nothing is said of IPv4.

    https://github.com/canonical/cloud-init/issues/6685
    """
    found = {}
    for name, word in expected.items():
        holding = [text for path, text in files.items() if name in path or name in text]
        profile = files.get(f"{_PLACES['expected_network_manager']}cloud-init-{name}.nmconnection", "[ipv4]")
        if holding:
            found[name] = word if "[ipv4]" in profile or "master=" in profile else "dhcp"
    return found


def _read(files: dict[str, str | bytes | guests.Link | None], names: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in network(guests.tree(files), "").interfaces:
        name = one.name.removeprefix("cloud-init ")
        if name in names:
            found[name] = _ours(one)
    return found


def _ours(one: Interface) -> str:
    if one.dhcp and (one.static or not one.ipv6):
        return "dhcp"
    return "static" if one.static else "dhcp6" if one.ipv6 else "none"
