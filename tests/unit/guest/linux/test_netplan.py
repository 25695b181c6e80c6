"""netplan's YAML: what its own parser takes, and what a hostile file cannot do."""

from __future__ import annotations

import time

import pytest

from tests.guests import tree
from vmie.guest.linux.netplan import NetplanError, interfaces
from vmie.guest.linux.network import network


def eth0(settings: str) -> tuple[bool | None, bool | None, bool | None, str]:
    found = interfaces(f"network: {{version: 2, ethernets: {{eth0: {settings}}}}}", "/etc/netplan/a.yaml")
    assert [(one.name, one.source, one.path) for one in found] == [("eth0", "netplan", "/etc/netplan/a.yaml")]
    return found[0].dhcp, found[0].static, found[0].ipv6, found[0].mac


@pytest.mark.parametrize(
    ("settings", "dhcp", "static", "ipv6"),
    [
        ("{}", False, False, False),
        ("{dhcp4: true}", True, False, False),
        ("{dhcp6: yes}", True, False, True),
        ("{dhcp4: yes, dhcp6: yes}", True, False, False),
        ("{addresses: [10.0.0.5/24], routes: [{to: default, via: 10.0.0.1}]}", False, True, False),
        ("{addresses: ['2001:db8::1/64'], dhcp4: no}", False, True, True),
        ("{addresses: [10.0.0.5/24: {label: 'eth0:1'}]}", False, True, False),
        ("{addresses: ['2001:db8::5/64': {lifetime: 0}]}", False, True, True),
        ("{addresses: ~}", False, False, False),
        ("{addresses: []}", False, False, False),
        ("~", False, False, False),
    ],
)
def test_what_an_interface_gets(settings: str, dhcp: bool, static: bool, ipv6: bool) -> None:
    assert eth0(settings) == (dhcp, static, ipv6, "")


@pytest.mark.parametrize("value", ["true", "True", "TRUE", "on", "yes", "YES", "y", "'true'", '"on"'])
def test_true_as_netplan_writes_it(value: str) -> None:
    assert eth0(f"{{dhcp4: {value}}}")[0] is True
    no = {"true": "false", "on": "off", "yes": "no", "y": "n"}[value.strip("'\"").lower()]
    assert eth0(f"{{dhcp4: {no}}}")[0] is False


@pytest.mark.parametrize("value", ["1", "0", "t", "[true]", "~", "2001"])
def test_what_netplan_refuses_is_unknown(value: str) -> None:
    guest = tree({"/etc/netplan/a.yaml": f"network: {{ethernets: {{eth0: {{dhcp4: {value}}}}}}}\n"})
    found = network(guest, "")
    assert (found.methods, found.dhcp, found.static) == (("netplan",), None, None)
    assert guest.problems[0].why == "dhcp4 is neither true nor false"


def test_block_and_flow_anchors_comments_and_a_second_document() -> None:
    text = """# from the installer
network:
  version: 2
  renderer: networkd
  ethernets:
    ens160:   # the first
      match: {macaddress: "00:50:56:aa:bb:cc"}
      addresses: &same
        - 10.0.0.5/24
    ens192:
      addresses: *same
  vlans:
    vlan7: {id: 7, link: ens160, dhcp4: true}
---
network: {ethernets: {other: {dhcp4: true}}}
"""
    found = interfaces(text, "a.yaml")
    assert [(one.name, one.static, one.dhcp, one.mac) for one in found] == [
        ("ens160", True, False, "00:50:56:aa:bb:cc"),
        ("ens192", True, False, ""),
        ("vlan7", False, True, ""),
    ]


@pytest.mark.parametrize(
    "text", ["", "# nothing", "network:", "a: 1", "- a", "network: [ethernets]", "~", "network: {ethernets: 7}"]
)
def test_a_file_that_configures_nothing(text: str) -> None:
    assert interfaces(text, "a.yaml") == []


@pytest.mark.parametrize(
    "text",
    [
        "a:\n\tb: 1",
        "- a\nb",
        "a: {",
        "a: *nobody",
        "&a [*a]",
        "&a {b: *a}",
        "? [a]\n: b",
        "a: \x00",
        "!!python/object/apply:os.system [id",
        'a: "\\UFFFFFFFF"',
        "%YAML " + "9" * 5000 + ".1\n--- a",
        "[" * 5000,
        "{a: " * 5000,
        "- " * 5000,
        "\n".join("  " * n + "a:" for n in range(99)),
        "a: " + "x" * (1 << 17),
        "a: [" + ", ".join(["&a x", *["*a"] * 100]) + "]",
    ],
)
def test_garbage_is_refused_at_once(text: str) -> None:
    begun = time.process_time()
    with pytest.raises(NetplanError):
        interfaces(text, "a.yaml")
    assert time.process_time() - begun < 10


def test_no_object_is_made_by_a_tag() -> None:
    assert interfaces("network: !!python/object/apply:os.system [id]", "a.yaml") == []


def test_aliases_do_not_multiply() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 7)}]" for n in range(1, 9)]
    begun = time.process_time()
    assert (
        interfaces("\n".join([*lines, "network: {ethernets: {eth0: {addresses: *a8}}}"]), "a.yaml")[0].static is False
    )
    assert time.process_time() - begun < 10
