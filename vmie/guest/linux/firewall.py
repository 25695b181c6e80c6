"""Whether the firewall that starts at boot lets SSH in: rules are not simulated, only plain cases are recognised."""

from __future__ import annotations

import re

from vmie.guest.linux.services import enabled
from vmie.guest.linux.shell import variables
from vmie.guest.linux_facts import Firewall, Sshd
from vmie.guest.tree import Tree

_SAVED = ("/etc/sysconfig/iptables", "/etc/iptables/rules.v4", "/etc/iptables.rules", "/etc/iptables.up.rules")


def firewall(tree: Tree, sshd: Sshd) -> Firewall:
    """The first active one of firewalld, ufw, SuSEfirewall2, nftables and iptables."""
    for read in (_firewalld, _ufw, _suse, _nftables, _iptables):
        found = read(tree, sshd.port)
        if found is not None:
            return found
    return Firewall()


def _firewalld(tree: Tree, port: int) -> Firewall | None:
    if not enabled(tree, "firewalld"):
        return None
    zone = variables(tree.text("/etc/firewalld/firewalld.conf")).get("DefaultZone", "public")
    zone = zone if re.fullmatch(r"[\w-]+", zone) else "public"
    text = tree.text(f"/etc/firewalld/zones/{zone}.xml") or tree.text(f"/usr/lib/firewalld/zones/{zone}.xml")
    if text is None:
        return Firewall("firewalld", active=True, ssh_allowed=None, detail=f"zone {zone} was not found")
    service = port == 22 and re.search(r"<service\s+name=[\"']ssh[\"']", text)
    by_port = re.search(rf"<port\s[^>]*port=[\"']{port}[\"']", text)
    accepts = re.search(r"<zone[^>]*target=[\"']ACCEPT[\"']", text)
    return Firewall("firewalld", active=True, ssh_allowed=bool(service or by_port or accepts), detail=f"zone {zone}")


def _ufw(tree: Tree, port: int) -> Firewall | None:
    if variables(tree.text("/etc/ufw/ufw.conf")).get("ENABLED", "").lower() != "yes":
        return None
    if variables(tree.text("/etc/default/ufw")).get("DEFAULT_INPUT_POLICY", "DROP").upper() == "ACCEPT":
        return Firewall("ufw", active=True, ssh_allowed=True, detail="incoming traffic is allowed")
    rules = "\n".join(tree.text(path) or "" for path in ("/etc/ufw/user.rules", "/lib/ufw/user.rules"))
    plain = re.search(
        rf"-A ufw-user-input .*--dports? (?:\S+,)?{port}(?:,\S+)?\b.* -j (?:ACCEPT|ufw-user-limit-accept)", rules
    )
    tuple_ = re.search(rf"### tuple ### (?:allow|limit) (?:tcp|any) (?:\S+,)?{port}(?:,\S+)? ", rules)
    return Firewall("ufw", active=True, ssh_allowed=bool(plain or tuple_))


def _suse(tree: Tree, port: int) -> Firewall | None:
    if not enabled(tree, "SuSEfirewall2", "SuSEfirewall2_setup"):
        return None
    assigned = variables(tree.text("/etc/sysconfig/SuSEfirewall2"))
    words = f"{assigned.get('FW_SERVICES_EXT_TCP', '')} {assigned.get('FW_CONFIGURATIONS_EXT', '')}".split()
    return Firewall("susefirewall2", active=True, ssh_allowed=bool({"ssh", "sshd", str(port)} & set(words)))


def _nftables(tree: Tree, port: int) -> Firewall | None:
    if not enabled(tree, "nftables"):
        return None
    text = "\n".join(
        line
        for path in ("/etc/nftables.conf", "/etc/sysconfig/nftables.conf", "/etc/nftables/main.nft")
        for line in tree.lines(path)
    )
    closed = re.search(r"hook input[^}]*policy drop|hook input[^}]*\b(?:drop|reject)\s*(?:;|\n|$)", text)
    if not closed:
        return Firewall("nftables", active=True, ssh_allowed=True, detail="nothing is dropped on input")
    ports = "|".join(("ssh", str(port)) if port == 22 else (str(port),))
    if re.search(rf"dport (?:\{{[^}}]*)?\b(?:{ports})\b[^\n]*accept", text):
        return Firewall("nftables", active=True, ssh_allowed=True)
    return Firewall("nftables", active=True, ssh_allowed=None if "include" in text else False)


def _iptables(tree: Tree, port: int) -> Firewall | None:
    if not enabled(tree, "iptables", "netfilter-persistent", "iptables-persistent"):
        return None
    path = tree.first(*_SAVED)
    if not path:
        return Firewall("iptables", active=True, ssh_allowed=True, detail="no saved rules")
    policy = "ACCEPT"
    chains = {"INPUT"}
    for line in tree.lines(path):
        match = re.match(r":INPUT (\w+)", line)
        if match:
            policy = match[1]
        jump = re.fullmatch(r"-A INPUT (?:-\S+ \S+ )*-j (RH-Firewall-\S+|[A-Z]+[\w-]*-INPUT\S*)", line)
        if jump:
            chains.add(jump[1])
        verdict = _rule(line, chains, port)
        if verdict is not None:
            return Firewall("iptables", active=True, ssh_allowed=verdict, detail=path)
    return Firewall("iptables", active=True, ssh_allowed=policy == "ACCEPT", detail=path)


def _rule(line: str, chains: set[str], port: int) -> bool | None:
    """What one rule of an input chain decides about a new connection to `port`, None if nothing."""
    match = re.match(r"-A (\S+) (.*?)-j (ACCEPT|DROP|REJECT)\b", line)
    if match is None or match[1] not in chains:
        return None
    conditions = match[2]
    if re.search(r"-i lo\b|-s |--src|ESTABLISHED(?!.*NEW)|-p (?:icmp|udp|esp|ah|50|51)|-d ", conditions):
        return None
    ports = re.search(r"--dports? (\S+)", conditions)
    if ports:
        wanted = ports[1].replace("ssh", "22").split(",")
        hit = any(_covers(one, port) for one in wanted)
        return match[3] == "ACCEPT" if hit else None
    if "INVALID" in conditions or "--" in conditions.replace("--state", "").replace("--ctstate", "").replace(
        "--comment", ""
    ):
        return None
    return match[3] == "ACCEPT"


def _covers(text: str, port: int) -> bool:
    low, _, high = text.partition(":")
    if not low.isdecimal() or (high and not high.isdecimal()):
        return False
    return int(low[:6]) <= port <= int((high or low)[:6])
