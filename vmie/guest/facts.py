"""What is inside a virtual machine's disks, as frozen values: the nouns between `guest` and `checks`.

    GuestFacts ─┬─ disks[]      DiskLayout ── partitions[]  Partition (content: ext4, lvm2, luks, …)
                ├─ volumes[]    LogicalVolume (LVM2)
                ├─ roots[]      LinuxFacts | WindowsFacts: one per operating system found
                └─ problems[]   Problem: what could not be read, and why

A fact that could not be determined is None (or the word "unknown"), never a guess; why is in `problems`.
Sizes are bytes, offsets are bytes from the start of the disk. Every field has a default, so that a
rule's test needs to say only what it is about.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from vmie.guest.disk_facts import DiskLayout, LogicalVolume, Partition, Problem, Table
from vmie.guest.linux_facts import LinuxFacts
from vmie.guest.windows_facts import WindowsFacts


class Firmware(StrEnum):
    """What can boot the disk: `HYBRID` is prepared for both."""

    BIOS = "bios"
    UEFI = "uefi"
    HYBRID = "hybrid"
    UNKNOWN = "unknown"


class Family(StrEnum):
    """The kind of operating system."""

    LINUX = "linux"
    WINDOWS = "windows"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class GuestFacts:
    """All that was found out about one machine's disks.

    `table`, `hybrid` are those of the boot disk (the one of the first root, else the first disk).
    `efi_loaders` are the loaders on EFI system partitions as paths ("/EFI/debian/shimx64.efi");
    `efi_fallback` is the removable-media one (/EFI/BOOT/BOOTX64.EFI): None without an EFI system partition.
    """

    disks: tuple[DiskLayout, ...] = ()
    volumes: tuple[LogicalVolume, ...] = ()
    roots: tuple[LinuxFacts | WindowsFacts, ...] = ()
    problems: tuple[Problem, ...] = ()
    table: Table = Table.NONE
    hybrid: bool = False
    firmware: Firmware = Firmware.UNKNOWN
    boot_disk: int = 0
    efi_loaders: tuple[str, ...] = ()
    efi_fallback: bool | None = None

    @property
    def partitions(self) -> tuple[Partition, ...]:
        """The partitions of all disks, in order."""
        return tuple(partition for disk in self.disks for partition in disk.partitions)

    @property
    def linux(self) -> tuple[LinuxFacts, ...]:
        """The Linux roots."""
        return tuple(root for root in self.roots if isinstance(root, LinuxFacts))

    @property
    def windows(self) -> tuple[WindowsFacts, ...]:
        """The Windows roots."""
        return tuple(root for root in self.roots if not isinstance(root, LinuxFacts))

    @property
    def family(self) -> Family:
        """That of the first root."""
        if not self.roots:
            return Family.UNKNOWN
        return Family.LINUX if isinstance(self.roots[0], LinuxFacts) else Family.WINDOWS
