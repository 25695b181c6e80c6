"""Which boot loader a Linux has, and the kernel that it boots by default."""

from __future__ import annotations

import fnmatch
import hashlib
import re
from dataclasses import dataclass, field

from vmie.guest.linux import grub
from vmie.guest.linux.grub import BootChoice
from vmie.guest.linux.kernels import Images, sort_key
from vmie.guest.linux_facts import Bootloader
from vmie.guest.tree import Tree

_ESP = ("/boot/efi", "/efi", "/boot")
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
    """What was found; `images` are paths in the tree ("" when no entry names a kernel that is there)."""

    loader: Bootloader = Bootloader.NONE
    bls: bool = False
    bls_entries: int = 0
    grubenv: bool = False
    saved_entry: str = ""
    bls_default: bool | None = None
    configs: tuple[str, ...] = ()
    configs_differ: bool = False
    platforms: tuple[str, ...] = ()
    images: Images = field(default_factory=Images)
    cmdline: str = ""
    source: str = ""


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
    digests = {hashlib.sha256(text.encode()).digest() for text in configs.values()}
    entries = grub.bls_entries(tree, "/boot/loader/entries")
    loader, choice, bls = _choose(tree, full, legacy, entries, environment)
    if loader is Bootloader.NONE and modern:
        loader = Bootloader.GRUB2
    images = Images()
    if choice:
        images = Images(_find(tree, choice.images.kernel), _find(tree, choice.images.initramfs))
        if choice.images.kernel and not images.kernel:
            tree.problem(choice.images.kernel, "the default boot entry's kernel is not there", choice.source)
    saved = environment.get("saved_entry", "")
    return Boot(
        loader=loader,
        bls=bls,
        bls_entries=len(entries),
        grubenv=has_environment,
        saved_entry=saved,
        bls_default=grub.names_bls(entries, saved) if loader is Bootloader.BLS and entries and saved else None,
        configs=tuple(configs),
        configs_differ=len(digests) > 1,
        platforms=_platforms(tree),
        images=images,
        cmdline=choice.cmdline if choice else "",
        source=choice.source if choice else "",
    )


def _choose(
    tree: Tree,
    full: dict[str, grub.Config],
    legacy: dict[str, str],
    entries: list[grub.MenuEntry],
    environment: dict[str, str],
) -> tuple[Bootloader, BootChoice | None, bool]:
    for path, config in full.items():
        if config.bls and (entries or not config.entries):
            return Bootloader.BLS, _sourced(grub.choose_bls(entries, config, environment), path), True
        return Bootloader.GRUB2, _sourced(grub.choose(config, environment), path), False
    for path, text in legacy.items():
        choice = grub.choose_legacy(text)
        if choice:
            return Bootloader.GRUB_LEGACY, _sourced(choice, path), False
    systemd = _systemd_boot(tree)
    if systemd:
        return Bootloader.SYSTEMD_BOOT, systemd, True
    for loader, path, read in (
        *((Bootloader.EXTLINUX, path, _extlinux) for path in _EXTLINUX),
        (Bootloader.LILO, "/etc/lilo.conf", _lilo),
    ):
        written = tree.text(path)
        if written:
            return loader, _sourced(_based(read(written), path.rpartition("/")[0]), path), False
    return Bootloader.NONE, None, False


def _sourced(choice: BootChoice | None, path: str) -> BootChoice | None:
    return BootChoice(choice.images, choice.cmdline, f"{path} ({choice.source})") if choice else None


def _based(choice: BootChoice | None, folder: str) -> BootChoice | None:
    """A relative path counts from the configuration's own folder (extlinux)."""
    if choice is None:
        return None
    kernel, initramfs = (
        path if not path or path.startswith("/") else f"{folder}/{path}"
        for path in (choice.images.kernel, choice.images.initramfs)
    )
    return BootChoice(Images(kernel, initramfs), choice.cmdline, choice.source)


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


def _find(tree: Tree, path: str) -> str:
    """A boot loader's path in the tree: it counts from the file system that holds it, which may be mounted at /boot."""
    if not path:
        return ""
    path = re.sub(r"^\([^)]*\)", "", path)
    path = path if path.startswith("/") else f"/{path}"
    for folder in ("/boot", "", "/boot/efi", "/efi"):
        place = tree.file(f"{folder}{path}")
        if place is not None:
            return place.path
    return ""


def _platforms(tree: Tree) -> tuple[str, ...]:
    names = {name for folder in ("/boot/grub", "/boot/grub2") for name in tree.listdir(folder)}
    return tuple(sorted(name for name in names if _PLATFORM.fullmatch(name)))


def _systemd_boot(tree: Tree) -> BootChoice | None:
    """loader.conf's ``default`` is a pattern over entry ids, sorted newest first (systemd-boot(7))."""
    for esp in _ESP:
        if not (tree.exists(f"{esp}/EFI/systemd") or tree.exists(f"{esp}/loader/loader.conf")):
            continue
        entries = grub.bls_entries(tree, f"{esp}/loader/entries") or grub.bls_entries(tree, "/boot/loader/entries")
        if not entries:
            names = [name for name in tree.listdir(f"{esp}/EFI/Linux") if name.lower().endswith(".efi")]
            names.sort(key=sort_key, reverse=True)
            entries = [grub.MenuEntry(id=name, images=Images(f"/EFI/Linux/{name}")) for name in names]
        lines = dict(line.replace("\t", " ").partition(" ")[::2] for line in tree.lines(f"{esp}/loader/loader.conf"))
        pattern = lines.get("default", "").strip()
        for entry in entries:
            if pattern and fnmatch.fnmatchcase(entry.id, pattern.removesuffix(".conf")):
                return BootChoice(entry.images, entry.cmdline, f"{esp}/loader/loader.conf (default)")
        if entries:
            return BootChoice(entries[0].images, entries[0].cmdline, f"{esp}/loader/entries (newest)")
    return None


def _extlinux(text: str) -> BootChoice | None:
    default = ""
    labels: dict[str, dict[str, str]] = {}
    current: dict[str, str] | None = None
    for raw in text.splitlines():
        key, _, value = raw.strip().replace("\t", " ").partition(" ")
        key, value = key.lower(), value.strip()
        if key == "default":
            default = default or value
        elif key == "label":
            current = labels.setdefault(value, {})
        elif current is not None and key:
            current[key] = value
    chosen = labels.get(default) or next(iter(labels.values()), None)
    if chosen is None:
        return None
    append = chosen.get("append", "")
    initramfs = chosen.get("initrd") or next((word[7:] for word in append.split() if word.startswith("initrd=")), "")
    kernel = chosen.get("linux") or chosen.get("kernel", "")
    return BootChoice(
        Images(kernel, initramfs.split(",")[-1]), append, "default" if default in labels else "first label"
    )


def _lilo(text: str) -> BootChoice | None:
    default = ""
    images: list[dict[str, str]] = []
    for raw in text.splitlines():
        key, _, value = raw.split("#", 1)[0].strip().partition("=")
        key, value = key.strip().lower(), value.strip().strip('"')
        if key == "image":
            images.append({"image": value})
        elif key == "default":
            default = value
        elif images and key:
            images[-1][key] = value
    chosen = next((image for image in images if default and image.get("label") == default), None)
    chosen = chosen or (images[0] if images else None)
    if chosen is None:
        return None
    root = f"root={chosen['root']} " if "root" in chosen else ""
    return BootChoice(
        Images(chosen["image"], chosen.get("initrd", "")), root + chosen.get("append", ""), default or "first image"
    )
