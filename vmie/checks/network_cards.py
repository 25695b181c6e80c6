"""NET, second part: a network that is bound to the old machine's card, or to the name that it had there."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator

from vmie.checks import sources
from vmie.checks.rule import ALL, DATA, VM, Hit, Outcome, Rule, unprepared
from vmie.checks.sources import advised, follows, seen
from vmie.checks.subject import Subject
from vmie.guest.linux_facts import LinuxFacts
from vmie.guest.network_facts import Interface, Rename
from vmie.model import Verdict

#: interfaces that are no network cards
VIRTUAL = (
    *("lo", "docker", "veth", "virbr", "br-", "tun", "tap", "wg", "dummy", "bond", "team", "vlan", "cni", "ip6tnl"),
)
#: what the first card of a Nitro instance is called, by its PCI slot
_NITRO = "ens5"
_SHOWN = 3


def _cards(root: LinuxFacts) -> list[Interface]:
    """What is configured for cards and brought up at boot; cloud-init's own files count when it runs."""
    cloud = root.cloud_init
    runs = cloud is not None and cloud.installed and not cloud.disabled
    found = [nic for nic in root.network.interfaces if nic.active and not nic.name.startswith(VIRTUAL)]
    return [nic for nic in found if runs or nic.source != "cloud-init"]


def _written_anew(root: LinuxFacts, nic: Interface) -> bool:
    """Whether cloud-init will replace the file for the new machine."""
    cloud = root.cloud_init
    return cloud is not None and cloud.ec2 and cloud.network and nic.by_cloud_init


def _binding(root: LinuxFacts, nic: Interface) -> str:
    """What binds `nic` to a card that will not be there, "" where nothing does."""
    if nic.mac:
        return f"{nic.path} is for the card {nic.mac[:60]}"
    if nic.bus:
        return f"{nic.path} is for a card by its place or driver ({nic.bus[:60]})"
    if nic.sets_mac:
        return f"{nic.path} gives the card the address {nic.sets_mac[:40]}, and EC2 passes frames of its own alone"
    rename = next((one for one in root.network.renames if one.name == nic.name), None)
    if rename is None or _named_anyhow(root, rename):
        return ""
    return f"{nic.path} is for {nic.name}, a name that {_given(rename)}"


def _given(rename: Rename) -> str:
    return f"{rename.path} gives to the card {rename.card[:60]}"


def _named_anyhow(root: LinuxFacts, rename: Rename) -> bool:
    """Whether the kernel calls the new card so itself: eth0, unless udev numbers on."""
    renumbered = root.network.udev_renumbers and rename.path.endswith(".rules")
    return rename.name == "eth0" and root.network.predictable_names is False and not renumbered


def _otherwise(root: LinuxFacts, unbound: list[Interface]) -> str:
    """What may set up the new card all the same, "" where nothing does."""
    cloud = root.cloud_init
    if cloud is not None and cloud.ec2 and cloud.network:
        return "cloud-init writes a configuration for the new card"
    if root.network.automatic:
        return "NetworkManager takes a card without a profile by DHCP"
    usable = [nic.path or nic.name for nic in unbound if nic.dhcp is not False]
    return f"{usable[0]} may be for the new one" if usable else ""


def _bound(subject: Subject) -> Outcome:
    root = subject.linux
    if root is None or not root.network.interfaces:
        return None
    cards = [nic for nic in _cards(root) if not _written_anew(root, nic)]
    bindings = [(nic, _binding(root, nic)) for nic in cards]
    found = [text for _, text in bindings if text]
    if not found:
        # udev's own rules are for NET-007
        links = [one for one in root.network.renames if not one.path.endswith(".rules")]
        return [
            Hit(f"{one.name} is a name that {_given(one)}: it will not be there", Verdict.WARN) for one in links[:1]
        ]
    message = "; ".join(found[:_SHOWN])
    otherwise = _otherwise(root, [nic for nic, text in bindings if not text])
    if otherwise:
        return [Hit(f"{message}: it will not be there ({otherwise})", Verdict.WARN)]
    return [
        Hit(f"{message}: it will not be there", Verdict.WARN, routes=VM),
        Hit(f"{message}: it will not be there, and nothing else sets up the network", routes=DATA),
    ]


def _named(subject: Subject) -> Outcome:
    root = subject.linux
    if root is None or not root.network.predictable_names:
        return None
    cards = [nic for nic in _cards(root) if not _binding(root, nic)]
    if not cards or _otherwise(root, [nic for nic in cards if _fits(nic.name)]):
        return ()
    return list(_foreign([nic.name for nic in cards if not _fits(nic.name)]))


def _fits(name: str) -> bool:
    """Whether a configuration for `name`, which may be a pattern or several, takes Nitro's first card."""
    return any(fnmatch.fnmatchcase(_NITRO, pattern) for pattern in name.replace(";", " ").split() or [""])


def _foreign(names: list[str]) -> Iterator[Hit]:
    if names:
        listed = ", ".join(dict.fromkeys(names[:_SHOWN]))
        yield Hit(f"the network is set up for {listed}, and the card is called otherwise on EC2 ({_NITRO} on Nitro)")


RULES: tuple[Rule, ...] = (
    Rule(
        id="VMIE-NET-010",
        title="Nothing binds the network to the old machine's card",
        judge=_bound,
        routes=ALL,
        cure="match the card by a name or pattern, not by its address, place or driver (drop netplan's "
        "match.macaddress, HWADDR, NetworkManager's mac-address, MACAddress), and give it no other address",
        evidence=(
            advised(sources.CHANGES, "static addresses become dynamic; nothing is said of hardware addresses"),
            follows(
                f"{sources.SYSTEMD}/systemd.network.html",
                "a file applies to the interfaces that all of [Match] fits, and to no other",
            ),
            seen(
                "https://github.com/cocoonstack/cocoon/pull/34",
                "clones whose netplan matches the old hardware address have no network",
            ),
        ),
    ),
    Rule(
        id="VMIE-NET-011",
        title="The network is set up for a card that EC2 has",
        judge=_named,
        routes=DATA,
        verdict=Verdict.WARN,
        cure='match any name (netplan: match.name "e*"; networkd: Name=e*), or add net.ifnames=0 and configure eth0',
        without=unprepared("network"),
        evidence=(
            follows(
                f"{sources.SYSTEMD}/systemd.net-naming-scheme.html",
                "the name is made from the slot or bus of the card, which are others there",
                allows=Verdict.WARN,
            ),
            advised(sources.LIMITATIONS, "predictable network interface names are not supported"),
        ),
    ),
)
