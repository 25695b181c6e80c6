"""Every device that the boot names, and whether it is in the image.

What becomes of one that is absent is what the programs of the boot do:

- GRUB: a search that finds nothing leaves ``root`` as it was; a kernel on a device that is not there is not loaded
  (grub-core/commands/search.c, https://www.gnu.org/software/grub/manual/grub/grub.html#search).
- initramfs-tools: without root= "ALERT! … does not exist. Dropping to a shell!"; resume= is waited for 30 seconds
  (scripts/local, https://salsa.debian.org/kernel-team/initramfs-tools).
- dracut: root=, rd.lvm.lv=, rd.lvm.vg=, rd.luks.uuid= and rd.md.uuid= must all be there, else its queue ends in
  "Could not boot." and an emergency shell; resume= is cancelled after the time-out ("Cancelling resume operation")
  (modules.d/*/parse-*.sh and dracut-initqueue.sh, https://github.com/dracut-ng/dracut-ng).
- a root on a server (NFS, iSCSI, NBD, live:http …) is in no image: whether it can be had cannot be known here
  (dracut.cmdline(7); Documentation/admin-guide/nfs/nfsroot.rst in the kernel's sources).
- overlayroot: what its dev= names is waited for, and the root is mounted without it
  (scripts/init-bottom/overlayroot, https://launchpad.net/cloud-initramfs-tools).
- systemd waits 90 seconds for what crypttab names; cryptsetup.target is wanted by the boot, not required
  (crypttab(5), systemd-cryptsetup-generator(8)).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from vmie.guest.linux.bootloader import Boot
from vmie.guest.linux.devices import TAGS, Devices, named_by_hardware, spelled
from vmie.guest.linux.grub import MenuEntry
from vmie.guest.linux.shell import variables
from vmie.guest.linux_facts import BootDevice, Effect
from vmie.guest.tree import Tree

#: roots on a server
_SERVERS: tuple[str, ...] = (
    "/dev/nfs",
    "nfs:",
    "nfs4:",
    "iscsi:",
    "nbd:",
    "fcoe:",
    "http:",
    "https:",
    "ftp:",
    "live:http",
    "live:nfs",
)
_SERVERS += ("dhcp", "aoe:", "cifs:", "nvmf:", "live:ftp", "live:tftp", "ceph:", "9p:")
_MAX_FOUND = 200
_MAX_LINES = 500
_MAX_WORDS = 400
#: roots that are no disk of the image: the initramfs itself, what systemd or the kernel chooses
_NO_DISK = ("/dev/root", "/dev/ram", "/dev/gpt-auto-root")
_DRACUT = ("/usr/lib/dracut", "/usr/share/dracut", "/usr/bin/dracut", "/usr/sbin/dracut", "/sbin/dracut")
#: initramfs generators whose programs know no rd.… option
_OTHERS = ("/usr/share/initramfs-tools", "/usr/lib/initcpio", "/usr/bin/mkinitcpio")


def opened(tree: Tree, cmdlines: Iterable[str]) -> dict[str, str]:
    """The names that encrypted volumes get when they are opened, and the devices they come from."""
    found = {f"/dev/mapper/{name}": source for name, source, _ in _crypttab(tree)}
    for cmdline in cmdlines:
        for word in cmdline.split()[:_MAX_WORDS]:
            key, _, value = word.partition("=")
            if key in ("rd.luks.name", "luks.name") and "=" in value:
                uuid, _, name = value.partition("=")
                found.setdefault(f"/dev/mapper/{name}", f"UUID={uuid}")
            elif key == "cryptdevice" and ":" in value:
                source, _, rest = value.partition(":")
                found.setdefault(f"/dev/mapper/{rest.partition(':')[0]}", source)
            elif key == "cryptopts":
                options = dict(part.partition("=")[::2] for part in value.split(","))
                if "target" in options and "source" in options:
                    found.setdefault(f"/dev/mapper/{options['target']}", options["source"])
    return found


def _crypttab(tree: Tree) -> list[tuple[str, str, tuple[str, ...]]]:
    """(name, source, options) of /etc/crypttab."""
    found = []
    for line in tree.lines("/etc/crypttab")[:_MAX_LINES]:
        words = line.split()
        if len(words) > 1:
            options = tuple(words[3].split(",")) if len(words) > 3 else ()
            found.append((words[0], words[1], options))
    return found


def lvm_bound(tree: Tree) -> tuple[str, ...]:
    """Entries of LVM's devices file that name a disk by its hardware: LVM looks at no disk that the file lacks.

    A name (IDTYPE=devname) is looked for anew. https://man7.org/linux/man-pages/man8/lvmdevices.8.html
    """
    settings = variables(tree.text("/etc/lvm/lvm.conf"))
    if settings.get("use_devicesfile") == "0":
        return ()
    found = []
    for line in tree.lines("/etc/lvm/devices/system.devices")[:_MAX_LINES]:
        entry = dict(word.partition("=")[::2] for word in line.split())
        if entry.get("IDTYPE", "devname") != "devname" and "IDNAME" in entry:
            found.append(f"{entry['IDTYPE']} {entry['IDNAME']}"[:100])
    return tuple(found)


def boot_devices(tree: Tree, boot: Boot, devices: Devices) -> tuple[BootDevice, ...]:
    """What the boot loader's entries, their kernels and crypttab name; devices that are there are left out."""
    strict = bool(tree.first(*_DRACUT)) or not tree.first(*_OTHERS)
    found: list[BootDevice] = []
    known: set[tuple[str, bool]] = set()
    for one in _all(_Boot(tree, boot, devices, strict)):
        if one.present is not True and (one.option, one.default) not in known and len(found) < _MAX_FOUND:
            known.add((one.option, one.default))
            found.append(one)
    named = {one.option for one in found if one.default}
    return tuple(one for one in found if one.default or one.option not in named)


@dataclass(frozen=True, slots=True)
class _Boot:
    """What is asked of every device; `strict` when the initramfs reads options that begin with rd."""

    tree: Tree
    boot: Boot
    devices: Devices
    strict: bool


def _all(asked: _Boot) -> Iterator[BootDevice]:
    boot, tree = asked.boot, asked.tree
    for path, lookups in boot.stubs.items():
        searches = [one for one in lookups if one.search]
        if searches and not any(asked.devices.present(one.device) for one in searches):
            yield BootDevice(searches[0].option, path, present=asked.devices.present(searches[0].device), uefi=True)
    chosen = [boot.chosen] if boot.chosen else []
    others = [entry for entry in boot.entries if entry is not boot.chosen]
    for entry in (*chosen, *others):
        where = boot.source.partition(" (")[0] or boot.config
        default = entry is boot.chosen
        yield from _by_grub(asked, entry, where, default=default)
        for option, effect, present in _options(asked, entry.cmdline):
            yield BootDevice(option, where, effect, present, entry.title or entry.id, default)
    for name, source, options in _crypttab(tree):
        if not {"noauto", "nofail"} & set(options) and source.startswith(("/dev/", *TAGS)):
            present = asked.devices.present(source)
            yield BootDevice(f"{name} {source}", "/etc/crypttab", Effect.WAITS, present)
    for path, text in _later(tree):
        for option, _, present in _options(asked, text):
            yield BootDevice(option, path, Effect.LATER, present)
    resume = variables(tree.text("/etc/initramfs-tools/conf.d/resume")).get("RESUME", "")
    if resume.lower() not in ("", "auto", "none"):
        present = asked.devices.present(resume)
        yield BootDevice(f"RESUME={resume}", "/etc/initramfs-tools/conf.d/resume", Effect.WAITS, present)
    overlay = variables(tree.text("/etc/overlayroot.conf")).get("overlayroot", "")
    for option, present in _overlaid(asked.devices, f"overlayroot={overlay}"):
        yield BootDevice(option, "/etc/overlayroot.conf", Effect.WAITS, present)


def _later(tree: Tree) -> Iterator[tuple[str, str]]:
    """Options for kernels that are installed later, or once the boot loader is configured anew."""
    yield "/etc/kernel/cmdline", " ".join(tree.lines("/etc/kernel/cmdline")[:1])
    settings = variables(tree.text("/etc/default/grub"))
    names = ("GRUB_CMDLINE_LINUX", "GRUB_CMDLINE_LINUX_DEFAULT")
    yield "/etc/default/grub", " ".join(settings.get(name, "") for name in names)


def _by_grub(asked: _Boot, entry: MenuEntry, where: str, *, default: bool) -> Iterator[BootDevice]:
    """GRUB's commands in their order: each sets the device that holds the kernel, a vain search does not."""
    root: bool | None = True
    unset, culprit = True, ""
    vain = []
    for lookup in entry.lookups:
        if lookup.variable != "root":
            continue
        if lookup.search:
            present = asked.devices.present(lookup.device)
            if present is False:
                vain.append(lookup.option)
                continue
        else:
            present = asked.devices.grub(lookup.device)
        root, unset, culprit = present, False, lookup.option
    title = entry.title or entry.id
    if root is not True:
        # GRUB's own name for a disk that we have no name for is no doubt about the image
        if root is False or asked.devices.opaque:
            yield BootDevice(culprit, where, Effect.STOPS, root, title, default)
    elif vain:
        beside = not unset or _beside(asked, entry, where)
        yield BootDevice(vain[0], where, Effect.WAITS if beside else Effect.STOPS, False, title, default)


def _beside(asked: _Boot, entry: MenuEntry, where: str) -> bool:
    """Whether the kernel lies in the file system of the configuration, where GRUB looks as long as nothing is set."""
    config, kernel = asked.tree.file(where), asked.tree.file(asked.boot.images.kernel or entry.images.kernel)
    return config is not None and kernel is not None and config.filesystem is kernel.filesystem


def _options(asked: _Boot, cmdline: str) -> Iterator[tuple[str, Effect, bool | None]]:
    """(option, effect, present) of each of the kernel's options that names a device."""
    # GRUB knows a variable that is set elsewhere, we do not
    words = [word for word in cmdline.split()[:_MAX_WORDS] if "$" not in word]
    last = {key: value.strip('"') for key, _, value in (word.partition("=") for word in words)}
    if root := last.get("root", ""):
        yield f"root={root}", Effect.STOPS, _root(asked.devices, root)
        flags = last.get("rootflags", "")
        if asked.devices.present(root) and asked.devices.present(root, flags.split(",")) is False:
            yield f"rootflags={flags}", Effect.STOPS, False
    if (usr := last.get("mount.usr", "")) and asked.strict:
        yield f"mount.usr={usr}", Effect.STOPS, asked.devices.present(usr)
    for option, present in _overlaid(asked.devices, f"overlayroot={last.get('overlayroot', '')}"):
        yield option, Effect.WAITS, present
    resume = last.get("resume", "")
    if resume.startswith(("/dev/", *TAGS)) and "noresume" not in words:
        yield f"resume={resume}", Effect.WAITS, asked.devices.present(resume)
    for word in words:
        key, _, value = word.partition("=")
        if value:
            yield from _stacked(asked, key, value.strip('"'), last)


def _overlaid(devices: Devices, option: str) -> Iterator[tuple[str, bool | None]]:
    """The device that overlayroot= keeps changes on: "/dev/x", "LABEL=x" or "device:dev=LABEL=x,timeout=20"."""
    value = option.partition("=")[2].strip("\"'")
    named = re.search(r"(?:^|[:,])dev=([^,]+)", value)
    device = named[1] if named else value
    if device.startswith(("/dev/", *TAGS)):
        yield option, devices.present(device)


def _root(devices: Devices, root: str) -> bool | None:
    if spelled(root).startswith(_SERVERS):
        return None
    if spelled(root).startswith(_NO_DISK) or not spelled(root).startswith(("/dev/", *TAGS)):
        return True  # nothing that an image could lack: live:…, gpt-auto
    if named_by_hardware(root):
        # the order of the disks may be another; that the name changes on EC2 is said by a rule of its own
        number = re.search(r"(\d*)$", re.sub(r"^/dev/nvme\d+n\d+", "", spelled(root)))
        wanted = int(number[1] or 0) if number else 0
        known = any(part == wanted for _, part in devices.partitions)
        return True if known or not wanted or devices.opaque or "/disk/" in root else devices.present(root)
    return devices.present(root)


def _stacked(asked: _Boot, key: str, value: str, last: dict[str, str]) -> Iterator[tuple[str, Effect, bool | None]]:
    """Volume groups, encrypted volumes and software RAID, under today's names and those of RHEL 6."""
    devices, option = asked.devices, f"{key}={value}"
    luks = value.removeprefix("keysource:")
    lvm = asked.strict and last.get("rd.lvm") != "0" and "rd_NO_LVM" not in last
    if key in ("rd.lvm.lv", "rd_LVM_LV") and lvm:
        yield option, Effect.STOPS, devices.present(f"/dev/{value}")
    elif key in ("rd.lvm.vg", "rd_LVM_VG") and lvm:
        yield option, Effect.STOPS, devices.group(value)
    elif key in ("rd.luks.uuid", "rd_LUKS_UUID") and asked.strict and last.get("rd.luks") != "0":
        yield option, Effect.STOPS if luks == value else Effect.WAITS, devices.encrypted(luks)
    elif key in ("rd.luks.name", "luks.name", "luks.uuid", "rd.luks.uuid"):
        yield option, Effect.WAITS, devices.encrypted(value.partition("=")[0])
    elif key == "rd.luks.partuuid":
        yield option, Effect.WAITS, devices.present(f"PARTUUID={luks}")
    elif key in ("rd.md.uuid", "rd_MD_UUID") and asked.strict and last.get("rd.md") != "0":
        yield option, Effect.STOPS, devices.array(value)
    elif key == "cryptdevice":
        yield option, Effect.WAITS, devices.present(value.partition(":")[0])
