"""NVMe, Xen, ENA and virtio drivers in the initramfs of every kernel that may boot.

The modules are the guest's own, from its /lib/modules; the file keeps its place and its length.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from typing import BinaryIO, cast

from vmie.guest.budget import Budget, OverBudget
from vmie.guest.filesystem import FileSystemError
from vmie.guest.in_place import NotWritable
from vmie.guest.linux import bootloader, kernels
from vmie.guest.linux.drivers import drivers
from vmie.guest.linux.unpack import UnpackError
from vmie.guest.linux_facts import DriverState, Kernel, LinuxFacts
from vmie.guest.tree import Tree
from vmie.repair import kernel_modules, recompress
from vmie.repair.files import GuestFiles
from vmie.repair.initramfs_modules import Unpacked, added_files, take_apart, written
from vmie.repair.kernel_modules import ModuleFolder, NoModuleError
from vmie.repair.kmod_index import IndexFormatError
from vmie.repair.model import Edit, Left, Mend

#: the rules of checks.kernel about disk drivers: a network driver may wait for the root file system
_NVME, _XEN = "VMIE-BOOT-008", "VMIE-BOOT-010"
_MAX_KERNELS = 20
#: what is worth a larger initramfs; the rest goes in where there is room
_ESSENTIAL = ("nvme", "xen-blkfront")
#: seconds for all of them: the dearest step takes a minute or two for a large one
_SECONDS = 300
_UNPACKED = 1 << 30
_WHY = "Nitro instances show their disks as NVMe: its driver has to be there before the root file system is"


def bootable(tree: Tree, facts: LinuxFacts) -> dict[str, Kernel]:
    """The initramfs files of all kernels that are installed or in the boot menu, by their paths without links."""
    found: dict[str, Kernel] = {}
    entries = [
        (bootloader.find(tree, entry.images.kernel), bootloader.find(tree, entry.images.initramfs))
        for entry in bootloader.boot(tree).entries
    ]
    listed = [(kernel.image, kernel.initramfs, kernel.version) for kernel in facts.kernels]
    listed += [(image, path, kernels.version_of(tree, image)) for image, path in entries if image]
    for image, path, version in listed:
        place = tree.file(path) if path else None
        if place is None or place.path in found or len(found) == _MAX_KERNELS:
            continue
        # a rescue image is named after no version
        known = tree.is_dir(f"/lib/modules/{version}")
        release = version if known else kernels.version_inside(tree, image) or version
        found[place.path] = Kernel(release, image, place.path, version == facts.default_kernel)
    return found


def _apply(files: GuestFiles) -> Iterator[Edit | Left]:
    if not isinstance(files.facts, LinuxFacts):
        return
    budget = Budget(seconds=_SECONDS, unpacked=_UNPACKED)
    for kernel in bootable(files.tree, files.facts).values():
        lists = kernel_modules.folder(files.tree, kernel.version)
        if lists is None or not {"nvme"} & {*lists.wanted, *lists.builtin}:
            yield from _without_modules(files.tree, kernel)
        if lists is not None and lists.wanted:
            yield from _with_drivers(files, kernel, lists, budget)


def _with_drivers(files: GuestFiles, kernel: Kernel, lists: ModuleFolder, budget: Budget) -> Iterator[Edit | Left]:
    path = kernel.initramfs
    try:
        begun = budget.clock()
        try:
            after = repacked(files.tree, kernel, lists, room=files.room(path)[1], budget=budget)
        finally:
            files.tree.budget.extend(budget.clock() - begun)
    except (UnpackError, FileSystemError, NoModuleError, IndexFormatError, NotWritable, OverBudget) as error:
        yield Left(_NVME, f"{path}: {error}", by_hand(files.tree, kernel.version))
        return
    if after:
        yield Edit(path, after, _WHY, fill=b"\0", comment="")
    elif after is not None:
        why = f"{path}: with the drivers it does not fit where it lies"
        yield Left(_NVME, why, by_hand(files.tree, kernel.version))


def _without_modules(tree: Tree, kernel: Kernel) -> Iterator[Left]:
    state = drivers(tree, kernel)[0]["nvme"]
    if state not in (DriverState.BUILTIN, DriverState.INITRAMFS):
        why = f"{kernel.initramfs}: /lib/modules has no NVMe driver for kernel {kernel.version}"
        yield Left(_NVME, why, "" if state is DriverState.UNKNOWN else "install a kernel package that has it")


def repacked(tree: Tree, kernel: Kernel, lists: ModuleFolder, *, room: int, budget: Budget) -> bytes | None:
    """The initramfs of `kernel` with what it lacks of `lists`, in at most `room` bytes, and no fewer than it has.

    None when it lacks nothing, b"" when that does not fit. Raises UnpackError (damaged, or not understood),
    IndexFormatError, NoModuleError, FileSystemError and OverBudget.
    """
    place = tree.file(kernel.initramfs)
    if place is None:
        return None
    size = place.entry.size

    def read(offset: int, length: int) -> bytes:
        return place.filesystem.read(place.inner, max(0, min(length, size - offset)), offset)

    with tempfile.TemporaryFile(prefix="vmie-initramfs-", buffering=0) as scratch:
        unpacked = take_apart(read, size, kernel.version, cast("BinaryIO", scratch), budget=budget)
        able = recompress.unpackable(tree, kernel.version, unpacked.kind)
        groups = lists.wanted
        missing = {name for names in groups.values() for name in names} - unpacked.modules.keys()
        if not missing:
            return None
        if not unpacked.asks:
            raise UnpackError("it asks for no drivers by itself: it loads a fixed list of modules")
        for chosen in (groups, {name: groups[name] for name in _ESSENTIAL if name in groups}):
            new = _new_files(tree, lists, unpacked, chosen)
            packed = recompress.compressed(
                lambda new=new: written(unpacked, new),  # type: ignore[misc]
                room - unpacked.kept,
                able,
                budget=budget,
            )
            if packed is not None:
                return (read(0, unpacked.kept) + packed).ljust(size, b"\0")
    return b""


def _new_files(
    tree: Tree, lists: ModuleFolder, unpacked: Unpacked, groups: Mapping[str, tuple[str, ...]]
) -> dict[bytes, bytes]:
    names = lists.closure(name for group in groups.values() for name in group)
    missing = [name for name in names if name not in unpacked.modules]
    return added_files(unpacked, lists, kernel_modules.contents(tree, lists, missing), names)


def by_hand(tree: Tree, version: str) -> str:
    """The command that makes the initramfs of kernel `version` anew in the guest, with the drivers."""
    if tree.first("/usr/share/initramfs-tools", "/usr/sbin/update-initramfs"):
        return (
            "printf 'nvme\\nena\\nxen-blkfront\\n' >> /etc/initramfs-tools/modules; "
            f"update-initramfs -u -k {version or 'all'}"
        )
    if tree.first("/usr/bin/dracut", "/usr/sbin/dracut", "/sbin/dracut"):
        return f"dracut -f --add-drivers 'nvme ena xen-blkfront xen-netfront' --kver {version}"
    if tree.first("/usr/bin/mkinitcpio"):
        return "mkinitcpio -P, with nvme in MODULES of /etc/mkinitcpio.conf"
    if tree.first("/sbin/mkinitrd", "/usr/sbin/mkinitrd", "/usr/bin/mkinitrd"):
        return "mkinitrd, with nvme in INITRD_MODULES of /etc/sysconfig/kernel"
    return "make the initramfs anew with nvme, ena and xen-blkfront in it"


INITRAMFS_DRIVERS = Mend("initramfs-drivers", (_NVME, _XEN), _apply)
