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
    listed = network.get("config") if isinstance(network, dict) else None
    for device in (listed if isinstance(listed, list) else [])[:_MAX_DEVICES]:
        if not isinstance(device, dict) or device.get("type") != "physical":
            continue
        subnets = device.get("subnets")
        kinds = [one.get("type") for one in subnets if isinstance(one, dict)] if isinstance(subnets, list) else []
        mac = device.get("mac_address")
        yield Interface(
            str(device.get("name", "")),
            "cloud-init",
            dhcp=any(kind in ("dhcp", "dhcp4", "dhcp6") for kind in kinds),
            static=any(kind in ("static", "static6") for kind in kinds),
            ipv6=any(kind in ("dhcp6", "static6", "ipv6_dhcpv6-stateful") for kind in kinds),
            mac=mac if isinstance(mac, str) else "",
            path=path,
        )
