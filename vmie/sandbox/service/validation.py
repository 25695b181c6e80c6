"""What the service says of the bytes it was given: it opens them, and refuses what AWS refuses (aws-facts 5.2).

Whether the guest inside is one that AWS supports is rules_verdict by a `GuestVerdict`, handed in; on its own this
module reads no further than the partition table.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vmie.disk import open_source
from vmie.disk.base import SECTOR, Disk, Source
from vmie.disk.ovf import open_appliance
from vmie.disk.tarball import looks_like_tar
from vmie.errors import ImageError
from vmie.sandbox.service.tasks import TaskFailed

GuestVerdict = Callable[[Sequence[Disk]], str | None]
"""Given all disks of a machine, boot disk first: what the service fails with, or None."""


def any_guest(disks: Sequence[Disk]) -> str | None:
    """The verdict of a service that takes any guest."""
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

_TIB = 1 << 40
#: ImportImage takes disks under 8 TiB, ImportSnapshot under 16 (aws-facts 3.2)
IMAGE_LIMIT, SNAPSHOT_LIMIT = 8 * _TIB, 16 * _TIB


@dataclass(frozen=True, slots=True)
class Machine:
    """What an import found: the disks, and what it made of them."""

    disks: tuple[Disk, ...]
    platform: str = "Linux"
    boot_mode: str = "legacy-bios"


def open_disks(source: Source, format_: str) -> list[Disk]:
    """The disks that `source` holds when taken for `format_` (OVA, VMDK, VHD, VHDX, RAW); raises TaskFailed."""
    if format_ == "RAW":
        from vmie.disk import raw  # noqa: PLC0415 - RAW is never probed: any bytes are a raw disk

        return [raw.open_source(source)]
    try:
        return _appliance(source) if format_ == "OVA" else [_single(source, format_)]
    except ImageError as error:
        raise TaskFailed(_unreadable(error, format_)) from error


def check_sizes(disks: Sequence[Disk], limit: int) -> None:
    """Refuse empty disks and those that reach `limit` bytes; raises TaskFailed."""
    for disk in disks:
        if disk.size >= limit:
            raise TaskFailed(
                f"ClientError: Disk validation failed [The disk image size of {disk.size} bytes "
                f"exceeds the limit of {limit >> 40} TiB]"
            )
        if disk.size == 0:
            raise TaskFailed(NO_PARTITIONS)


def look(disks: Sequence[Disk], verdict: GuestVerdict) -> Machine:
    """Read what ImportImage reads of a machine; raises TaskFailed with the service's words."""
    try:
        tables = [table for disk in disks if (table := _partitions(disk)) is not None]
        if not tables:
            raise TaskFailed(NO_PARTITIONS)
        if message := verdict(disks):
            raise TaskFailed(message)
    except ImageError as error:
        raise TaskFailed(BAD_DATA) from error
    kinds = set().union(*tables)
    windows = bool(kinds & _WINDOWS) and not kinds & _LINUX
    uefi = _ESP in kinds and not (kinds & _BIOS_BOOT)
    return Machine(tuple(disks), "Windows" if windows else "Linux", "uefi" if uefi else "legacy-bios")


def _single(source: Source, format_: str) -> Disk:
    disk = open_source(source)
    if disk.format != format_.lower():
        raise TaskFailed(UNSUPPORTED_VMDK if format_ == "VMDK" else UNSUPPORTED_FORMAT)
    if format_ == "VMDK" and disk.variant != "streamOptimized":
        raise TaskFailed(UNSUPPORTED_VMDK)
    return disk


def _appliance(source: Source) -> list[Disk]:
    if not looks_like_tar(source):
        raise TaskFailed("ClientError: Disk validation failed [OVF file parsing error: not an OVA]")
    appliance = open_appliance(source)
    if any(disk.chunked for disk in appliance.disks):
        raise TaskFailed(CHUNKED_OVA)
    if not appliance.disks:
        raise TaskFailed("ClientError: Disk validation failed [OVF file parsing error: there is no disk]")
    disks = [appliance.open_disk(index) for index in range(len(appliance.disks))]
    if any(disk.format == "vmdk" and disk.variant != "streamOptimized" for disk in disks):
        raise TaskFailed(UNSUPPORTED_VMDK)
    if any(disk.format not in ("vmdk", "vhd", "vhdx", "raw") for disk in disks):
        raise TaskFailed(UNSUPPORTED_FORMAT)
    return disks


def _unreadable(error: ImageError, format_: str) -> str:
    if format_ == "OVA":
        return f"ClientError: Disk validation failed [OVF file parsing error: {error.cause or error.message}]"
    if format_ == "VHD":
        return FOOTERS
    return UNSUPPORTED_VMDK if format_ == "VMDK" else UNSUPPORTED_FORMAT


# Partition kinds, as one type byte (MBR) or the type GUID as it lies on disk (GPT).
_ESP = bytes.fromhex("28732ac11ff8d211ba4b00a0c93ec93b")
_BIOS_BOOT = {bytes.fromhex("4861682149646f6e744e656564454649")}
_LINUX = {
    b"\x83",
    b"\x8e",
    b"\xfd",
    bytes.fromhex("af3dc60f838472478e793d69d8477de4"),  # Linux filesystem data
    bytes.fromhex("79d3d6e607f5c244a23c238f2a3df928"),  # Linux LVM
    bytes.fromhex("e3bc684fcde8b14d96e7fbcaf984b709"),  # Linux root (x86-64)
}
_WINDOWS = {b"\x07", b"\x27", bytes.fromhex("a2a0d0ebe5b9334487c068b6b72699c7")}


def _partitions(disk: Disk) -> set[bytes] | None:
    """The kinds of partition on a disk; None where there is no partition table."""
    sector = disk.read(0, SECTOR)
    if len(sector) < SECTOR or sector[510:] != b"\x55\xaa":
        return None
    kinds = {sector[446 + 16 * slot + 4 :][:1] for slot in range(4)} - {b"\0"}
    if b"\xee" in kinds:
        return _gpt(disk)
    # A boot sector without a table (a whole-disk file system) ends in 55 AA too: real entries have a start and a size.
    real = any(
        struct.unpack_from("<II", sector, 446 + 16 * slot + 8) > (0, 0) and sector[446 + 16 * slot] in (0, 0x80)
        for slot in range(4)
        if sector[446 + 16 * slot + 4]
    )
    bounded = all(sector[446 + 16 * slot] in (0, 0x80) for slot in range(4))
    return kinds if real and bounded else None


def _gpt(disk: Disk) -> set[bytes] | None:
    header = disk.read(SECTOR, SECTOR)
    if header[:8] != b"EFI PART":
        return None
    table, count, size = struct.unpack_from("<QII", header, 72)
    if not 128 <= size <= 4096 or count > 1024:
        return None
    entries = disk.read(table * SECTOR, count * size)
    kinds = {entries[at : at + 16] for at in range(0, len(entries) - 15, size)} - {bytes(16)}
    return kinds or None
