"""A disk whose free space reads as zeros: what was deleted is neither sent nor published."""

from __future__ import annotations

from collections.abc import Iterator

from vmie.disk.base import Disk
from vmie.disk.extents import coalesced, zeros
from vmie.disk.tables import TableFault
from vmie.guest.free.free_map import FreeSpace
from vmie.guest.free.space import free_space
from vmie.model import Extent, ExtentKind


class ZeroedDisk(Disk):
    """`disk` with zeros wherever `free` says so; closes `disk`. `left_out`: bytes of its data that are free."""

    def __init__(self, disk: Disk, free: FreeSpace) -> None:
        super().__init__(disk.source)
        self._disk = disk
        self._free = free
        self.format, self.variant, self.facts = disk.format, disk.variant, disk.facts
        self.size = disk.size
        self.left_out = sum(
            end - start
            for extent in disk.extents()
            if extent.kind is ExtentKind.ALLOCATED
            for start, end in free.within(extent.offset, extent.end)
        )
        self.allocated_size = max(0, disk.allocated_size - self.left_out)

    def read(self, offset: int, length: int) -> bytes:
        """See `Disk.read`; what is free is not read."""
        end = min(offset + length, self.size)
        free = list(self._free.within(offset, end)) if length > 0 else []
        if not free:
            return self._disk.read(offset, length)
        first = free[0][1] if free[0][0] == offset else offset
        last = max(first, free[-1][0]) if free[-1][1] == end else end
        data = bytearray(zeros(end - offset))
        data[first - offset : last - offset] = self._disk.read(first, last - first)
        for start, stop in free:
            data[start - offset : stop - offset] = zeros(stop - start)
        return bytes(data)

    def extents(self) -> Iterator[Extent]:
        """See `Disk.extents`."""
        return coalesced(self._pieces(), self.size)

    def _pieces(self) -> Iterator[tuple[int, ExtentKind]]:
        for extent in self._disk.extents():
            if extent.kind is not ExtentKind.ALLOCATED:
                yield extent.length, extent.kind
                continue
            at = extent.offset
            for start, end in self._free.within(extent.offset, extent.end):
                yield start - at, ExtentKind.ALLOCATED
                yield end - start, ExtentKind.ZERO
                at = end
            yield extent.end - at, ExtentKind.ALLOCATED

    def table_faults(self) -> Iterator[TableFault]:
        """See `Disk.table_faults`."""
        return self._disk.table_faults()

    def close(self) -> None:
        """Close the disk."""
        self._disk.close()


def without_free(disk: Disk) -> Disk:
    """`disk` with zeros for what its file systems call free; itself where none is, or it can be read forward only.

    The bytes depend on the content alone. Raises ImageError where the container is damaged.
    """
    if disk.facts.get("forward_only"):
        return disk
    (free,) = free_space([disk])
    return ZeroedDisk(disk, free) if free.size else disk


def left_out(disk: Disk) -> int:
    """Bytes of data of which `disk` shows zeros instead."""
    return disk.left_out if isinstance(disk, ZeroedDisk) else 0
