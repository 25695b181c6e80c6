"""Which blocks of a disk are to be written into an EBS snapshot.

A block that is never written reads as zeros from the snapshot and from a volume of it - but where an encrypted volume
or AMI is made of it, as what its key makes of zeros (https://github.com/awslabs/coldsnap/issues/470): garbage. A file
system may rely on zeros in what it calls in use, and nobody but the file system can tell what is not. So, by `zeros`:

    all    every block
    used   (default) every block but those that are zeros and wholly free by their file system's own bitmap
    none   every block that is not zeros: right only where nobody ever encrypts the snapshot, a copy or a launch of it

A block that is not zeros is written in all three, deleted files with it: a snapshot's bytes are the disk's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from vmie.disk.base import Disk
from vmie.guest.free.bits import Bits
from vmie.guest.free.free_map import FreeSpace
from vmie.guest.free.space import free_space
from vmie.model import ExtentKind

#: bytes of a block of EBS: always whole bytes of `FreeSpace.granules`
BLOCK = 512 << 10


class BlockPlan:
    """Of the blocks of a disk, which are written, which only if they are not zeros; two bits of memory for each.

    Iterate for ``(index, always)`` in order: read block `index`, and write it if `always` or a byte of it is not 0.
    Blocks that are left out are never asked for. The last block may reach beyond the disk's end: with zeros.
    """

    def __init__(self, count: int, asked: Bits, always: Bits) -> None:
        self._asked, self._always = asked, always
        #: the blocks of the disk, up to its end
        self.count = count
        #: blocks that are written whatever they hold, and blocks that are written if they are not zeros
        self.certain = always.count()
        self.possible = asked.count() - self.certain

    def __iter__(self) -> Iterator[tuple[int, bool]]:
        always = self._always.raw
        for first, stop in self._asked.runs(0, len(self._asked.raw)):
            for index in range(first, stop):
                yield index, bool(always[index >> 3] & 1 << (index & 7))

    def __getitem__(self, index: int) -> bool | None:
        """Whether the block is always written; None when it never is. Raises IndexError."""
        if not 0 <= index < self.count:
            raise IndexError(index)
        return self._always[index] if self._asked[index] else None


def block_plan(disk: Disk, *, zeros: str = "used", free: FreeSpace | None = None) -> BlockPlan:
    """Which blocks of `disk` a snapshot needs, by `zeros`: all, used or none.

    Reads the file systems' own maps and the container's extents, no data. `free` is the disk's, where it was asked
    for already with the other disks of its machine (a volume group may span them). No file system that is understood
    and clean: every block counts as used. Raises ImageError where the container is damaged.
    """
    count = -(-disk.size // BLOCK)
    asked, always = Bits(count), Bits(count)
    if zeros != "none":
        asked.fill(0, count, value=True)
        always.fill(0, count, value=True)
    if zeros == "all":
        return BlockPlan(count, asked, always)
    if zeros == "used":
        for first, stop in _free_blocks(free if free is not None else free_space([disk])[0]):
            asked.fill(first, stop, value=False)
            always.fill(first, stop, value=False)
    for extent in disk.extents():
        if extent.kind is ExtentKind.ALLOCATED and extent.length > 0:
            asked.fill(extent.offset // BLOCK, min(count, -(-extent.end // BLOCK)), value=True)
    return BlockPlan(count, asked, always)


def _free_blocks(free: FreeSpace) -> Iterator[tuple[int, int]]:
    """Runs of blocks that are wholly free: (first, stop)."""
    width = BLOCK // (8 * free.granule)
    for run in re.finditer(rb"\xff{%d,}" % width, free.granules.raw):
        first, stop = -(-run.start() // width), run.end() // width
        if first < stop:
            yield first, stop
