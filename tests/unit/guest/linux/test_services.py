"""What starts at boot, sshd, firewalls, tools of hypervisors."""

from __future__ import annotations

import pytest

from tests.guests import Link, tree
from vmie.guest.linux import services
from vmie.guest.linux.firewall import firewall
from vmie.guest.linux_facts import Firewall, Sshd

SYSTEMD = {"/usr/lib/systemd/systemd": ""}
WANTS = "/etc/systemd/system/multi-user.target.wants"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (SYSTEMD, False),
        (SYSTEMD | {f"{WANTS}/ssh.service": Link("/lib/systemd/system/ssh.service")}, True),
        (SYSTEMD | {"/etc/systemd/system/sockets.target.wants/ssh.socket": Link("/x")}, True),
        (
            SYSTEMD | {f"{WANTS}/ssh.service": Link("/x"), "/etc/systemd/system/ssh.service": Link("/dev/null")},
            False,
        ),
        (SYSTEMD | {"/etc/rc2.d/S02ssh": Link("../init.d/ssh")}, True),
        ({"/etc/rc.d/rc3.d/S55sshd": Link("../init.d/sshd")}, True),
        ({"/etc/rc3.d/K55sshd": Link("../init.d/sshd"), "/etc/inittab": ""}, False),
        ({"/etc/init/ssh.conf": "start on runlevel\n"}, True),
        ({"/etc/init/ssh.conf": "start on runlevel\n", "/etc/init/ssh.override": "manual\n"}, False),
        ({"/etc/hostname": ""}, None),
    ],
)
def test_enabled(files: dict[str, str], expected: bool | None) -> None:
    assert services.enabled(tree(files), "ssh", "sshd") is expected


def test_sshd() -> None:
    files = SYSTEMD | {"/usr/sbin/sshd": "", f"{WANTS}/sshd.service": Link("/x")}
    assert services.sshd(tree(SYSTEMD)) == Sshd(installed=False)
    assert services.sshd(tree(files)) == Sshd(installed=True, enabled=True)
    config = "Port 2222\nPort 22\nPasswordAuthentication yes\nMatch User x\n  Port 1\n"
    told = services.sshd(tree(files | {"/etc/ssh/sshd_config": config}))
    assert (told.port, told.password_login) == (2222, True)
    first = {"/etc/ssh/sshd_config.d/50-cloud.conf": "PasswordAuthentication no\n"}
    assert services.sshd(tree(files | first | {"/etc/ssh/sshd_config": config})).password_login is False


def test_software() -> None:
    assert services.vmware_tools(tree({"/usr/bin/vmtoolsd": ""}))
    assert not services.vmware_tools(tree({"/usr/bin/vim": ""}))
    assert services.virtualbox_additions(tree({"/opt/VBoxGuestAdditions-7.0.8/x": ""}))
    assert not services.virtualbox_additions(tree({"/opt/x": ""}))
    assert services.selinux(tree({"/etc/selinux/config": "# SELINUX=x\nSELINUX=enforcing\n"})) == "enforcing"
    assert services.selinux(tree({})) == ""


def look(files: dict[str, str], port: int = 22) -> Firewall:
    return firewall(tree(SYSTEMD | files), Sshd(installed=True, enabled=True, port=port))


ZONE = "<zone><short>Public</short>{}</zone>"
FIREWALLD = {f"{WANTS}/firewalld.service": Link("/x"), "/etc/firewalld/firewalld.conf": "DefaultZone=public\n"}
IPTABLES = {f"{WANTS}/iptables.service": Link("/x")}
REDHAT = """*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
-A INPUT -m state --state ESTABLISHED,RELATED -j ACCEPT
-A INPUT -p icmp -j ACCEPT
-A INPUT -i lo -j ACCEPT
{}
-A INPUT -j REJECT --reject-with icmp-host-prohibited
COMMIT
"""
SSH_RULE = "-A INPUT -m state --state NEW -m tcp -p tcp --dport 22 -j ACCEPT"
UFW = {"/etc/ufw/ufw.conf": "ENABLED=yes\n", "/etc/default/ufw": 'DEFAULT_INPUT_POLICY="DROP"\n'}
NFT = {f"{WANTS}/nftables.service": Link("/x")}
CHAIN = "table inet filter {{\n chain input {{\n  type filter hook input priority 0; policy drop;\n  {}\n }}\n}}\n"


@pytest.mark.parametrize(
    ("files", "kind", "allowed"),
    [
        ({}, "none", True),
        (FIREWALLD | {"/etc/firewalld/zones/public.xml": ZONE.format('<service name="ssh"/>')}, "firewalld", True),
        (FIREWALLD | {"/etc/firewalld/zones/public.xml": ZONE.format('<service name="dhcpv6"/>')}, "firewalld", False),
        (
            FIREWALLD | {"/usr/lib/firewalld/zones/public.xml": ZONE.format('<port port="22" protocol="tcp"/>')},
            "firewalld",
            True,
        ),
        (FIREWALLD, "firewalld", None),
        (UFW | {"/etc/ufw/user.rules": "### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in\n"}, "ufw", True),
        (UFW | {"/etc/ufw/user.rules": "-A ufw-user-input -p tcp --dport 22 -j ACCEPT\n"}, "ufw", True),
        (UFW | {"/etc/ufw/user.rules": "-A ufw-user-input -p tcp --dport 80 -j ACCEPT\n"}, "ufw", False),
        ({"/etc/ufw/ufw.conf": "ENABLED=no\n"}, "none", True),
        (IPTABLES | {"/etc/sysconfig/iptables": REDHAT.format(SSH_RULE)}, "iptables", True),
        (IPTABLES | {"/etc/sysconfig/iptables": REDHAT.format("")}, "iptables", False),
        (
            IPTABLES
            | {"/etc/sysconfig/iptables": REDHAT.format("-A INPUT -p tcp -m multiport --dports 80,20:25 -j ACCEPT")},
            "iptables",
            True,
        ),
        (IPTABLES | {"/etc/sysconfig/iptables": "*filter\n:INPUT DROP [0:0]\nCOMMIT\n"}, "iptables", False),
        (IPTABLES | {"/etc/sysconfig/iptables": "*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n"}, "iptables", True),
        (IPTABLES, "iptables", True),
        (
            IPTABLES
            | {
                "/etc/sysconfig/iptables": ":INPUT ACCEPT [0:0]\n-A INPUT -j RH-Firewall-1-INPUT\n"
                "-A RH-Firewall-1-INPUT -j REJECT --reject-with icmp-host-prohibited\n"
            },
            "iptables",
            False,
        ),
        (NFT | {"/etc/nftables.conf": CHAIN.format("tcp dport { ssh, http } accept")}, "nftables", True),
        (NFT | {"/etc/nftables.conf": CHAIN.format("tcp dport 22 accept")}, "nftables", True),
        (NFT | {"/etc/nftables.conf": CHAIN.format("tcp dport 2222 accept")}, "nftables", False),
        (
            NFT
            | {"/etc/nftables.conf": "table inet f {\n chain input {\n type filter hook input priority 0;\n }\n}\n"},
            "nftables",
            True,
        ),
        (
            {
                f"{WANTS}/SuSEfirewall2.service": Link("/x"),
                "/etc/sysconfig/SuSEfirewall2": 'FW_CONFIGURATIONS_EXT="sshd"\n',
            },
            "susefirewall2",
            True,
        ),
        (
            {
                f"{WANTS}/SuSEfirewall2.service": Link("/x"),
                "/etc/sysconfig/SuSEfirewall2": 'FW_SERVICES_EXT_TCP="80"\n',
            },
            "susefirewall2",
            False,
        ),
    ],
)
def test_firewalls(files: dict[str, str], kind: str, allowed: bool | None) -> None:
    found = look(files)
    assert (found.kind, found.ssh_allowed) == (kind, allowed)


def test_a_firewall_that_does_not_start_does_not_count() -> None:
    assert look({"/etc/sysconfig/iptables": REDHAT.format("")}).kind == "none"


def test_ssh_on_another_port() -> None:
    assert look(IPTABLES | {"/etc/sysconfig/iptables": REDHAT.format(SSH_RULE)}, port=2222).ssh_allowed is False
