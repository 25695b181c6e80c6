"""A disk's partition table: MBR with its chain of logical partitions, hybrid MBR, GPT with both headers checked.

Specifications: UEFI 2.10, chapter 5 (GPT, protective MBR; https://uefi.org/specs/UEFI/2.10/05_GUID_Partition_Table_Format.html).
Written here because the checks need what a partition library hides: which of the two GPT headers is
damaged, whether the MBR is hybrid, which entry is active, what number Linux gives a partition.
"""

from __future__ import annotations

import struct
import uuid as uuids
import zlib
from dataclasses import dataclass, replace

from vmie.guest.disk_facts import DiskLayout, Partition, Table
from vmie.guest.recognise import EMPTY, UNKNOWN, Content, recognise
from vmie.guest.stream import Blocks, Slice

_EXTENDED = frozenset((0x05, 0x0F, 0x85))
_PROTECTIVE = 0xEE
_MAX_LOGICAL = 256
_MAX_ENTRIES = 1024
_SECTORS = (512, 4096)

BIOS_BOOT = "21686148-6449-6E6F-744E-656564454649"
EFI_SYSTEM = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
EFI_SYSTEM_MBR = "ef"
_BY_TYPE = {
    "E75CAF8F-F680-4CEE-AFA3-B001E56EFC2D": "storage-spaces",
    "5808C8AA-7E8F-42E0-85D2-E1E90434CFB3": "ldm",
    "AF9B60A0-1431-4F62-BC68-3311714A69AD": "ldm",
    "42": "ldm",
}
#: of partitions that volumes are made of by tables elsewhere on the disk
LOGICAL_DISK_TYPES = frozenset(_BY_TYPE)


@dataclass(frozen=True, slots=True)
class _Entry:
    type: int
    active: bool
    start: int
    count: int


def layout(disk: Blocks, *, index: int = 0) -> tuple[DiskLayout, tuple[str, ...]]:
    """The table of `disk` and what is wrong with it. Raises ImageError and OverBudget."""
    first = disk.read(0, 512)
    bare = DiskLayout(index=index, size=disk.size)
    whole = recognise(disk)
    if len(first) < 512 or first[510:512] != b"\x55\xaa":
        return _from_gpt(disk, bare, entries=()) or (_whole(bare, whole), ())
    entries = tuple(_entry(first, 446 + 16 * number) for number in range(4))
    used = tuple(entry for entry in entries if entry.type and entry.count)
    bare = replace(
        bare, boot_code=any(first[:440]), boot_loader=_boot_loader(first[:440]), disk_id=first[440:444][::-1].hex()
    )
    if whole.kind in ("ntfs", "fat", "exfat", "bitlocker", "refs") and not _plausible(first, used, disk.size):
        return _whole(bare, whole), ()
    if any(entry.type == _PROTECTIVE for entry in used) or not used:
        found = _from_gpt(disk, bare, entries=entries)
        if found:
            return found
    if not used or not _plausible(first, used, disk.size):
        return _whole(bare, whole), ()
    sector = _mbr_sector(disk, used)
    bare = replace(bare, table=Table.MBR, sector_size=sector)
    partitions, problems = _mbr(disk, bare, entries)
    if any(entry.type == _PROTECTIVE for entry in used):
        why = _header(disk, 512, 1)[1]
        problems = (*problems, f"the MBR says GPT, but neither GPT header is valid: {why}")
        bare = replace(bare, gpt_primary=False, gpt_backup=False)
    return replace(bare, partitions=partitions), problems


def _boot_loader(code: bytes) -> str:
    """Whose boot code it is, by the texts in it."""
    for mark, name in (
        (b"GRUB", "grub"),
        (b"LILO", "lilo"),
        (b"isolinux", "syslinux"),
        (b"Missing operating system.", "syslinux"),
        (b"Invalid partition table", "windows"),
    ):
        if mark in code:
            return name
    return ""


def _entry(sector: bytes, at: int) -> _Entry:
    status, kind, start, count = struct.unpack_from("<B3xB3xII", sector, at)
    return _Entry(kind, status == 0x80, start, count)


def _plausible(first: bytes, used: tuple[_Entry, ...], size: int) -> bool:
    """Whether the four entries are a table, and not the code of a file system's own boot sector."""
    statuses = {first[446 + 16 * number] for number in range(4)}
    return bool(used) and statuses <= {0, 0x80} and any(0 < entry.start * 512 < size for entry in used)


def _mbr_sector(disk: Blocks, used: tuple[_Entry, ...]) -> int:
    """512, unless the first partition makes sense only in units of 4096 (a 4Kn disk)."""
    for sector in _SECTORS:
        for entry in used:
            where = Slice(disk, start=entry.start * sector, length=entry.count * sector)
            if entry.type not in _EXTENDED and where.size and recognise(where).kind not in (EMPTY, UNKNOWN):
                return sector
    return 512


def _mbr(disk: Blocks, bare: DiskLayout, entries: tuple[_Entry, ...]) -> tuple[tuple[Partition, ...], tuple[str, ...]]:
    partitions: list[Partition] = []
    problems: list[str] = []
    for number, entry in enumerate(entries, 1):
        if entry.type and entry.count:
            partitions.append(_partition(disk, bare, number, entry, 0))
    for number, entry in enumerate(entries, 1):
        if entry.type in _EXTENDED and entry.count:
            logical, problem = _logical(disk, bare, entry, 5 + sum(part.number > 4 for part in partitions))
            partitions += logical
            if problem:
                problems.append(f"extended partition {number}: {problem}")
    return tuple(partitions), tuple(problems)


def _partition(disk: Blocks, bare: DiskLayout, number: int, entry: _Entry, base: int) -> Partition:
    sector = bare.sector_size
    found = Partition(
        disk=bare.index,
        number=number,
        start=(base + entry.start) * sector,
        length=entry.count * sector,
        type=f"{entry.type:02x}",
        active=entry.active,
        guid=f"{bare.disk_id}-{number:02x}",
    )
    if entry.type in _EXTENDED:
        return replace(found, content="extended")
    return _with_content(disk, found)


def _logical(disk: Blocks, bare: DiskLayout, extended: _Entry, number: int) -> tuple[list[Partition], str]:
    """Follow the chain of extended boot records: relative to the first, at most once each."""
    found: list[Partition] = []
    seen: set[int] = set()
    at = extended.start
    while at not in seen:
        if len(seen) >= _MAX_LOGICAL:
            return found, f"more than {_MAX_LOGICAL} logical partitions"
        seen.add(at)
        record = disk.read(at * bare.sector_size, 512)
        if len(record) < 512 or record[510:512] != b"\x55\xaa":
            return found, f"no boot record at sector {at}"
        data, following = _entry(record, 446), _entry(record, 462)
        if data.type and data.count:
            found.append(_partition(disk, bare, number + len(found), data, at))
        if following.type not in _EXTENDED or not following.count:
            return found, ""
        at = extended.start + following.start
    return found, "its chain of boot records is a loop"


def _from_gpt(
    disk: Blocks, bare: DiskLayout, *, entries: tuple[_Entry, ...]
) -> tuple[DiskLayout, tuple[str, ...]] | None:
    for sector in _SECTORS:
        last = disk.size // sector - 1
        primary, why_primary = _header(disk, sector, 1)
        backup_at = primary.backup if primary and 1 < primary.backup <= last else last
        backup, why_backup = _header(disk, sector, backup_at)
        header = primary or backup
        if header is None:
            continue
        problems = []
        if not any(entry.type == _PROTECTIVE for entry in entries):
            problems.append("there is no protective MBR: Linux and UEFI do not see such a GPT")
        if primary is None:
            problems.append(f"the primary GPT header is damaged: {why_primary}")
        if backup is None:
            problems.append(f"the backup GPT header is damaged: {why_backup}")
        others = [entry for entry in entries if entry.type and entry.count and entry.type != _PROTECTIVE]
        bare = replace(
            bare,
            table=Table.GPT,
            sector_size=sector,
            hybrid=bool(others),
            gpt_primary=primary is not None,
            gpt_backup=backup is not None,
            disk_id=header.guid,
        )
        active = {entry.start for entry in others if entry.active}
        partitions = tuple(_gpt_partitions(disk, bare, header, active))
        return replace(bare, partitions=partitions), tuple(problems)
    return None


@dataclass(frozen=True, slots=True)
class _Header:
    backup: int
    guid: str
    table: bytes
    entry_size: int


def _header(disk: Blocks, sector: int, lba: int) -> tuple[_Header | None, str]:
    """One GPT header with its table, both checksums verified; else None and why."""
    raw = disk.read(lba * sector, 512)
    if len(raw) < 92 or raw[:8] != b"EFI PART":
        return None, f"no signature at sector {lba}"
    size, check = struct.unpack_from("<II", raw, 12)
    if not 92 <= size <= 512 or zlib.crc32(raw[:16] + bytes(4) + raw[20:size]) != check:
        return None, "its checksum is wrong"
    own, backup = struct.unpack_from("<QQ", raw, 24)
    table_at, count, entry_size, table_check = struct.unpack_from("<QIII", raw, 72)
    if own != lba:
        return None, f"it says that it is at sector {own}"
    if not 128 <= entry_size <= 4096 or not 0 < count <= _MAX_ENTRIES:
        return None, f"it announces {count} entries of {entry_size} bytes"
    table = disk.read(table_at * sector, count * entry_size)
    if zlib.crc32(table) != table_check:
        return None, "the checksum of its table is wrong"
    return _Header(backup, str(uuids.UUID(bytes_le=raw[56:72])), table, entry_size), ""


def _gpt_partitions(disk: Blocks, bare: DiskLayout, header: _Header, active: set[int]) -> list[Partition]:
    found = []
    for number in range(len(header.table) // header.entry_size):
        raw = header.table[number * header.entry_size :][:128]
        if not any(raw[:16]):
            continue
        first, last, flags = struct.unpack_from("<QQQ", raw, 32)
        if last < first:
            continue
        name = raw[56:128].decode("utf-16-le", "replace").split("\0", 1)[0]
        part = Partition(
            disk=bare.index,
            number=number + 1,
            start=first * bare.sector_size,
            length=(last - first + 1) * bare.sector_size,
            type=str(uuids.UUID(bytes_le=raw[:16])).upper(),
            # bit 2: "legacy BIOS bootable" (UEFI 2.10, table 5.8)
            active=first in active or bool(flags & 4),
            name="".join(char if char.isprintable() else "?" for char in name),
            guid=str(uuids.UUID(bytes_le=raw[16:32])),
        )
        found.append(_with_content(disk, part))
    return found


def _with_content(disk: Blocks, part: Partition) -> Partition:
    where = Slice(disk, start=part.start, length=part.length)
    if not where.size:
        return replace(part, content=UNKNOWN, detail="lies outside the disk")
    content = recognise(where)
    detail = content.detail
    if part.start + part.length > disk.size:
        detail = ", ".join(filter(None, (detail, "sticks out of the disk")))
    kind = content.kind
    if kind in (EMPTY, UNKNOWN):
        kind = _BY_TYPE.get(part.type, kind)
    if kind == UNKNOWN and part.type == BIOS_BOOT:
        kind = "bios-boot"
    return replace(part, content=kind, label=content.label, uuid=content.uuid, detail=detail)


def _whole(bare: DiskLayout, content: Content) -> DiskLayout:
    """A disk without a table: a file system (or LVM …) straight on it counts as partition 0."""
    if content.kind in (EMPTY, UNKNOWN):
        return bare
    only = Partition(
        disk=bare.index,
        number=0,
        start=0,
        length=bare.size,
        content=content.kind,
        label=content.label,
        uuid=content.uuid,
        detail=content.detail,
    )
    return replace(bare, partitions=(only,))
