"""The network of netplan's YAML files (https://netplan.readthedocs.io/en/stable/netplan-yaml/), as netplan reads them.

Every scalar stays text, as in netplan's own parser. The loader is PyYAML's in Python: libyaml follows nesting on the
stack of C, and a guest's files are not trusted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from vmie.guest.linux.cards import foreign_drivers
from vmie.guest.network_facts import Interface

_KINDS = ("ethernets", "bonds", "bridges", "vlans")
_MAX_CHARACTERS = 1 << 16
_MAX_DEPTH = 24
_MAX_ALIASES = 64
# handle_generic_bool() in netplan's src/parse.c; anything else makes netplan refuse the file
_BOOLEANS = dict.fromkeys(("true", "on", "yes", "y"), True) | dict.fromkeys(("false", "off", "no", "n"), False)


class NetplanError(Exception):
    """A file that netplan would refuse, or that passes the limits."""


def interfaces(text: str, path: str, *, source: str = "netplan") -> list[Interface]:
    """What a file configures. Raises NetplanError."""
    network = _mapping(_mapping(load(text)).get("network"))
    return [
        _interface(str(name), _mapping(settings), path, source)
        for kind in _KINDS
        for name, settings in _mapping(network.get(kind)).items()
    ]


def _interface(name: str, settings: dict[str, Any], path: str, source: str) -> Interface:
    addresses = list(_addresses(settings.get("addresses")))
    dhcp4, dhcp6 = _boolean(settings, "dhcp4"), _boolean(settings, "dhcp6")
    match = _mapping(settings.get("match"))
    drivers = match.get("driver")
    drivers = [drivers] if isinstance(drivers, str) else drivers if isinstance(drivers, list) else []
    pattern = match.get("name")
    return Interface(
        pattern if isinstance(pattern, str) and pattern else name,
        source,
        dhcp=dhcp4 or dhcp6,
        static=bool(addresses),
        ipv6=(dhcp6 and not dhcp4) or any(":" in address for address in addresses),
        mac=_text(match.get("macaddress")),
        path=path,
        bus=foreign_drivers([_text(one) for one in drivers]),
        sets_mac=_text(settings.get("macaddress")),
        active=_text(settings.get("activation-mode")) not in ("manual", "off"),
    )


def _text(node: object) -> str:
    return node if isinstance(node, str) else ""


def _addresses(node: object) -> Iterator[str]:
    """Each is text, or a mapping of the text to its options (label, lifetime)."""
    for one in node if isinstance(node, list) else ():
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict):
            yield from (str(key) for key in one)


def _boolean(settings: dict[str, Any], key: str) -> bool:
    if key not in settings:
        return False
    value = settings[key]
    found = _BOOLEANS.get(value.lower()) if isinstance(value, str) else None
    if found is None:
        raise NetplanError(f"{key} is neither true nor false")
    return found


def _mapping(node: object) -> dict[str, Any]:
    return node if isinstance(node, dict) else {}


class _Loader(yaml.BaseLoader):
    """Bounded in depth and aliases; an alias is the same object again, so what it stands for is not multiplied."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._aliases = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """See `yaml.composer.Composer`."""
        self._aliases += self.check_event(yaml.AliasEvent)
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise NetplanError("it is nested too deeply")
        if self._aliases > _MAX_ALIASES:
            raise NetplanError("it has too many aliases")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def load(text: str) -> object:
    """The first document of `text`, as netplan reads it: dictionaries, lists and strings."""
    if len(text) > _MAX_CHARACTERS:
        raise NetplanError("it is too large")
    try:
        loader = _Loader(text)
        # get_single_data() refuses a second document; netplan does not look at it
        return loader.get_data() if loader.check_node() else None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # The last two for an escape or a version beyond all numbers: "\\UFFFFFFFF", %YAML 99…9.
        problem, mark = getattr(error, "problem", None), getattr(error, "problem_mark", None)
        raise NetplanError(f"line {mark.line + 1}: {problem}" if mark and problem else "it is no YAML") from error
