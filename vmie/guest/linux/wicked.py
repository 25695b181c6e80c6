"""wicked's own configuration: /etc/wicked/ifconfig/*.xml, beside SUSE's ifcfg files, which it reads too.

The elements are those that `wicked show-config` prints and wicked-config(5) describes:

    <interface><name>eth0</name><control><mode>boot</mode></control><ipv4:dhcp><enabled>true</enabled></ipv4:dhcp>
    <ipv4:static><address><local>10.0.0.5/24</local></address></ipv4:static></interface>
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from vmie.guest.linux.shell import truth
from vmie.guest.network_facts import Interface
from vmie.guest.tree import Tree

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

FOLDER = "/etc/wicked/ifconfig"
_MOST_TAGS = 20_000
#: what wicked declares to nobody, and a document has no need of here
_PREFIX = re.compile(r"(</?)(\w+):(?=\w)")
_DECLARATION = re.compile(r"<\?.*?\?>", re.DOTALL)
_NOT_STARTED = ("manual", "off")


class WickedError(Exception):
    """A file that is not the XML it should be; `str` says how."""


def interfaces(text: str, path: str) -> Iterator[Interface]:
    """The interfaces of one file, which may hold several elements side by side. Raises WickedError."""
    for element in _parsed(text).iter("interface"):
        name = element.find("name")
        matched = element.find("name/match/*")
        by_dhcp = [_on(element.find(f"{family}_dhcp")) for family in ("ipv4", "ipv6")]
        local = [
            (one.text or "").strip()
            for family in ("ipv4", "ipv6")
            for one in element.findall(f"{family}_static/address/local")
        ]
        four = [one for one in local if ":" not in one]
        mode = (element.findtext("control/mode") or "boot").strip()
        called = (name.text or "").strip() if name is not None else ""
        yield Interface(
            called or (matched.tag if matched is not None else ""),
            "wicked",
            dhcp=by_dhcp[0],
            static=bool(local) and not by_dhcp[0],
            ipv6=len(four) < len(local) or (by_dhcp[1] and not by_dhcp[0] and not four),
            mac=(element.findtext("name/match/permanent-address") or _named_by_address(name)).strip(),
            path=path,
            sets_mac=(element.findtext("ethernet/address") or element.findtext("link/address") or "").strip(),
            active=mode not in _NOT_STARTED,
        )


def _on(element: Element | None) -> bool:
    return element is not None and truth((element.findtext("enabled") or "true").strip()) is not False


def _named_by_address(name: Element | None) -> str:
    """``<name namespace="ethernet"><permanent-address>…`` stands for the card that has it."""
    return (name.findtext("permanent-address") or "") if name is not None else ""


def _parsed(text: str) -> Element:
    from defusedxml import DefusedXmlException  # noqa: PLC0415 - for the guests that have such files
    from defusedxml.ElementTree import fromstring  # noqa: PLC0415

    if text.count("<") > _MOST_TAGS:
        raise WickedError("it has more elements than any configuration")
    plain = _PREFIX.sub(r"\1\2_", _DECLARATION.sub("", text))
    try:
        found: Element = fromstring(f"<all>{plain}</all>", forbid_dtd=True)
    except (DefusedXmlException, SyntaxError, ValueError, RecursionError) as error:
        raise WickedError(str(error)[:200] or "it declares entities") from error
    return found


def read(tree: Tree, paths: Iterator[str]) -> Iterator[Interface]:
    """The interfaces of all files; one that cannot be read is a problem of the tree, and an interface unknown."""
    for path in paths:
        try:
            yield from interfaces(tree.text(path) or "", path)
        except WickedError as error:
            tree.problem(path, "was not understood", str(error))
            yield Interface("", "wicked", path=path)
