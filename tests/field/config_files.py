"""fstab, interfaces, GRUB's menu and environment, shell variables: the files that augeas' lenses are tested with.

https://github.com/hercules-team/augeas/tree/master/lenses/tests
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from tests import guests
from tests.field import augeas
from tests.field.augeas import Node, Tree
from tests.field.corpora import Folder
from tests.field.judging import Case
from vmie.guest.linux import fstab, grub
from vmie.guest.linux.devices import Devices
from vmie.guest.linux.network import network
from vmie.guest.linux.shell import variables

NAME = "config-files"
CORPORA = ("augeas",)
TOOLS = ()


def cases(folders: Mapping[str, Folder], work: Path) -> Iterator[Case]:
    """One case a test of a lens."""
    tests = folders["augeas"].root / "lenses/tests"
    for name, (expected, ours) in _LENSES.items():
        for number, (text, tree) in enumerate(augeas.cases(tests / f"test_{name}.aug"), 1):
            wanted = expected(tree)
            if wanted:
                yield Case(f"{name} {number}", wanted, partial(ours, text))


def _mounts(tree: Tree) -> object:
    return [
        (
            one.get("spec"),
            one.get("file"),
            ",".join(str(each.value) for each in one.all("vfstype")),
            tuple(_option(each) for each in one.all("opt")),
        )
        for one in tree
        if one.get("spec")
    ]


def _option(node: Node) -> str:
    return f"{node.value}={node.get('value')}" if node.all("value") else str(node.value)


def _our_mounts(text: str) -> object:
    found, _ = fstab.read(guests.tree({"/etc/fstab": text}), Devices())
    return [(one.device, one.mountpoint, one.fstype, one.options) for one in found]


def _cards(tree: Tree) -> object:
    started = {word.value for one in tree if one.label in ("auto", "allow-hotplug") for word in one.children}
    methods: dict[str, set[str]] = {}
    for one in tree:
        if one.label == "iface" and one.value not in (None, "lo"):
            methods.setdefault(str(one.value), set()).add(one.get("method"))
    return {name: ("dhcp" in each, "static" in each, name in started) for name, each in methods.items()}


def _our_cards(text: str) -> object:
    found = network(guests.tree({"/etc/network/interfaces": text}), "").interfaces
    return {one.name: (one.dhcp, one.static, one.active) for one in found}


def _titles(tree: Tree) -> object:
    """Title, kernel, its options and initramfs; with Xen in front the kernel is its first module. No Solaris."""
    found = []
    for one in tree:
        kernel, *modules = [*one.all("kernel"), *one.all("module"), Node(None, None, ())]
        if one.label == "title" and kernel.value and "multiboot" not in kernel.value:
            xen = bool(one.all("module"))
            kernel, rest = (modules[0], modules[1:]) if xen else (kernel, one.all("initrd"))
            initramfs = rest[0].value or "" if rest else ""
            found.append((one.value, _path(kernel.value), augeas.flat(kernel.children), _path(initramfs)))
    return found


def _path(path: str | None) -> str:
    """Without the partition that it is on."""
    return (path or "").rpartition(")")[2]


def _our_titles(text: str) -> object:
    _, found = grub.choose_legacy(text)
    return [
        (one.title, one.images.kernel, one.cmdline.split(), one.images.initramfs) for one in found if one.images.kernel
    ]


def _environment(tree: Tree) -> object:
    """augeas leaves GRUB's backslashes in place."""
    values = {one.get("name"): one.get("value") for one in tree if one.get("name")}
    return {name: re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL) for name, value in values.items()}


def _our_environment(text: str) -> object:
    return grub.environment(guests.tree({"/boot/grub/grubenv": text}))[0]


def _assigned(tree: Tree) -> object:
    """Plain assignments, unquoted as a shell does it; what a shell would have to run is left out."""
    found = {}
    for one in tree:
        plain = {child.label for child in one.children} <= {"#comment", "export"}
        if one.label is None or one.label.startswith(("#", "@", ".")):
            continue
        if not plain or one.value is None or any(mark in one.value for mark in "`$(\n") or "[" in one.label:
            return {}
        found[one.label] = "".join(shlex.split(one.value)[:1])
    return found


_LENSES: dict[str, tuple[Callable[[Tree], object], Callable[[str], object]]] = {
    "fstab": (_mounts, _our_mounts),
    "interfaces": (_cards, _our_cards),
    "grub": (_titles, _our_titles),
    "grubenv": (_environment, _our_environment),
    "shellvars": (_assigned, variables),
}
