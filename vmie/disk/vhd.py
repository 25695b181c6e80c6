"""VHD (Virtual PC, Hyper-V generation 1, Azure, Xen): fixed and dynamic.

    fixed:    data … │ footer
    dynamic:  footer copy │ dynamic header │ block table │ (sector bitmap, block) … │ footer

Source: Microsoft, "Virtual Hard Disk Image Format Specification", version 1.0, 2006. All numbers big-endian.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import PurePath
from typing import Any

from vmie.disk.base import SECTOR, Disk, Source
from vmie.disk.extents import coalesced, zeros
from vmie.disk.holes import file_allocated, file_runs
from vmie.disk.reading import damaged, read_exact, read_table, truncated
from vmie.errors import ImageError
from vmie.model import Extent, ExtentKind

_COOKIE = b"conectix"
_HEADER_COOKIE = b"cxsparse"
_FOOTER = struct.Struct(">8sIIQI4sHH4sQQHBBII16sB")
_HEADER = struct.Struct(">8sQQIIII")
_HEADER_SIZE = 1024
#: Footers that Virtual PC wrote before 2004 lack the last, reserved byte.
_SHORT_FOOTER = SECTOR - 1
_FIXED, _DYNAMIC, _DIFFERENCING = 2, 3, 4
_ABSENT = 0xFFFFFFFF

#: The geometry that stands for "larger than geometry can tell".
_MAX_GEOMETRY_SECTORS = 65535 * 16 * 255
#: These show their guests the disk by its geometry, so Current Size is only a rounded-up wish; everyone else
#: (Hyper-V "win ", disk2vhd "d2v ", XenServer "tap\0", Azure "wa\0\0", VirtualBox "vbox", qemu with force_size
#: "qem2") goes by Current Size. QEMU's documentation of its vpc driver (force_size_calc) tells the same.
_BY_GEOMETRY = (b"vpc ", b"qemu")
_BLOCK_LIMIT = 1 << 30
_BITMAPS_CACHED = 1024
#: Entries of the block table looked at together.
_STRETCH = 1024


@dataclass(frozen=True, slots=True)
class Footer:
    """A hard disk footer; `data` is what it was read from."""

    data: bytes
    header_offset: int
    creator: bytes
    creator_os: bytes
    original_size: int
    current_size: int
    cylinders: int
    heads: int
    sectors: int
    kind: int
    checksum: int
    saved_state: bool

    @classmethod
    def parse(cls, data: bytes) -> Footer | None:
        """None where the cookie is missing; a false checksum is told by `valid`."""
        if not data.startswith(_COOKIE) or len(data) < _SHORT_FOOTER:
            return None
        data = data.ljust(SECTOR, b"\0")
        fields = _FOOTER.unpack_from(data)
        _, _, _, header_offset, _, creator, _, _, creator_os, original, current = fields[:11]
        cylinders, heads, sectors, kind, checksum, _, saved = fields[11:]
        return cls(
            data, header_offset, creator, creator_os, original, current, cylinders, heads, sectors, kind, checksum,
            saved != 0,
        )  # fmt: skip

    @property
    def valid(self) -> bool:
        """Whether the checksum holds."""
        return _checksum(self.data, at=64) == self.checksum

    @property
    def geometry_sectors(self) -> int:
        """What cylinders, heads and sectors multiply to."""
        return self.cylinders * self.heads * self.sectors

    @property
    def disk_size(self) -> int:
        """The size that the guest sees, in bytes."""
        by_geometry = self.creator in _BY_GEOMETRY and 0 < self.geometry_sectors < _MAX_GEOMETRY_SECTORS
        return self.geometry_sectors * SECTOR if by_geometry else self.current_size


@dataclass(frozen=True, slots=True)
class _Found:
    """The footer to go by, and what the other copy is like."""

    footer: Footer
    #: where the data of a fixed disk ends
    end: int
    from_header: bool
    short: bool
    identical: bool | None


def probe(source: Source) -> bool:
    """A footer copy at the start, or a footer at the end that fits the file.

    A raw disk may end in bytes that were a VHD's footer once (a VHD stored in its last partition): a fixed
    footer counts only if its checksum holds and its size is the file's, unless the name says VHD.
    """
    if source.pread(0, 8) == _COOKIE:
        return True
    named = PurePath(source.name).suffix.lower() in (".vhd", ".vpc")
    for footer, end in _tails(source):
        if named:
            return True
        if not footer.valid:
            continue
        if footer.kind == _FIXED:
            return footer.current_size == end
        return source.pread(footer.header_offset, 8) == _HEADER_COOKIE
    return False


def open_source(source: Source) -> Disk:
    """A fixed or dynamic disk. Raises ImageError for damage and, by name, for differencing disks."""
    found = _find(source)
    kind = found.footer.kind
    if kind == _FIXED:
        return FixedVhd(source, found)
    if kind == _DYNAMIC:
        return DynamicVhd(source, found)
    if kind == _DIFFERENCING:
        parent = _parent(source, found.footer)
        raise ImageError(
            f"{source.name} is a differencing VHD, not a whole disk",
            cause=f"it holds only what changed since its parent{f' {parent!r}' if parent else ''}",
            cure="merge it into its parent (Hyper-V Manager: Edit Disk, Merge; or Merge-VHD) and give the result",
        )
    raise damaged(source, f"its footer names disk type {kind}, which does not exist")


class FixedVhd(Disk):
    """The data as it stands, and a footer. `facts` as in `_facts`."""

    format = "vhd"
    variant = "fixed"

    def __init__(self, source: Source, found: _Found) -> None:
        super().__init__(source)
        self.size = found.footer.disk_size
        if self.size > found.end:
            raise truncated(source, self.size + SECTOR, what="data")
        self.allocated_size = min(self.size, file_allocated(source))
        self.facts = {**_facts(found), "block_size": None}

    def read(self, offset: int, length: int) -> bytes:
        """See `Disk.read`."""
        length = min(length, self.size - offset)
        return read_exact(self.source, offset, length, what="data") if length > 0 else b""

    def extents(self) -> Iterator[Extent]:
        """See `Disk.extents`: the file's own holes."""
        return coalesced(file_runs(self.source, 0, self.size), self.size)


class DynamicVhd(Disk):
    """Blocks by a table; within a block, a bitmap tells which sectors were ever written."""

    format = "vhd"
    variant = "dynamic"

    def __init__(self, source: Source, found: _Found) -> None:
        super().__init__(source)
        self.size = found.footer.disk_size
        table_offset, entries, self._block = _dynamic_header(source, found.footer)
        needed = -(-self.size // self._block)
        if needed > entries:
            raise damaged(
                source, f"its block table has {entries:,} entries, a disk of {self.size:,} bytes needs {needed:,}"
            )
        # A bit for each sector, in whole sectors.
        self._bitmap = -(-self._block // (SECTOR * 8 * SECTOR)) * SECTOR
        self._table = read_table(source, table_offset, needed, what="block allocation table", order="big")
        present, last = _count_blocks(self._table)
        self.allocated_size = min(self.size, present * self._block)
        if present and last * SECTOR + self._bitmap + self._block > source.size:
            raise truncated(source, last * SECTOR + self._bitmap + self._block, what="last data block")
        self._written = lru_cache(maxsize=_BITMAPS_CACHED)(self._load_bitmap)
        self.facts = {**_facts(found), "block_size": self._block}

    def read(self, offset: int, length: int) -> bytes:
        """See `Disk.read`."""
        end = min(offset + length, self.size)
        pieces: list[bytes] = []
        while offset < end:
            number, within = divmod(offset, self._block)
            size = min(self._block - within, end - offset)
            sector = self._table[number]
            pieces.append(zeros(size) if sector == _ABSENT else self._read_block(sector, within, size))
            offset += size
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def extents(self) -> Iterator[Extent]:
        """See `Disk.extents`, block by block: sectors never written within a block count as allocated."""
        return coalesced(self._runs(), self.size)

    def _runs(self) -> Iterator[tuple[int, ExtentKind]]:
        for absent, group in groupby(self._table, _ABSENT.__eq__):
            yield self._block * sum(1 for _ in group), ExtentKind.HOLE if absent else ExtentKind.ALLOCATED

    def _read_block(self, sector: int, within: int, size: int) -> bytes:
        data = read_exact(self.source, sector * SECTOR + self._bitmap + within, size, what="data block")
        written = self._written(sector)
        if written is None:
            return data
        return _keep_written(data, written, within)

    def _load_bitmap(self, sector: int) -> bytes | None:
        """The block's bitmap, None where every sector was written."""
        length = self._block // (SECTOR * 8) or 1
        bitmap = read_exact(self.source, sector * SECTOR, length, what="sector bitmap")
        return None if bitmap.count(b"\xff") == length else bitmap


def _count_blocks(table: array[int]) -> tuple[int, int]:
    """How many blocks are present, and the highest sector of them. Stretches without any cost next to nothing."""
    absent = array("I", [_ABSENT]) * _STRETCH
    present = last = 0
    for at in range(0, len(table), _STRETCH):
        stretch = table[at : at + _STRETCH]
        if stretch == absent[: len(stretch)]:
            continue
        missing = stretch.count(_ABSENT)
        present += len(stretch) - missing
        highest = max(filter(_ABSENT.__ne__, stretch)) if missing else max(stretch)
        last = max(last, highest)
    return present, last


def _keep_written(data: bytes, written: bytes, within: int) -> bytes:
    """`data`, which begins `within` bytes into its block, with the sectors that were never written as zeros."""
    kept = bytearray(data)
    first = within // SECTOR
    last = (within + len(data) - 1) // SECTOR
    for index in range(first // 8, last // 8 + 1):
        if written[index] == 0xFF:
            continue
        for bit in range(8):
            if written[index] & (0x80 >> bit):
                continue
            start = max((index * 8 + bit) * SECTOR - within, 0)
            end = min((index * 8 + bit + 1) * SECTOR - within, len(kept))
            if start < end:
                kept[start:end] = bytes(end - start)
    return bytes(kept)


def _tails(source: Source) -> Iterator[tuple[Footer, int]]:
    """What may be the footer at the end, with its place: 512 bytes, or 511 as Virtual PC once wrote."""
    for length in (SECTOR, _SHORT_FOOTER):
        if source.size > length:
            footer = Footer.parse(source.pread(source.size - length, length))
            if footer is not None:
                yield footer, source.size - length


def _find(source: Source) -> _Found:
    head = Footer.parse(source.pread(0, SECTOR))
    tails = list(_tails(source))
    for footer, end in tails:
        if footer.valid:
            same = None if footer.kind == _FIXED else head is not None and head.data == footer.data
            return _Found(footer, end, from_header=False, short=source.size - end != SECTOR, identical=same)
    if head is not None and head.valid and head.kind != _FIXED:
        return _Found(head, source.size, from_header=True, short=False, identical=False)
    raise ImageError(
        f"{source.name} is a damaged VHD: no footer with a valid checksum",
        cause="the footer at the end of the file "
        + ("has a false checksum" if tails else "is missing: the file is truncated, or something was appended"),
        cure="copy or export the disk again; Hyper-V's Test-VHD and Convert-VHD can tell and mend more",
    )


def _dynamic_header(source: Source, footer: Footer) -> tuple[int, int, int]:
    """Offset of the block table, its entries, and the block size in bytes."""
    data = read_exact(source, footer.header_offset, _HEADER_SIZE, what="dynamic disk header")
    cookie, _, table_offset, _, entries, block, checksum = _HEADER.unpack_from(data)
    if cookie != _HEADER_COOKIE:
        raise damaged(source, "its dynamic disk header must begin with the letters cxsparse")
    if _checksum(data, at=36) != checksum:
        raise damaged(source, "its dynamic disk header has a false checksum")
    if block & (block - 1) or not SECTOR <= block <= _BLOCK_LIMIT:
        raise damaged(source, f"its block size of {block:,} bytes is not a power of two from 512 to {_BLOCK_LIMIT:,}")
    return table_offset, entries, block


def _parent(source: Source, footer: Footer) -> str:
    data = source.pread(footer.header_offset, _HEADER_SIZE)
    if not data.startswith(_HEADER_COOKIE):
        return ""
    name = data[64 : 64 + 512].decode("utf-16-be", "replace").split("\0", 1)[0]
    return "".join(letter for letter in name if letter.isprintable())


def _checksum(data: bytes, *, at: int) -> int:
    """One's complement of the sum of all bytes but the checksum's own four."""
    return ~(sum(data) - sum(data[at : at + 4])) & 0xFFFFFFFF


def _facts(found: _Found) -> dict[str, Any]:
    """``footer`` (end, header: the one at the end is damaged), ``footer_copies_identical`` (dynamic; None for
    fixed), sizes in bytes, and who wrote it."""
    footer = found.footer
    return {
        "footer": "header" if found.from_header else "end",
        "footer_size": _SHORT_FOOTER if found.short else SECTOR,
        "footer_copies_identical": found.identical,
        "creator": footer.creator.decode("ascii", "replace").strip(" \0"),
        "creator_os": footer.creator_os.decode("ascii", "replace").strip(" \0"),
        "current_size": footer.current_size,
        "original_size": footer.original_size,
        "geometry": {"cylinders": footer.cylinders, "heads": footer.heads, "sectors": footer.sectors},
        "geometry_size": footer.geometry_sectors * SECTOR,
        "saved_state": footer.saved_state,
    }
