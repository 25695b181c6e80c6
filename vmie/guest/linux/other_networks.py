"""Networks of Arch (netctl), Gentoo (netifrc), Slackware and dhcpcd.

https://wiki.archlinux.org/title/Netctl, https://wiki.gentoo.org/wiki/Netifrc, dhcpcd.conf(5), rc.inet1.conf(5)
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from vmie.guest.linux.services import enabled
from vmie.guest.linux.shell import variables
from vmie.guest.network_facts import Interface
from vmie.guest.tree import Tree

_MOST = 200
_RUNIT = ("/etc/runit/runsvdir/default/dhcpcd", "/etc/runit/runsvdir/current/dhcpcd", "/var/service/dhcpcd")
#: an assignment as bash has it, an index included
_INDEXED = re.compile(r"^\s*(\w+)\[(\d+)\]=[\"']?([^\"'#\n]*)", re.MULTILINE)


def netctl(tree: Tree) -> Iterator[Interface]:
    """Profiles of netctl; those that a unit starts are active."""
    units = "/etc/systemd/system/multi-user.target.wants"
    started = {name.partition("@")[2].removesuffix(".service") for name in tree.listdir(units) if "netctl" in name}
    plugged = {
        name.partition("@")[2].removesuffix(".service") for name in tree.listdir(units) if "netctl-ifplugd@" in name
    }
    for name in [one for one in tree.listdir("/etc/netctl") if tree.file(f"/etc/netctl/{one}")][:_MOST]:
        path = f"/etc/netctl/{name}"
        said = variables(tree.text(path))
        card = said.get("Interface", "")
        if not card or said.get("Connection", "ethernet") == "wireless":
            continue
        ways = (said.get("IP", ""), said.get("IP6", ""))
        yield Interface(
            card,
            "netctl",
            dhcp=ways[0] == "dhcp",
            static="static" in ways,
            ipv6=ways[1] == "static" or (ways[1] in ("dhcp", "stateless") and ways[0] in ("", "no")),
            path=path,
            active=name.replace("-", "\\x2d") in started or name in started or card in plugged,
        )


def netifrc(tree: Tree) -> Iterator[Interface]:
    """Gentoo's /etc/conf.d/net: what a card without a line gets is DHCP; a runlevel starts net.CARD."""
    said = variables(tree.text("/etc/conf.d/net"))
    cards = {name[4:] for name in tree.listdir("/etc/runlevels/default") if name.startswith("net.")} - {"lo"}
    named = {key.partition("_")[2] for key in said if key.startswith("config_")} - {"lo"}
    for card in sorted(cards | named)[:_MOST]:
        value = said.get(f"config_{card}", "dhcp")
        words = value.split()
        yield Interface(
            card,
            "netifrc",
            dhcp="dhcp" in words,
            static=any(re.match(r"\d+\.\d+\.|[0-9a-f]*:", word) for word in words),
            ipv6=any(":" in word for word in words),
            path="/etc/conf.d/net",
            active=card in cards,
        )


def slackware(tree: Tree) -> Iterator[Interface]:
    """Arrays by the number of the card."""
    if not tree.there("/etc/slackware-version"):
        return
    found: dict[str, dict[str, str]] = {}
    for key, number, value in _INDEXED.findall(tree.text("/etc/rc.d/rc.inet1.conf") or "")[:_MOST]:
        found.setdefault(number, {})[key] = value.strip()
    for number, said in sorted(found.items()):
        address, dhcp = said.get("IPADDR") or said.get("IPADDRS", ""), said.get("USE_DHCP", "") == "yes"
        if address or dhcp:
            yield Interface(
                said.get("IFNAME") or f"eth{number}",
                "slackware",
                dhcp=dhcp,
                static=bool(address) and not dhcp,
                ipv6=bool(said.get("IP6ADDRS")),
                path="/etc/rc.d/rc.inet1.conf",
            )


def dhcpcd(tree: Tree) -> Iterator[Interface]:
    """dhcpcd as a service asks by DHCP on every card; its configuration may name one and give it an address."""
    started = True if any(tree.there(path) for path in _RUNIT) else enabled(tree, "dhcpcd")
    if started is False or not (started or tree.first("/sbin/dhcpcd", "/usr/sbin/dhcpcd", "/usr/bin/dhcpcd")):
        return
    path, card, static = "/etc/dhcpcd.conf", "", set()
    for line in tree.lines(path):
        words = line.split()
        if words[0] == "interface":
            card = words[1] if len(words) > 1 else ""
        elif words[0] in ("profile", "ssid", "arping"):
            card = ""
        elif card and words[0] == "static" and len(words) > 1 and words[1].startswith("ip_address="):
            static.add(card)
    for name in sorted(static)[:_MOST]:
        yield Interface(name, "dhcpcd", dhcp=False, static=True, ipv6=False, path=path)
    if started and not static:
        yield Interface("*", "dhcpcd", dhcp=True, static=False, ipv6=False, path=path)
