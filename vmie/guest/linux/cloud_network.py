"""The network as cloud-init's own files have it: ``network:`` in /etc/cloud, or a NoCloud seed; it goes before EC2's.

Version 2 is netplan's format; version 1 is a list (https://docs.cloud-init.io/en/latest/reference/network-config.html).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from vmie.guest.linux.cloud_init import SEEDS, configs, network_disabled
from vmie.guest.network_facts import Interface
from vmie.guest.tree import Tree

_TOP = re.compile(r"^[\"']?network[\"']?:", re.MULTILINE)
_MAX_DEVICES = 100
_TYPES = ("physical", "bond", "bridge", "vlan")
_FOUR = ("dhcp", "dhcp4")
_SIX = ("dhcp6", "ipv6_dhcpv6-stateful", "ipv6_dhcpv6-stateless", "ipv6_slaac")


def configured(text: str) -> bool:
    """Whether `text` says how the network is to be (and not that it is to be left alone)."""
    return bool(_TOP.search(text)) and not network_disabled(text)


def interfaces(tree: Tree) -> Iterator[Interface]:
    """The cards of the first file that configures any."""
    files = [(path, text) for path, text in configs(tree) if configured(text)]
    for folder in SEEDS:
        text = tree.text(f"{folder}/network-config")
        if text:
            files.append((f"{folder}/network-config", text if _TOP.search(text) else _indented(text)))
    if not files:
        return
    from vmie.guest.linux import netplan  # noqa: PLC0415 - a YAML library, for the guests that need one

    for path, text in files:
        try:
            yield from netplan.interfaces(text, path, source="cloud-init")
            yield from _version_1(netplan.load(text), path)
        except netplan.NetplanError as error:
            tree.problem(path, "was not understood", str(error))


def _indented(text: str) -> str:
    """A seed's file has the contents of ``network:`` alone."""
    return "network:\n" + "".join(f"  {line}\n" for line in text.splitlines())


def _version_1(document: Any, path: str) -> Iterator[Interface]:
    network = document.get("network") if isinstance(document, dict) else None
    devices = network.get("config") if isinstance(network, dict) else None
    for device in (devices if isinstance(devices, list) else [])[:_MAX_DEVICES]:
        if not isinstance(device, dict) or device.get("type") not in _TYPES:
            continue
        listed = device.get("subnets")
        subnets = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
        kinds = [one.get("type") for one in subnets]
        fixed = [str(one.get("address", "")) for one in subnets if one.get("type") in ("static", "static6")]
        four, six = (any(kind in wanted for kind in kinds) for wanted in (_FOUR, _SIX))
        mac = device.get("mac_address")
        yield Interface(
            str(device.get("name", "")),
            "cloud-init",
            dhcp=four or six,
            static=bool(fixed),
            ipv6=(six and not four) or any(":" in address for address in fixed),
            mac=mac if isinstance(mac, str) else "",
            path=path,
        )
