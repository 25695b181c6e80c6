"""qcow2, versions 2 and 3: QEMU's disk format. Source: https://www.qemu.org/docs/master/interop/qcow2.html

    L1 entry ──► L2 table ──► cluster: absent | zeros | plain | compressed (deflate or zstd)

What is absent is read from the backing file, where there is one (`backing`). External data and encryption are
refused (`qcow2_header`); internal snapshots are not looked at: the active state is the disk.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator

from vmie.disk import qcow2_header, qcow2_tables
from vmie.disk.base import Disk, Source
from vmie.disk.inflate import Unpacker
from vmie.disk.mapped import PAGE_ENTRIES, MappedDisk, MappedRun, Page, PageCache, page_of
from vmie.disk.reading import damaged, read_exact
from vmie.disk.tables import TableFault
from vmie.model import Extent, ExtentKind

_OFFSET = 0x00FFFFFFFFFFFE00
_COMPRESSED = 1 << 62
_ZERO_FLAG = 1
_SUBCLUSTERS = 32
_ALL = (1 << _SUBCLUSTERS) - 1
#: L2 entries counted when a disk is opened (128 tables of 64 KiB would take 30 ms).
_COUNTED_ENTRIES = 1 << 17
#: Pages of the L1 table looked at when a disk is opened; 8 of them map 32 TiB in clusters of 64 KiB.
_EAGER_PAGES = 8
_L1_CACHE = 1 << 20
#: Deflate packs 1032 bytes into one at best; a zstd block of any length takes four, in a frame of six.
_DEFLATE_LIMIT, _LEAST_ZSTD = 1032, 10


def probe(source: Source) -> bool:
    """Whether the file begins as qcow (of any version) does."""
    return source.pread(0, 4) == qcow2_header.MAGIC


def open_source(source: Source) -> Disk:
    """Read the header and the L1 table; raises ImageError, also for what `qcow2_header` and `backing` refuse."""
    disk = Qcow2Disk(source)
    if not disk.header.backing:
        return disk
    from vmie.disk.backing import BackedDisk, open_base  # noqa: PLC0415 - which opens files by the registry, as this one is

    return BackedDisk(disk, open_base(source, disk.header.backing, disk.header.backing_format))


class Qcow2Disk(MappedDisk):
    """The active state of a qcow2."""

    format = "qcow2"

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.header = header = qcow2_header.read(source)
        self.variant = f"v{header.version}"
        self.size = header.size
        self._version = header.version
        self._bits = header.cluster_bits
        self._cluster = 1 << header.cluster_bits
        self._words = 2 if header.extended else 1
        self._per_table = self._cluster // (8 * self._words)
        self._span = self._per_table * self._cluster
        self.least_packed = _LEAST_ZSTD if header.compression == "zstd" else max(1, self._cluster // _DEFLATE_LIMIT)
        self._tables = PageCache(self._load)
        self._l1_at, self._l1_entries = header.l1_offset, header.l1_entries
        self._l1 = PageCache(self._load_l1, budget=_L1_CACHE)
        read_exact(source, self._l1_at + 8 * self._l1_entries, 0, what="L1 table")
        self._unpacker = Unpacker(source, method=header.compression, size=self._cluster)
        pages = -(-self._l1_entries // PAGE_ENTRIES)
        self._checked_pages = min(pages, _EAGER_PAGES)
        used = self._used_tables(range(self._checked_pages))
        self.allocated_size = self._bound_allocated(used) if pages <= _EAGER_PAGES else self.size
        self.facts = {
            "version": header.version,
            "cluster_size": self._cluster,
            "compression": header.compression,
            "extended_l2": header.extended,
            "snapshots": header.snapshots,
            "dirty": header.dirty,
            "bitmaps": header.has_bitmaps,
        }

    def _load_l1(self, number: int) -> Page:
        first = number * PAGE_ENTRIES
        count = min(PAGE_ENTRIES, self._l1_entries - first)
        data = read_exact(self.source, self._l1_at + 8 * first, 8 * count, what="L1 table")
        return page_of(data, "Q", big_endian=True)

    def _used_tables(self, pages: range) -> list[int]:
        """Where the L2 tables of some pages of the L1 table lie. Raises ImageError when two are one.

        A table that maps two ranges would let a file of a few KiB declare endless data.
        """
        used: list[int] = []
        for number in pages:
            page = self._l1[number]
            if not page.uniform or page.entries[0] & _OFFSET:
                used += filter(None, (entry & _OFFSET for entry in page.entries))
        if len(set(used)) != len(used):
            raise damaged(self.source, "two entries of its L1 table name the same L2 table")
        return used

    def _bound_allocated(self, used: list[int]) -> int:
        if self._words == 2 or len(used) * self._per_table > _COUNTED_ENTRIES:
            return min(self.size, len(used) * self._span)
        clusters = 0
        for offset in used:
            page = self._tables[offset]
            clusters += 0 if page.uniform and not page.entries[0] else len(page.entries) - page.entries.count(0)
        return min(self.size, clusters * self._cluster)

    def extents(self) -> Iterator[Extent]:
        """See `Disk.extents`. What was too much to look at when the disk was opened is checked here."""
        tables = 0
        for first in range(self._checked_pages, -(-self._l1_entries // PAGE_ENTRIES), _EAGER_PAGES):
            last = min(first + _EAGER_PAGES, -(-self._l1_entries // PAGE_ENTRIES))
            tables += len(self._used_tables(range(first, last)))
            if tables * self._cluster > self.source.size:
                raise damaged(self.source, "its L1 table names more L2 tables than the file can hold")
        yield from super().extents()

    def table_faults(self) -> Iterator[TableFault]:
        """See `Disk.table_faults`."""
        pages = -(-self._l1_entries // PAGE_ENTRIES)
        tables = ((at, entry) for number in range(pages) for at, entry in self._l1_used(number))
        yield from qcow2_tables.faults(self, tables)

    def _l1_used(self, number: int) -> Iterator[tuple[int, int]]:
        """The entries of a page of the L1 table that name L2 tables, with their numbers."""
        page = self._l1[number]
        if not page.uniform or page.entries[0] & _OFFSET:
            first = number * PAGE_ENTRIES
            yield from ((first + slot, entry) for slot, entry in enumerate(page.entries) if entry & _OFFSET)

    def _load(self, offset: int) -> Page:
        if offset % self._cluster:
            raise damaged(self.source, f"an L2 table at byte {offset}, which no cluster begins at")
        return page_of(read_exact(self.source, offset, self._cluster, what="L2 table"), "Q", big_endian=True)

    def _runs(self, offset: int, length: int) -> Iterator[MappedRun]:
        end = offset + length
        while offset < end:
            index, skip = divmod(offset, self._span)
            number, slot = divmod(index, PAGE_ENTRIES)
            page = self._l1[number]
            table = page.entries[slot] & _OFFSET
            last = min(len(page.entries), -(-end // self._span) - number * PAGE_ENTRIES)
            following = last if page.uniform and not table else slot + 1
            while not table and following < last and not page.entries[following] & _OFFSET:
                following += 1
            stop = min(end, (number * PAGE_ENTRIES + following) * self._span)
            if table:
                yield from self._table_runs(table, skip, stop - offset)
            else:
                yield MappedRun(stop - offset, ExtentKind.HOLE)
            offset = stop

    def _table_runs(self, table: int, skip: int, length: int) -> Iterator[MappedRun]:
        """The runs of `length` bytes from byte `skip` of what the L2 table at `table` maps."""
        page = self._tables[table]
        if page.uniform and not page.entries[0]:
            yield MappedRun(length, ExtentKind.HOLE)
        elif self._words == 1:
            yield from self._clusters(page.entries, skip, length)
        else:
            yield from self._extended(page.entries, skip, length)

    def _clusters(self, entries: array[int], within: int, length: int) -> Iterator[MappedRun]:
        """The runs of `length` bytes from `within` a table's span, of plain L2 entries; neighbours as one run."""
        size = self._cluster
        first, skip = divmod(within, size)
        slots = entries[first : (within + length + size - 1) >> self._bits]
        index, count = 0, len(slots)
        while index < count:
            entry = slots[index]
            kind, host, step = self._state(entry)
            following, expected = index + 1, entry + step
            if kind is not None:
                while following < count and slots[following] == expected:
                    following += 1
                    expected += step
            part = min((following - index) * size - skip, length)
            if kind is None:
                yield MappedRun(part, ExtentKind.ALLOCATED, skip, entry)
            else:
                yield MappedRun(part, kind, host + skip if host >= 0 else -1)
            length -= part
            skip = 0
            index = following

    def _state(self, entry: int) -> tuple[ExtentKind | None, int, int]:
        """An entry's kind (None: compressed), host offset, and what the entry of the next cluster in line adds."""
        if entry & _COMPRESSED:
            return None, -1, 0
        if entry & _ZERO_FLAG and self._version >= 3:
            # an allocated cluster may keep its place behind the flag
            return ExtentKind.ZERO, -1, self._cluster if entry & _OFFSET else 0
        host = entry & _OFFSET
        if not host:
            return ExtentKind.HOLE, -1, 0
        self._aligned(host)
        return ExtentKind.ALLOCATED, host, self._cluster

    def _aligned(self, host: int) -> None:
        if host & (self._cluster - 1):
            raise damaged(self.source, f"an L2 entry places a cluster at byte {host:,}, where none can begin")

    def _extended(self, entries: array[int], within: int, length: int) -> Iterator[MappedRun]:
        """As `_clusters`, of extended L2 entries: a second word holds 32 subclusters' state."""
        first, skip = divmod(within, self._cluster)
        for slot in range(first, (within + length + self._cluster - 1) >> self._bits):
            part = min(self._cluster - skip, length)
            entry, states = entries[2 * slot], entries[2 * slot + 1]
            if entry & _COMPRESSED:
                yield MappedRun(part, ExtentKind.ALLOCATED, skip, entry)
            else:
                yield from self._subclusters(entry & _OFFSET, states, skip, part)
            length -= part
            skip = 0

    def _subclusters(self, host: int, states: int, skip: int, length: int) -> Iterator[MappedRun]:
        present, zero = states & _ALL, states >> 32
        if present:
            self._aligned(host)
        if present & zero or (present and not host):
            raise damaged(self.source, f"subcluster states {states:#x} contradict themselves, or have no cluster")
        if present == _ALL:
            yield MappedRun(length, ExtentKind.ALLOCATED, host + skip)
        elif not present and zero in (0, _ALL):
            yield MappedRun(length, ExtentKind.ZERO if zero else ExtentKind.HOLE)
        else:
            yield from self._mixed(host, present, zero, skip, length)

    def _mixed(self, host: int, present: int, zero: int, skip: int, length: int) -> Iterator[MappedRun]:
        size = self._cluster // _SUBCLUSTERS
        while length:
            index, within = divmod(skip, size)
            part = min(size - within, length)
            if present >> index & 1:
                yield MappedRun(part, ExtentKind.ALLOCATED, host + skip)
            else:
                yield MappedRun(part, ExtentKind.ZERO if zero >> index & 1 else ExtentKind.HOLE)
            skip += part
            length -= part

    def _unpack(self, run: MappedRun) -> bytes:
        """See `MappedDisk._unpack`: the descriptor holds a byte offset and a number of further 512-byte sectors."""
        offset_bits = 62 - (self._bits - 8)
        host = run.packed & ((1 << offset_bits) - 1)
        sectors = (run.packed & (_COMPRESSED - 1)) >> offset_bits
        length = (sectors + 1) * 512 - host % 512
        return self._unpacker.part(host, length, skip=run.host, wanted=run.length)
