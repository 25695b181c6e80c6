"""ifcfg files of Red Hat (sysconfig.txt of initscripts) and of SUSE (ifcfg(5)), and their gateways."""

from __future__ import annotations

import re

_LINE = re.compile(r"^\s*(?:export\s+)?([A-Za-z_]\w*)=")
#: addresses, and what binds to one card
_GONE = re.compile(
    r"(?:IPADDR|NETMASK|PREFIX|PREFIXLEN|GATEWAY|NETWORK|BROADCAST|DNS|IPADDR_|NETMASK_|BROADCAST_|LABEL_)\w*"
    r"|IPV6ADDR\w*|IPV6_DEFAULTGW|REMOTE_IPADDR|HWADDR|MACADDR|LLADDR|SUBCHANNELS|ARPCHECK|UNIQUE|_nm_name"
)


def redhat(text: str, names: list[str], first: bool) -> str:
    """The file of eth0 by DHCP, or with `first` False of a card that is not started."""
    wanted = {"DEVICE": "eth0", "BOOTPROTO": "dhcp", "ONBOOT": "yes"}
    return _with(_without(text), wanted if first else {"BOOTPROTO": "dhcp", "ONBOOT": "no"})


def suse(text: str, names: list[str], first: bool) -> str:
    """The same as SUSE writes it; the card is the one that the file is called after."""
    return _with(_without(text), {"BOOTPROTO": "'dhcp'", "STARTMODE": "'auto'" if first else "'off'"})


def _without(text: str) -> str:
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if not ((match := _LINE.match(line)) and _GONE.fullmatch(match[1])))


def _with(text: str, wanted: dict[str, str]) -> str:
    """`text` with each of `wanted` assigned once, where it was or at the end."""
    left, lines = dict(wanted), []
    for line in text.splitlines(keepends=True):
        match = _LINE.match(line)
        if match is None or match[1] not in wanted:
            lines.append(line)
        elif match[1] in left:
            lines.append(f"{match[1]}={left.pop(match[1])}\n")
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    return "".join([*lines, *(f"{key}={value}\n" for key, value in left.items())])


def without_gateway(text: str) -> str:
    """/etc/sysconfig/network without a gateway for all cards."""
    return re.sub(r"^[ \t]*GATEWAY(?:DEV)?=.*\n?", "", text, flags=re.MULTILINE)


def without_default(text: str) -> str:
    """SUSE's routes without the default one."""
    return re.sub(r"^(?=default\s)", "#", text, flags=re.MULTILINE)
