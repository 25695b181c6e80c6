"""The network to DHCP, without names or addresses of the old machine's cards; udev's rules without names.

    facts.network ──► the first card that starts at boot becomes "any card, by DHCP", the others do not start

Formats that need a card's name (ifupdown, ifcfg, wicked) get eth0, and the kernel is told not to rename it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from vmie.checks.network_cards import VIRTUAL
from vmie.guest.linux import cards
from vmie.guest.linux_facts import LinuxFacts
from vmie.guest.network_facts import Interface
from vmie.repair import kernel_options
from vmie.repair.files import GuestFiles, encoded
from vmie.repair.kernel_options import OptionScope
from vmie.repair.model import Edit, Left, Mend
from vmie.repair.network import ifcfg, ifupdown, ini, netplan
from vmie.repair.network.stacked import Stacked

_WHY = "the machine gets another card in EC2, and its address by DHCP"
_STATIC, _BOUND, _NAMED = "VMIE-NET-003", "VMIE-NET-010", "VMIE-NET-011"
#: text of a file, the names of its cards, whether the first of them is the one to start ──► the new text
Editor = Callable[[str, list[str], bool], str]
_EDITORS: dict[str, Editor] = {
    "netplan": netplan.edited,
    "ifcfg": ifcfg.redhat,
    "wicked": ifcfg.suse,
    "ifupdown": ifupdown.edited,
    "networkmanager": ini.networkmanager,
    "networkd": ini.networkd,
}
_GATEWAYS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("/etc/sysconfig/network", ifcfg.without_gateway),
    ("/etc/sysconfig/network/routes", ifcfg.without_default),
)
#: what is made of cards
_STACKED = ("bond", "team", "vlan", "br")
#: what takes a card by its name alone
_BY_NAME = ("ifcfg", "wicked", "ifupdown")


def _dhcp(files: GuestFiles) -> Iterator[Edit | Left]:
    facts = files.facts
    if not isinstance(facts, LinuxFacts):
        return
    listed = facts.network.interfaces
    stacked = next((one for one in listed if one.active and one.name.startswith(_STACKED)), None)
    if stacked is not None:
        why = f"{stacked.path} makes {stacked.name} of cards, and EC2 gives one"
        yield Left(_STATIC, why, "nmtui, or the distribution's own tool")
        return
    found = sorted(filter(_is_card, listed), key=lambda one: (not one.active, not one.path.endswith("/ifcfg-eth0")))
    by_path: dict[str, list[Interface]] = {}
    for one in found:
        by_path.setdefault(one.path, []).append(one)
    for index, (path, cards_of) in enumerate(by_path.items()):
        yield from _file(files, path, cards_of, first=not index and cards_of[0].active)
    yield from _routes(files)
    yield from _links(files, facts)
    if found and found[0].source in _BY_NAME and facts.network.predictable_names:
        yield from kernel_options.changed(files, _unrenamed, "the card is to be called eth0, as its file has it")


def _is_card(one: Interface) -> bool:
    return one.source != "cloud-init" and not one.by_cloud_init and not one.name.startswith(VIRTUAL)


def _file(files: GuestFiles, path: str, listed: list[Interface], *, first: bool) -> Iterator[Edit | Left]:
    source, text = listed[0].source, files.text(path)
    if text is None:
        return
    editor = _EDITORS.get(source)
    if editor is None or path.endswith(".xml"):
        yield Left(_STATIC, f"{path} ({source}) is not changed by this program", f"${{EDITOR:-vi}} {path}")
        return
    if first and source == "wicked" and not path.endswith("/ifcfg-eth0"):
        folder = path.rpartition("/")[0]
        yield Left(_NAMED, f"{path}: wicked takes the card's name from the file's", f"mv {path} {folder}/ifcfg-eth0")
        return
    try:
        after = editor(text, [one.name for one in listed], first)
    except Stacked as error:
        yield Left(_STATIC, f"{path}: {error}", f"${{EDITOR:-vi}} {path}")
        return
    if after != text:
        yield Edit(path, encoded(after), _WHY)


def _routes(files: GuestFiles) -> Iterator[Edit]:
    """Gateways that hold for all cards."""
    for path, change in _GATEWAYS:
        text = files.text(path)
        if text is not None and (after := change(text)) != text:
            yield Edit(path, encoded(after), "the gateway comes by DHCP")


def _links(files: GuestFiles, facts: LinuxFacts) -> Iterator[Edit]:
    """Names that .link files and the kernel's options give to old cards."""
    for path in dict.fromkeys(one.path for one in facts.network.renames if one.path.endswith(".link")):
        text = files.text(path)
        if text is not None and (after := ini.link(text)) != text:
            yield Edit(path, encoded(after), "the card that it names will not be there")
    yield from kernel_options.changed(files, _unnamed, "the card that it names will not be there")


def _unnamed(words: list[str], _scope: OptionScope) -> list[str]:
    return [word for word in words if not word.startswith("ifname=")]


def _unrenamed(words: list[str], scope: OptionScope) -> list[str]:
    wanted = [] if scope is OptionScope.PART else ["net.ifnames=0", "biosdevname=0"]
    return words + [word for word in wanted if word not in words]


def _persistent(files: GuestFiles) -> Iterator[Edit]:
    for path in cards.rule_files():
        text = files.text(path)
        if text is None:
            continue
        after = "".join(line for line in text.splitlines(keepends=True) if "NAME=" not in line or line.startswith("#"))
        if after != text:
            yield Edit(path, encoded(after), "it gives names to cards that will not be there")


PERSISTENT_NET = Mend(
    "persistent-net", ("VMIE-NET-007",), _persistent, "rm -f /etc/udev/rules.d/70-persistent-net.rules"
)
DHCP = Mend("dhcp", (_STATIC, _BOUND, _NAMED), _dhcp, "nmtui, or the distribution's own tool")
