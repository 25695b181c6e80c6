"""Changed ranges over a disk: a disk itself, which every reader and writer takes. What lies below is never written.

write(offset, data) ──► ranges, in order, joined where they touch
read(offset, length) ──► the disk below, with the ranges over it
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

from vmie.disk.base import Disk
from vmie.disk.extents import coalesced
from vmie.disk.reading import within
from vmie.disk.tables import TableFault
from vmie.model import Extent, ExtentKind

#: bytes that an overlay keeps in memory: a mend is a few files, an initramfs the largest of them
LIMIT = 1 << 30


class Overlay(Disk):
    """`base` with changes that can be taken off. Closing it closes `base`. Thread-safe."""

    def __init__(self, base: Disk) -> None:
        super().__init__(base.source)
        self.base = base
        self.format, self.variant, self.size = base.format, base.variant, base.size
        self.facts = base.facts
        self._starts: list[int] = []
        self._data: list[bytes] = []
        self._held = 0
        self._lock = threading.Lock()

    @property
    def allocated_size(self) -> int:  # type: ignore[override]
        """An upper bound of the bytes that hold data."""
        return min(self.size, self.base.allocated_size + self._held)

    def write(self, offset: int, data: bytes) -> None:
        """Change ``[offset, offset+len(data))``.

        Raises ValueError beyond the disk, MemoryError beyond `LIMIT` bytes of changes.
        """
        if offset < 0 or offset + len(data) > self.size:
            raise ValueError(f"a disk of {self.size} bytes has none at {offset} (+{len(data)})")
        if not data:
            return
        with self._lock:
            end = offset + len(data)
            # those that touch the new range become one with it
            first = bisect_left(self._ends(), offset)
            last = bisect_right(self._starts, end)
            if first < last:
                start, head = self._starts[first], self._data[first]
                tail = self._data[last - 1][max(0, end - self._starts[last - 1]) :]
                data = head[: max(0, offset - start)] + data + tail
                offset = min(offset, start)
            held = self._held - sum(map(len, self._data[first:last])) + len(data)
            if held > LIMIT:
                raise MemoryError(f"more than {LIMIT} bytes of changes")
            self._held = held
            self._starts[first:last] = [offset]
            self._data[first:last] = [data]

    def _ends(self) -> list[int]:
        return [start + len(data) for start, data in zip(self._starts, self._data, strict=True)]

    def clear(self) -> None:
        """Take every change off."""
        with self._lock:
            self._starts, self._data, self._held = [], [], 0

    def changes(self) -> list[tuple[int, bytes]]:
        """(offset, bytes) of each range, in order, apart from each other."""
        with self._lock:
            return list(zip(self._starts, self._data, strict=True))

    def read(self, offset: int, length: int) -> bytes:
        """See `Disk.read`."""
        end = offset + within(offset, length, self.size)
        changed = list(self._between(offset, end))
        if not changed:
            return self.base.read(offset, end - offset)
        if len(changed) == 1 and changed[0][0] <= offset and changed[0][0] + len(changed[0][1]) >= end:
            start, data = changed[0]
            return data[offset - start : end - start]
        found = bytearray(self.base.read(offset, end - offset))
        for start, data in changed:
            low, high = max(start, offset), min(start + len(data), end)
            found[low - offset : high - offset] = data[low - start : high - start]
        return bytes(found)

    def _between(self, offset: int, end: int) -> Iterator[tuple[int, bytes]]:
        with self._lock:
            first = bisect_right(self._starts, offset) - 1
            first = max(0, first)
            found = list(zip(self._starts[first:], self._data[first:], strict=True))
        for start, data in found:
            if start >= end:
                return
            if start + len(data) > offset:
                yield start, data

    def extents(self) -> Iterator[Extent]:
        """See `Disk.extents`: what is changed holds data."""
        changed = [(start, start + len(data)) for start, data in self.changes()]
        return coalesced(_over(self.base.extents(), changed), self.size)

    def table_faults(self) -> Iterator[TableFault]:
        """See `Disk.table_faults`: those of the disk below."""
        return self.base.table_faults()

    def close(self) -> None:
        """Close the disk below."""
        self.base.close()


class Differences(Disk):
    """Only what an overlay changed, in whole units of `unit` bytes; holes else. For a file over the disk below."""

    def __init__(self, overlay: Overlay, *, unit: int) -> None:
        super().__init__(overlay.source)
        self.format, self.variant, self.size = overlay.format, overlay.variant, overlay.size
        self._overlay = overlay
        self._unit = unit

    @property
    def allocated_size(self) -> int:  # type: ignore[override]
        """The bytes of all units that were changed."""
        return sum(end - start for start, end in self._changed())

    def _changed(self) -> Iterator[tuple[int, int]]:
        end = 0
        for start, data in self._overlay.changes():
            first = max(end, start // self._unit * self._unit)
            end = max(end, min(self.size, -(-(start + len(data)) // self._unit) * self._unit))
            if first < end:
                yield first, end

    def read(self, offset: int, length: int) -> bytes:
        """See `Disk.read`: as the overlay has it."""
        return self._overlay.read(offset, length)

    def extents(self) -> Iterator[Extent]:
        """See `Disk.extents`."""
        hole = iter([Extent(0, self.size, ExtentKind.HOLE)])
        return coalesced(_over(hole, list(self._changed())), self.size)


def _over(extents: Iterable[Extent], changed: list[tuple[int, int]]) -> Iterator[tuple[int, ExtentKind]]:
    """(length, kind) of `extents` with the ranges `changed` on top."""
    index = 0
    for extent in extents:
        at = extent.offset
        while at < extent.end:
            while index < len(changed) and changed[index][1] <= at:
                index += 1
            start, stop = changed[index] if index < len(changed) else (extent.end, extent.end)
            if start <= at < stop:
                end, kind = min(stop, extent.end), ExtentKind.ALLOCATED
            else:
                end, kind = min(start, extent.end), extent.kind
            yield end - at, kind
            at = end
