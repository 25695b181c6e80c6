"""How a Linux sets up its network: every configuration system that AWS's guests use, one small reader each."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from vmie.guest.linux import cards, cloud_network, other_networks, wicked
from vmie.guest.linux.services import enabled
from vmie.guest.linux.shell import sections, truth, variables
from vmie.guest.network_facts import Interface, Network
from vmie.guest.tree import Tree

_MAX_FILES = 200
_MAX_INTERFACES = 200
_DHCP = frozenset(("dhcp", "dhcp4", "dhcp6", "dhcp+autoip", "bootp", "ibft"))
_LEFT_OVER = re.compile(r".*(?:~|\.bak|\.old|\.orig|\.rpmsave|\.rpmnew|\.rpmorig|\.dpkg-\w+|\.disabled|\.swp|\.save)")
#: SUSE's ifcfg(5)
_NOT_STARTED = ("off", "manual")
#: special values of NetworkManager's cloned-mac-address
_MADE_UP = frozenset(("", "permanent", "preserve", "random", "stable", "stable-ssid"))
#: rules by which udev gives predictable names: systemd ≥ 209, ≥ 197, and Dell's biosdevname
_RULES = ("80-net-setup-link.rules", "80-net-name-slot.rules", "71-biosdevname.rules")


def network(tree: Tree, cmdline: str) -> Network:
    """The network configuration; `cmdline` is the default kernel's (net.ifnames=0)."""
    methods: list[str] = []
    interfaces: list[Interface] = []
    for name, read in _READERS:
        found = [one for one in read(tree) if one.name != "lo"][: _MAX_INTERFACES - len(interfaces)]
        found = [
            replace(one, by_cloud_init=True) if "cloud-init" in one.path.rpartition("/")[2] else one for one in found
        ]
        if found:
            methods.append(name)
            interfaces += found
    managed = enabled(tree, "NetworkManager")
    if not interfaces and managed:
        # NetworkManager makes a DHCP profile for every cable it finds without one
        methods.append("networkmanager")
    return Network(
        methods=tuple(methods),
        interfaces=tuple(interfaces),
        static=_any(interface.static for interface in interfaces),
        dhcp=_any(interface.dhcp for interface in interfaces),
        ipv6=_any(interface.ipv6 for interface in interfaces),
        predictable_names=_predictable(tree, cmdline),
        dhcp_client=_dhcp_client(tree),
        udev_rules=cards.udev_rules(tree),
        udev_renumbers=cards.renumbered(tree),
        renames=cards.renames(tree, cmdline),
        automatic=bool(managed) and cards.automatic(tree),
    )


def _any(answers: Iterator[bool | None]) -> bool | None:
    known = [answer for answer in answers if answer is not None]
    return any(known) if known else None


def _files(tree: Tree, folder: str, pattern: str) -> Iterator[str]:
    names = [name for name in tree.listdir(folder) if re.fullmatch(pattern, name) and not _LEFT_OVER.fullmatch(name)]
    for name in names[:_MAX_FILES]:
        yield f"{folder}/{name}"


def _ifcfg(tree: Tree, folder: str, source: str) -> Iterator[Interface]:
    for path in _files(tree, folder, r"ifcfg-.+"):
        text = tree.text(path) or ""
        assigned = variables(text)
        name = assigned.get("DEVICE") or path.rpartition("ifcfg-")[2]
        # SLES 9 and 10 named files after the card: ifcfg-eth-id-00:0c:29:…, ifcfg-eth-bus-pci-0000:02:00.0
        old = re.fullmatch(r"\w+-(?:id-(?P<mac>[0-9a-f:]{17})|bus-(?P<bus>\S+))", name)
        protocol = assigned.get("BOOTPROTO", "").lower()
        dhcp = protocol in _DHCP
        address = any(re.fullmatch(r"IPADDR\w*|IPV6ADDR", key) and value for key, value in assigned.items())
        if not assigned or name == "lo":
            continue
        yield Interface(
            name,
            source,
            dhcp=dhcp,
            static=address and not dhcp,
            # IPV6INIT and IPV6_AUTOCONF are what the installers write: they take what a router offers
            ipv6=bool(assigned.get("IPV6ADDR"))
            or (truth(assigned.get("DHCPV6C")) is True and not dhcp and not address)
            or protocol == "dhcp6",
            mac=assigned.get("HWADDR", (old and old["mac"]) or ""),
            bus=(old and old["bus"]) or "",
            path=path,
            # Red Hat's word and SUSE's for an address that the card is given
            sets_mac=assigned.get("MACADDR", assigned.get("LLADDR", "")),
            by_cloud_init="Created by cloud-init" in text[:200],
            active=truth(assigned.get("ONBOOT")) is not False and assigned.get("STARTMODE", "auto") not in _NOT_STARTED,
        )


def _redhat(tree: Tree) -> Iterator[Interface]:
    return _ifcfg(tree, "/etc/sysconfig/network-scripts", "ifcfg")


def _suse(tree: Tree) -> Iterator[Interface]:
    present = tree.first("/usr/sbin/wicked", "/sbin/wicked", "/etc/wicked")
    yield from _ifcfg(tree, "/etc/sysconfig/network", "wicked" if present else "ifcfg")
    if present:
        yield from wicked.read(tree, _files(tree, wicked.FOLDER, r".+\.xml"))


def _ifupdown(tree: Tree) -> Iterator[Interface]:
    paths = ["/etc/network/interfaces", *_files(tree, "/etc/network/interfaces.d", r"[\w.-]+")]
    found: dict[str, Interface] = {}
    asked: dict[str, set[tuple[str, ...]]] = {}
    started: set[str] = set()
    current = ""
    for path in paths:
        for line in tree.lines(path):
            words = line.split()
            if words[0] == "auto" or words[0].startswith("allow-"):
                started.update(words[1:])
            elif words[0] == "hwaddress" and current in found and len(words) > 1:
                found[current] = replace(found[current], sets_mac="" if words[-1] == "random" else words[-1])
            elif words[0] == "iface" and len(words) >= 2:
                current = words[1] if len(words) >= 4 and words[1] != "lo" else ""
                if current:
                    found.setdefault(current, Interface(current, "ifupdown", path=path))
                    asked.setdefault(current, set()).add(tuple(words[2:4]))
    cards_of = {
        name: address
        for pattern in started
        if (address := _by_address(pattern))
        for name in found
        if _starts(pattern, name)
    }
    for name, one in found.items():
        matched = any(_starts(pattern, name) for pattern in started)
        dhcp, static, ipv6 = _methods(asked[name])
        yield replace(one, active=matched, dhcp=dhcp, static=static, ipv6=ipv6, mac=cards_of.get(name, ""))


def _starts(pattern: str, name: str) -> bool:
    """Whether a word of an auto line starts the interface `name`: a name, /PATTERN, /mac/ADDRESS, each with =NAME."""
    card, equals, logical = pattern.partition("=")
    if equals:
        return logical == name
    return card == name or (card.startswith("/") and "/" not in card[1:] and fnmatch.fnmatchcase(name, card[1:]))


def _by_address(pattern: str) -> str:
    """The address of the one card that a pattern of interfaces(5) means, "" for any other pattern."""
    match = re.match(r"/mac/([0-9A-Fa-f:]{17})(?:/|=|$)", pattern)
    return match[1] if match else ""


def _methods(asked: set[tuple[str, ...]]) -> tuple[bool, bool, bool]:
    """DHCP, a fixed address, and IPv6, of the family and method of an interface's stanzas (interfaces(5))."""
    methods = {method for _, method in asked}
    four = bool({("inet", "dhcp"), ("inet", "static")} & asked)
    alone = bool({("inet6", "dhcp"), ("inet6", "auto")} & asked) and not four
    return "dhcp" in methods, "static" in methods, ("inet6", "static") in asked or alone


def _netplan(tree: Tree) -> Iterator[Interface]:
    paths = [path for folder in ("/etc/netplan", "/lib/netplan") for path in _files(tree, folder, r".+\.ya?ml")]
    if not paths:
        return
    from vmie.guest.linux import netplan  # noqa: PLC0415 - a YAML library, for the guests that need one

    for path in paths:
        try:
            yield from netplan.interfaces(tree.text(path) or "", path)
        except netplan.NetplanError as error:
            tree.problem(path, "was not understood", str(error))
            yield Interface("", "netplan", path=path)


def _last(section: dict[str, list[str]], key: str) -> str:
    return section.get(key, [""])[-1]


def _networkmanager(tree: Tree) -> Iterator[Interface]:
    for folder in ("/etc/NetworkManager/system-connections", "/usr/lib/NetworkManager/system-connections"):
        for path in _files(tree, folder, r".+"):
            profile = sections(tree.text(path))
            connection = profile.get("connection", {})
            if _last(connection, "type") not in ("ethernet", "802-3-ethernet", "bond", "bridge", "vlan", "team"):
                continue
            four, six, match = profile.get("ipv4", {}), profile.get("ipv6", {}), profile.get("match", {})
            port = bool(_last(connection, "master") or _last(connection, "controller"))
            fixed = [any(re.fullmatch(r"address\d*", key) for key in family) for family in (four, six)]
            wired = profile.get("ethernet", {}) or profile.get("802-3-ethernet", {})
            yield Interface(
                _last(connection, "interface-name") or _last(match, "interface-name") or _last(connection, "id"),
                "networkmanager",
                # what belongs to a bond or a bridge has no addresses of its own; without a word for IPv4 it is DHCP
                dhcp=_last(four, "method") in ("auto", "") and not port,
                static=any(fixed) or "manual" in (_last(four, "method"), _last(six, "method")),
                ipv6=_last(six, "method") == "manual"
                or fixed[1]
                or (_last(four, "method") == "disabled" and _last(six, "method") in ("auto", "dhcp")),
                mac=_last(wired, "mac-address"),
                path=path,
                bus=" ".join(match.get("path", [])) or cards.foreign_drivers(_last(match, "driver").split(";")),
                sets_mac="" if _last(wired, "cloned-mac-address") in _MADE_UP else _last(wired, "cloned-mac-address"),
                active=truth(_last(connection, "autoconnect")) is not False,
            )


def _networkd(tree: Tree) -> Iterator[Interface]:
    if not (enabled(tree, "systemd-networkd") or tree.listdir("/etc/systemd/network")):
        return
    for path in _files(tree, "/etc/systemd/network", r".+\.network"):
        parts = sections(tree.text(path))
        match, settings, link = parts.get("match", {}), parts.get("network", {}), parts.get("link", {})
        wanted = _last(settings, "dhcp").lower()
        addresses = [*settings.get("address", []), *parts.get("address", {}).get("address", [])]
        yield Interface(
            _last(match, "name") or "*",
            "networkd",
            dhcp=wanted in ("yes", "true", "both", "ipv4", "v4", "1"),
            static=any(addresses),
            ipv6=wanted in ("ipv6", "v6") or any(":" in address for address in addresses),
            mac=" ".join(match.get("macaddress", []) or match.get("permanentmacaddress", [])),
            path=path,
            bus=" ".join(match.get("path", [])) or cards.foreign_drivers(" ".join(match.get("driver", [])).split()),
            sets_mac=_last(link, "macaddress"),
            active=truth(_last(link, "unmanaged")) is not True
            and _last(link, "activationpolicy").lower() not in ("manual", "always-down", "down"),
        )


_READERS: tuple[tuple[str, Callable[[Tree], Iterator[Interface]]], ...] = (
    ("netplan", _netplan),
    ("ifcfg", _redhat),
    ("wicked", _suse),
    ("ifupdown", _ifupdown),
    ("networkmanager", _networkmanager),
    ("networkd", _networkd),
    ("netctl", other_networks.netctl),
    ("netifrc", other_networks.netifrc),
    ("slackware", other_networks.slackware),
    ("dhcpcd", other_networks.dhcpcd),
    ("cloud-init", cloud_network.interfaces),
)


def _predictable(tree: Tree, cmdline: str) -> bool | None:
    """Whether the first interface will be called ens5 (or ens3) instead of eth0."""
    words = cmdline.split()
    if "net.ifnames=0" in words:
        return False
    if not tree.is_dir("/lib/udev/rules.d") and not tree.is_dir("/usr/lib/udev/rules.d"):
        return None
    for path in ("/etc/systemd/network/99-default.link", "/etc/systemd/network/73-usb-net-by-mac.link"):
        if path.endswith("99-default.link") and tree.link(path) == "/dev/null":
            return False
    for rule in _RULES:
        if rule.startswith("71") and "biosdevname=0" in words:
            continue
        masked = f"/etc/udev/rules.d/{rule}"
        if tree.there(masked) and not (tree.text(masked) or "").strip():
            continue
        if tree.first(f"/lib/udev/rules.d/{rule}", f"/usr/lib/udev/rules.d/{rule}"):
            return True
    return False


def _dhcp_client(tree: Tree) -> str:
    for name, paths in (
        ("dhclient", ("/sbin/dhclient", "/usr/sbin/dhclient")),
        ("wicked", ("/usr/lib/wicked/bin/wickedd-dhcp4", "/usr/libexec/wicked/bin/wickedd-dhcp4")),
        ("dhcpcd", ("/sbin/dhcpcd", "/usr/sbin/dhcpcd")),
        ("networkmanager", ("/usr/sbin/NetworkManager",)),
        ("networkd", ("/usr/lib/systemd/systemd-networkd", "/lib/systemd/systemd-networkd")),
        ("udhcpc", ("/sbin/udhcpc", "/usr/sbin/udhcpc")),
        ("pump", ("/sbin/pump",)),
    ):
        if tree.first(*paths) and (name != "networkd" or enabled(tree, "systemd-networkd")):
            return name
    return ""
