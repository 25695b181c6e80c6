"""The network by DHCP, whatever the card: every configuration system, before and after, and the checks' word on it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from tests.guests import Link
from tests.unit.repair.linux_files import guest
from vmie import checks, disk
from vmie.checks import Subject
from vmie.disk.overlay import Overlay
from vmie.guest import Budget, GuestFacts, opened
from vmie.model import Finding, Verdict
from vmie.repair import Repair, repair
from vmie.repair.network import DHCP, PERSISTENT_NET

_NONE = "auto lo\niface lo inet loopback\n"
_UDEV = {"/lib/udev/rules.d/80-net-setup-link.rules": "#\n", "/lib/systemd/systemd": "x"}
_ENABLED = Link("/lib/systemd/system/x.service")
_WANTS = "/etc/systemd/system/multi-user.target.wants"
_KEYFILE = """[connection]
id=Wired
uuid=4b4d2e33-4b4d-4b4d-4b4d-4b4d2e334b4d
type=ethernet
interface-name=ens192

[ethernet]
mac-address=00:0C:29:11:22:33

[ipv4]
address1=10.0.0.5/24,10.0.0.1
dns=10.0.0.2;
method=manual

[ipv6]
addr-gen-mode=default
method=auto
"""

_CASES = {
    "ifupdown": (
        {
            "/etc/network/interfaces": _NONE + "# the card\nallow-hotplug ens192 ens224\niface ens192 inet static\n"
            "    address 10.0.0.5/24\n    gateway 10.0.0.1\n\niface ens192 inet6 auto\n\niface ens224 inet dhcp\n"
        },
        {"/etc/network/interfaces": _NONE + "# the card\nallow-hotplug eth0\niface eth0 inet dhcp\n\n\n"},
    ),
    "netplan": (
        {
            "/etc/network/interfaces": _NONE,
            "/etc/netplan/01.yaml": "# a\nnetwork:\n  ethernets:\n    ens192:\n      addresses: [10.0.0.5/24]\n"
            "      gateway4: 10.0.0.1\n  version: 2\n  renderer: networkd\n",
        },
        {
            "/etc/netplan/01.yaml": "network:\n  version: 2\n  renderer: networkd\n  ethernets:\n    any:\n"
            '      match:\n        name: "e*"\n      dhcp4: true\n'
        },
    ),
    "networkmanager": (
        {
            "/etc/network/interfaces": _NONE,
            "/usr/sbin/NetworkManager": "x",
            f"{_WANTS}/NetworkManager.service": _ENABLED,
            "/etc/NetworkManager/system-connections/wired.nmconnection": _KEYFILE,
            "/etc/NetworkManager/system-connections/x.nmconnection": _KEYFILE.replace("ens192", "ens224"),
        },
        {
            "/etc/NetworkManager/system-connections/wired.nmconnection": (
                "[connection]\nid=Wired\nuuid=4b4d2e33-4b4d-4b4d-4b4d-4b4d2e334b4d\ntype=ethernet\n\n[ethernet]\n\n"
                "[ipv4]\nmethod=auto\n\n[ipv6]\naddr-gen-mode=default\nmethod=auto\n"
            ),
        },
    ),
    "ifcfg": (
        {
            "/etc/network/interfaces": _NONE,
            "/etc/sysconfig/network": "NETWORKING=yes\nGATEWAY=10.0.0.1\n",
            "/etc/sysconfig/network-scripts/ifcfg-ens192": "TYPE=Ethernet\nBOOTPROTO=none\nNAME=ens192\nDEVICE=ens192\n"
            "HWADDR=00:0C:29:11:22:33\nIPADDR=10.0.0.5\nPREFIX=24\nGATEWAY=10.0.0.1\nDNS1=10.0.0.2\nONBOOT=yes\n",
            "/etc/sysconfig/network-scripts/ifcfg-ens224": "DEVICE=ens224\nBOOTPROTO=dhcp\nONBOOT=yes\n",
        },
        {
            "/etc/sysconfig/network": "NETWORKING=yes\n",
            "/etc/sysconfig/network-scripts/ifcfg-ens192": (
                "TYPE=Ethernet\nBOOTPROTO=dhcp\nNAME=ens192\nDEVICE=eth0\nONBOOT=yes\n"
            ),
            "/etc/sysconfig/network-scripts/ifcfg-ens224": "DEVICE=ens224\nBOOTPROTO=dhcp\nONBOOT=no\n",
        },
    ),
    "wicked": (
        {
            "/etc/network/interfaces": _NONE,
            "/usr/sbin/wicked": "x",
            "/etc/sysconfig/network/routes": "default 10.0.0.1 - -\n",
            "/etc/sysconfig/network/ifcfg-eth0": "BOOTPROTO='static'\nIPADDR='10.0.0.5/24'\nSTARTMODE='auto'\n",
        },
        {
            "/etc/sysconfig/network/routes": "#default 10.0.0.1 - -\n",
            "/etc/sysconfig/network/ifcfg-eth0": "BOOTPROTO='dhcp'\nSTARTMODE='auto'\n",
        },
    ),
    "networkd": (
        {
            "/etc/network/interfaces": _NONE,
            f"{_WANTS}/systemd-networkd.service": _ENABLED,
            "/etc/systemd/network/10.link": "[Match]\nMACAddress=00:0c:29:11:22:33\n[Link]\nName=lan0\n",
            "/etc/systemd/network/20.network": "[Match]\nName=lan0\n\n[Network]\nAddress=10.0.0.5/24\n"
            "Gateway=10.0.0.1\n\n[Route]\nDestination=10.1.0.0/16\n",
        },
        {
            "/etc/systemd/network/10.link": "[Match]\nMACAddress=00:0c:29:11:22:33\n[Link]\n",
            "/etc/systemd/network/20.network": "[Match]\nName=e*\n\n[Network]\nDHCP=yes\n\n[Route]\n",
        },
    ),
}


def judge(facts: GuestFacts) -> list[Finding]:
    return checks.judge(Subject(guest=facts, today=dt.date(2026, 1, 1)))


def repaired(path: Path, *mends: str) -> tuple[Repair, dict[str, str], set[str]]:
    """What was done, the files by now, and the rules of the network that still find something."""
    with disk.open(path) as base:
        layer = Overlay(base)
        done = repair([layer], (PERSISTENT_NET, DHCP), judge=judge)
        with opened([layer], budget=Budget()) as found:
            tree = found.systems[0][1]
            texts = {change.path: tree.text(change.path) or "" for change in done.changes}
            left = {one.rule for one in judge(found.facts) if one.verdict is not Verdict.PASS and "NET" in one.rule}
    return done, texts, left


@pytest.mark.parametrize("name", _CASES)
def test_the_first_card_by_dhcp_whatever_it_is_called(tmp_path: Path, name: str) -> None:
    before, after = _CASES[name]
    grub = "menuentry 'a' {\n  linux /boot/vmlinuz-6.1.0-25-amd64 root=/dev/vda1 ro\n}\n"
    content = {**_UDEV, "/boot/grub/grub.cfg": grub, **before}
    if name == "wicked":
        content |= {"/usr/lib/wicked/bin/wickedd-dhcp4": "x"}
    done, texts, left = repaired(guest(tmp_path, content))
    assert {path: texts.get(path) for path in after} == after
    assert not left & {"VMIE-NET-003", "VMIE-NET-010", "VMIE-NET-011"}
    assert "VMIE-NET-003" in done.mended
    by_name = name in ("ifupdown", "ifcfg", "wicked")
    assert ("net.ifnames=0 biosdevname=0" in texts.get("/boot/grub/grub.cfg", "")) is by_name


def test_udevs_rules_lose_what_gives_names(tmp_path: Path) -> None:
    rules = '# by hand\nSUBSYSTEM=="net", ATTR{address}=="00:0c:29:11:22:33", NAME="eth0"\n'
    done, texts, left = repaired(guest(tmp_path, {"/etc/udev/rules.d/70-persistent-net.rules": rules}))
    assert texts == {"/etc/udev/rules.d/70-persistent-net.rules": "# by hand\n"}
    assert done.mended == ("VMIE-NET-007",)
    assert "VMIE-NET-007" not in left


@pytest.mark.parametrize(
    ("path", "text", "why"),
    [
        ("/etc/netplan/01.yaml", "network: {bonds: {bond0: {addresses: [10.0.0.5/24]}}}\n", "bond0"),
        (
            "/etc/netplan/01.yaml",
            "network: {ethernets: {a: {addresses: [10.0.0.5/24]}}, wifis: {}}\n",
            "Ethernet",
        ),
        ("/etc/netctl/eth0", "Interface=eth0\nIP=static\nAddress=10.0.0.5/24\n", "netctl"),
    ],
)
def test_what_is_not_understood_is_left_with_the_reason(tmp_path: Path, path: str, text: str, why: str) -> None:
    content = {"/etc/network/interfaces": _NONE, path: text}
    done, _, _ = repaired(guest(tmp_path, content))
    assert not done.changes
    assert any(why in one.why and one.by_hand for one in done.left)
