"""The tables of a qcow2, looked at whole: every L2 table and cluster on a cluster of its own within the file.

That two entries share a cluster is allowed (its reference count says so); who may write needs that count, who reads
does not, so that a damaged refcount table is only worth a warning.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from vmie.disk.mapped import page_of
from vmie.disk.reading import read_exact
from vmie.disk.tables import MOST_BYTES, TableFault, plainly_below, unread
from vmie.model import Verdict

if TYPE_CHECKING:
    from vmie.disk.qcow2 import Qcow2Disk

SPECIFICATION = "https://www.qemu.org/docs/master/interop/qcow2.html"
_OFFSET = 0x00FFFFFFFFFFFE00
_COMPRESSED = 1 << 62
_ZERO_FLAG = 1
#: what the highest byte of a plain entry may be: with and without "copied"
_PLAIN_FLAGS = b"\0\x80"
#: QEMU reads no refcount table larger than this.
_MOST_REFCOUNTS = 8 << 20


def faults(disk: Qcow2Disk, tables: Iterable[tuple[int, int]]) -> Iterator[TableFault]:
    """The faults of the L2 tables that the L1 entries (number, value) name, and of the refcount table."""
    cluster, size = 1 << disk.header.cluster_bits, disk.source.size
    for count, (number, entry) in enumerate(tables):
        place, at = disk.header.l1_offset + 8 * number, entry & _OFFSET
        if count * cluster > MOST_BYTES:
            yield unread("L1 table", number, place, SPECIFICATION)
            break
        if at % cluster or at + cluster > size:
            why = (
                f"places an L2 table at byte {at:,}, where no cluster begins, or beyond the end of the file ({size:,})"
            )
            yield TableFault("L1 table", number, place, why, SPECIFICATION)
            continue
        data = read_exact(disk.source, at, cluster, what="L2 table")
        if disk.header.extended or not _plain(data, cluster, size):
            yield from _entries(disk, number, at, data)
    yield from _refcounts(disk)


def _plain(data: bytes, cluster: int, size: int) -> bool:
    """Whether all entries are plain clusters within the file, or none, as seen at a glance."""
    if data[7::8].translate(None, b"\0\1"):
        return False
    for rank, shift in ((6, 8), (5, 16)):  # the bits that are free where clusters begin
        free = (cluster - 1) >> shift & 0xFF
        if free and data[rank::8].translate(None, bytes(byte for byte in range(256) if not byte & free)):
            return False
    return plainly_below(data, 8, max(0, size - cluster), big_endian=True, flags=_PLAIN_FLAGS)


def _entries(disk: Qcow2Disk, number: int, at: int, data: bytes) -> Iterator[TableFault]:
    """The faults of one L2 table, entry by entry."""
    words = 2 if disk.header.extended else 1
    per_table = len(data) // (8 * words)
    cluster = 1 << disk.header.cluster_bits
    for slot, entry in enumerate(page_of(data, "Q", big_endian=True).entries[::words]):
        start = (number * per_table + slot) * cluster
        if entry and start < disk.size and (why := _wrong(disk, entry, min(cluster, disk.size - start))):
            yield TableFault(f"L2 table {number:,}", slot, at + 8 * words * slot, why, SPECIFICATION)


def _wrong(disk: Qcow2Disk, entry: int, length: int) -> str:
    """What is wrong with an L2 entry of a cluster of which the disk needs `length` bytes, "" for nothing."""
    bits, size = disk.header.cluster_bits, disk.source.size
    if entry & _COMPRESSED:
        host = entry & ((1 << 62 - (bits - 8)) - 1)
        return f"places a compressed cluster at byte {host:,}, beyond the end of the file ({size:,})" * (host >= size)
    host = entry & _OFFSET
    if host & ((1 << bits) - 1):
        return f"places a cluster at byte {host:,}, where none can begin"
    if host and host + length > size and not (entry & _ZERO_FLAG and disk.header.version >= 3):
        return f"places a cluster at byte {host:,}, beyond the end of the file ({size:,})"
    return ""


def _refcounts(disk: Qcow2Disk) -> Iterator[TableFault]:
    """The refcount table, and the blocks that it names: on clusters of their own, within the file."""
    cluster, size = 1 << disk.header.cluster_bits, disk.source.size
    at, length = disk.header.refcount_offset, disk.header.refcount_clusters * cluster
    if at % cluster or not 0 < length <= _MOST_REFCOUNTS or at < cluster or at + length > size:
        why = f"places a refcount table of {length:,} bytes at byte {at:,}, which cannot be"
        yield TableFault("header", 0, 48, why, SPECIFICATION, Verdict.WARN)
        return
    data = read_exact(disk.source, at, length, what="refcount table")
    if plainly_below(data, 8, max(0, size - cluster), big_endian=True) and not data[7::8].strip(b"\0"):
        return
    for number, block in enumerate(page_of(data, "Q", big_endian=True).entries):
        host = block & ~0x1FF
        if host % cluster or host >= size:
            why = f"places a refcount block at byte {host:,}, where there is none"
            yield TableFault("refcount table", number, at + 8 * number, why, SPECIFICATION, Verdict.WARN)
