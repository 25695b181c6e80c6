"""Boot Loader Specification entries: ``loader/entries/*.conf``, which GRUB's blscfg and systemd-boot read.

https://uapi-group.org/specifications/specs/boot_loader_specification/
"""

from __future__ import annotations

from vmie.guest.linux.grub import BootChoice, Config, MenuEntry, default_of, fill, select
from vmie.guest.linux.kernels import Images, sort_key
from vmie.guest.tree import Tree

_MAX_ENTRIES = 2000


def read(tree: Tree, folder: str) -> list[MenuEntry]:
    """The entries of `folder` in the order of GRUB's menu: newest first."""
    names = sorted((name for name in tree.listdir(folder) if name.endswith(".conf")), key=sort_key, reverse=True)
    return [entry(name, settings(tree, f"{folder}/{name}")) for name in names[:_MAX_ENTRIES]]


def settings(tree: Tree, path: str) -> dict[str, list[str]]:
    """The lines of an entry: each key's values, as they come."""
    found: dict[str, list[str]] = {}
    for line in tree.lines(path):
        key, _, value = line.replace("\t", " ").partition(" ")
        found.setdefault(key, []).append(value.strip())
    return found


def entry(name: str, settings: dict[str, list[str]]) -> MenuEntry:
    """The entry of the file `name`. Of several initramfs files the last holds the drivers: microcode comes first."""
    kernel = next((settings[key][-1] for key in ("linux", "uki", "efi") if key in settings), "")
    words = [word for value in settings.get("initrd", ()) for word in value.split() if not word.startswith("$")]
    title, options = settings.get("title", [""])[-1], " ".join(settings.get("options", ()))
    return MenuEntry(title, name.removesuffix(".conf"), Images(kernel, words[-1] if words else ""), options)


def choose(entries: list[MenuEntry], config: Config | None, saved: dict[str, str]) -> BootChoice | None:
    """The default among BLS entries: grubenv's saved_entry (an id, a title or an index), else the first."""
    wanted = default_of(config, saved)[0] if config and config.defaults else saved.get("saved_entry", "")
    source = "grubenv saved_entry" if wanted and wanted == saved.get("saved_entry") else "first BLS entry"
    entry = select(entries, wanted) if wanted else None
    if entry is None:
        entry, source = (entries[0] if entries else None), "first BLS entry"
    if entry is None:
        return None
    return BootChoice(entry.images, entry.cmdline, source, entry)


def expand(entries: list[MenuEntry], config: Config, environment: dict[str, str]) -> None:
    """Fill variables (``$kernelopts``) into the options of BLS entries, and say where GRUB looks for their kernels."""
    for entry in entries:
        entry.lookups = config.lookups
    fill(entries, config, environment)


def named(entries: list[MenuEntry], saved: str) -> bool:
    """Whether grubenv's `saved` names one of `entries`: by id (with or without .conf), title or index."""
    return select(entries, saved.removesuffix(".conf")) is not None or select(entries, saved) is not None
