"""The configurations of EXTLINUX and LILO: the entry that boots by default, and all of them."""

from __future__ import annotations

from vmie.guest.linux.grub import BootChoice, MenuEntry
from vmie.guest.linux.kernels import Images


def extlinux(text: str) -> tuple[BootChoice | None, list[MenuEntry]]:
    """``DEFAULT`` names a label, and so does ``MENU DEFAULT`` inside it: https://wiki.syslinux.org/wiki/?title=Config."""
    default = ""
    labels: dict[str, dict[str, str]] = {}
    name = ""
    for raw in text.splitlines():
        key, _, value = raw.strip().replace("\t", " ").partition(" ")
        key, value = key.lower(), value.strip()
        if key == "default":
            default = default or value
        elif key == "label":
            name = value
            labels.setdefault(name, {})
        elif key == "menu" and value.lower() == "default" and name:
            default = name
        elif name and key:
            labels[name][key] = value
    entries = [_labelled(label, settings) for label, settings in labels.items()]
    chosen = next((entry for entry in entries if entry.id == default), None)
    source = "default" if chosen else "first label"
    chosen = chosen or next(iter(entries), None)
    return (BootChoice(chosen.images, chosen.cmdline, source, chosen) if chosen else None), entries


def _labelled(label: str, settings: dict[str, str]) -> MenuEntry:
    append = settings.get("append", "")
    initramfs = settings.get("initrd") or next((word[7:] for word in append.split() if word.startswith("initrd=")), "")
    kernel = settings.get("linux") or settings.get("kernel", "")
    return MenuEntry(title=label, id=label, images=Images(kernel, initramfs.split(",")[-1]), cmdline=append)


def lilo(text: str) -> tuple[BootChoice | None, list[MenuEntry]]:
    """lilo.conf: ``default`` names a label, else the first image; what stands before all images holds for each."""
    default = ""
    images: list[dict[str, str]] = []
    common: dict[str, str] = {}
    for raw in text.splitlines():
        key, _, value = raw.split("#", 1)[0].strip().partition("=")
        key, value = key.strip().lower(), value.strip().strip('"')
        if key == "image":
            images.append({"image": value})
        elif key == "default":
            default = value
        elif key:
            (images[-1] if images else common)[key] = value
    entries = [_lilo_entry({**common, **image}) for image in images]
    chosen = next((entry for entry in entries if default and entry.id == default), None)
    chosen = chosen or next(iter(entries), None)
    return (BootChoice(chosen.images, chosen.cmdline, default or "first image", chosen) if chosen else None), entries


def _lilo_entry(image: dict[str, str]) -> MenuEntry:
    root = f"root={image['root']} " if "root" in image else ""
    name = image.get("label", "")
    return MenuEntry(name, name, Images(image["image"], image.get("initrd", "")), root + image.get("append", ""))
