"""systemd-boot: its entries in the order of its menu, and the one that boots by default.

    loader/entries/*.conf ─┐ of the EFI system partition and of the one mounted at /boot
    EFI/Linux/*.efi       ─┴─► what failed last, sort keys, newest first ─► loader.conf's default, else the first

https://www.freedesktop.org/software/systemd/man/latest/systemd-boot.html, …/loader.conf.html; the order is that of
https://uapi-group.org/specifications/specs/boot_loader_specification/#sorting, versions are compared as
https://uapi-group.org/specifications/specs/version_format_specification/ says.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from dataclasses import dataclass

from vmie.guest.linux import bls, uki
from vmie.guest.linux.grub import BootChoice, MenuEntry
from vmie.guest.linux.kernels import Images
from vmie.guest.linux.shell import variables
from vmie.guest.tree import Tree

_ESP = ("/boot/efi", "/efi", "/boot")
_MOST = 200
_TRIES = re.compile(r"(.*)\+([0-9]{1,10})(?:-[0-9]{1,10})?(\.[^.+-]*)")
_SEGMENT = re.compile(r"[~^.-]|[0-9]+|[A-Za-z]+")
_RANKS = {"~": 0, "": 1, "-": 2, "^": 3, ".": 4}

VersionKey = tuple[tuple[int, int, str], ...]


@dataclass(frozen=True, slots=True)
class Found:
    """The entries as the menu lists them, the one that boots by default, and the file that says so."""

    entries: list[MenuEntry]
    choice: BootChoice
    config: str


@dataclass(slots=True)
class _Listed:
    entry: MenuEntry
    sort_key: str = ""
    machine: str = ""
    version: str = ""
    tries: int | None = None


def read(tree: Tree) -> Found | None:
    """What systemd-boot would show; None where it is not installed, or has nothing to boot."""
    for esp in _ESP:
        config = f"{esp}/loader/loader.conf"
        if not (tree.exists(f"{esp}/EFI/systemd") or tree.exists(config)):
            continue
        places = dict.fromkeys((esp, "/boot"))
        entries = ordered([one for place in places for one in (*_written(tree, place), *_images(tree, place))])
        if entries:
            return Found(entries, _default(tree, entries, esp, config), config)
    return None


def _default(tree: Tree, entries: list[MenuEntry], esp: str, config: str) -> BootChoice:
    """``default`` is a pattern over the names of entries in any case. What EFI variables say (@saved) is not known."""
    lines = dict(line.replace("\t", " ").partition(" ")[::2] for line in tree.lines(config))
    pattern = lines.get("default", "").strip().lower().removesuffix(".conf")
    named = (one for one in entries if pattern and fnmatch.fnmatchcase(one.id.lower(), pattern))
    if (chosen := next(named, None)) is not None:
        return BootChoice(chosen.images, chosen.cmdline, f"{config} (default)", chosen)
    return BootChoice(entries[0].images, entries[0].cmdline, f"{esp}/loader/entries (first)", entries[0])


def _written(tree: Tree, place: str) -> Iterator[_Listed]:
    """Entries of type 1: files of lines."""
    folder = f"{place}/loader/entries"
    for name in [one for one in tree.listdir(folder) if one.lower().endswith(".conf")][:_MOST]:
        settings = bls.settings(tree, f"{folder}/{name}")
        plain, tries = tries_of(name)
        entry = bls.entry(plain, settings)
        if not entry.images.kernel:
            continue  # systemd-boot leaves out what boots nothing
        if entry.images.kernel.lower().endswith(".efi") and not entry.cmdline:
            entry.cmdline = uki.cmdline(tree, f"{place}{entry.images.kernel}")
        key, machine, version = (settings.get(word, [""])[-1] for word in ("sort-key", "machine-id", "version"))
        yield _Listed(entry, key, machine, version, tries)


def _images(tree: Tree, place: str) -> Iterator[_Listed]:
    """Entries of type 2: unified kernel images, which hold an os-release."""
    folder = f"{place}/EFI/Linux"
    for name in [one for one in tree.listdir(folder) if one.lower().endswith(".efi")][:_MOST]:
        path = f"{folder}/{name}"
        plain, tries = tries_of(name)
        release = variables(uki.section(tree, path, ".osrel"))
        key = release.get("IMAGE_ID") or release.get("ID", "")
        version = release.get("IMAGE_VERSION") or release.get("VERSION_ID") or release.get("BUILD_ID", "")
        title = release.get("PRETTY_NAME", "")
        entry = MenuEntry(title, plain, Images(f"/EFI/Linux/{name}"), uki.cmdline(tree, path))
        yield _Listed(entry, key, version=version, tries=tries)


def ordered(found: list[_Listed]) -> list[MenuEntry]:
    """Boot counters that ran out last; then by sort key, machine and version, without a key by name; newest first."""
    found.sort(key=lambda one: version_key(one.entry.id), reverse=True)
    found.sort(key=lambda one: version_key(one.version) if one.sort_key else (), reverse=True)
    found.sort(key=lambda one: (one.tries == 0, not one.sort_key, one.sort_key, one.machine if one.sort_key else ""))
    return [one.entry for one in found]


def tries_of(name: str) -> tuple[str, int | None]:
    """A file's name without its boot counter (``+LEFT-DONE``), and the tries that are left, None without one."""
    match = _TRIES.fullmatch(name)
    return (match[1] + match[3], int(match[2])) if match else (name, None)


def version_key(version: str) -> VersionKey:
    """The order of versions: ~ is older than the end, which is older than - ^ . letters and numbers, in this order."""
    segments = [*_SEGMENT.findall(version[:256]), ""]
    return tuple(_rank(one) for one in segments)


def _rank(segment: str) -> tuple[int, int, str]:
    if segment in _RANKS:
        return (_RANKS[segment], 0, "")
    return (6, int(segment), "") if segment[0].isdigit() else (5, 0, segment)
