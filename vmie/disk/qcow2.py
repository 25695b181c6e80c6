"""qcow2, versions 2 and 3: QEMU's disk format. Source: https://www.qemu.org/docs/master/interop/qcow2.html

    L1 entry ──► L2 table ──► cluster: absent | zeros | plain | compressed (deflate or zstd)

Backing files, external data and encryption are refused (`qcow2_header`); internal snapshots are
not looked at: the active state is the disk.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator

from vmie.disk import qcow2_header
from vmie.disk.base import Source
from vmie.disk.inflate import Unpacker
from vmie.disk.mapped import MappedDisk, Page, PageCache, Run, page_of
from vmie.disk.reading import damaged, read_exact
from vmie.model import ExtentKind

_OFFSET = 0x00FFFFFFFFFFFE00
_COMPRESSED = 1 << 62
_ZERO_FLAG = 1
_SUBCLUSTERS = 32
_ALL = (1 << _SUBCLUSTERS) - 1
#: L2 entries counted when a disk is opened (128 tables of 64 KiB would take 30 ms).
_COUNTED_ENTRIES = 1 << 17


def probe(source: Source) -> bool:
    """Whether the file begins as qcow (of any version) does."""
    return source.pread(0, 4) == qcow2_header.MAGIC


def open_source(source: Source) -> Qcow2Disk:
    """Read the header and the L1 table; raises ImageError, also for what `qcow2_header` refuses."""
    return Qcow2Disk(source)


class Qcow2Disk(MappedDisk):
    """The active state of a qcow2."""

    format = "qcow2"

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        header = qcow2_header.read(source)
        self.variant = f"v{header.version}"
        self.size = header.size
        self._version = header.version
        self._bits = header.cluster_bits
        self._cluster = 1 << header.cluster_bits
        self._words = 2 if header.extended else 1
        self._per_table = self._cluster // (8 * self._words)
        self._span = self._per_table * self._cluster
        self._tables = PageCache(self._load)
        self._unpacker = Unpacker(source, method=header.compression, size=self._cluster)
        self._l1 = self._read_l1(header)
        self.allocated_size = self._bound_allocated()
        self.facts = {
            "version": header.version,
            "cluster_size": self._cluster,
            "compression": header.compression,
            "extended_l2": header.extended,
            "snapshots": header.snapshots,
            "dirty": header.dirty,
            "bitmaps": header.has_bitmaps,
        }

    def _read_l1(self, header: qcow2_header.Header) -> array[int]:
        data = read_exact(self.source, header.l1_offset, 8 * header.l1_entries, what="L1 table")
        table: array[int] = array("Q", data)
        if sys.byteorder == "little":
            table.byteswap()
        self._used = len(table) - table.count(0)
        # A table that maps two ranges would let a file of a few KiB declare endless data. A part of the
        # entries at a time: a set of all of them may take more memory than reading the disk does.
        parts = 1 + (self._used >> 20)
        for part in range(parts if self._used > 1 else 0):
            offsets = [entry & _OFFSET for entry in table if entry and (entry >> self._bits) % parts == part]
            if len(set(offsets)) != len(offsets):
                raise damaged(self.source, "two entries of its L1 table name the same L2 table")
        return table

    def _bound_allocated(self) -> int:
        if self._words == 2 or self._used * self._per_table > _COUNTED_ENTRIES:
            return min(self.size, self._used * self._span)
        clusters = 0
        for offset in filter(None, (entry & _OFFSET for entry in self._l1)):
            page = self._tables[offset]
            clusters += 0 if page.uniform and not page.entries[0] else len(page.entries) - page.entries.count(0)
        return min(self.size, clusters * self._cluster)

    def _load(self, offset: int) -> Page:
        if offset % self._cluster:
            raise damaged(self.source, f"an L2 table at byte {offset}, which no cluster begins at")
        return page_of(read_exact(self.source, offset, self._cluster, what="L2 table"), "Q", big_endian=True)

    def _runs(self, offset: int, length: int) -> Iterator[Run]:
        end = offset + length
        while offset < end:
            index, within = divmod(offset, self._span)
            stop = min(end, (index + 1) * self._span)
            table = self._l1[index] & _OFFSET
            page = self._tables[table] if table else None
            if page is None or (page.uniform and not page.entries[0]):
                yield Run(stop - offset, ExtentKind.HOLE)
            elif self._words == 1:
                yield from self._clusters(page.entries, within, stop - offset)
            else:
                yield from self._extended(page.entries, within, stop - offset)
            offset = stop

    def _clusters(self, entries: array[int], within: int, length: int) -> Iterator[Run]:
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
                yield Run(part, ExtentKind.ALLOCATED, skip, entry)
            else:
                yield Run(part, kind, host + skip if host >= 0 else -1)
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

    def _extended(self, entries: array[int], within: int, length: int) -> Iterator[Run]:
        """As `_clusters`, of extended L2 entries: a second word tells 32 subclusters' state."""
        first, skip = divmod(within, self._cluster)
        for slot in range(first, (within + length + self._cluster - 1) >> self._bits):
            part = min(self._cluster - skip, length)
            entry, states = entries[2 * slot], entries[2 * slot + 1]
            if entry & _COMPRESSED:
                yield Run(part, ExtentKind.ALLOCATED, skip, entry)
            else:
                yield from self._subclusters(entry & _OFFSET, states, skip, part)
            length -= part
            skip = 0

    def _subclusters(self, host: int, states: int, skip: int, length: int) -> Iterator[Run]:
        present, zero = states & _ALL, states >> 32
        if present:
            self._aligned(host)
        if present & zero or (present and not host):
            raise damaged(self.source, f"subcluster states {states:#x} contradict themselves, or have no cluster")
        if present == _ALL:
            yield Run(length, ExtentKind.ALLOCATED, host + skip)
        elif not present and zero in (0, _ALL):
            yield Run(length, ExtentKind.ZERO if zero else ExtentKind.HOLE)
        else:
            yield from self._mixed(host, present, zero, skip, length)

    def _mixed(self, host: int, present: int, zero: int, skip: int, length: int) -> Iterator[Run]:
        size = self._cluster // _SUBCLUSTERS
        while length:
            index, within = divmod(skip, size)
            part = min(size - within, length)
            if present >> index & 1:
                yield Run(part, ExtentKind.ALLOCATED, host + skip)
            else:
                yield Run(part, ExtentKind.ZERO if zero >> index & 1 else ExtentKind.HOLE)
            skip += part
            length -= part

    def _unpack(self, run: Run) -> bytes:
        """See `MappedDisk._unpack`: the descriptor holds a byte offset and a number of further 512-byte sectors."""
        offset_bits = 62 - (self._bits - 8)
        host = run.packed & ((1 << offset_bits) - 1)
        sectors = (run.packed & (_COMPRESSED - 1)) >> offset_bits
        length = (sectors + 1) * 512 - host % 512
        return self._unpacker.part(host, length, skip=run.host, wanted=run.length)
