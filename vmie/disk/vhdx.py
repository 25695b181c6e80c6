"""VHDX: Hyper-V's disk format, fixed and dynamic. Source: [MS-VHDX] v20.

BAT entries of payload blocks are interleaved with one sector-bitmap entry after every *chunk
ratio* of them (2.5.1); the bitmaps matter to differencing disks only, which are refused.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator

from vmie.disk import tables
from vmie.disk import vhdx_layout as layout
from vmie.disk.base import Source
from vmie.disk.mapped import PAGE_ENTRIES, BlockDisk, Page, page_of
from vmie.disk.reading import NEEDS_PARENT, damaged, read_exact
from vmie.disk.refusals import refused
from vmie.disk.tables import MOST_BYTES, TableFault, Taken, misplaced
from vmie.model import ExtentKind

_FULLY_PRESENT = 6
#: [MS-VHDX] 2.5.1.1. What "undefined" and "unmapped" blocks read as is open; zeros is what Hyper-V and qemu give.
_ALONE = "a disk without a parent cannot have"
_NOTHING = {0: ExtentKind.HOLE, 1: ExtentKind.HOLE, 2: ExtentKind.ZERO, 3: ExtentKind.HOLE}
_STATES = frozenset((*_NOTHING, _FULLY_PRESENT))


def probe(source: Source) -> bool:
    """Whether the file begins as a VHDX does."""
    return source.pread(0, 8) == layout.SIGNATURE


def open_source(source: Source) -> VhdxDisk:
    """Read headers, regions and metadata; raises ImageError, also for dirty logs and differencing disks."""
    return VhdxDisk(source)


class VhdxDisk(BlockDisk):
    """A fixed or dynamic VHDX."""

    format = "vhdx"

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        if not probe(source):
            raise damaged(source, "it does not begin with the VHDX signature")
        header = layout.read_header(source)
        if layout.log_waits(source, header):
            raise _dirty(source)
        self._bat, metadata_region = layout.read_regions(source)
        self._regions = {"the BAT": self._bat, "the metadata": metadata_region}
        if header.log_length:
            self._regions["the log"] = header.log_region
        metadata = layout.read_metadata(source, metadata_region)
        if metadata.has_parent:
            raise _differencing(source)
        self.variant = "fixed" if metadata.fixed else "dynamic"
        self.size = metadata.disk_size
        self.block_size = metadata.block_size
        self.blocks = -(-self.size // self.block_size)
        self._ratio = (metadata.logical_sector << 23) // self.block_size
        self._check_bat()
        self.per_page = max(1, PAGE_ENTRIES // (self._ratio + 1)) * self._ratio
        self.allocated_size = self._bound_allocated(*_NOTHING)
        self.facts = {
            "block_size": self.block_size,
            "logical_sector_size": metadata.logical_sector,
            "physical_sector_size": metadata.physical_sector,
            "creator": layout.creator(source),
            "log": "clean" if header.log is None else "empty",
        }

    def table_faults(self) -> Iterator[TableFault]:
        """See `Disk.table_faults`: states that exist, blocks and regions apart from each other."""
        yield from layout.region_faults(self.source, self._regions)
        taken = tuple(Taken(one.offset, one.offset + one.length, what) for what, one in self._regions.items())
        hosts = array("Q")
        for number in range(-(-self.blocks // self.per_page)):
            page = self._pages[number]
            if page.uniform and page.entries[0] == 0:
                continue
            hosts.extend(entry >> 20 << 20 for entry in page.entries if entry & 7 == _FULLY_PRESENT)
            if number * self.per_page * 8 > MOST_BYTES:
                yield self._fault(number * self.per_page, unread=True)
                return
            if not {entry & 7 for entry in set(page.entries)} <= _STATES:
                slot = next(at for at, entry in enumerate(page.entries) if entry & 7 not in _STATES)
                yield self._fault(number * self.per_page + slot, f"has state {page.entries[slot] & 7}, which {_ALONE}")
        # The last block needs no more of the file than the disk has of it.
        slack = self.blocks * self.block_size - self.size
        for host, why in misplaced(hosts, self.block_size, end=self.source.size + slack, taken=taken):
            yield self._fault(self._block_at(host), why)

    def _block_at(self, host: int) -> int:
        """The first block that lies at `host`."""
        for number in range(-(-self.blocks // self.per_page)):
            for slot, entry in enumerate(self._pages[number].entries):
                if entry & 7 == _FULLY_PRESENT and entry >> 20 << 20 == host:
                    return number * self.per_page + slot
        raise ValueError(f"no block lies at {host}")

    def _fault(self, block: int, why: str = "", *, unread: bool = False) -> TableFault:
        entry = block + block // self._ratio
        place = self._bat.offset + 8 * entry
        if unread:
            return tables.unread("BAT", entry, place, layout.SPECIFICATION)
        return TableFault("BAT", entry, place, why, layout.SPECIFICATION)

    def _check_bat(self) -> None:
        entries = self.blocks + max(0, self.blocks - 1) // self._ratio
        if entries * 8 > self._bat.length:
            why = f"its BAT has room for {self._bat.length // 8} entries; the disk's size needs {entries}"
            raise damaged(self.source, why)

    def _load(self, number: int) -> Page:
        chunk = self._ratio + 1
        first = number * self.per_page // self._ratio * chunk
        blocks = min(self.per_page, self.blocks - number * self.per_page)
        count = blocks + (blocks - 1) // self._ratio
        data = read_exact(self.source, self._bat.offset + 8 * first, 8 * count, what="BAT")
        page = page_of(data, "Q")
        if count == blocks:
            return page
        entries: array[int] = page.entries
        del entries[self._ratio :: chunk]
        return Page(entries, entries.count(entries[0]) == len(entries))

    def _place(self, entry: int) -> tuple[ExtentKind, int]:
        state = entry & 7
        if state == _FULLY_PRESENT:
            host = entry >> 20 << 20
            if host < layout.MIB:
                raise damaged(self.source, f"BAT entry {entry:#x} places a block upon the file's header")
            return ExtentKind.ALLOCATED, host
        kind = _NOTHING.get(state)
        if kind is None:
            why = f"BAT entry {entry:#x} has state {state}, which {_ALONE}"
            raise damaged(self.source, why)
        return kind, -1


def _dirty(source: Source) -> Exception:
    return refused(
        source,
        "a VHDX with a dirty log",
        cause="it was not closed cleanly: its log holds changes that are not yet in their place",
        cure="start and shut down the machine cleanly, or mount and dismount the disk in Hyper-V (Mount-VHD, "
        "Dismount-VHD), or run `qemu-img check -r all FILE` on a copy; then try again",
    )


def _differencing(source: Source) -> Exception:
    return refused(
        source,
        "a differencing VHDX",
        cause="it holds only what changed since its parent disk",
        cure="merge it into its parent (Merge-VHD, or delete the checkpoint in Hyper-V) and use the merged disk",
        code=NEEDS_PARENT,
    )
