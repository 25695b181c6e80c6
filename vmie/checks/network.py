"""NET: the network as the guest configures it."""

from __future__ import annotations

from vmie.checks import predicted_messages, sources
from vmie.checks.network_cards import VIRTUAL
from vmie.checks.rule import VM, Y2016, Hit, Outcome, Rule, anyway, both, unprepared
from vmie.checks.sources import advised, follows, refused, seed
from vmie.checks.subject import Subject
from vmie.guest.network_facts import Interface
from vmie.model import Route, Verdict

_VM_SNAPSHOT = (Route.IMAGE, Route.INSTANCE, Route.SNAPSHOT)


def _cards(subject: Subject) -> list[Interface]:
    root = subject.linux
    found = root.network.interfaces if root else ()
    return [nic for nic in found if not nic.name.startswith(VIRTUAL)]


def _several(subject: Subject) -> Outcome:
    if subject.linux is not None:
        names = sorted({nic.name for nic in _cards(subject) if nic.name and "*" not in nic.name})
        return _more_than_one(names)
    if subject.windows is not None:
        return _more_than_one([nic.id for nic in subject.windows.interfaces if nic.addresses])
    return None


def _more_than_one(names: list[str]) -> Outcome:
    if len(names) < 2:
        return ()
    return [Hit(f"{len(names)} network interfaces are configured ({', '.join(names[:4])}): there will be one")]


def _static(subject: Subject) -> Outcome:
    message = "the network is configured with a fixed address: it will get one by DHCP"
    if subject.linux is not None:
        static = subject.linux.network.static
        if static is None:
            return None
        names = ", ".join(nic.name for nic in _cards(subject) if nic.static)[:100]
        return [Hit(f"{message}{f' ({names})' if names else ''}")] if static else ()
    if subject.windows is not None:
        addresses = subject.windows.static_addresses
        # Windows keeps it with the old card: the new one has none, and asks by DHCP.
        return [Hit(f"{message} ({', '.join(addresses[:3])})", without={})] if addresses else ()
    return None


def _ipv6(subject: Subject) -> Outcome:
    if subject.linux is not None:
        ipv6 = subject.linux.network.ipv6
        return (
            None if ipv6 is None else ([Hit("IPv6 is configured: it will have a private IPv4 address")] if ipv6 else ())
        )
    if subject.windows is not None:
        six = [address for address in subject.windows.static_addresses if ":" in address]
        return [Hit(f"fixed IPv6 addresses are configured ({', '.join(six[:3])})")] if six else ()
    return None


def _names(subject: Subject) -> Outcome:
    root = subject.linux
    if root is None or root.network.predictable_names is None:
        return None
    if not root.network.predictable_names:
        return ()
    return [Hit("predictable interface names are in use: a card called ens160 here is another one on EC2")]


def _client(subject: Subject) -> Outcome:
    root = subject.linux
    if root is None or not root.network.methods:
        return None
    return () if root.network.dhcp_client else [Hit("no DHCP client is installed")]


def _udev(subject: Subject) -> Outcome:
    root = subject.linux
    if root is None:
        return None
    rules = root.network.udev_rules
    return [Hit(f"{rules} binds interface names to network cards that will be gone")] if rules else ()


def _windows_dhcp(subject: Subject) -> Outcome:
    windows = subject.windows
    if windows is None or windows.dhcp_service is None:
        return None
    return () if windows.dhcp_service else both(Hit("the DHCP Client service is disabled"))


def _sriov(subject: Subject) -> Outcome:
    windows = subject.windows
    if windows is None:
        return None
    if windows.release == "2012 R2":
        return ()
    return [Hit("SR-IOV drivers are installed in Windows Server 2012 R2 only")]


RULES: tuple[Rule, ...] = (
    Rule(
        id="VMIE-NET-002",
        title="The guest configures one network interface",
        judge=_several,
        verdict=Verdict.WARN,
        cure="check that nothing needs the others: add network interfaces to the instance afterwards",
        evidence=(
            advised(sources.LIMITATIONS, "several network interfaces are not supported: the result has one, by DHCP"),
            seed(319, 365),
        ),
    ),
    Rule(
        id="VMIE-NET-003",
        title="The network is configured by DHCP",
        judge=_static,
        routes=_VM_SNAPSHOT,
        verdict=Verdict.WARN,
        cure="set the interface to DHCP before the export; the service rewrites it on the image route",
        without=unprepared("network"),
        evidence=(
            advised(sources.CHANGES, "static addresses are replaced by dynamic ones; a snapshot is left as it is"),
            seed(319, 365),
        ),
    ),
    Rule(
        id="VMIE-NET-004",
        title="IPv4 is enough",
        judge=_ipv6,
        verdict=Verdict.WARN,
        cure="use IPv4 with DHCP; IPv6 addresses can be added to the instance afterwards",
        evidence=(
            advised(sources.LIMITATIONS, "only IPv4 addresses are assigned; IPv6 ones can be added"),
            seed(321, 367),
        ),
    ),
    Rule(
        id="VMIE-NET-005",
        title="Interfaces are called eth0",
        judge=_names,
        routes=_VM_SNAPSHOT,
        verdict=Verdict.WARN,
        cure="add net.ifnames=0 to the kernel's options, or let the configuration match any name",
        evidence=(advised(sources.LIMITATIONS, "predictable network interface names are not supported"),),
    ),
    Rule(
        id="VMIE-NET-006",
        title="A DHCP client is installed",
        judge=_client,
        routes=_VM_SNAPSHOT,
        verdict=Verdict.WARN,
        cure="install one (isc-dhcp-client, dhcpcd, NetworkManager, systemd-networkd)",
        without=anyway("network"),
        evidence=(advised(sources.PREPARE, "a working DHCP client has to be there"),),
    ),
    Rule(
        id="VMIE-NET-007",
        title="No udev rule binds names to cards",
        judge=_udev,
        routes=_VM_SNAPSHOT,
        verdict=Verdict.WARN,
        cure="delete the file: it is written anew",
        without=unprepared("network"),
        evidence=(
            advised(sources.PREPARE, "a working DHCP client has to be there"),
            follows(
                f"{sources.SYSTEMD}/systemd.link.html",
                "a rule that matches a hardware address matches no other card",
                allows=Verdict.WARN,
            ),
        ),
    ),
    Rule(
        id="VMIE-NET-008",
        title="Windows' DHCP client runs",
        judge=_windows_dhcp,
        predicts=predicted_messages.FIRST_BOOT,
        cure="`sc config dhcp start= auto` in the guest",
        without=anyway("network"),
        evidence=(
            refused(sources.PREPARE, "the DHCP client service must be able to start, and not be disabled"),
            refused(sources.TROUBLE, "FirstBootFailure: DHCP is not enabled"),
        ),
    ),
    Rule(
        id="VMIE-NET-009",
        title="The import brings SR-IOV drivers (2016)",
        judge=_sriov,
        routes=VM,
        profiles=Y2016,
        verdict=Verdict.WARN,
        cure="only needed for enhanced networking on c3 and i2: install the driver after the import",
        evidence=(seed(327, 371),),
    ),
)
