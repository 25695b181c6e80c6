"""What lies on the disks themselves: partition tables, partitions, logical volumes, and what could not be read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Table(StrEnum):
    """A disk's partition table."""

    MBR = "mbr"
    GPT = "gpt"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that could not be read: `where` (disk 0 partition 2, /boot/initrd.img-…), `what`, and `why`."""

    where: str
    what: str
    why: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" + (f" ({self.why})" if self.why else "")


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition.

    `type` is the MBR type as two hex digits ("83", "07", "ee") or the GPT type GUID in capitals;
    `number` is the one Linux gives it (logical ones from 5), 0 for a file system on a whole disk.
    `content` is what its superblock says: ext2 ext3 ext4 xfs btrfs jfs ntfs fat exfat swap lvm2 md luks
    bitlocker storage-spaces ldm zfs bcache refs …, "empty" (nothing but zeros at its head) or "unknown".
    `detail` says more about the content: "LUKS2", "raid1 of 2, metadata 1.2", and of Btrfs "top
    level only" or "3 subvolumes" ("" where that could not be determined).
    """

    disk: int
    number: int
    start: int
    length: int
    type: str = ""
    active: bool = False
    name: str = ""
    guid: str = ""
    content: str = "unknown"
    label: str = ""
    uuid: str = ""
    detail: str = ""

    @property
    def where(self) -> str:
        """The partition in words, for messages."""
        return f"disk {self.disk} partition {self.number}" if self.number else f"disk {self.disk}"


@dataclass(frozen=True, slots=True)
class DiskLayout:
    """One disk: `index` is its place in the machine; `gpt_primary` and `gpt_backup` None where there is no GPT.

    `boot_code`: whether the first sector holds code, `boot_loader` whose it is: grub, lilo,
    syslinux, windows, or "" when it is nobody's that we know.
    """

    index: int
    size: int
    sector_size: int = 512
    table: Table = Table.NONE
    hybrid: bool = False
    gpt_primary: bool | None = None
    gpt_backup: bool | None = None
    boot_code: bool = False
    boot_loader: str = ""
    disk_id: str = ""
    partitions: tuple[Partition, ...] = ()


@dataclass(frozen=True, slots=True)
class LogicalVolume:
    """An LVM2 logical volume: `kind` is linear, striped, thin, raid1, cache, …; `missing` names absent PVs."""

    group: str
    name: str
    size: int
    kind: str = "linear"
    readable: bool = True
    missing: tuple[str, ...] = ()
    content: str = "unknown"
    label: str = ""
    uuid: str = ""
    detail: str = ""
    disks: tuple[int, ...] = ()

    @property
    def where(self) -> str:
        """The volume in words, for messages."""
        return f"{self.group}/{self.name}"
