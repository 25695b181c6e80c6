"""Which distribution, which point release: os-release first, and the older files that say more than it does."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from vmie.guest.linux.shell import variables
from vmie.guest.tree import Tree

_SMALL = 64 << 10


@dataclass(frozen=True, slots=True)
class Release:
    """`id` as os-release spells it (rhel, ol, amzn, sles …), "unknown" if nothing says."""

    id: str = "unknown"
    version: str = ""
    pretty_name: str = ""


#: the vendor's own file, asked in this order: Oracle's and CentOS's clones also carry redhat-release
_FILES = (
    "/etc/oracle-release",
    "/etc/enterprise-release",
    "/etc/rocky-release",
    "/etc/almalinux-release",
    "/etc/centos-release",
    "/etc/fedora-release",
    "/etc/system-release",
    "/etc/redhat-release",
)
_NAMES = (
    ("oracle", "ol"),
    ("enterprise linux enterprise linux", "ol"),
    ("rocky", "rocky"),
    ("almalinux", "almalinux"),
    ("centos", "centos"),
    ("amazon", "amzn"),
    ("fedora", "fedora"),
    ("scientific", "scientific"),
    ("red hat", "rhel"),
)
_RELEASE = re.compile(r"release\s+(\d+(?:\.\d+)*)")
#: files that prove a Linux root even without os-release
MARKS = (
    "/etc/os-release",
    "/usr/lib/os-release",
    *_FILES,
    "/etc/SuSE-release",
    "/etc/lsb-release",
    "/etc/debian_version",
    "/etc/alpine-release",
    "/etc/arch-release",
    "/etc/gentoo-release",
    "/etc/slackware-version",
)


def release(tree: Tree) -> Release:
    """The distribution of the root in `tree`."""
    text = tree.text("/etc/os-release", limit=_SMALL) or tree.text("/usr/lib/os-release", limit=_SMALL)
    assigned = variables(text)
    found = Release(
        assigned.get("ID", "").strip().lower() or "unknown",
        assigned.get("VERSION_ID", "").strip(),
        assigned.get("PRETTY_NAME", "") or assigned.get("NAME", ""),
    )
    if found.id == "unknown":
        return _older(tree)
    return replace(found, version=_point(tree, found))


def _point(tree: Tree, found: Release) -> str:
    """The point release: Debian's and CentOS's os-release stop at the major version."""
    more = ""
    if found.id == "debian":
        more = _first_line(tree, "/etc/debian_version")
    elif found.id in ("rhel", "centos", "ol", "rocky", "almalinux", "fedora"):
        more = _vendor(tree).version
    elif found.id in ("sles", "sled") and "." not in found.version:
        more = _suse(tree).version
    more = more if re.fullmatch(r"\d+(\.\d+)*", more) else ""
    belongs = more.split(".")[0] == found.version.split(".")[0] or not found.version
    return more if belongs and len(more) >= len(found.version) else found.version


def _older(tree: Tree) -> Release:
    """Guests from before os-release: RHEL and its clones up to 6, SLES 11, Debian 6, and the rare ones."""
    for ask in (_vendor, _suse, _lsb, _debian, _clone):
        found = ask(tree)
        if found.id != "unknown":
            return found
    for path, name in (
        ("/etc/alpine-release", "alpine"),
        ("/etc/arch-release", "arch"),
        ("/etc/gentoo-release", "gentoo"),
        ("/etc/slackware-version", "slackware"),
    ):
        if tree.exists(path):
            line = _first_line(tree, path)
            match = re.search(r"\d+(\.\d+)*", line)
            return Release(name, match[0] if match else "", line)
    return Release()


def _vendor(tree: Tree) -> Release:
    for path in _FILES:
        line = _first_line(tree, path)
        name = next((id_ for mark, id_ in _NAMES if mark in line.lower()), "")
        if name:
            match = _RELEASE.search(line)
            version = match[1] if match else ""
            if name in ("centos", "rhel", "ol"):
                version = ".".join(version.split(".")[:2])  # CentOS adds a date: 7.9.2009
            return Release(name, version, line)
    return Release()


def _clone(tree: Tree) -> Release:
    """A system built from Red Hat's that is not in the list: CloudLinux, ClearOS, XenServer. Its first word is it."""
    line = _first_line(tree, "/etc/redhat-release")
    match = re.match(r"([A-Za-z0-9]+)\b.*?" + _RELEASE.pattern, line)
    return Release(match[1].lower(), match[2], line) if match else Release()


def _suse(tree: Tree) -> Release:
    text = tree.text("/etc/SuSE-release", limit=_SMALL)
    if not text:
        return Release()
    first = text.splitlines()[0].strip()
    assigned = variables(text)
    patch = assigned.get("PATCHLEVEL", "")
    version = assigned.get("VERSION", "")
    name = "opensuse" if "opensuse" in first.lower() else "sled" if "desktop" in first.lower() else "sles"
    return Release(name, f"{version}.{patch}" if patch not in ("", "0") and name != "opensuse" else version, first)


def _lsb(tree: Tree) -> Release:
    assigned = variables(tree.text("/etc/lsb-release", limit=_SMALL))
    if not assigned.get("DISTRIB_ID"):
        return Release()
    return Release(
        assigned["DISTRIB_ID"].lower(),
        assigned.get("DISTRIB_RELEASE", ""),
        assigned.get("DISTRIB_DESCRIPTION", assigned["DISTRIB_ID"]),
    )


def _debian(tree: Tree) -> Release:
    line = _first_line(tree, "/etc/debian_version")
    return Release("debian", line, f"Debian GNU/Linux {line}") if line else Release()


def _first_line(tree: Tree, path: str) -> str:
    text = tree.text(path, limit=_SMALL)
    return text.strip().splitlines()[0].strip() if text and text.strip() else ""


_MACHINES = {
    0x03: "i386",
    0x08: "mips",
    0x14: "ppc",
    0x15: "ppc64",
    0x16: "s390x",
    0x28: "arm",
    0x2B: "sparc64",
    0x32: "ia64",
    0x3E: "x86_64",
    0xB7: "arm64",
    0xF3: "riscv64",
    0x102: "loongarch64",
}
_PROGRAMS = (
    "/bin/sh",
    "/usr/bin/sh",
    "/sbin/init",
    "/bin/bash",
    "/usr/bin/env",
    "/usr/lib/systemd/systemd",
    "/bin/busybox",
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/ld-linux.so.2",
)


def architecture(tree: Tree) -> str:
    """The machine in the ELF header of a program that every Linux has."""
    for path in _PROGRAMS:
        head = tree.read(path, limit=20)
        if head is None or len(head) < 20 or head[:4] != b"\x7fELF":
            continue
        little = head[5] == 1
        machine = _MACHINES.get(int.from_bytes(head[18:20], "little" if little else "big"), "unknown")
        if machine == "ppc64" and little:
            return "ppc64le"
        if machine == "x86_64" and head[4] == 1:
            return "x32"
        return machine
    return "unknown"
