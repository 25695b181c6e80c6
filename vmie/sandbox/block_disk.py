"""A disk made of blocks: what a volume shows that was made of a snapshot written block by block."""

from __future__ import annotations

from collections.abc import Iterator

from vmie.disk.base import Disk
from vmie.model import Extent, ExtentKind
from vmie.sandbox.block_pool import BLOCK
from vmie.sandbox.block_store import BlockSource
from vmie.sandbox.storage import Blob


class BlocksDisk(Disk):
    """A disk of blocks, as a volume shows them."""

    format, variant = "raw", "blocks"

    def __init__(self, blocks: BlockSource, size: int) -> None:
        super().__init__(Blob([]))
        self._blocks = blocks
        self.size = size
        self.allocated_size = min(blocks.count() * BLOCK, size)

    def read(self, offset: int, length: int) -> bytes:
        """See `Disk.read`."""
        end, out = min(offset + length, self.size), []
        while offset < end:
            index, within = divmod(offset, BLOCK)
            take = min(BLOCK - within, end - offset)
            out.append(self._blocks.read(index)[within : within + take])
            offset += take
        return b"".join(out)

    def extents(self) -> Iterator[Extent]:
        """See `Disk.extents`."""
        if self._blocks.noisy:
            yield Extent(0, self.size, ExtentKind.ALLOCATED)
            return
        at = 0
        for first, end in _runs(self._blocks.written()):
            offset, until = first * BLOCK, min(end * BLOCK, self.size)
            if offset >= self.size:
                break
            if offset > at:
                yield Extent(at, offset - at, ExtentKind.HOLE)
            yield Extent(offset, until - offset, ExtentKind.ALLOCATED)
            at = until
        if at < self.size:
            yield Extent(at, self.size - at, ExtentKind.HOLE)


def _runs(indexes: Iterator[int]) -> Iterator[tuple[int, int]]:
    """First and end of each run of neighbours."""
    first = end = -1
    for index in indexes:
        if index != end:
            if end >= 0:
                yield first, end
            first = index
        end = index + 1
    if end >= 0:
        yield first, end
