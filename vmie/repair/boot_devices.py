"""The devices that the boot names: root=, resume= and volumes in the kernel's options, GRUB's searches, crypttab."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vmie.guest.linux.devices import TAGS, named_by_hardware, spelled
from vmie.guest.linux_facts import Kernel, LinuxFacts
from vmie.guest.machine import Volume
from vmie.repair import kernel_options
from vmie.repair.devices import lasting_name, logical_name, meant, only_swap, root_volume
from vmie.repair.files import GuestFiles, encoded
from vmie.repair.kernel_options import OptionScope
from vmie.repair.model import Edit, Left, Mend

_WHY = "the boot names what is in the image, by a name that lasts"
_GRUB2 = ("/boot/grub2/grub.cfg", "/boot/grub/grub.cfg")
_SEARCH = re.compile(
    r"^([ \t]*search(?:\.fs_uuid|_fs_uuid)?[ \t].*?)([0-9A-Fa-f]{4,}(?:-[0-9A-Fa-f]{4,})+)(.*)$", re.MULTILINE
)
_RESUME = "/etc/initramfs-tools/conf.d/resume"


def _apply(files: GuestFiles) -> Iterator[Edit | Left]:
    facts, root = files.facts, root_volume(files)
    if not isinstance(facts, LinuxFacts) or root is None:
        return
    if len(files.guest.systems) > 1:
        yield Left(
            "VMIE-BOOT-014", "several systems are in the image: which of them an entry boots is not decided here"
        )
        return
    options = _Options(files, facts, root)
    yield from kernel_options.changed(files, options.named, _WHY)
    yield from _searches(files)
    yield from _resume(files)
    yield from _crypttab(files)


class _Options:
    """The kernel's options of one system."""

    def __init__(self, files: GuestFiles, facts: LinuxFacts, root: Volume) -> None:
        self._files = files
        self._root = root
        self._devices = files.guest.machine.devices
        default: Kernel | None = next((one for one in facts.kernels if one.default), None)
        self._bare = default is not None and not default.has_initramfs

    def named(self, words: list[str], _scope: OptionScope) -> list[str]:
        """`words` with devices that are there; what boot would only wait for is left out."""
        found = [self._word(word) for word in words]
        kept = [word for word in found if word is not None]
        volume = logical_name(self._files, self._root)
        dropped = any(word.startswith(("rd.lvm.lv=", "rd_LVM_LV=")) and word not in kept for word in words)
        listed = any(word.startswith(("rd.lvm.lv=", "rd_LVM_LV=", "rd.lvm.vg=")) for word in kept)
        if dropped and volume and not listed:
            kept.append(f"rd.lvm.lv={volume}")
        return kept

    def _word(self, word: str) -> str | None:
        """The word to stand for `word`, None for none."""
        key, _, value = word.partition("=")
        value = value.strip("\"'")
        if not value or "$" in value:
            return word
        if key == "root":
            return self._root_word(word, value)
        if key == "resume":
            return self._resume_word(word, value)
        if key in ("rd.lvm.lv", "rd_LVM_LV"):
            there = self._devices.present(f"/dev/{value}")
        elif key in ("rd.lvm.vg", "rd_LVM_VG"):
            there = self._devices.group(value)
        elif key in ("rd.luks.uuid", "rd_LUKS_UUID"):
            there = self._devices.encrypted(value)
        elif key in ("rd.md.uuid", "rd_MD_UUID"):
            there = self._devices.array(value)
        else:
            return word
        return None if there is False else word

    def _root_word(self, word: str, value: str) -> str:
        if not spelled(value).startswith(("/dev/", *TAGS)):
            return word
        by_hardware = named_by_hardware(value)
        if not by_hardware and self._devices.present(value) is not False:
            return word
        volume = meant(self._files, value) or self._root
        name = self._bare_name(volume) if self._bare else self._long_name(volume)
        return f"root={name}" if name else word

    def _long_name(self, volume: Volume) -> str:
        logical = logical_name(self._files, volume)
        if not logical:
            return lasting_name(self._files, volume)
        group, _, name = logical.partition("/")
        return f"/dev/mapper/{group.replace('-', '--')}-{name.replace('-', '--')}"

    def _bare_name(self, volume: Volume) -> str:
        """What a kernel without an initramfs finds itself: by the partition's identifier."""
        return f"PARTUUID={volume.partition.guid}" if volume.partition and volume.partition.guid else ""

    def _resume_word(self, word: str, value: str) -> str | None:
        if not value.startswith(("/dev/", *TAGS)):
            return word
        if not named_by_hardware(value) and self._devices.present(value) is not False:
            return word
        name = lasting_name(self._files, meant(self._files, value) or only_swap(self._files))
        return f"resume={name}" if name else None


def _searches(files: GuestFiles) -> Iterator[Edit | Left]:
    """GRUB's searches for a file system that is not in the image find the one with the kernels."""
    place = files.tree.resolve("/boot")
    uuid = place.filesystem.uuid if place is not None else ""
    devices = files.guest.machine.devices
    names = files.tree.listdir("/boot/efi/EFI")
    if not uuid or devices.present(f"UUID={uuid}") is not True:
        return

    def found(match: re.Match[str]) -> str:
        gone = "label" not in match[1] and devices.present(f"UUID={match[2]}") is False
        return f"{match[1]}{uuid}{match[3]}" if gone else match[0]

    for path in dict.fromkeys((*_GRUB2, *(f"/boot/efi/EFI/{name}/grub.cfg" for name in names))):
        text = files.text(path)
        after = None if text is None else _SEARCH.sub(found, text)
        if after is not None and after != text:
            yield Edit(path, encoded(after), _WHY)


def _resume(files: GuestFiles) -> Iterator[Edit]:
    """What initramfs-tools resumes from."""
    text, devices = files.text(_RESUME), files.guest.machine.devices

    def found(match: re.Match[str]) -> str:
        value = match[2].strip("\"'")
        gone = value.startswith(("/dev/", *TAGS)) and (named_by_hardware(value) or devices.present(value) is False)
        return match[1] + (lasting_name(files, meant(files, value) or only_swap(files)) or "none") if gone else match[0]

    after = None if text is None else re.sub(r"^(RESUME=)(\S+)", found, text, flags=re.MULTILINE)
    if after is not None and after != text:
        yield Edit(_RESUME, encoded(after), "the initramfs is not to wait for a swap that is not there")


def _crypttab(files: GuestFiles) -> Iterator[Edit]:
    """Volumes to open that are not in the image: boot goes on without."""
    text, devices = files.text("/etc/crypttab"), files.guest.machine.devices

    def line(match: re.Match[str]) -> str:
        lenient = {"nofail", "noauto"} & set((match[4] or "").strip().split(","))
        if lenient or not match[2].startswith(("/dev/", *TAGS)) or devices.present(match[2]) is not False:
            return match[0]
        return f"{match[1]}{match[2]}{match[3] or ' none'}{match[4] or ' luks'},nofail"

    pattern = r"^([^#\s]\S*\s+)(\S+)([ \t]+\S+)?([ \t]+\S+)?"
    after = None if text is None else re.sub(pattern, line, text, flags=re.MULTILINE)
    if after is not None and after != text:
        yield Edit("/etc/crypttab", encoded(after), "boot is not to wait for what is not there")


_BY_HAND = "update-grub || grub2-mkconfig -o /boot/grub2/grub.cfg"
BOOT_DEVICES = Mend("boot-devices", ("VMIE-BOOT-013", "VMIE-BOOT-014"), _apply, _BY_HAND)
