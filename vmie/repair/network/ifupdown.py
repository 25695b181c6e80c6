"""/etc/network/interfaces (interfaces(5))."""

from __future__ import annotations

import re

from vmie.repair.network.stacked import Stacked

_STACKED = re.compile(r"^\s+(?:bridge[_-]ports|bond[_-]\w+|vlan[_-]raw[_-]device|wpa-)", re.MULTILINE)
_STANZA = re.compile(r"^\s*(?:iface|mapping|auto|allow-\S+|source|source-directory|no-auto-down|rename|template)\b")
_CARD = "eth0"


def edited(text: str, names: list[str], first: bool) -> str:
    """The stanzas of `names` gone; with `first` the place of the first is taken by eth0 and DHCP."""
    if _STACKED.search(text):
        raise Stacked("it has bridges, bonds or VLANs")
    lines: list[str] = []
    inside, wanted, started = False, first, False
    for line in text.splitlines(keepends=True):
        words = line.split()
        if _STANZA.match(line):
            inside = words[0] == "iface" and len(words) > 1 and words[1] in names
            if inside:
                lines += [f"iface {_CARD} inet dhcp\n"] if wanted else []
                wanted = False
                continue
            if words[0] == "auto" or words[0].startswith("allow-"):
                kept = [word for word in words[1:] if not _starts(word, names)]
                if len(kept) < len(words) - 1:
                    kept += [_CARD] if first and not started else []
                    started = started or first
                    lines += [" ".join([words[0], *kept]) + "\n"] if kept else []
                    continue
        elif inside and words and not line.startswith("#"):
            continue
        lines.append(line)
    return "".join(lines)


def _starts(word: str, names: list[str]) -> bool:
    card, _, logical = word.partition("=")
    return (logical or card) in names or card.startswith("/")
