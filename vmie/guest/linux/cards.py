"""Network cards by their names, addresses and drivers: what a configuration asks of one, and what gives it a name."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator

from vmie.guest.linux.shell import sections, variables
from vmie.guest.network_facts import Rename
from vmie.guest.tree import Tree

_MAX_FILES = 200
_MAX_RENAMES = 50
#: drivers of EC2's cards: ENA, Intel's virtual function, Xen
_EC2_DRIVERS = ("ena", "ixgbevf", "vif", "xen_netfront", "xen-netfront")
_RULES = ("70-persistent-net.rules", "30-net_persistent_names.rules", "70-net.rules", "10-network.rules")
_GENERATOR = "75-persistent-net-generator.rules"
_NAMED = re.compile(r'\bNAME\s*:?=\s*"([^"%$]+)"')
_BY = re.compile(r'(?:ATTRS?\{address\}|KERNELS|ENV\{ID_PATH\}|DRIVERS)\s*==\s*"([^"]+)"')


def foreign_drivers(patterns: list[str]) -> str:
    """``driver NAME`` where none of `patterns` is a driver of EC2's cards, else ""."""
    wanted = [pattern for pattern in patterns if pattern]
    if not wanted or any(fnmatch.fnmatchcase(driver, pattern) for pattern in wanted for driver in _EC2_DRIVERS):
        return ""
    return f"driver {' '.join(wanted)[:60]}"


def renames(tree: Tree, cmdline: str) -> tuple[Rename, ...]:
    """Names that systemd's .link files, udev's rules and the kernel's options give to one certain card."""
    found = [*_links(tree), *_udev(tree)]
    for word in cmdline.split():
        if word.startswith("ifname="):
            name, _, mac = word[7:].partition(":")
            found.append(Rename(name, mac, f"the kernel's option {word[:60]}"))
    return tuple(found[:_MAX_RENAMES])


def _links(tree: Tree) -> Iterator[Rename]:
    folder = "/etc/systemd/network"
    for name in [name for name in tree.listdir(folder) if name.endswith(".link")][:_MAX_FILES]:
        path = f"{folder}/{name}"
        parts = sections(tree.text(path))
        match, link = parts.get("match", {}), parts.get("link", {})
        card = " ".join(match.get("macaddress", []) or match.get("permanentmacaddress", []) or match.get("path", []))
        new = link.get("name", [""])[-1]
        if card and new:
            yield Rename(new, card, path)


def _udev(tree: Tree) -> Iterator[Rename]:
    """A rule's name counts where the kernel would not give it: a new card is called eth0 anyhow."""
    renumbers = renumbered(tree)
    for path in rule_files():
        for line in tree.lines(path):
            name, card = _NAMED.search(line), _BY.search(line)
            if name and card and (renumbers or not re.fullmatch(r"eth\d+", name[1])):
                yield Rename(name[1], card[1], path)


def udev_rules(tree: Tree) -> str:
    """A rules file that binds an interface's name to the old machine's MAC address, "" when there is none."""
    return next((path for path in rule_files() if any("NAME=" in line for line in tree.lines(path))), "")


def rule_files() -> list[str]:
    """Where udev's rules that give names lie."""
    return [f"/etc/udev/rules.d/{name}" for name in _RULES]


def renumbered(tree: Tree) -> bool:
    """Whether udev's generator gives a card that no rule knows the next free name: eth1 beside the old eth0."""
    masked = f"/etc/udev/rules.d/{_GENERATOR}"
    if tree.there(masked) and not (tree.text(masked) or "").strip():
        return False
    return bool(tree.first(masked, f"/lib/udev/rules.d/{_GENERATOR}", f"/usr/lib/udev/rules.d/{_GENERATOR}"))


def automatic(tree: Tree) -> bool:
    """Whether NetworkManager makes a DHCP profile for a card that has none: not with no-auto-default, nor unmanaged.

    https://networkmanager.dev/docs/api/latest/NetworkManager.conf.html
    """
    texts: dict[str, str] = {}
    for folder in ("/usr/lib/NetworkManager/conf.d", "/etc/NetworkManager/conf.d"):
        for name in [name for name in tree.listdir(folder) if name.endswith(".conf")][:_MAX_FILES]:
            texts[name] = tree.text(f"{folder}/{name}") or ""
    for text in (*texts.values(), tree.text("/etc/NetworkManager/NetworkManager.conf") or ""):
        settings = variables(text.replace("-", "_"))
        if settings.get("no_auto_default", "").startswith("*"):
            return False
        if settings.get("unmanaged_devices", "").startswith("*") and "except:type:ethernet" not in text:
            return False
    return True
