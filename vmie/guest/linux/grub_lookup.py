"""How GRUB finds the file system that it loads a kernel from: ``search``, ``set root``, legacy ``root (hd0,0)``.

https://www.gnu.org/software/grub/manual/grub/grub.html#search, #root; GRUB legacy's manual, "root" and "uuid".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_WORDS = re.compile(r"""'([^']*)'|"((?:[^"\\]|\\.)*)"|([^\s'"]+)""")
_SEARCHES = {
    "search": "",
    "search.fs_uuid": "UUID",
    "search.fs_label": "LABEL",
    "search_fs_uuid": "UUID",
    "search_label": "LABEL",
}
_KINDS = {"--fs-uuid": "UUID", "-u": "UUID", "--label": "LABEL", "--fs-label": "LABEL", "-l": "LABEL"}


@dataclass(frozen=True, slots=True)
class Lookup:
    """One command that lets `variable` mean a device: ``UUID=…`` or ``LABEL=…`` by a `search`, else GRUB's own name.

    A search that finds nothing leaves the variable as it was, with an error on the screen.
    """

    option: str
    device: str
    search: bool = False
    variable: str = "root"


def words(line: str) -> list[str]:
    """The words of a line of GRUB's shell, without their quotes."""
    return [match[1] or match[2] or match[3] or "" for match in _WORDS.finditer(line)]


def lookup(first: str, line: str) -> Lookup | None:
    """What a line of grub.cfg looks up, None for any other line (and for a search by file)."""
    if first == "set":
        name, _, value = line[3:].strip().partition("=")
        value = (words(value) or [""])[0]
        return Lookup(f"set root={value}", f"({value})") if name == "root" and value and "$" not in value else None
    if first not in _SEARCHES:
        return None
    kind, given = _SEARCHES[first], words(line)[1:]
    if kind:
        return _named(kind, given[0], given[1] if len(given) > 1 else "root") if given else None
    kind = next((_KINDS[word] for word in given if word in _KINDS), "")
    setting = next((word for word in given if word.startswith(("--set", "-s"))), "")
    plain = [word for word in given if not word.startswith("-")]
    if not kind or not setting or not plain:
        return None
    return _named(kind, plain[-1], setting.partition("=")[2] or "root")


def _named(kind: str, value: str, variable: str) -> Lookup | None:
    if not value or "$" in value:
        return None
    option = f"search {'--fs-uuid' if kind == 'UUID' else '--label'} {value}"
    return Lookup(option, f"{kind}={value}", search=True, variable=variable)


def explicit(path: str) -> Lookup | None:
    """The device that a path names itself: ``(hd0,gpt2)/vmlinuz``."""
    device = path[: path.find(")") + 1]
    return Lookup(f"linux {device}", device) if device.startswith("(") and "$" not in device else None


def legacy(first: str, rest: str) -> Lookup | None:
    """What a line of menu.lst looks up: partitions count from 0 there."""
    value = (rest.split() or [""])[0]
    if first in ("root", "rootnoverify"):
        match = re.match(r"\((hd\d+)(?:,(\d+))?", value)
        if match is None:
            return None
        return Lookup(f"root {value}", f"({match[1]},{int(match[2]) + 1})" if match[2] else f"({match[1]})")
    if first in ("kernel", "module") and value.startswith("("):
        device = value[: value.find(")") + 1]
        found = legacy("root", device)
        return Lookup(f"{first} {device}", found.device) if found else None
    return Lookup(f"uuid {value}", f"UUID={value}", search=True) if first == "uuid" and value else None
