"""A network bound to the old machine's card: from the files of every configuration system to the verdict per route."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.guests import Link, tree
from tests.unit.checks.subjects import linux
from vmie.checks import judge
from vmie.guest.linux.cloud_init import cloud_init
from vmie.guest.linux.devices import Devices
from vmie.guest.linux.network import network
from vmie.model import Verdict

Tree = Mapping[str, str | bytes | Link | None]
MAC = "00:50:56:aa:bb:cc"
IFCFG = "/etc/sysconfig/network-scripts/ifcfg-eth0"
KEYFILE = "/etc/NetworkManager/system-connections/wired.nmconnection"
NETWORKD = "/etc/systemd/network/10-lan.network"
RULES = {"/usr/lib/udev/rules.d/80-net-setup-link.rules": "x"}
MANAGER = {
    "/usr/lib/systemd/systemd": "",
    "/usr/sbin/NetworkManager": "",
    "/etc/systemd/system/multi-user.target.wants/NetworkManager.service": Link("/x"),
}
STRICT = {**MANAGER, "/etc/NetworkManager/conf.d/a.conf": "[main]\nno-auto-default=*\n"}
DHCP = "DEVICE=eth0\nBOOTPROTO=dhcp\n"


def verdicts(rule: str, files: Tree, cmdline: str = "") -> dict[str, Verdict]:
    """The worst verdict of `rule` per route, for a guest with `files`."""
    found = tree(files)
    judged = linux(network=network(found, cmdline), cloud_init=cloud_init(found, cmdline, Devices()))
    worst: dict[str, Verdict] = {}
    for finding in reversed(judge(judged)):
        if finding.rule == f"VMIE-{rule}":
            worst |= {route.value: finding.verdict for route in finding.routes}
    return worst


NO_NETWORK = {"image": Verdict.WARN, "instance": Verdict.WARN, "snapshot": Verdict.FAIL, "volume": Verdict.FAIL}
MAYBE = dict.fromkeys(NO_NETWORK, Verdict.WARN)
FINE = dict.fromkeys(NO_NETWORK, Verdict.PASS)


def netplan(settings: str) -> Tree:
    return {"/etc/netplan/01.yaml": f"network: {{version: 2, ethernets: {{eth0: {{dhcp4: true, {settings}}}}}}}\n"}


def keyfile(more: str, connection: str = "") -> Tree:
    return {KEYFILE: f"[connection]\nid=w\ntype=ethernet\n{connection}\n{more}\n[ipv4]\nmethod=auto\n"}


def networkd(match: str, more: str = "") -> Tree:
    return {NETWORKD: f"[Match]\n{match}\n[Network]\nDHCP=yes\n{more}\n"}


def ifupdown(stanza: str) -> Tree:
    return {"/etc/network/interfaces": f"auto lo\niface lo inet loopback\nauto eth0\n{stanza}\n"}


BOUND = netplan(f"match: {{macaddress: '{MAC}'}}")
LINK = "[Match]\nMACAddress=00:50:56:aa:bb:cc\n[Link]\nName=lan0\n"
PERSISTENT = "/etc/udev/rules.d/70-persistent-net.rules"
UDEV = f'SUBSYSTEM=="net", ACTION=="add", ATTR{{address}}=="{MAC}", NAME="eth0"\n'
V1 = f"""network:
  version: 1
  config:
  - type: physical
    name: eth0
    mac_address: '{MAC}'
    subnets: [{{type: dhcp}}]
"""
SEED = f"version: 1\nconfig:\n- {{type: physical, name: eth0, mac_address: '{MAC}', subnets: [{{type: dhcp}}]}}\n"


@pytest.mark.parametrize(
    "files",
    [
        netplan(f"match: {{macaddress: '{MAC}'}}, set-name: eth0"),
        netplan("match: {driver: vmxnet3}"),
        netplan("match: {driver: [vmxnet3, e1000]}"),
        netplan(f"macaddress: '{MAC}'"),
        {IFCFG: f"{DHCP}HWADDR={MAC}\n"},
        {IFCFG: f"{DHCP}MACADDR={MAC}\n"},
        {"/etc/sysconfig/network/ifcfg-eth0": f"BOOTPROTO=dhcp\nSTARTMODE=auto\nLLADDR={MAC}\n"},
        {f"/etc/sysconfig/network/ifcfg-eth-id-{MAC}": "BOOTPROTO=dhcp\n"},
        {"/etc/sysconfig/network/ifcfg-eth-bus-pci-0000:02:00.0": "BOOTPROTO=dhcp\n"},
        keyfile(f"[ethernet]\nmac-address={MAC}"),
        keyfile(f"[802-3-ethernet]\nmac-address={MAC}"),
        keyfile(f"[ethernet]\ncloned-mac-address={MAC}"),
        keyfile("[match]\npath=pci-0000:03:00.0"),
        keyfile("[match]\ndriver=vmxnet3;"),
        networkd(f"MACAddress={MAC}"),
        networkd(f"PermanentMACAddress={MAC} 00:50:56:aa:bb:cd"),
        networkd("Path=pci-0000:03:00.0"),
        networkd("Driver=vmxnet3"),
        networkd("Name=eth0", f"[Link]\nMACAddress={MAC}"),
        {**networkd("Name=lan0"), "/etc/systemd/network/10-lan.link": LINK},
        {**ifupdown("auto lan0\niface lan0 inet dhcp"), "/etc/systemd/network/10-lan.link": LINK},
        ifupdown(f"iface eth0 inet dhcp\n  hwaddress ether {MAC}"),
        {**ifupdown("auto lan0\niface lan0 inet dhcp"), PERSISTENT: UDEV.replace("eth0", "lan0")},
        {
            **ifupdown("iface eth0 inet dhcp"),
            PERSISTENT: UDEV,
            "/lib/udev/rules.d/75-persistent-net-generator.rules": "x",
        },
        {"/usr/bin/cloud-init": "", "/etc/cloud/cloud.cfg.d/99-net.cfg": V1},
        {
            "/usr/bin/cloud-init": "",
            "/etc/cloud/cloud.cfg": f"network: {{ethernets: {{a: {{dhcp4: true, match: {{macaddress: '{MAC}'}}}}}}}}\n",
        },
        {
            "/usr/bin/cloud-init": "",
            "/etc/cloud/cloud.cfg": "datasource_list: [ NoCloud ]\n",
            "/var/lib/cloud/seed/nocloud/network-config": SEED,
        },
        {**STRICT, **keyfile(f"[ethernet]\nmac-address={MAC}")},
    ],
)
def test_bound_to_a_card_that_will_not_be_there(files: Tree) -> None:
    assert verdicts("NET-010", files) == NO_NETWORK


def test_a_name_that_nothing_uses_or_that_the_kernel_gives_anyhow_is_a_warning() -> None:
    link = "/etc/systemd/network/10-lan.link"
    assert verdicts("NET-010", {**ifupdown("iface eth0 inet dhcp"), link: LINK}) == MAYBE
    files = {**RULES, **ifupdown("iface eth0 inet dhcp"), link: LINK.replace("lan0", "eth0")}
    assert verdicts("NET-010", files, "ro net.ifnames=0") == MAYBE
    assert verdicts("NET-010", files, "ro") == NO_NETWORK


def test_the_kernels_option_that_names_a_card() -> None:
    files = {"/etc/sysconfig/network-scripts/ifcfg-lan0": "DEVICE=lan0\nBOOTPROTO=dhcp\n"}
    assert verdicts("NET-010", files, f"ro ifname=lan0:{MAC}") == NO_NETWORK
    assert verdicts("NET-010", files, "ro") == FINE
    assert verdicts("NET-010", files, f"ifname=x:{MAC}") == MAYBE


@pytest.mark.parametrize(
    "files",
    [
        {**MANAGER, IFCFG: f"{DHCP}HWADDR={MAC}\n"},
        {IFCFG: f"{DHCP}HWADDR={MAC}\n", "/etc/sysconfig/network-scripts/ifcfg-eth1": "DEVICE=eth1\nBOOTPROTO=dhcp\n"},
        {**BOUND, **networkd("Name=en*")},
        {"/usr/bin/cloud-init": "", **BOUND},
    ],
)
def test_something_else_may_set_up_the_new_card(files: Tree) -> None:
    assert verdicts("NET-010", files) == MAYBE


@pytest.mark.parametrize(
    "files",
    [
        netplan("match: {name: 'e*'}"),
        netplan("match: {driver: ena}"),
        netplan("match: {driver: 'ena*'}"),
        {IFCFG: DHCP},
        {IFCFG: f"{DHCP}ONBOOT=no\nHWADDR={MAC}\n", "/etc/sysconfig/network-scripts/ifcfg-eth1": DHCP},
        keyfile("", "interface-name=eth0"),
        keyfile("[ethernet]\ncloned-mac-address=stable"),
        {**keyfile(f"[ethernet]\nmac-address={MAC}", "autoconnect=false"), IFCFG: DHCP},
        networkd("Driver=vif ena ixgbevf"),
        networkd("Type=ether"),
        {**networkd(f"MACAddress={MAC}", "[Link]\nUnmanaged=yes"), IFCFG: DHCP},
        ifupdown("iface eth0 inet dhcp"),
        ifupdown("iface eth0 inet dhcp\n  hwaddress random"),
        {**ifupdown("iface eth0 inet dhcp"), PERSISTENT: UDEV},
        {"/etc/sysconfig/network-scripts/ifcfg-bond0": f"DEVICE=bond0\nBOOTPROTO=dhcp\nMACADDR={MAC}\n", IFCFG: DHCP},
        # what cloud-init wrote it writes anew for the new instance
        {"/usr/bin/cloud-init": "", "/etc/netplan/50-cloud-init.yaml": BOUND["/etc/netplan/01.yaml"]},
        {
            "/usr/bin/cloud-init": "",
            IFCFG: f"# Created by cloud-init automatically, do not edit.\n{DHCP}HWADDR={MAC}\n",
        },
        # its own files say nothing where it does not run
        {IFCFG: DHCP, "/etc/cloud/cloud.cfg": V1, "/etc/cloud/cloud-init.disabled": ""},
    ],
)
def test_bound_to_nothing(files: Tree) -> None:
    assert verdicts("NET-010", files) == FINE


@pytest.mark.parametrize(
    ("files", "cmdline", "verdict"),
    [
        ({"/etc/netplan/a.yaml": "network: {ethernets: {ens160: {dhcp4: true}}}\n"}, "", Verdict.WARN),
        ({"/etc/netplan/a.yaml": "network: {ethernets: {eth0: {dhcp4: true}}}\n"}, "", Verdict.WARN),
        ({"/etc/netplan/a.yaml": "network: {ethernets: {eth0: {dhcp4: true}}}\n"}, "net.ifnames=0", None),
        ({"/etc/netplan/a.yaml": "network: {ethernets: {ens5: {dhcp4: true}}}\n"}, "", Verdict.PASS),
        (netplan("match: {name: 'en*'}"), "", Verdict.PASS),
        (networkd("Name=en* eth*"), "", Verdict.PASS),
        (keyfile("[match]\ninterface-name=ens*;eth*;"), "", Verdict.PASS),
        ({**MANAGER, **keyfile("", "interface-name=ens192")}, "", Verdict.PASS),
        (keyfile("", "interface-name=ens192"), "", Verdict.WARN),
        ({"/usr/bin/cloud-init": "", **keyfile("", "interface-name=ens192")}, "", Verdict.PASS),
    ],
)
def test_the_name_of_the_card(files: Tree, cmdline: str, verdict: Verdict | None) -> None:
    assert verdicts("NET-011", {**RULES, **files}, cmdline).get("snapshot") is verdict


def test_a_file_of_cloud_init_that_is_no_yaml_is_a_problem() -> None:
    found = tree({"/usr/bin/cloud-init": "", "/etc/cloud/cloud.cfg": "network:\n  - {\n"})
    assert network(found, "").interfaces == ()
    assert found.problems[0].what == "was not understood"
