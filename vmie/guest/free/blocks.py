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
from vmie.guest.free.free_map import FreeSpace
from vmie.guest.free.space import free_space
from vmie.model import ExtentKind

#: bytes of a block of EBS: always whole bytes of `FreeSpace.granules`
BLOCK = 512 << 10
_NEVER, _IF_NOT_ZERO, _ALWAYS = 0, 1, 2
_TO_ASK = re.compile(rb"[\x01\x02]+")
_HOLDS_DATA = bytes([_IF_NOT_ZERO, _IF_NOT_ZERO, _ALWAYS]) + bytes(253)


class BlockPlan:
    """Of the blocks of a disk, which are written, which only if they are not zeros; a byte of memory for each.

    Iterate for ``(index, always)`` in order: read block `index`, and write it if `always` or a byte of it is not 0.
    Blocks that are left out are never asked for. The last block may reach beyond the disk's end: with zeros.
    """

    def __init__(self, marks: bytes, free: FreeSpace) -> None:
        self._marks = marks
        #: what was found free, and why what is not known counts as in use
        self.free = free
        #: the blocks of the disk, up to its end
        self.count = len(marks)
        #: blocks that are written whatever they hold, and blocks that are written if they are not zeros
        self.certain = marks.count(_ALWAYS)
        self.possible = marks.count(_IF_NOT_ZERO)

    def __iter__(self) -> Iterator[tuple[int, bool]]:
        return self.starting(0)

    def starting(self, first: int) -> Iterator[tuple[int, bool]]:
        """The same from block `first` on."""
        for run in _TO_ASK.finditer(self._marks, first):
            for index in range(run.start(), run.end()):
                yield index, self._marks[index] == _ALWAYS

    def __getitem__(self, index: int) -> bool | None:
        """Whether the block is always written; None when it never is. Raises IndexError."""
        return None if self._marks[index] == _NEVER else self._marks[index] == _ALWAYS


def block_plan(disk: Disk, *, zeros: str = "used", free: FreeSpace | None = None) -> BlockPlan:
    """Which blocks of `disk` a snapshot needs, by `zeros`: all, used or none.

    Reads the file systems' own maps and the container's extents, no data. `free` is the disk's, where it was asked
    for already with the other disks of its machine (a volume group may span them). No file system that is understood
    and clean: every block counts as used. Raises ImageError where the container is damaged.
    """
    count = -(-disk.size // BLOCK)
    if zeros == "all":
        return BlockPlan(bytes([_ALWAYS]) * count, FreeSpace())
    if zeros == "none":
        free, marks = FreeSpace(), bytearray(count)
    else:
        free = free if free is not None else free_space([disk])[0]
        marks = bytearray([_ALWAYS]) * count
        for first, stop in _free_blocks(free):
            marks[first:stop] = bytes(stop - first)
    for extent in disk.extents():
        if extent.kind is ExtentKind.ALLOCATED and extent.length > 0:
            first, stop = extent.offset // BLOCK, -(-extent.end // BLOCK)
            marks[first:stop] = marks[first:stop].translate(_HOLDS_DATA)
    return BlockPlan(bytes(marks), free)


def _free_blocks(free: FreeSpace) -> Iterator[tuple[int, int]]:
    """Runs of blocks that are wholly free: (first, stop)."""
    width = BLOCK // (8 * free.granule)
    for run in re.finditer(rb"\xff{%d,}" % width, free.granules):
        first, stop = -(-run.start() // width), run.end() // width
        if first < stop:
            yield first, stop
