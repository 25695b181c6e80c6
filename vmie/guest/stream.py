"""A range of bytes as the Python file object that libyal reads: cached in blocks, counted, never larger than it says.

libyal asks for a structure at a time (64 bytes, a sector, an inode). Behind it may stand a compressed
grain, so blocks are kept; a large read goes past the cache.
"""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Iterable
from typing import Protocol, runtime_checkable

from vmie.errors import ImageError
from vmie.guest.budget import Budget, OverBudget

_BLOCK = 64 << 10
_BLOCKS = 128
_DIRECT = 4 * _BLOCK


class Blocks(Protocol):
    """Anything with a size and positional reads: a disk, a partition, a logical volume."""

    size: int

    def read(self, offset: int, length: int) -> bytes:
        """The bytes of ``[offset, offset+length)`` that lie within; raises ImageError when they cannot be had."""


@runtime_checkable
class Layered(Protocol):
    """Blocks that are others' blocks in another order."""

    def beneath(self, offset: int, length: int) -> Iterable[tuple[Blocks, int, int]]:
        """(blocks, offset, length) of the pieces that ``[offset, offset+length)`` is made of; raises ImageError."""


class Slice:
    """`length` bytes of `blocks` from `start`: a partition. A range that sticks out of its disk is cut."""

    def __init__(self, blocks: Blocks, *, start: int, length: int) -> None:
        self._blocks = blocks
        self.start = start
        self.size = max(0, min(length, blocks.size - start))

    def read(self, offset: int, length: int) -> bytes:
        """See `Blocks.read`."""
        length = min(length, self.size - offset)
        return self._blocks.read(self.start + offset, length) if length > 0 and offset >= 0 else b""

    def beneath(self, offset: int, length: int) -> Iterable[tuple[Blocks, int, int]]:
        """See `Layered.beneath`."""
        return ((self._blocks, self.start + offset, length),)


class Cached:
    """Another's blocks behind a cache of 8 MiB; every byte fetched is counted in `budget`."""

    def __init__(self, blocks: Blocks, *, budget: Budget) -> None:
        self._blocks = blocks
        self._budget = budget
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self.size = blocks.size

    def read(self, offset: int, length: int) -> bytes:
        """See `Blocks.read`; raises OverBudget."""
        length = min(length, self.size - offset)
        if length <= 0 or offset < 0:
            return b""
        number, skip = divmod(offset, _BLOCK)
        if skip + length <= _BLOCK:
            return self._block(number)[skip : skip + length]
        if length >= _DIRECT:
            return self._fetch(offset, length)
        last = (offset + length - 1) // _BLOCK
        joined = b"".join(self._block(index) for index in range(number, last + 1))
        return joined[skip : skip + length]

    def forget(self) -> None:
        """Let go of what is kept: 8 MiB that a cycle would hold on to until the next collection."""
        self._kept.clear()

    def _block(self, number: int) -> bytes:
        kept = self._kept.get(number)
        if kept is not None:
            self._kept.move_to_end(number)
            return kept
        data = self._fetch(number * _BLOCK, min(_BLOCK, self.size - number * _BLOCK))
        self._kept[number] = data
        if len(self._kept) > _BLOCKS:
            self._kept.popitem(last=False)
        return data

    def _fetch(self, offset: int, length: int) -> bytes:
        self._budget.spend(length)
        return self._blocks.read(offset, length)


class Stream:
    """The file object over `blocks`. libyal turns what a read raises into its own error: `failure` keeps the cause."""

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks
        self._at = 0
        self._left = 0
        self.failure: ImageError | OverBudget | None = None

    def allow(self, length: int) -> None:
        """Let `length` bytes be read until the next call: one look-up cannot take in a directory of gigabytes."""
        self._left = length

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes from the current position."""
        if size < 0:
            size = self._blocks.size - self._at
        self._left -= size
        if self._left < 0:
            self.failure = ImageError("its structures are larger than any that an operating system needs")
            raise OSError(str(self.failure))
        try:
            data = self._blocks.read(self._at, size)
        except (ImageError, OverBudget) as error:
            self.failure = error
            raise OSError(str(error)) from error
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move the position."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._blocks.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        """The position."""
        return self._at

    def get_size(self) -> int:
        """The size in bytes, as libbfio asks for it."""
        return self._blocks.size
