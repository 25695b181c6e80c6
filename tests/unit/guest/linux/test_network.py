"""Network configuration of each system that guests use: DHCP, static, names."""

from __future__ import annotations

import pytest

from tests.guests import Link, tree
from vmie.guest.linux.network import network
from vmie.guest.network_facts import Network

RULES = {"/usr/lib/udev/rules.d/80-net-setup-link.rules": "x", "/lib": Link("usr/lib")}


def look(files: dict[str, str], cmdline: str = "") -> Network:
    return network(tree(files), cmdline)


NETPLAN = """
# from the installer
network:
  version: 2
  renderer: networkd
  ethernets:
    ens160:
      {}
    lo:
      addresses: [127.0.0.1/8]
"""
KEYFILE = "[connection]\nid=Wired\ntype=ethernet\ninterface-name=ens3\n\n[ipv4]\n{}\n\n[ipv6]\nmethod=ignore\n"


@pytest.mark.parametrize(
    ("files", "method", "name", "dhcp", "static"),
    [
        (
            {"/etc/sysconfig/network-scripts/ifcfg-eth0": 'DEVICE="eth0"\nBOOTPROTO=dhcp\nONBOOT=yes\n'},
            "ifcfg",
            "eth0",
            True,
            False,
        ),
        (
            {"/etc/sysconfig/network-scripts/ifcfg-eth0": "DEVICE=eth0\nBOOTPROTO=none\nIPADDR=10.0.0.5\n"},
            "ifcfg",
            "eth0",
            False,
            True,
        ),
        (
            {"/etc/sysconfig/network/ifcfg-eth0": "BOOTPROTO='static'\nIPADDR='10.0.0.5/24'\n", "/usr/sbin/wicked": ""},
            "wicked",
            "eth0",
            False,
            True,
        ),
        (
            {"/etc/network/interfaces": "auto lo eth0\niface lo inet loopback\niface eth0 inet dhcp\n"},
            "ifupdown",
            "eth0",
            True,
            False,
        ),
        (
            {
                "/etc/network/interfaces": "source /etc/network/interfaces.d/*\n",
                "/etc/network/interfaces.d/50-cloud-init": "iface ens3 inet static\n  address 10.0.0.5/24\n",
            },
            "ifupdown",
            "ens3",
            False,
            True,
        ),
        ({"/etc/netplan/00.yaml": NETPLAN.format("dhcp4: true")}, "netplan", "ens160", True, False),
        ({"/etc/netplan/00.yaml": NETPLAN.format("addresses:\n      - 10.0.0.5/24")}, "netplan", "ens160", False, True),
        ({"/etc/netplan/00.yaml": NETPLAN.format("addresses: [10.0.0.5/24]")}, "netplan", "ens160", False, True),
        (
            {"/etc/NetworkManager/system-connections/w.nmconnection": KEYFILE.format("method=auto")},
            "networkmanager",
            "ens3",
            True,
            False,
        ),
        (
            {
                "/etc/NetworkManager/system-connections/w": KEYFILE.format(
                    "method=manual\naddress1=10.0.0.5/24,10.0.0.1"
                )
            },
            "networkmanager",
            "ens3",
            False,
            True,
        ),
        (
            {"/etc/systemd/network/10.network": "[Match]\nName=en*\n\n[Network]\nDHCP=ipv4\n"},
            "networkd",
            "en*",
            True,
            False,
        ),
        (
            {"/etc/systemd/network/10.network": "[Match]\nName=eth0\n[Network]\n[Address]\nAddress=10.0.0.5/24\n"},
            "networkd",
            "eth0",
            False,
            True,
        ),
    ],
)
def test_methods(files: dict[str, str], method: str, name: str, dhcp: bool, static: bool) -> None:
    found = look(files)
    assert found.methods == (method,)
    assert [(i.name, i.dhcp, i.static) for i in found.interfaces] == [(name, dhcp, static)]
    assert (found.dhcp, found.static) == (dhcp, static)


def test_nothing_configured_is_not_a_guess() -> None:
    found = look({"/etc/hostname": "x"})
    assert (found.methods, found.static, found.dhcp, found.ipv6, found.predictable_names) == (
        (),
        None,
        None,
        None,
        None,
    )


def test_left_over_files_do_not_count() -> None:
    folder = "/etc/sysconfig/network-scripts"
    assert (
        look({f"{folder}/ifcfg-eth0.rpmsave": "IPADDR=1.2.3.4\n", f"{folder}/ifcfg-eth0~": "BOOTPROTO=dhcp\n"}).methods
        == ()
    )


def test_ipv6() -> None:
    six = "iface eth0 inet dhcp\niface eth0 inet6 static\n address 2001:db8::5/64\n"
    found = look({"/etc/network/interfaces": six})
    assert (found.dhcp, found.static, found.ipv6) == (True, True, True)
    assert look({"/etc/network/interfaces": "iface eth0 inet dhcp\n"}).ipv6 is False
    ifcfg = "IPV6INIT=yes\nIPV6_AUTOCONF=yes\nBOOTPROTO=dhcp\n"
    assert look({"/etc/sysconfig/network-scripts/ifcfg-e": ifcfg}).ipv6 is False  # what the installer writes
    assert look({"/etc/sysconfig/network-scripts/ifcfg-e": ifcfg + "IPV6ADDR=2001:db8::1/64\n"}).ipv6 is True
    assert look({"/etc/sysconfig/network-scripts/ifcfg-e": ifcfg + "DHCPV6C=yes\n"}).ipv6 is False  # both
    six_alone = "IPV6INIT=yes\nBOOTPROTO=none\nDHCPV6C=yes\n"
    assert look({"/etc/sysconfig/network-scripts/ifcfg-e": six_alone}).ipv6 is True
    for wanted, expected in (("yes", False), ("both", False), ("ipv4", False), ("ipv6", True), ("no", False)):
        networkd = f"[Match]\nName=en*\n[Network]\nDHCP={wanted}\n"
        assert look({"/etc/systemd/network/a.network": networkd}).ipv6 is expected, wanted
    fixed = "[Match]\nName=en*\n[Network]\nDHCP=yes\nAddress=2001:db8::7/64\n"
    assert look({"/etc/systemd/network/a.network": fixed}).ipv6 is True
    for six, expected in (
        ("method=auto", False),
        ("method=manual\naddress1=2001:db8::1/64", True),
        ("method=dhcp", False),
    ):
        profile = KEYFILE.format("method=auto").replace("method=ignore", six)
        assert look({"/etc/NetworkManager/system-connections/a.nmconnection": profile}).ipv6 is expected
    assert look({"/etc/network/interfaces": "iface eth0 inet dhcp\niface eth0 inet6 auto\n"}).ipv6 is False
    assert look({"/etc/netplan/a.yaml": NETPLAN.format("addresses: ['2001:db8::1/64']")}).ipv6 is True


@pytest.mark.parametrize(
    ("files", "facts"),
    [
        ({"/etc/network/interfaces": "iface eth0 inet6 dhcp\n"}, (True, False, True)),
        ({"/etc/network/interfaces": "iface eth0 inet6 auto\n"}, (False, False, True)),
        ({"/etc/network/interfaces": "iface eth0 inet6 dhcp\niface eth0 inet dhcp\n"}, (True, False, False)),
        ({"/etc/sysconfig/network-scripts/ifcfg-e": "IPV6ADDR=2001:db8::1/64\n"}, (False, True, True)),
        (
            {"/etc/NetworkManager/system-connections/a": KEYFILE.format("").replace("ignore", "manual")},
            (True, True, True),
        ),
    ],
)
def test_ipv6_alone(files: dict[str, str], facts: tuple[bool, bool, bool]) -> None:
    found = look(files)
    assert (found.dhcp, found.static, found.ipv6) == facts


@pytest.mark.parametrize(
    ("devices", "facts"),
    [
        ("{type: physical, subnets: [{type: dhcp4}, {type: dhcp6}]}", (True, False, False)),
        ("{type: physical, subnets: [{type: ipv6_slaac}]}", (True, False, True)),
        ("{type: physical, subnets: [{type: static, address: '2001:db8::1/64'}]}", (False, True, True)),
        ("{type: physical}, {type: bond, subnets: [{type: static, address: 10.0.0.5/24}]}", (False, True, False)),
        ("{type: vlan, subnets: [{type: dhcp}]}", (True, False, False)),
        ("{type: nameserver, address: [10.0.0.1]}", (None, None, None)),
    ],
)
def test_cloud_inits_first_version(devices: str, facts: tuple[bool | None, ...]) -> None:
    text = f"network: {{version: 1, config: [{devices}]}}\n"
    found = look({"/etc/cloud/cloud.cfg.d/90-net.cfg": text})
    assert (found.dhcp, found.static, found.ipv6) == facts


def test_a_port_of_a_bond_has_no_addresses_of_its_own() -> None:
    port = KEYFILE.format("").replace("[connection]\n", "[connection]\nmaster=bond0\n")
    assert look({"/etc/NetworkManager/system-connections/a": port}).dhcp is False


def test_the_mac_that_an_interface_is_bound_to() -> None:
    found = look({"/etc/sysconfig/network-scripts/ifcfg-eth0": "HWADDR=00:50:56:AA:BB:CC\nBOOTPROTO=dhcp\n"})
    assert found.interfaces[0].mac == "00:50:56:AA:BB:CC"


@pytest.mark.parametrize(
    ("files", "cmdline", "expected"),
    [
        (RULES, "", True),
        (RULES, "ro net.ifnames=0 quiet", False),
        (RULES | {"/etc/udev/rules.d/80-net-setup-link.rules": Link("/dev/null")}, "", False),
        (RULES | {"/etc/udev/rules.d/80-net-setup-link.rules": ""}, "", False),
        (RULES | {"/etc/systemd/network/99-default.link": Link("/dev/null")}, "", False),
        ({"/lib/udev/rules.d/75-persistent-net-generator.rules": "x"}, "", False),
        ({"/lib/udev/rules.d/71-biosdevname.rules": "x"}, "", True),
        ({"/lib/udev/rules.d/71-biosdevname.rules": "x"}, "biosdevname=0", False),
    ],
)
def test_predictable_names(files: dict[str, str], cmdline: str, expected: bool) -> None:
    assert look(files, cmdline).predictable_names is expected


def test_rules_that_bind_a_name_to_a_mac() -> None:
    path = "/etc/udev/rules.d/70-persistent-net.rules"
    rule = 'SUBSYSTEM=="net", ATTR{address}=="00:50:56:aa:bb:cc", NAME="eth0"\n'
    assert look({path: "# empty\n" + rule}).udev_rules == path
    assert look({path: "# " + rule}).udev_rules == ""


@pytest.mark.parametrize(
    ("path", "client"),
    [
        ("/sbin/dhclient", "dhclient"),
        ("/usr/sbin/dhcpcd", "dhcpcd"),
        ("/usr/lib/wicked/bin/wickedd-dhcp4", "wicked"),
        ("/usr/sbin/NetworkManager", "networkmanager"),
        ("/usr/bin/vi", ""),
    ],
)
def test_dhcp_clients(path: str, client: str) -> None:
    assert look({path: ""}).dhcp_client == client


def test_networkd_is_a_dhcp_client_when_it_starts() -> None:
    files = {"/usr/lib/systemd/systemd-networkd": "", "/usr/lib/systemd/systemd": ""}
    assert look(files).dhcp_client == ""
    wants = "/etc/systemd/system/multi-user.target.wants/systemd-networkd.service"
    assert look(files | {wants: Link("/usr/lib/systemd/system/systemd-networkd.service")}).dhcp_client == "networkd"


def test_network_manager_without_profiles_uses_dhcp_by_itself() -> None:
    files = {
        "/usr/lib/systemd/systemd": "",
        "/etc/systemd/system/multi-user.target.wants/NetworkManager.service": Link("/x"),
        "/usr/sbin/NetworkManager": "",
    }
    found = look(files)
    assert (found.methods, found.static, found.dhcp_client) == (("networkmanager",), None, "networkmanager")


def _wicked(*xml: str) -> Network:
    files = {f"/etc/wicked/ifconfig/{number}.xml": text for number, text in enumerate(xml)}
    return look({"/usr/sbin/wicked": "", **files})


WICKED_STATIC = """<?xml version="1.0" encoding="UTF-8"?>
<interface><name>eth0</name><control><mode>boot</mode></control><firewall/>
 <ipv4><enabled>true</enabled></ipv4>
 <ipv4:static><address><local>10.0.0.5/24</local></address>
  <route><nexthop><gateway>10.0.0.1</gateway></nexthop></route></ipv4:static>
</interface>
<interface><name>eth1</name><control><mode>manual</mode></control>
 <ipv6:static><address><local>2001:db8::5/64</local></address></ipv6:static></interface>
"""


def test_wickeds_own_files_static_and_side_by_side() -> None:
    found = _wicked(WICKED_STATIC)
    assert (found.methods, found.static, found.dhcp) == (("wicked",), True, False)
    assert [(one.name, one.static, one.ipv6, one.active) for one in found.interfaces] == [
        ("eth0", True, False, True),
        ("eth1", True, True, False),
    ]


def test_wickeds_own_files_by_dhcp() -> None:
    on = "<config><interface><name>eth0</name><ipv4:dhcp><enabled>true</enabled></ipv4:dhcp></interface></config>"
    off = "<interface><name>eth1</name><ipv4:dhcp><enabled>false</enabled></ipv4:dhcp></interface>"
    six = "<interface><name>eth2</name><ipv6:dhcp/></interface>"
    assert [(one.dhcp, one.static, one.ipv6) for one in _wicked(on, off, six).interfaces] == [
        (True, False, False),
        (False, False, False),
        (False, False, True),
    ]


def test_a_card_that_wicked_knows_by_its_address() -> None:
    text = """<interface><name namespace="ethernet"><permanent-address>00:0c:29:aa:bb:cc</permanent-address></name>
    <ipv4:dhcp><enabled>true</enabled></ipv4:dhcp></interface>"""
    assert [one.mac for one in _wicked(text).interfaces] == ["00:0c:29:aa:bb:cc"]


@pytest.mark.parametrize(
    "text",
    [
        "<interface>",
        "<!DOCTYPE x [<!ENTITY a 'b'>]><interface><name>&a;</name></interface>",
        "<interface>" * 30_000,
        "\0",
        "plain",
    ],
)
def test_what_is_no_configuration_of_wicked_is_told(text: str) -> None:
    guest = tree({"/usr/sbin/wicked": "", "/etc/wicked/ifconfig/a.xml": text})
    found = network(guest, "")
    assert [one.dhcp for one in found.interfaces] in ([None], [])
    assert bool(guest.problems) is bool(found.interfaces)


@pytest.mark.parametrize(
    ("words", "active", "mac"),
    [
        ("auto /eth*=lan", True, ""),
        ("auto /mac/00:0c:29:aa:bb:cc=lan", True, "00:0c:29:aa:bb:cc"),
        ("allow-hotplug /l*", True, ""),
        ("auto /mac/00:0c:29:aa:bb:cc=wan", False, ""),
        ("auto /eth*", False, ""),
    ],
)
def test_patterns_of_ifupdown(words: str, active: bool, mac: str) -> None:
    (card,) = look({"/etc/network/interfaces": f"{words}\niface lan inet dhcp\n"}).interfaces
    assert (card.name, card.active, card.mac) == ("lan", active, mac)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {
                "/etc/netctl/office": "Interface=eth0\nConnection=ethernet\nIP=static\nAddress=('10.1.10.2/24')\n",
                "/etc/systemd/system/multi-user.target.wants/netctl@office.service": "",
            },
            ("netctl", "eth0", False, True, True),
        ),
        ({"/etc/netctl/office": "Interface=eth0\nIP=dhcp\n"}, ("netctl", "eth0", True, False, False)),
        (
            {"/etc/conf.d/net": 'config_eth0="10.0.0.5/24"\n', "/etc/runlevels/default/net.eth0": ""},
            ("netifrc", "eth0", False, True, True),
        ),
        ({"/etc/runlevels/default/net.eth0": ""}, ("netifrc", "eth0", True, False, True)),
        (
            {"/etc/slackware-version": "", "/etc/rc.d/rc.inet1.conf": 'IPADDR[0]="10.0.0.5"\nUSE_DHCP[0]=""\n'},
            ("slackware", "eth0", False, True, True),
        ),
        (
            {"/etc/slackware-version": "", "/etc/rc.d/rc.inet1.conf": 'IPADDR[0]=""\nUSE_DHCP[0]="yes"\n'},
            ("slackware", "eth0", True, False, True),
        ),
        (
            {
                "/etc/runit/runsvdir/default/dhcpcd": "",
                "/etc/dhcpcd.conf": "interface eth0\nstatic ip_address=10.0.0.5/24\n",
            },
            ("dhcpcd", "eth0", False, True, True),
        ),
        ({"/etc/runit/runsvdir/default/dhcpcd": ""}, ("dhcpcd", "*", True, False, True)),
    ],
)
def test_smaller_distributions(files: dict[str, str], expected: tuple[str, str, bool, bool, bool]) -> None:
    """The method, then the card's name, DHCP, a fixed address, whether it is brought up."""
    found = look(files)
    (card,) = found.interfaces
    assert (*found.methods, card.name, card.dhcp, card.static, card.active) == expected
