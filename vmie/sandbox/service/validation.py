"""Validation of images: the bytes are opened, and what AWS refuses is refused (aws-facts 5.2).

Whether the guest inside is one that AWS supports is decided by a `GuestVerdict`; on its own this
module reads no further than the partition table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vmie.disk import open_source
from vmie.disk.base import SECTOR, Disk, Source
from vmie.disk.ovf import open_appliance
from vmie.disk.tarball import looks_like_tar
from vmie.errors import ImageError
from vmie.guest.partitions import BIOS_BOOT, EFI_SYSTEM, layout
from vmie.sandbox.service.tasks import TaskFailure

GuestVerdict = Callable[[Sequence[Disk]], str | None]
"""Given all disks of a machine, boot disk first: what the service fails with, or None."""


def any_guest(disks: Sequence[Disk]) -> str | None:
    """The verdict of a service that accepts any guest."""
    del disks
    return None


UNSUPPORTED_VMDK = "ClientError: Disk validation failed [Unsupported VMDK File Format]"
UNSUPPORTED_FORMAT = "ClientError: Disk validation failed [Unsupported specified file format]"
CHUNKED_OVA = (
    "ClientError: Disk validation failed [OVF file parsing error: OVA with chunked disk files is not supported]"
)
NO_ACCESS = "ClientError: Disk validation failed [We do not have access to the given resource. Reason {reason}]"
NO_PARTITIONS = "ClientError: No valid partitions. Not a valid volume."
FOOTERS = "ClientError: Footers not identical"
BAD_DATA = "ClientError: Uncompressed data has invalid length"

_TAKEN = frozenset({"vmdk", "vhd", "vhdx", "raw"})
_TIB = 1 << 40
#: ImportImage takes disks under 8 TiB, ImportSnapshot under 16 (aws-facts 3.2)
IMAGE_LIMIT, SNAPSHOT_LIMIT = 8 * _TIB, 16 * _TIB


@dataclass(frozen=True, slots=True)
class DetectedMachine:
    """What an import found: the disks, and what they hold."""

    disks: tuple[Disk, ...]
    platform: str = "Linux"
    firmware: str = "legacy-bios"


def open_disks(source: Source, format_: str) -> list[Disk]:
    """The disks that `source` holds when taken for `format_` (OVA, VMDK, VHD, VHDX, RAW); raises TaskFailure."""
    if format_ == "RAW":
        from vmie.disk import raw  # noqa: PLC0415 - RAW is never probed: any bytes are a raw disk

        return [raw.open_source(source)]
    try:
        return _appliance(source) if format_ == "OVA" else [_single(source, format_)]
    except ImageError as error:
        raise TaskFailure(_unreadable(error, format_)) from error


def check_sizes(disks: Sequence[Disk], limit: int) -> None:
    """Refuse empty disks and those that reach `limit` bytes; raises TaskFailure."""
    for disk in disks:
        if disk.size >= limit:
            raise TaskFailure(
                f"ClientError: Disk validation failed [The disk image size of {disk.size} bytes "
                f"exceeds the limit of {limit >> 40} TiB]"
            )
        if disk.size == 0:
            raise TaskFailure(NO_PARTITIONS)


def look(disks: Sequence[Disk], verdict: GuestVerdict) -> DetectedMachine:
    """Read what ImportImage reads of a machine; raises TaskFailure with the service's message."""
    try:
        types = {part_type for disk in disks for part_type in partition_types(disk)}
        if not types:
            raise TaskFailure(NO_PARTITIONS)
        if message := verdict(disks):
            raise TaskFailure(message)
    except ImageError as error:
        raise TaskFailure(BAD_DATA) from error
    windows = bool(types & _WINDOWS) and not types & _LINUX
    uefi = EFI_SYSTEM in types and BIOS_BOOT not in types
    return DetectedMachine(tuple(disks), "Windows" if windows else "Linux", "uefi" if uefi else "legacy-bios")


def _single(source: Source, format_: str) -> Disk:
    disk = open_source(source)
    fits = disk.format == format_.lower() and not disk.facts.get("wrapper")
    if fits and (format_ != "VMDK" or disk.variant == "streamOptimized"):
        return disk
    disk.close()
    raise TaskFailure(UNSUPPORTED_VMDK if format_ == "VMDK" else UNSUPPORTED_FORMAT)


def _appliance(source: Source) -> list[Disk]:
    if not looks_like_tar(source):
        raise TaskFailure("ClientError: Disk validation failed [OVF file parsing error: not an OVA]")
    appliance = open_appliance(source)
    if any(disk.chunked for disk in appliance.disks):
        raise TaskFailure(CHUNKED_OVA)
    if not appliance.disks:
        raise TaskFailure("ClientError: Disk validation failed [OVF file parsing error: there is no disk]")
    disks = [appliance.open_disk(index) for index in range(len(appliance.disks))]
    kinds = {(disk.format, disk.variant) for disk in disks}
    packed = any(disk.facts.get("wrapper") for disk in disks)
    if not packed and all(kind in _TAKEN and (kind != "vmdk" or form == "streamOptimized") for kind, form in kinds):
        return disks
    for disk in disks:
        disk.close()
    vmdk = any(kind == "vmdk" and form != "streamOptimized" for kind, form in kinds)
    raise TaskFailure(UNSUPPORTED_VMDK if vmdk else UNSUPPORTED_FORMAT)


def _unreadable(error: ImageError, format_: str) -> str:
    if format_ == "OVA":
        return f"ClientError: Disk validation failed [OVF file parsing error: {error.cause or error.message}]"
    if format_ == "VHD":
        return FOOTERS
    return UNSUPPORTED_VMDK if format_ == "VMDK" else UNSUPPORTED_FORMAT


def partition_types(disk: Disk) -> set[str]:
    """The types of a disk's partitions: two digits (MBR) or a GUID (GPT); "ee" is a GPT that cannot be read."""
    return {part.type for part in layout(disk)[0].partitions} if disk.size >= SECTOR else set()


_LINUX = {
    "83",
    "8e",
    "fd",
    "0FC63DAF-8483-4772-8E79-3D69D8477DE4",  # Linux filesystem data
    "E6D6D379-F507-44C2-A23C-238F2A3DF928",  # Linux LVM
    "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709",  # Linux root (x86-64)
}
_WINDOWS = {"07", "27", "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7"}
