"""The tables of a hosted sparse extent, looked at whole: every grain within the file, both directories alike."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING

from vmie.disk import vmdk_layout as layout
from vmie.disk.base import SECTOR
from vmie.disk.tables import MOST_BYTES, TableFault, plainly_below, unread
from vmie.errors import ImageError
from vmie.model import Verdict

if TYPE_CHECKING:
    from vmie.disk.vmdk_sparse import SparseExtent

SPECIFICATION = "VMware, Virtual Disk Format 5.0, https://www.vmware.com/support/developer/vddk/vmdk_50_technote.pdf"
#: Tables read and judged at once.
_BATCH = 64


def faults(extent: SparseExtent) -> Iterator[TableFault]:
    """The faults of one extent's header, directories and grain tables. Raises ImageError."""
    yield from _two_headers(extent)
    read = 0
    for index, count in _runs(extent):
        if read > MOST_BYTES:
            yield unread("grain directory", index, extent.header.gd_offset * SECTOR + 4 * index, SPECIFICATION)
            return
        data = extent.load_table(extent.directory[index], count=count)
        read += len(data)
        if not plainly_below(data, 4, _limit(extent), big_endian=False):
            for number in range(count):
                table = data[number * extent.table_bytes : (number + 1) * extent.table_bytes]
                yield from _beyond(extent, index + number, extent.directory[index + number], table)
    yield from _redundant(extent)


def _runs(extent: SparseExtent, *others: array[int]) -> Iterator[tuple[int, int]]:
    """(first, count) of tables that lie one behind the other, by the directory and by `others`: read at once."""
    step = extent.table_bytes // SECTOR if extent.table_bytes % SECTOR == 0 else 0
    directories = (extent.directory, *others)
    first = count = 0
    for index, offset in enumerate(extent.directory):
        if step and 0 < count < _BATCH and all(one[index] == one[first] + count * step for one in directories):
            count += 1
            continue
        if count:
            yield first, count
        first, count = index, 1 if offset else 0
    if count:
        yield first, count


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
        if (differs := _first_other(extent, other)) is not None:
            yield _of_redundant(at, differs, "leads to another table than the first directory does")
    except ImageError as error:
        yield _of_redundant(at, 0, f"cannot be followed: {error.cause}")


def _first_other(extent: SparseExtent, other: array[int]) -> int | None:
    """The first entry by which `other` leads to another table than the directory does."""
    empty = bytes(extent.table_bytes)
    for index, (first, second) in enumerate(zip(extent.directory, other, strict=True)):
        if bool(first) != bool(second) and extent.load_table(first or second) != empty:
            return index
    read, length = 0, extent.table_bytes
    for index, count in _runs(extent, other):
        if other[index]:
            here, there = (extent.load_table(one[index], count=count) for one in (extent.directory, other))
            if here != there:
                return next(
                    index + slot
                    for slot in range(count)
                    if here[slot * length : (slot + 1) * length] != there[slot * length : (slot + 1) * length]
                )
        read += count * length
        if read > MOST_BYTES:
            break
    return None


def _of_redundant(at: int, index: int, why: str) -> TableFault:
    place = at * SECTOR + 4 * index
    return TableFault("redundant grain directory", index, place, why, SPECIFICATION, Verdict.WARN)
