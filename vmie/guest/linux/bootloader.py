"""Which boot loader a Linux has, and the kernel that it boots by default."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from vmie.guest.linux import bls, grub, other_loaders, systemd_boot
from vmie.guest.linux.grub import BootChoice, MenuEntry
from vmie.guest.linux.grub_lookup import Lookup
from vmie.guest.linux.kernels import Images
from vmie.guest.linux_facts import Bootloader
from vmie.guest.tree import Tree

_MAX_ENTRIES = 100
_GRUB2 = (
    "/boot/grub2/grub.cfg",
    "/boot/grub/grub.cfg",
    "/etc/grub2.cfg",
    "/etc/grub2-efi.cfg",
)
_LEGACY = (
    "/boot/grub/grub.conf",
    "/boot/grub/menu.lst",
    "/boot/grub2/menu.lst",
    "/boot/grub2/grub.conf",
    "/etc/grub.conf",
)
_EXTLINUX = (
    "/boot/extlinux/extlinux.conf",
    "/boot/extlinux.conf",
    "/extlinux.conf",
    "/boot/syslinux/syslinux.cfg",
    "/boot/syslinux/extlinux.conf",
)
_PLATFORM = re.compile(r"(?:i386|x86_64|arm64|powerpc|s390x)-[a-z]+")


@dataclass(frozen=True, slots=True)
class Boot:
    """What was found; `images` are paths in the tree ("" when no entry names a kernel that is there).

    `entries` are all that can be chosen, `chosen` is the one that boots by default, `config` the file that lists them.
    `stubs` are the configurations that only look for another one and load it, as on the EFI system partition.
    """

    loader: Bootloader = Bootloader.NONE
    bls: bool = False
    bls_entries: int = 0
    grubenv: bool = False
    saved_entry: str = ""
    bls_default: bool | None = None
    configs: tuple[str, ...] = ()
    configs_differ: bool = False
    config_kernels: Mapping[str, str] = field(default_factory=dict)
    platforms: tuple[str, ...] = ()
    images: Images = field(default_factory=Images)
    cmdline: str = ""
    source: str = ""
    entries: tuple[MenuEntry, ...] = ()
    chosen: MenuEntry | None = None
    config: str = ""
    stubs: Mapping[str, list[Lookup]] = field(default_factory=dict)


@dataclass(slots=True)
class _Chosen:
    """The boot loader that counts."""

    loader: Bootloader = Bootloader.NONE
    choice: BootChoice | None = None
    bls: bool = False
    entries: list[MenuEntry] = field(default_factory=list)
    config: str = ""


def boot(tree: Tree) -> Boot:
    """The boot loader of `tree`: GRUB2 before GRUB legacy before the others, as a guest that has two uses the newer."""
    efi = tuple(f"/boot/efi/EFI/{name}/grub.cfg" for name in tree.listdir("/boot/efi/EFI"))
    legacy_efi = tuple(f"/boot/efi/EFI/{name}/grub.conf" for name in tree.listdir("/boot/efi/EFI"))
    modern = _texts(tree, (*_GRUB2, *efi))
    legacy = _texts(tree, (*_LEGACY, *legacy_efi))
    environment, has_environment = grub.environment(tree)
    parsed = {path: grub.parse(text) for path, text in modern.items()}
    full = {path: config for path, config in parsed.items() if config.entries or config.bls}
    configs = {path: modern[path] for path in full} | legacy
    entries = bls.read(tree, "/boot/loader/entries")
    kernels = _default_kernels(full, legacy, entries, environment)
    found = _choose(tree, full, legacy, entries, environment)
    loader, choice = found.loader, found.choice
    if loader is Bootloader.NONE and modern:
        loader = Bootloader.GRUB2
    images = Images()
    if choice:
        images = Images(find(tree, choice.images.kernel), find(tree, choice.images.initramfs))
        if choice.images.kernel and not images.kernel:
            tree.problem(choice.images.kernel, "the default boot entry's kernel is not there", choice.source)
    saved = environment.get("saved_entry", "")
    return Boot(
        loader=loader,
        bls=found.bls,
        bls_entries=len(entries),
        grubenv=has_environment,
        saved_entry=saved,
        bls_default=bls.named(entries, saved) if loader is Bootloader.BLS and entries and saved else None,
        configs=tuple(configs),
        configs_differ=len(set(configs.values())) > 1,
        config_kernels={path: _named(tree, kernel) for path, kernel in kernels.items()},
        platforms=_platforms(tree),
        images=images,
        cmdline=choice.cmdline if choice else "",
        source=choice.source if choice else "",
        entries=tuple(found.entries[:_MAX_ENTRIES]),
        chosen=choice.entry if choice else None,
        config=found.config,
        stubs={path: config.lookups for path, config in parsed.items() if path in efi and path not in full},
    )


def _choose(
    tree: Tree,
    full: dict[str, grub.Config],
    legacy: dict[str, str],
    entries: list[grub.MenuEntry],
    environment: dict[str, str],
) -> _Chosen:
    for path, config in full.items():
        if config.bls and (entries or not config.entries):
            bls.expand(entries, config, environment)
            choice = bls.choose(entries, config, environment)
            return _Chosen(Bootloader.BLS, _sourced(choice, path), True, entries, path)
        listed = config.flat()
        grub.fill(listed, config, environment)
        for entry in listed:
            entry.lookups = entry.lookups or config.lookups
        return _Chosen(Bootloader.GRUB2, _sourced(grub.choose(config, environment), path), False, listed, path)
    for path, text in legacy.items():
        choice, listed = grub.choose_legacy(text)
        if choice:
            return _Chosen(Bootloader.GRUB_LEGACY, _sourced(choice, path), False, listed, path)
    if listed_by := systemd_boot.read(tree):
        return _Chosen(Bootloader.SYSTEMD_BOOT, listed_by.choice, True, listed_by.entries, listed_by.config)
    for loader, path, read in (
        *((Bootloader.EXTLINUX, path, other_loaders.extlinux) for path in _EXTLINUX),
        (Bootloader.LILO, "/etc/lilo.conf", other_loaders.lilo),
    ):
        written = tree.text(path)
        if written:
            choice, listed = read(written)
            return _Chosen(loader, _sourced(_based(choice, path.rpartition("/")[0]), path), False, listed, path)
    return _Chosen()


def _default_kernels(
    full: dict[str, grub.Config], legacy: dict[str, str], entries: list[MenuEntry], saved: dict[str, str]
) -> dict[str, str]:
    """The kernel that each configuration boots by default, as it spells it: `full` are grub.cfg, `legacy` menu.lst."""
    choices = {
        path: bls.choose(entries, config, saved)
        if config.bls and (entries or not config.entries)
        else grub.choose(config, saved)
        for path, config in full.items()
    }
    choices |= {path: grub.choose_legacy(text)[0] for path, text in legacy.items()}
    kernels = {path: choice.images.kernel for path, choice in choices.items() if choice and choice.images.kernel}
    # A menu.lst that loads GRUB 2 itself (core.img) names no kernel.
    return {path: kernel for path, kernel in kernels.items() if not kernel.endswith(".img")}


def _sourced(choice: BootChoice | None, path: str) -> BootChoice | None:
    return replace(choice, source=f"{path} ({choice.source})") if choice else None


def _based(choice: BootChoice | None, folder: str) -> BootChoice | None:
    """A relative path counts from the configuration's own folder (extlinux)."""
    if choice is None:
        return None
    kernel, initramfs = (
        path if not path or path.startswith("/") else f"{folder}/{path}"
        for path in (choice.images.kernel, choice.images.initramfs)
    )
    return replace(choice, images=Images(kernel, initramfs))


def _texts(tree: Tree, paths: tuple[str, ...]) -> dict[str, str]:
    """The files that exist among `paths`, each real one once."""
    found: dict[str, str] = {}
    for path in paths:
        place = tree.file(path)
        if place is not None and place.path not in found:
            text = tree.text(place.path)
            if text and text.strip():
                found[place.path] = text
    return found


def find(tree: Tree, path: str) -> str:
    """A boot loader's path in the tree: it counts from the file system that holds it, which may be mounted at /boot."""
    if not path:
        return ""
    path = re.sub(r"^\([^)]*\)", "", path)
    path = path if path.startswith("/") else f"/{path}"
    for candidate in (*tree.of_loader(path), *(f"{folder}{path}" for folder in ("/boot", "", "/boot/efi", "/efi"))):
        place = tree.file(candidate)
        if place is not None:
            return place.path
    return ""


def _named(tree: Tree, path: str) -> str:
    """The name of a file that a boot loader's path leads to, links resolved."""
    return (find(tree, path) or path).rpartition("/")[2]


def _platforms(tree: Tree) -> tuple[str, ...]:
    names = {name for folder in ("/boot/grub", "/boot/grub2") for name in tree.listdir(folder)}
    return tuple(sorted(name for name in names if _PLATFORM.fullmatch(name)))
