"""VHD (Virtual PC, Hyper-V generation 1, Azure, Xen): fixed and dynamic.

    fixed:    data … │ footer
    dynamic:  footer copy │ dynamic header │ block table │ (sector bitmap, block) … │ footer

A block's sectors whose bit is clear were never written and read as zeros, as the specification has it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby
from pathlib import PurePath
from typing import Any

from vmie.disk.base import SECTOR, Disk, Source
from vmie.disk.extents import coalesced, zeros
from vmie.disk.holes import file_allocated, file_runs
from vmie.disk.reading import NEEDS_PARENT, damaged, read_exact, read_table, truncated, within
from vmie.disk.tables import TableFault, Taken, misplaced
from vmie.disk.vhd_layout import (
    ABSENT,
    COOKIE,
    DIFFERENCING,
    DYNAMIC,
    FIXED,
    HEADER_COOKIE,
    HEADER_SIZE,
    SHORT_FOOTER,
    SPECIFICATION,
    FooterMatch,
    dynamic_header,
    find_footer,
    parent_name,
    tails,
)
from vmie.errors import ImageError
from vmie.model import Extent, ExtentKind, Verdict

#: Bytes of sector bitmaps kept: those of a thousand blocks of the usual 2 MiB.
_BITMAPS_CACHED = 1 << 19
_SUFFIXES = (".vhd", ".vpc")
#: Entries of the block table looked at together.
_STRETCH = 1024


def probe(source: Source) -> bool:
    """A footer copy at the start, or a footer at the end that fits the file.

    A raw disk may end in bytes that were a VHD's footer once (a VHD stored in its last partition): a fixed
    footer counts only if its checksum holds and its size is the file's, unless the name says VHD.
    """
    if source.pread(0, 8) == COOKIE:
        return True
    named = PurePath(source.name).suffix.lower() in _SUFFIXES
    for footer, end in tails(source):
        if named:
            return True
        if not footer.valid:
            continue
        if footer.kind == FIXED:
            return footer.current_size == end
        return source.pread(footer.header_offset, 8) == HEADER_COOKIE
    return False


def named_and_fixed(source: Source) -> bool:
    """Whether name and footer agree on a fixed VHD: then what its data begins with says nothing of the file."""
    if PurePath(source.name).suffix.lower() not in _SUFFIXES:
        return False
    return any(footer.valid and footer.kind == FIXED and footer.current_size == end for footer, end in tails(source))


def open_source(source: Source) -> Disk:
    """A fixed or dynamic disk. Raises ImageError for damage and, by name, for differencing disks."""
    found = find_footer(source)
    kind = found.footer.kind
    if kind == FIXED:
        return FixedVhd(source, found)
    if kind == DYNAMIC:
        return DynamicVhd(source, found)
    if kind == DIFFERENCING:
        parent = parent_name(source, found.footer)
        raise ImageError(
            f"{source.name} is a differencing VHD, not a whole disk",
            cause=f"it holds only what changed since its parent{f' {parent!r}' if parent else ''}",
            cure="merge it into its parent (Hyper-V Manager: Edit Disk, Merge; or Merge-VHD) and give the result",
            code=NEEDS_PARENT,
        )
    raise damaged(source, f"its footer names disk type {kind}, which does not exist")


class FixedVhd(Disk):
    """The data as it stands, and a footer. `facts` as in `_facts`."""

    format = "vhd"
    variant = "fixed"

    def __init__(self, source: Source, found: FooterMatch) -> None:
        super().__init__(source)
        self.size = found.footer.disk_size
        if self.size > found.end:
            raise truncated(source, self.size + SECTOR, what="data")
        self.allocated_size = min(self.size, file_allocated(source))
        self.facts = {**_facts(found), "block_size": None}

    def read(self, offset: int, length: int) -> bytes:
        """See `Disk.read`."""
        length = within(offset, length, self.size)
        return read_exact(self.source, offset, length, what="data") if length else b""

    def extents(self) -> Iterator[Extent]:
        """See `Disk.extents`: the file's own holes."""
        return coalesced(file_runs(self.source, 0, self.size), self.size)


class DynamicVhd(Disk):
    """Blocks by a table; within a block, a bitmap says which sectors were ever written."""

    format = "vhd"
    variant = "dynamic"

    def __init__(self, source: Source, found: FooterMatch) -> None:
        super().__init__(source)
        self.size = found.footer.disk_size
        self._found = found
        self._table_offset, entries, self._block = dynamic_header(source, found.footer)
        needed = -(-self.size // self._block)
        if needed > entries:
            raise damaged(
                source, f"its block table has {entries:,} entries, a disk of {self.size:,} bytes needs {needed:,}"
            )
        # A bit for each sector, in whole sectors.
        self._bitmap = -(-self._block // (SECTOR * 8 * SECTOR)) * SECTOR
        self._table = read_table(source, self._table_offset, needed, what="block allocation table", order="big")
        present, last = _count_blocks(self._table)
        self.allocated_size = min(self.size, present * self._block)
        if present and last * SECTOR + self._bitmap + self._block > source.size:
            what = f"last data block (entry {self._table.index(last):,} of its block allocation table)"
            raise truncated(source, last * SECTOR + self._bitmap + self._block, what=what)
        if present * self._block > source.size:
            raise damaged(source, f"its table places {present:,} blocks, more than the file can hold: they overlap")
        self._written = lru_cache(maxsize=max(1, _BITMAPS_CACHED // self._bitmap))(self._load_bitmap)
        self.facts = {**_facts(found), "block_size": self._block}

    def read(self, offset: int, length: int) -> bytes:
        """See `Disk.read`."""
        end = offset + within(offset, length, self.size)
        pieces: list[bytes] = []
        while offset < end:
            number, skip = divmod(offset, self._block)
            size = min(self._block - skip, end - offset)
            sector = self._table[number]
            pieces.append(zeros(size) if sector == ABSENT else self._read_block(sector, skip, size))
            offset += size
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def extents(self) -> Iterator[Extent]:
        """See `Disk.extents`, block by block: sectors never written within a block count as allocated."""
        return coalesced(self._runs(), self.size)

    def table_faults(self) -> Iterator[TableFault]:
        """See `Disk.table_faults`: blocks apart from each other and from what else is in the file, two like footers."""
        found = self._found
        hosts = array("Q", (sector * SECTOR for sector in self._table if sector != ABSENT))
        taken = (
            Taken(0, SECTOR, "the copy of the footer"),
            Taken(found.footer.header_offset, found.footer.header_offset + HEADER_SIZE, "the dynamic disk header"),
            Taken(self._table_offset, self._table_offset + 4 * len(self._table), "the block allocation table"),
            *(() if found.from_header else (Taken(found.end, self.source.size, "the footer"),)),
        )
        for host, why in misplaced(hosts, self._bitmap + self._block, end=self.source.size, taken=taken):
            entry = self._table.index(host // SECTOR)
            yield TableFault("block allocation table", entry, self._table_offset + 4 * entry, why, SPECIFICATION)
        if not found.identical:
            why = "is false: its copy at the beginning was read" if found.from_header else "is not what its copy says"
            place = found.end - (SECTOR if found.from_header else 0)
            # AWS's words for it are "Footers not identical".
            yield TableFault("footer", 0, place, why, SPECIFICATION, Verdict.WARN, as_is=Verdict.FAIL)

    def _runs(self) -> Iterator[tuple[int, ExtentKind]]:
        for absent, group in groupby(self._table, ABSENT.__eq__):
            yield self._block * sum(1 for _ in group), ExtentKind.HOLE if absent else ExtentKind.ALLOCATED

    def _read_block(self, sector: int, skip: int, size: int) -> bytes:
        data = read_exact(self.source, sector * SECTOR + self._bitmap + skip, size, what="data block")
        written = self._written(sector)
        return data if written is None else _keep_written(data, written, skip)

    def _load_bitmap(self, sector: int) -> bytes | None:
        """The block's bitmap, None where every sector was written."""
        length = self._block // (SECTOR * 8) or 1
        bitmap = read_exact(self.source, sector * SECTOR, length, what="sector bitmap")
        return None if bitmap.count(b"\xff") == length else bitmap


def _count_blocks(table: array[int]) -> tuple[int, int]:
    """How many blocks are present, and the highest sector of them. Stretches without any cost next to nothing."""
    absent = array("I", [ABSENT]) * _STRETCH
    present = last = 0
    for at in range(0, len(table), _STRETCH):
        stretch = table[at : at + _STRETCH]
        if stretch == absent[: len(stretch)]:
            continue
        missing = stretch.count(ABSENT)
        present += len(stretch) - missing
        highest = max(filter(ABSENT.__ne__, stretch)) if missing else max(stretch)
        last = max(last, highest)
    return present, last


def _keep_written(data: bytes, written: bytes, skip: int) -> bytes:
    """`data`, which begins `skip` bytes into its block, with the sectors that were never written as zeros."""
    kept = bytearray(data)
    first = skip // SECTOR
    last = (skip + len(data) - 1) // SECTOR
    for index in range(first // 8, last // 8 + 1):
        if written[index] == 0xFF:
            continue
        for bit in range(8):
            if written[index] & (0x80 >> bit):
                continue
            start = max((index * 8 + bit) * SECTOR - skip, 0)
            end = min((index * 8 + bit + 1) * SECTOR - skip, len(kept))
            if start < end:
                kept[start:end] = bytes(end - start)
    return bytes(kept)


def _facts(found: FooterMatch) -> dict[str, Any]:
    """``footer`` (end, header: the one at the end is damaged), ``footer_copies_identical`` (dynamic; None for
    fixed), sizes in bytes, and who wrote it."""
    footer = found.footer
    return {
        "footer": "header" if found.from_header else "end",
        "footer_size": SHORT_FOOTER if found.short else SECTOR,
        "footer_copies_identical": found.identical,
        "creator": footer.creator.decode("ascii", "replace").strip(" \0"),
        "creator_os": footer.creator_os.decode("ascii", "replace").strip(" \0"),
        "current_size": footer.current_size,
        "original_size": footer.original_size,
        "geometry": {"cylinders": footer.cylinders, "heads": footer.heads, "sectors": footer.sectors},
        "geometry_size": footer.geometry_sectors * SECTOR,
        "saved_state": footer.saved_state,
    }
