"""The tables of a hosted sparse extent, looked at whole: every grain within the file, both directories alike."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from vmie.disk import vmdk_layout as layout
from vmie.disk.base import SECTOR
from vmie.disk.tables import MOST_BYTES, TableFault, plainly_below, unread
from vmie.errors import ImageError
from vmie.model import Verdict

if TYPE_CHECKING:
    from vmie.disk.vmdk_sparse import SparseExtent

SPECIFICATION = "VMware, Virtual Disk Format 5.0, https://www.vmware.com/support/developer/vddk/vmdk_50_technote.pdf"
#: Tables judged at once.
_BATCH = 32


def faults(extent: SparseExtent) -> Iterator[TableFault]:
    """The faults of one extent's header, directories and grain tables. Raises ImageError."""
    yield from _two_headers(extent)
    used = ((index, offset) for index, offset in enumerate(extent.directory) if offset)
    for first in range(0, extent.tables, _BATCH):
        batch = list(islice(used, _BATCH))
        if first * extent.table_bytes > MOST_BYTES:
            yield unread("grain directory", batch[0][0], _directory_entry(extent, batch[0][0]), SPECIFICATION)
            return
        tables = [extent.load_table(offset) for _, offset in batch]
        if not plainly_below(b"".join(tables), 4, _limit(extent), big_endian=False):
            for (index, offset), table in zip(batch, tables, strict=True):
                yield from _beyond(extent, index, offset, table)
    yield from _redundant(extent)


def _limit(extent: SparseExtent) -> int:
    """The last sector at which a grain may begin whatever its number: a whole one, or a marker and a byte."""
    least = layout.GRAIN_MARKER.size + 1 if extent.header.compressed else extent.grain
    return max(0, (extent.source.size - least) // SECTOR)


def _beyond(extent: SparseExtent, index: int, offset: int, data: bytes) -> Iterator[TableFault]:
    """The entries of one grain table that place a grain beyond the file."""
    table = extent.entries_of(data)
    limit, size = _limit(extent), extent.source.size
    if max(table) <= limit:
        return
    for slot, sector in enumerate(table):
        if sector <= limit or (sector == layout.GTE_ZEROED and extent.zeroed):
            continue
        start = (index * len(table) + slot) * extent.grain
        # The last grain of a disk is as long as the disk, and entries beyond it are never used.
        if start >= extent.size or (
            not extent.header.compressed and sector * SECTOR + min(extent.grain, extent.size - start) <= size
        ):
            continue
        why = f"places a grain at byte {sector * SECTOR:,}, beyond the end of the file ({size:,} bytes)"
        yield TableFault(f"grain table {index:,}", slot, offset * SECTOR + 4 * slot, why, SPECIFICATION)


def _two_headers(extent: SparseExtent) -> Iterator[TableFault]:
    """A stream's footer is a copy of its header, but for the directory's place; readers differ in which they take."""
    if not extent.footer:
        return
    header, footer = extent.first_header, extent.header
    for number, name in enumerate(("capacity", "grain_sectors", "table_entries")):
        first, last = getattr(header, name), getattr(footer, name)
        if first != last:
            what = name.replace("_", " ")
            why = f"says of the {what} {first:,}, the footer at the end of the file {last:,}"
            yield TableFault("header", number, 0, why, SPECIFICATION, Verdict.WARN)


def _redundant(extent: SparseExtent) -> Iterator[TableFault]:
    """The second directory is there for when the first is lost: it must lead to the same tables."""
    header = extent.header
    at = header.redundant_gd_offset
    if extent.redundant_used:
        why = "leads nowhere: the redundant copy was read instead"
        yield TableFault("grain directory", 0, header.gd_offset * SECTOR, why, SPECIFICATION, Verdict.WARN)
        return
    if not header.flags & layout.FLAG_REDUNDANT_TABLE or at in (0, header.gd_offset):
        return
    try:
        other = extent.load_directory(at)
        for index, (first, second) in enumerate(zip(extent.directory, other, strict=True)):
            if index * extent.table_bytes > MOST_BYTES:
                return
            if first != second and not _alike(extent, first, second):
                why = "leads to another table than the first directory does"
                yield _of_redundant(at, index, why)
                return
    except ImageError as error:
        yield _of_redundant(at, 0, f"cannot be followed: {error.cause}")


def _of_redundant(at: int, index: int, why: str) -> TableFault:
    place = at * SECTOR + 4 * index
    return TableFault("redundant grain directory", index, place, why, SPECIFICATION, Verdict.WARN)


def _alike(extent: SparseExtent, first: int, second: int) -> bool:
    empty = bytes(extent.table_bytes)
    one, other = (extent.load_table(offset) if offset else empty for offset in (first, second))
    return one == other


def _directory_entry(extent: SparseExtent, index: int) -> int:
    return extent.header.gd_offset * SECTOR + 4 * index
