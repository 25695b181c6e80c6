"""Mounts that an administrator wrote as units of systemd instead of lines of fstab: systemd.mount(5), systemd.swap(5).

A unit counts that something starts at boot; boot ends in emergency mode without what local-fs.target requires.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from vmie.guest.linux.shell import sections
from vmie.guest.tree import Tree

_FOLDER = "/etc/systemd/system"
_TARGETS = ("local-fs", "remote-fs", "swap", "multi-user", "default", "basic", "sysinit", "graphical")
_MOST = 200


@dataclass(frozen=True, slots=True)
class MountUnit:
    """One unit, in fstab's terms: `options` hold nofail where boot goes on without it. `path` is the file."""

    device: str
    mountpoint: str
    fstype: str
    options: tuple[str, ...]
    path: str


def read(tree: Tree) -> Iterator[MountUnit]:
    """The units of /etc/systemd/system that boot starts."""
    needed = {name for target in _TARGETS for name in tree.listdir(f"{_FOLDER}/{target}.target.requires")}
    wanted = {name for target in _TARGETS for name in tree.listdir(f"{_FOLDER}/{target}.target.wants")}
    names = sorted(name for name in needed | wanted if name.endswith((".mount", ".swap")))
    for name in names[:_MOST]:
        path = f"{_FOLDER}/{name}"
        parts = sections(tree.text(path))
        unit = parts.get("mount") or parts.get("swap") or {}
        device = _plain(unit.get("what", [""])[-1])
        if not device:
            continue
        options = tuple(one for one in unit.get("options", [""])[-1].split(",") if one)
        where = unit.get("where", [""])[-1] if name.endswith(".mount") else "none"
        goes_on = () if name in needed else ("nofail",)
        yield MountUnit(device, where, unit.get("type", [""])[-1], (*options, *goes_on), path)


def _plain(what: str) -> str:
    """``%%`` is a percent sign, and names of devices have their own escapes."""
    return re.sub(r"\\x([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), what).replace("%%", "%")
