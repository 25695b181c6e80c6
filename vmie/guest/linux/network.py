"""How a Linux sets up its network: every configuration system that AWS's guests use, one small reader each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from vmie.guest.linux.services import enabled
from vmie.guest.linux.shell import truth, variables
from vmie.guest.linux_facts import Interface, Network
from vmie.guest.tree import Tree

_MAX_FILES = 200
_MAX_INTERFACES = 200
_DHCP = frozenset(("dhcp", "dhcp4", "dhcp6", "dhcp+autoip", "bootp", "ibft"))
_LEFT_OVER = re.compile(r".*(?:~|\.bak|\.old|\.orig|\.rpmsave|\.rpmnew|\.rpmorig|\.dpkg-\w+|\.disabled|\.swp|\.save)")
#: rules by which udev gives predictable names: systemd ≥ 209, ≥ 197, and Dell's biosdevname
_RULES = ("80-net-setup-link.rules", "80-net-name-slot.rules", "71-biosdevname.rules")


def network(tree: Tree, cmdline: str) -> Network:
    """The network configuration; `cmdline` is the default kernel's (net.ifnames=0)."""
    methods: list[str] = []
    interfaces: list[Interface] = []
    for name, read in _READERS:
        found = [one for one in read(tree) if one.name != "lo"][: _MAX_INTERFACES - len(interfaces)]
        if found:
            methods.append(name)
            interfaces += found
    if not interfaces and enabled(tree, "NetworkManager"):
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
        udev_rules=_udev_rules(tree),
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
        assigned = variables(tree.text(path))
        name = assigned.get("DEVICE") or path.rpartition("ifcfg-")[2]
        protocol = assigned.get("BOOTPROTO", "").lower()
        dhcp = protocol in _DHCP
        address = any(re.fullmatch(r"IPADDR\w*", key) and value for key, value in assigned.items())
        if not assigned or name == "lo":
            continue
        yield Interface(
            name,
            source,
            dhcp=dhcp,
            static=address and not dhcp,
            # IPV6INIT and IPV6_AUTOCONF are what the installers write: they take what a router offers
            ipv6=bool(assigned.get("IPV6ADDR")) or truth(assigned.get("DHCPV6C")) is True,
            mac=assigned.get("HWADDR", assigned.get("LLADDR", "")),
            path=path,
        )


def _redhat(tree: Tree) -> Iterator[Interface]:
    return _ifcfg(tree, "/etc/sysconfig/network-scripts", "ifcfg")


def _suse(tree: Tree) -> Iterator[Interface]:
    wicked = tree.first("/usr/sbin/wicked", "/sbin/wicked", "/etc/wicked")
    return _ifcfg(tree, "/etc/sysconfig/network", "wicked" if wicked else "ifcfg")


def _ifupdown(tree: Tree) -> Iterator[Interface]:
    paths = ["/etc/network/interfaces", *_files(tree, "/etc/network/interfaces.d", r"[\w.-]+")]
    found: dict[str, Interface] = {}
    for path in paths:
        for line in tree.lines(path):
            words = line.split()
            if words[0] != "iface" or len(words) < 4 or words[1] == "lo":
                continue
            name, family, method = words[1:4]
            before = found.get(name, Interface(name, "ifupdown", dhcp=False, static=False, ipv6=False, path=path))
            found[name] = Interface(
                name,
                "ifupdown",
                dhcp=before.dhcp or method == "dhcp",
                static=before.static or method == "static",
                ipv6=before.ipv6 or (family == "inet6" and method not in ("manual", "auto")),
                path=before.path,
            )
    yield from found.values()


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


def _sections(text: str | None) -> dict[str, dict[str, list[str]]]:
    """An INI file in which a key may come several times (networkd's Address=)."""
    found: dict[str, dict[str, list[str]]] = {}
    current: dict[str, list[str]] = {}
    for raw in (text or "").splitlines():
        line = raw.strip()
        if line.startswith("[") and line.endswith("]"):
            current = found.setdefault(line[1:-1].lower(), {})
        elif "=" in line and not line.startswith(("#", ";")):
            key, _, value = line.partition("=")
            current.setdefault(key.strip().lower(), []).append(value.strip())
    return found


def _last(section: dict[str, list[str]], key: str) -> str:
    return section.get(key, [""])[-1]


def _networkmanager(tree: Tree) -> Iterator[Interface]:
    for folder in ("/etc/NetworkManager/system-connections", "/usr/lib/NetworkManager/system-connections"):
        for path in _files(tree, folder, r".+"):
            profile = _sections(tree.text(path))
            connection = profile.get("connection", {})
            if _last(connection, "type") not in ("ethernet", "802-3-ethernet", "bond", "bridge", "vlan", "team"):
                continue
            four, six = profile.get("ipv4", {}), profile.get("ipv6", {})
            yield Interface(
                _last(connection, "interface-name") or _last(connection, "id"),
                "networkmanager",
                dhcp=_last(four, "method") in ("auto", ""),
                static=_last(four, "method") == "manual" or any(re.fullmatch(r"address\d*", key) for key in four),
                ipv6=_last(six, "method") in ("manual", "dhcp") or any(re.fullmatch(r"address\d*", key) for key in six),
                mac=_last(profile.get("ethernet", {}), "mac-address"),
                path=path,
            )


def _networkd(tree: Tree) -> Iterator[Interface]:
    if not (enabled(tree, "systemd-networkd") or tree.listdir("/etc/systemd/network")):
        return
    for path in _files(tree, "/etc/systemd/network", r".+\.network"):
        sections = _sections(tree.text(path))
        match, settings = sections.get("match", {}), sections.get("network", {})
        wanted = _last(settings, "dhcp").lower()
        addresses = [*settings.get("address", []), *sections.get("address", {}).get("address", [])]
        yield Interface(
            _last(match, "name") or _last(match, "macaddress") or "*",
            "networkd",
            dhcp=wanted in ("yes", "true", "both", "ipv4", "v4", "1"),
            static=any(addresses),
            ipv6=wanted in ("yes", "true", "both", "ipv6", "v6", "1") or any(":" in address for address in addresses),
            mac=_last(match, "macaddress"),
            path=path,
        )


_READERS: tuple[tuple[str, Callable[[Tree], Iterator[Interface]]], ...] = (
    ("netplan", _netplan),
    ("ifcfg", _redhat),
    ("wicked", _suse),
    ("ifupdown", _ifupdown),
    ("networkmanager", _networkmanager),
    ("networkd", _networkd),
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


def _udev_rules(tree: Tree) -> str:
    """A rules file that binds an interface's name to the old machine's MAC address."""
    for name in ("70-persistent-net.rules", "30-net_persistent_names.rules", "70-net.rules"):
        path = f"/etc/udev/rules.d/{name}"
        if any("NAME=" in line for line in tree.lines(path)):
            return path
    return ""
