"""What firmware can boot a disk: EFI system partitions and their loaders, boot code in the first sector."""

from __future__ import annotations

from collections.abc import Iterator

from vmie.guest.disk_facts import DiskLayout, Table
from vmie.guest.facts import Firmware
from vmie.guest.filesystem import FileKind, FileSystem, FileSystemError
from vmie.guest.machine import Machine, Volume
from vmie.guest.partitions import BIOS_BOOT, EFI_SYSTEM, EFI_SYSTEM_MBR

FALLBACK = "/EFI/BOOT/BOOTX64.EFI"
_MAX_LOADERS = 200


def system_partitions(machine: Machine) -> Iterator[tuple[Volume, FileSystem]]:
    """The EFI system partitions that can be read: by their type, or FAT with a folder /EFI."""
    for volume in machine.volumes:
        if volume.content.kind != "fat":
            continue
        filesystem = machine.filesystem(volume)
        if filesystem is None:
            continue
        partition = volume.partition
        typed = partition is not None and partition.type in (EFI_SYSTEM, EFI_SYSTEM_MBR)
        try:
            if typed or filesystem.lstat("/EFI") is not None:
                yield volume, filesystem
        except FileSystemError:
            continue


def loaders(filesystem: FileSystem) -> list[str]:
    """The ``*.efi`` files one folder below /EFI, as they are written there."""
    found: list[str] = []
    for folder in _folders(filesystem):
        try:
            names = [name for name in filesystem.listdir(folder) if name.lower().endswith(".efi")]
        except FileSystemError:
            continue
        found += [f"{folder}/{name}" for name in names]
    return found[:_MAX_LOADERS]


def _folders(filesystem: FileSystem) -> Iterator[str]:
    """/EFI/* and Windows' /EFI/Microsoft/Boot."""
    try:
        top = filesystem.lstat("/EFI")
        names = filesystem.listdir("/EFI") if top is not None and top.kind is FileKind.DIRECTORY else []
        for name in names[:_MAX_LOADERS]:
            entry = filesystem.lstat(f"/EFI/{name}")
            if entry is None or entry.kind is not FileKind.DIRECTORY:
                continue
            yield f"/EFI/{name}"
            if name.lower() == "microsoft":
                yield f"/EFI/{name}/Boot"
    except FileSystemError:
        return


def firmware(boot: DiskLayout, *, bootable: bool, installed: bool = False) -> Firmware:
    """BIOS by boot code that has something to load, UEFI by a loader (`bootable`) on an EFI system partition.

    A BIOS boot partition on a GPT is there for nothing else, and a system (`installed`) on an MBR without an EFI
    system partition is made for BIOS: whether code is missing, a rule asks.
    """
    active = any(partition.active for partition in boot.partitions)
    stage = any(partition.type == BIOS_BOOT for partition in boot.partitions)
    if boot.table is Table.GPT:
        # Windows puts code into every protective MBR
        bios = stage or (boot.boot_code and (boot.hybrid or active or boot.boot_loader in ("grub", "lilo", "syslinux")))
    else:
        bios = boot.boot_code and (active or boot.boot_loader in ("grub", "lilo") or not bootable)
        esp = any(partition.type == EFI_SYSTEM_MBR for partition in boot.partitions)
        bios = bios or (boot.table is Table.MBR and installed and not bootable and not esp)
    if bios:
        return Firmware.HYBRID if bootable else Firmware.BIOS
    return Firmware.UEFI if bootable else Firmware.UNKNOWN
