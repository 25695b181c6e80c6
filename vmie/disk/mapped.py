"""Disks kept as blocks that a table finds: what VHDX, VDI and qcow2 have in common.

    virtual offset ──► table entry ──► MappedRun(kind, host offset) ──► one pread for all runs that lie side by side

A format says where its blocks lie (`MappedDisk._runs`); joining, bounds, coalescing and the error
for a block beyond the end of the file are here, once. Tables are read a page at a time and kept in
a bounded cache, so memory does not grow with the disk.
"""

from __future__ import annotations

import sys
import threading
from abc import abstractmethod
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from vmie.disk.base import Disk, Source
from vmie.disk.extents import coalesced, zeros
from vmie.disk.reading import damaged, within
from vmie.model import Extent, ExtentKind

#: Entries of a flat block table read at once: 64 KiB of 64-bit entries.
PAGE_ENTRIES = 8192

#: Tables of more pages than this are not counted when a disk is opened.
_COUNTED_PAGES = 16

_CACHE_BYTES = 8 << 20


class MappedRun(NamedTuple):
    """`length` bytes of one kind.

    `host` is where they lie in the file, -1 when they read as zeros. `packed`, where not 0, is the
    format's own descriptor of compressed bytes, and `host` then the first byte's offset within the
    unpacked cluster.
    """

    length: int
    kind: ExtentKind
    host: int = -1
    packed: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """Table entries in the machine's byte order; `uniform` when all are equal."""

    entries: array[int]
    uniform: bool


def page_of(data: bytes, typecode: str, *, big_endian: bool = False) -> Page:
    """Turn on-disk integers (`typecode` I or Q) into a page."""
    entries: array[int] = array(typecode, data)
    if big_endian != (sys.byteorder == "big"):
        entries.byteswap()
    width = entries.itemsize
    return Page(entries, data[width:] == data[:-width])


class PageCache:
    """The last pages used, by key, up to about `budget` bytes; safe to use from any thread."""

    def __init__(self, load: Callable[[int], Page], *, budget: int = _CACHE_BYTES) -> None:
        self._load = load
        self._budget = budget
        self._held = 0
        self._pages: OrderedDict[int, Page] = OrderedDict()
        self._lock = threading.Lock()

    def __getitem__(self, key: int) -> Page:
        with self._lock:
            page = self._pages.get(key)
            if page is not None:
                self._pages.move_to_end(key)
                return page
        page = self._load(key)  # outside the lock: two threads may load the same page, which does no harm
        with self._lock:
            if key not in self._pages:
                self._pages[key] = page
                self._held += _weight(page)
                while self._held > self._budget and len(self._pages) > 1:
                    self._held -= _weight(self._pages.popitem(last=False)[1])
        return page


def _weight(page: Page) -> int:
    return len(page.entries) * page.entries.itemsize + 128


class MappedDisk(Disk):
    """A disk whose bytes a table finds in `source`."""

    #: the fewest bytes that a compressed run of this format takes in the file
    least_packed = 1

    @abstractmethod
    def _runs(self, offset: int, length: int) -> Iterator[MappedRun]:
        """The runs of exactly ``[offset, offset+length)``, in order; they need not be coalesced."""

    def runs(self, offset: int, length: int) -> Iterator[tuple[int, ExtentKind]]:
        """(length, kind) of the bytes ``[offset, offset+length)``, in order."""
        return ((run.length, run.kind) for run in self._runs(offset, length))

    def _unpack(self, run: MappedRun) -> bytes:
        """The bytes of a compressed run."""
        raise damaged(self.source, f"compressed data at {run.packed} in a format that has none")

    def read(self, offset: int, length: int) -> bytes:
        """See `Disk.read`."""
        length = within(offset, length, self.size)
        if not length:
            return b""
        pieces: list[bytes] = []
        start = pending = 0  # the plain bytes met last, not read yet
        for run in self._runs(offset, length):
            if pending:
                if run.host == start + pending and not run.packed:
                    pending += run.length
                    continue
                pieces.append(self._pread(start, pending))
                pending = 0
            if run.packed:
                pieces.append(self._unpack(run))
            elif run.host < 0:
                pieces.append(zeros(run.length))
            else:
                start, pending = run.host, run.length
        if pending:
            pieces.append(self._pread(start, pending))
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def extents(self) -> Iterator[Extent]:
        """See `Disk.extents`. Raises ImageError where a block lies beyond the file or blocks must overlap."""
        return coalesced(self._checked(), self.size)

    def _checked(self) -> Iterator[tuple[int, ExtentKind]]:
        stored = 0
        for run in self._runs(0, self.size):
            if run.packed:
                stored += self.least_packed
                self._within(0, 0, stored)
            elif run.host >= 0:
                stored += run.length
                self._within(run.host, run.length, stored)
            yield run.length, run.kind

    def _within(self, host: int, length: int, stored: int) -> None:
        size = self.source.size
        if host + length > size:
            why = f"a block of data at byte {host} (+{length}) lies beyond the end of the file ({size})"
            raise damaged(self.source, why)
        if stored > size:
            why = f"its tables place more than {size} bytes of data, all there is in the file: blocks overlap"
            raise damaged(self.source, why)

    def _pread(self, host: int, length: int) -> bytes:
        data = self.source.pread(host, length)
        if len(data) != length:
            self._within(host, length, 0)
            raise damaged(self.source, f"{length} bytes at {host} could not be read in full")
        return data


class BlockDisk(MappedDisk):
    """A disk of equal blocks behind one flat table.

    A derived class sets `block_size` and `blocks`, says what an entry means (`_place`) and reads
    pages of `per_page` entries (`_load`).
    """

    block_size: int
    blocks: int
    per_page = PAGE_ENTRIES

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self._pages = PageCache(self._load)

    @abstractmethod
    def _load(self, number: int) -> Page:
        """Page `number`: the entries of blocks ``number*per_page …``, fewer on the last page."""

    @abstractmethod
    def _place(self, entry: int) -> tuple[ExtentKind, int]:
        """An entry's kind, and its block's offset in the file (-1: none)."""

    def _runs(self, offset: int, length: int) -> Iterator[MappedRun]:
        end = offset + length
        size = self.block_size
        while offset < end:
            block, skip = divmod(offset, size)
            number, slot = divmod(block, self.per_page)
            page = self._pages[number]
            if page.uniform:
                kind, host = self._place(page.entries[0])
                if host < 0:
                    part = min(end, (number * self.per_page + len(page.entries)) * size) - offset
                    yield MappedRun(part, kind)
                    offset += part
                    continue
            for entry in page.entries[slot : slot + (end - offset + skip + size - 1) // size]:
                part = min(size - skip, end - offset)
                kind, host = self._place(entry)
                yield MappedRun(part, kind, host + skip if host >= 0 else -1)
                offset += part
                skip = 0

    def _bound_allocated(self, *nothing: int) -> int:
        """An upper bound of the bytes that hold data; `nothing` are the usual entries of blocks without."""
        bound = min(self.size, self.source.size)
        pages = -(-self.blocks // self.per_page)
        if pages > _COUNTED_PAGES:
            return bound
        held = 0
        for number in range(pages):
            page = self._pages[number]
            if page.uniform and page.entries[0] in nothing:
                continue
            held += len(page.entries) - sum(page.entries.count(entry) for entry in nothing)
        return min(bound, held * self.block_size)
