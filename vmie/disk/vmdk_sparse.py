"""A hosted sparse extent: grain directory → grain table → grain, plain or deflated.

byte ─► grain number ─► directory[number // 512] ─► table[number % 512] ─► sector in the file
                               0: nothing there          0: hole, 1: zeros (if the header says so)
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby

from isal import isal_zlib

from vmie.disk import vmdk_layout as layout
from vmie.disk.base import SECTOR, Source
from vmie.disk.extents import zeros
from vmie.disk.reading import TABLE_LIMIT, as_table, damaged, read_exact, read_table, truncated
from vmie.disk.vmdk_layout import SparseHeader
from vmie.errors import ImageError
from vmie.model import ExtentKind

_TABLES_CACHED = 512
#: Whole grains kept for readers of small pieces (file systems), in bytes.
_GRAINS_CACHED = 4 << 20
#: What is read behind a compressed grain's marker at first: the usual grain fits, a swollen one is read again.
_SLACK = 1024


class SparseExtent:
    """Reads of one extent file; `size` in bytes. Thread-safe. Not a `Disk`: a disk may have many of these."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.first_header: SparseHeader = layout.read_header(source)
        self.footer = self.first_header.gd_offset == layout.GD_AT_END
        header = layout.read_footer(source) if self.footer else self.first_header
        header.check(source)
        #: the one to go by
        self.header: SparseHeader = header
        self.size = header.capacity * SECTOR
        self.grain = header.grain_sectors * SECTOR
        self._entries = header.table_entries
        self.table_bytes = 4 * header.table_entries
        self.zeroed = bool(header.flags & layout.FLAG_ZEROED_GRAIN)
        self.redundant_used = False
        self.directory = self._load_directory()
        self.tables = len(self.directory) - self.directory.count(0)
        self._table = lru_cache(maxsize=_TABLES_CACHED)(self._load_table)
        self._cached_grain = lru_cache(maxsize=max(1, _GRAINS_CACHED // self.grain))(self._load_grain)

    def allocated(self, *, counted: bool) -> int:
        """The bytes in grains with data: `counted` table by table, or an upper bound from the directory alone."""
        grains = self.tables * self._entries
        if counted:
            for offset in filter(None, self.directory):
                table = self._load_table(offset)
                grains -= table.count(0) + (table.count(layout.GTE_ZEROED) if self.zeroed else 0)
        bound = min(self.size, grains * self.grain)
        return bound if self.header.compressed else min(bound, self.source.size)

    def runs(self) -> Iterator[tuple[int, ExtentKind]]:
        """(length, kind) runs from byte 0; may pass `size` in the last grain. One table in memory at a time."""
        covered = self._entries * self.grain
        least = SECTOR if self.header.compressed else self.grain
        stored = 0
        for offset, group in groupby(self.directory):
            if offset == 0:
                yield covered * sum(1 for _ in group), ExtentKind.HOLE
                continue
            for _ in group:
                for length, kind in self._table_runs(self._load_table(offset)):
                    if kind is ExtentKind.ALLOCATED:
                        stored += length // self.grain * least
                        self._fits(stored - least)  # the file may end within its last grain
                    yield length, kind

    def _fits(self, stored: int) -> None:
        size = self.source.size
        if stored > size:
            why = f"its tables place more than {size:,} bytes of grains, all there is in the file: they overlap"
            raise damaged(self.source, why)

    def _table_runs(self, table: array[int]) -> Iterator[tuple[int, ExtentKind]]:
        last = max(table)
        if last == 0:  # tables are allocated ahead by most writers: the usual case on a large sparse disk
            yield len(table) * self.grain, ExtentKind.HOLE
            return
        if last * SECTOR >= self.source.size:
            raise truncated(self.source, last * SECTOR + 1, what="grain")
        for kind, entries in groupby(map(self._kind, table)):
            yield self.grain * sum(1 for _ in entries), kind

    def read(self, offset: int, length: int) -> bytes:
        """The bytes of ``[offset, offset+length)``, which must lie within the extent."""
        if self.header.compressed:
            return self._read_compressed(offset, length)
        pieces: list[bytes] = []
        for at, size in self._plain_runs(offset, length):
            pieces.append(zeros(size) if at < 0 else read_exact(self.source, at, size, what="grain"))
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _plain_runs(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """(file offset or -1, length): neighbours in the file are one run, so that a read is one read."""
        run_at, run_length = -2, 0
        end = offset + length
        while offset < end:
            number, within = divmod(offset, self.grain)
            size = min(self.grain - within, end - offset)
            sector = self._sector(number)
            at = sector * SECTOR + within if sector else -1
            if (at < 0 and run_at == -1) or (at >= 0 and run_at >= 0 and run_at + run_length == at):
                run_length += size
            else:
                if run_length:
                    yield run_at, run_length
                run_at, run_length = at, size
            offset += size
        if run_length:
            yield run_at, run_length

    def _read_compressed(self, offset: int, length: int) -> bytes:
        # Grain by grain: buffers of a megabyte and more are mapped and unmapped each time, which costs more
        # than the calls that reading neighbours together would save.
        pieces: list[bytes] = []
        end = offset + length
        while offset < end:
            number, within = divmod(offset, self.grain)
            size = min(self.grain - within, end - offset)
            part = size < min(self.grain, self.size - number * self.grain)
            whole = self._cached_grain(number) if part else self._load_grain(number)
            pieces.append(self._slice(whole, within, size))
            offset += size
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _slice(self, whole: bytes, within: int, length: int) -> bytes:
        if not whole:
            return zeros(length)
        if within == 0 and length == len(whole):
            return whole
        if within + length > len(whole):
            raise damaged(self.source, f"a grain holds {len(whole):,} bytes where {within + length:,} are needed")
        return whole[within : within + length]

    def _load_grain(self, number: int) -> bytes:
        """A whole grain, b"" for one that reads as zeros."""
        sector = self._sector(number)
        if sector == 0:
            return b""
        at = sector * SECTOR
        if not self.header.markers:
            return self._inflate(memoryview(self.source.pread(at, 2 * self.grain)), number, at)
        found, data = self._stored(at, memoryview(self.source.pread(at, self.grain + _SLACK)))
        if found != number:
            lba = found * self.header.grain_sectors
            raise damaged(self.source, f"the marker of grain {number:,} at byte {at:,} names sector {lba:,}")
        return self._inflate(data, number, at)

    def check_grain(self, at: int, stored: memoryview) -> None:
        """See that a marked grain begins at byte `at`, is the one that the tables place there, and unpacks.

        `stored` is what is on hand of the file from there on; the rest is read. Raises ImageError.
        """
        number, data = self._stored(at, stored)
        if number * self.grain >= self.size or self._sector(number) * SECTOR != at:
            raise damaged(self.source, f"the grain at byte {at:,} is marked as number {number:,}, which is elsewhere")
        whole = self._inflate(data, number, at)
        self._slice(whole, 0, min(self.grain, self.size - number * self.grain))

    def _stored(self, at: int, stored: memoryview) -> tuple[int, memoryview]:
        """The number and the compressed bytes of the marked grain at byte `at`; `stored` as `check_grain` has it."""
        begin = layout.GRAIN_MARKER.size
        if len(stored) < begin:
            stored = memoryview(read_exact(self.source, at, begin, what="grain marker"))
        lba, size = layout.GRAIN_MARKER.unpack_from(stored)
        number, rest = divmod(lba, self.header.grain_sectors)
        if rest or not 0 < size <= 2 * self.grain:
            raise damaged(self.source, f"the grain marker at byte {at:,} names sector {lba:,}, {size:,} bytes")
        data = stored[begin : begin + size]
        return number, data if len(data) == size else memoryview(
            read_exact(self.source, at + begin, size, what="grain")
        )

    def _inflate(self, data: memoryview, number: int, at: int) -> bytes:
        """The grain's bytes; at most a grain of output whatever the input says."""
        inflater = isal_zlib.decompressobj()
        try:
            whole: bytes = inflater.decompress(data, self.grain + 1)
        except isal_zlib.IsalError as error:  # type: ignore[misc] # the stub declares an instance
            raise damaged(self.source, f"grain {number:,} at byte {at:,} does not decompress: {error}") from error
        if len(whole) > self.grain or not inflater.eof:
            raise damaged(
                self.source, f"the uncompressed data of grain {number:,} at byte {at:,} has an invalid length"
            )
        return whole

    def _sector(self, number: int) -> int:
        """The grain's place in the file, 0 for one that reads as zeros."""
        table_number, index = divmod(number, self._entries)
        offset = self.directory[table_number]
        if offset == 0:
            return 0
        sector = self._table(offset)[index]
        return 0 if sector == layout.GTE_ZEROED and self.zeroed else sector

    def _kind(self, entry: int) -> ExtentKind:
        if entry == 0:
            return ExtentKind.HOLE
        return ExtentKind.ZERO if entry == layout.GTE_ZEROED and self.zeroed else ExtentKind.ALLOCATED

    def load_table(self, offset: int, *, count: int = 1) -> bytes:
        """The grain table at sector `offset`, as it is stored; or `count` of them, one behind the other."""
        return read_exact(self.source, offset * SECTOR, count * self.table_bytes, what="grain table")

    def entries_of(self, data: bytes) -> array[int]:
        """The entries of a stored grain table: the sectors of its grains."""
        return as_table(data, order="little")

    def _load_table(self, offset: int) -> array[int]:
        return self.entries_of(self.load_table(offset))

    def _load_directory(self) -> array[int]:
        header = self.header
        entries = -(-header.capacity // (header.grain_sectors * header.table_entries))
        if entries * 4 > TABLE_LIMIT:
            raise damaged(self.source, f"its capacity of {header.capacity:,} sectors is more than any real disk's")
        try:
            return self.load_directory(header.gd_offset)
        except ImageError:
            if not (header.flags & layout.FLAG_REDUNDANT_TABLE and header.redundant_gd_offset):
                raise
            directory = self.load_directory(header.redundant_gd_offset)
            self.redundant_used = True
            return directory

    def load_directory(self, offset: int) -> array[int]:
        """The grain directory at sector `offset`. Raises ImageError where a table of it lies beyond the file."""
        entries = -(-self.header.capacity // (self.header.grain_sectors * self._entries))
        if offset == 0:
            raise damaged(self.source, "its header names no grain directory")
        directory = read_table(self.source, offset * SECTOR, entries, what="grain directory", order="little")
        furthest = max(directory) * SECTOR
        if furthest and furthest + self.table_bytes > self.source.size:
            entry = directory.index(furthest // SECTOR)
            what = f"grain table (entry {entry:,} of the grain directory at byte {offset * SECTOR:,})"
            raise truncated(self.source, furthest + self.table_bytes, what=what)
        # Tables that share their place would let a small file name an endless disk.
        if (entries - directory.count(0)) * self.table_bytes > self.source.size:
            raise damaged(self.source, "its grain directory names more grain tables than the file can hold")
        return directory
