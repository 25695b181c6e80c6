"""How a Linux sets up its network, as its files have it. Frozen; None means "could not be determined"."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Interface:
    """A configured network interface; `dhcp`, `static`, `ipv6` None when the configuration does not say.

    `name` may be a pattern. `mac` is the hardware address, `bus` the place on a bus or the driver ("driver vmxnet3")
    that a card must have to be configured so; `sets_mac` is an address that the card is given. `active` is False for
    what is not brought up at boot. `by_cloud_init`: the file is one that cloud-init wrote.
    `ipv6` is a fixed IPv6 address, or IPv6 without IPv4; what asks for both by DHCP makes do with IPv4.
    """

    name: str
    source: str
    dhcp: bool | None = None
    static: bool | None = None
    ipv6: bool | None = None
    mac: str = ""
    path: str = ""
    bus: str = ""
    sets_mac: str = ""
    active: bool = True
    by_cloud_init: bool = False


@dataclass(frozen=True, slots=True)
class Rename:
    """A card that gets `name` when it has the address, or is at the place, that `card` says; `path` says so."""

    name: str
    card: str
    path: str


@dataclass(frozen=True, slots=True)
class Network:
    """How the guest sets up its network.

    `methods` are the configuration systems found (ifcfg, ifupdown, netplan, networkmanager, networkd, wicked, netctl,
    netifrc, slackware, dhcpcd, cloud-init). `predictable_names` is True when interfaces will be called ens5 and not
    eth0. `udev_rules` names a persistent-net rules file with entries (a MAC bound to a name), `udev_renumbers` is True
    when a new card then gets the next free name. `automatic`: NetworkManager sets up any card that has no profile.
    """

    methods: tuple[str, ...] = ()
    interfaces: tuple[Interface, ...] = ()
    static: bool | None = None
    dhcp: bool | None = None
    ipv6: bool | None = None
    predictable_names: bool | None = None
    dhcp_client: str = ""
    udev_rules: str = ""
    udev_renumbers: bool = False
    renames: tuple[Rename, ...] = ()
    automatic: bool = False
