"""The fixed structures of a VHDX: headers, region table, metadata. Everything checked, nothing believed.

Source: [MS-VHDX] v20, sections 2.2 (header), 2.6 (metadata region).
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from vmie.disk.base import Source
from vmie.disk.crc32c import crc32c
from vmie.disk.reading import damaged, read_exact
from vmie.disk.refusals import plausible_size, refused
from vmie.disk.tables import TableFault
from vmie.errors import ImageError
from vmie.model import Verdict

SPECIFICATION = (
    "[MS-VHDX] 2.2.3.2, https://learn.microsoft.com/en-us/openspecs/windows_protocols/ms-vhdx/"
    "194899ee-6504-44d5-a9aa-a2b566c2c419"
)
MIB = 1 << 20
SIGNATURE = b"vhdxfile"

HEADERS = (64 << 10, 128 << 10)
REGION_TABLES = (192 << 10, 256 << 10)
_TABLE_SIZE = 64 << 10
_MAX_ENTRIES = 2047

BAT = uuid.UUID("2dc27766-f623-4200-9d64-115e9bfd4a08")
METADATA = uuid.UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e")

FILE_PARAMETERS = uuid.UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b")
DISK_SIZE = uuid.UUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8")
LOGICAL_SECTOR = uuid.UUID("8141bf1d-a96f-4709-ba47-f233a8faab5f")
PHYSICAL_SECTOR = uuid.UUID("cda348c7-445d-4471-9cc9-e9885251c556")
PAGE83 = uuid.UUID("beca12ab-b2e6-4523-93ef-c309e000c746")
_PARENT_LOCATOR = uuid.UUID("a8d35f2d-b30b-454d-abf7-d3d84834ab0c")
_KNOWN_ITEMS = frozenset((FILE_PARAMETERS, DISK_SIZE, LOGICAL_SECTOR, PHYSICAL_SECTOR, PAGE83, _PARENT_LOCATOR))


@dataclass(frozen=True, slots=True)
class Region:
    """A region of the file, in bytes; entry number `entry`, at byte `place`, of what lists it says so."""

    offset: int
    length: int
    entry: int
    place: int


@dataclass(frozen=True, slots=True)
class VhdxHeader:
    """The header in force, at byte `place`. `log` is the log's GUID, None when nothing waits in it."""

    sequence: int
    log: uuid.UUID | None
    log_offset: int
    log_length: int
    place: int

    @property
    def log_region(self) -> Region:
        """Where the log lies: header field at byte 68 and on."""
        return Region(self.log_offset, self.log_length, 0, self.place + 68)


@dataclass(frozen=True, slots=True)
class Metadata:
    """What the disk is: sizes in bytes."""

    block_size: int
    disk_size: int
    logical_sector: int
    physical_sector: int
    fixed: bool
    has_parent: bool


def read_header(source: Source) -> VhdxHeader:
    """The valid header of the highest sequence number ([MS-VHDX] 2.2.2); ImageError when neither is valid."""
    found = [header for offset in HEADERS if (header := _header_at(source, offset)) is not None]
    if not found:
        raise damaged(source, "neither of its two headers has a valid signature and checksum")
    return max(found, key=lambda header: header.sequence)


def _header_at(source: Source, offset: int) -> VhdxHeader | None:
    data = source.pread(offset, 4096)
    if len(data) < 4096 or data[:4] != b"head" or not _checksum_holds(data):
        return None
    sequence = struct.unpack_from("<Q", data, 8)[0]
    log_version, version, log_length, log_offset = struct.unpack_from("<HHIQ", data, 64)
    log = uuid.UUID(bytes_le=data[48:64])
    if version != 1 or log_version != 0:
        raise refused(
            source,
            f"a VHDX of version {version}, log version {log_version}",
            cause="only version 1 with log version 0 is defined",
            cure="convert it with Hyper-V's Convert-VHD or with `qemu-img convert`",
        )
    return VhdxHeader(sequence, log if log.int else None, log_offset, log_length, offset)


def _checksum_holds(data: bytes) -> bool:
    return crc32c(data[:4] + bytes(4) + data[8:]) == int.from_bytes(data[4:8], "little")


def read_regions(source: Source) -> tuple[Region, Region]:
    """The BAT and the metadata region ([MS-VHDX] 2.2.3), from the first region table that is valid."""
    problem: ImageError | None = None
    for offset in REGION_TABLES:
        try:
            return _regions_at(source, offset)
        except ImageError as error:
            problem = problem or error
    raise problem or damaged(source, "it has no region table")


def _regions_at(source: Source, offset: int) -> tuple[Region, Region]:
    table = read_exact(source, offset, _TABLE_SIZE, what="region table")
    count = struct.unpack_from("<I", table, 8)[0]
    if table[:4] != b"regi" or count > _MAX_ENTRIES or not _checksum_holds(table):
        raise damaged(source, "neither of its two region tables has a valid signature and checksum")
    regions: dict[uuid.UUID, Region] = {}
    for index in range(count):
        guid, at, length, required = struct.unpack_from("<16sQII", table, 16 + 32 * index)
        kind = uuid.UUID(bytes_le=guid)
        if kind in (BAT, METADATA):
            if kind in regions or at < MIB or at % MIB or length % MIB or not length or at + length > source.size:
                raise damaged(source, f"region {kind} at byte {at} (+{length}) is misplaced or beyond the end")
            regions[kind] = Region(at, length, index, offset + 16 + 32 * index)
        elif required & 1:
            raise refused(
                source,
                "a VHDX with a region that is not known",
                cause=f"region {kind} is marked as required",
                cure="convert it with the program that made it to a plain dynamic VHDX",
            )
    if len(regions) != 2:
        raise damaged(source, "its region table names no BAT or no metadata")
    return regions[BAT], regions[METADATA]


def region_faults(source: Source, regions: Mapping[str, Region]) -> Iterator[TableFault]:
    """Regions that lie in one another or beyond the file, and a first table that only its copy stands in for."""
    before, end = "the header", MIB
    for what, one in sorted(regions.items(), key=lambda item: item[1].offset):
        if one.offset < end:
            why = f"places {what} at byte {one.offset:,} (+{one.length:,}), upon {before}"
            yield TableFault("list of regions", one.entry, one.place, why, SPECIFICATION)
        elif one.offset + one.length > source.size:  # the log: without the others it could not be opened
            why = f"places {what} at byte {one.offset:,} (+{one.length:,}), beyond the end of the file"
            yield TableFault("list of regions", one.entry, one.place, why, SPECIFICATION, Verdict.WARN)
        before, end = what, max(end, one.offset + one.length)
    try:
        _regions_at(source, REGION_TABLES[0])
    except ImageError as error:
        why = f"cannot be read, its copy was: {error.cause}"
        yield TableFault("region table", 0, REGION_TABLES[0], why, SPECIFICATION, Verdict.WARN)


def read_metadata(source: Source, region: Region) -> Metadata:
    """The metadata items ([MS-VHDX] 2.6); ImageError when one is missing or has an impossible value."""
    items = dict(_items(source, region))
    parameters, disk_size, logical = (
        _item(source, items, key, length) for key, length in ((FILE_PARAMETERS, 8), (DISK_SIZE, 8), (LOGICAL_SECTOR, 4))
    )
    block_size, flags = struct.unpack("<II", parameters)
    logical_sector = int.from_bytes(logical, "little")
    physical = items.get(PHYSICAL_SECTOR, logical)[:4]
    if logical_sector not in (512, 4096):
        raise damaged(source, f"a logical sector of {logical_sector} bytes; 512 and 4096 are defined")
    if block_size & (block_size - 1) or not MIB <= block_size <= 256 * MIB:
        raise damaged(source, f"a block size of {block_size} bytes; powers of two from 1 to 256 MiB are defined")
    size = plausible_size(source, int.from_bytes(disk_size, "little"), multiple=logical_sector)
    return Metadata(
        block_size=block_size,
        disk_size=size,
        logical_sector=logical_sector,
        physical_sector=int.from_bytes(physical, "little"),
        fixed=bool(flags & 1),
        has_parent=bool(flags & 2),
    )


def _items(source: Source, region: Region) -> Iterator[tuple[uuid.UUID, bytes]]:
    table = read_exact(source, region.offset, _TABLE_SIZE, what="metadata table")
    count = struct.unpack_from("<H", table, 10)[0]
    if table[:8] != b"metadata" or count > _MAX_ENTRIES:
        raise damaged(source, "its metadata table has no valid signature or too many entries")
    for index in range(count):
        guid, offset, length, flags = struct.unpack_from("<16sIII", table, 32 + 32 * index)
        key = uuid.UUID(bytes_le=guid)
        if key in _KNOWN_ITEMS:
            if offset < _TABLE_SIZE or offset + length > region.length:
                raise damaged(source, f"metadata item {key} lies outside the metadata region")
            what = f"metadata item {key}"
            yield key, read_exact(source, region.offset + offset, min(length, 64), what=what)
        elif flags & 4:
            raise refused(
                source,
                "a VHDX with metadata that is not known",
                cause=f"metadata item {key} is marked as required",
                cure="convert it with the program that made it to a plain dynamic VHDX",
            )


def _item(source: Source, items: dict[uuid.UUID, bytes], key: uuid.UUID, length: int) -> bytes:
    data = items.get(key, b"")
    if len(data) < length:
        raise damaged(source, f"metadata item {key} is missing or too short")
    return data[:length]


def creator(source: Source) -> str:
    """The program that made the file, "" where it does not say ([MS-VHDX] 2.2.1)."""
    text = source.pread(8, 512).decode("utf-16-le", errors="replace").partition("\0")[0].strip()
    return text if text.isprintable() else ""


def log_waits(source: Source, header: VhdxHeader) -> bool:
    """Whether the log holds an entry of the session that the header names ([MS-VHDX] 2.3).

    A GUID without entries is a file that was opened and never written: it may be read as it is.
    Entries sit at 4 KiB steps; a log larger than 64 MiB is taken for full unseen.
    """
    if header.log is None or not header.log_length:
        return False
    if header.log_length > 64 * MIB or header.log_offset % MIB or header.log_offset + header.log_length > source.size:
        return True
    wanted = header.log.bytes_le
    for offset in range(header.log_offset, header.log_offset + header.log_length, MIB):
        piece = source.pread(offset, MIB)
        for at in range(0, len(piece), 4096):
            if piece[at : at + 4] == b"loge" and piece[at + 32 : at + 48] == wanted:
                return True
    return False
