"""What a snapshot or a volume holds, in blocks of 512 KiB: written one by one, or those of a disk.

Written blocks lie in a `BlockPool`; a table for each snapshot says which is where.
Blocks of zeros take no place there. The table is made in pages: 16 TiB with a few blocks in them cost a few KiB.
"""

from __future__ import annotations

import hashlib
import threading
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Iterator

from vmie.disk.base import Disk
from vmie.model import ExtentKind
from vmie.sandbox.block_pool import BLOCK, BlockPool

ZEROS = bytes(BLOCK)
_ZERO_DIGEST = hashlib.sha256(ZEROS).digest()
_PAGE = 1024
_ABSENT, _ZERO = 0, -1


class BlockSource(ABC):
    """Blocks by index; `lineage` is equal for those that descend from one snapshot or volume."""

    lineage: object
    #: reads as garbage where nobody wrote
    noisy = False

    @abstractmethod
    def written(self, start: int = 0) -> Iterator[int]:
        """The indexes of the blocks that somebody wrote, ascending, from `start` on."""

    @abstractmethod
    def has(self, index: int) -> bool:
        """Was this one written?"""

    @abstractmethod
    def read(self, index: int) -> bytes:
        """All of a block's bytes; what was never written is zeros, and garbage once encrypted."""

    def digest(self, index: int) -> bytes:
        """The block's SHA-256."""
        return hashlib.sha256(self.read(index)).digest()

    def place(self, index: int) -> tuple[object, int]:
        """Where the bytes of a written block lie: blocks in one place are equal."""
        return self, index

    def count(self) -> int:
        """How many blocks were written."""
        return sum(1 for _ in self.written())

    def encrypted(self, key: str) -> BlockSource:
        """The same when a volume or snapshot is encrypted that was not before; `key` is what names that moment."""
        del key
        return self


class WrittenBlocks(BlockSource):
    """Blocks put one by one, over those of a `parent`. Thread-safe.

    `garbage` names the key of what was encrypted from the beginning, "" for what is not.
    """

    def __init__(self, pool: BlockPool, *, parent: BlockSource | None = None, garbage: str = "") -> None:
        self._pool = pool
        self.lineage = parent.lineage if parent else object()
        self.noisy = bool(garbage) or (parent is not None and parent.noisy)
        self._parent = parent
        self._garbage = garbage
        self._pages: dict[int, array[int]] = {}
        self._lock = threading.Lock()
        self.own = 0  #: how many were put here

    def __del__(self) -> None:
        # nobody reads it any more: its children have it for a parent
        self._pool.give_back(slot for page in self._pages.values() for slot in page if slot > 0)

    def put(self, index: int, data: bytes, digest: bytes) -> None:
        """Write a block, or write it again."""
        slot = _ZERO if digest == _ZERO_DIGEST else self._pool.store(data, digest)
        with self._lock:
            page = self._pages.get(index // _PAGE)
            if page is None:
                page = self._pages[index // _PAGE] = array("q", bytes(8 * _PAGE))
            before, page[index % _PAGE] = page[index % _PAGE], slot
            self.own += before == _ABSENT
        if before > 0:
            self._pool.give_back([before])

    def written(self, start: int = 0) -> Iterator[int]:
        """See `BlockSource.written`."""
        layers, base = self._layers()
        own = _indexes(layers, start)
        return own if base is None else merged(own, base.written(start))

    def own_indexes(self) -> Iterator[int]:
        """Those put here, ascending."""
        return _indexes([self._pages], 0)

    def _layers(self) -> tuple[list[dict[int, array[int]]], BlockSource | None]:
        """The tables of this and of its ancestors, and what the first of them was made of."""
        layers: list[dict[int, array[int]]] = []
        source: BlockSource | None = self
        while isinstance(source, WrittenBlocks):
            layers.append(source._pages)  # noqa: SLF001
            source = source._parent  # noqa: SLF001
        return layers, source

    def has(self, index: int) -> bool:
        """See `BlockSource.has`."""
        found = self._find(index)
        return found[1] != _ABSENT if isinstance(found[0], WrittenBlocks) else found[0].has(index)

    def read(self, index: int) -> bytes:
        """See `BlockSource.read`."""
        owner, slot = self._find(index)
        if not isinstance(owner, WrittenBlocks):
            return owner.read(index)
        if slot == _ABSENT:
            return _noise(owner._garbage, index) if owner._garbage else ZEROS  # noqa: SLF001
        return ZEROS if slot == _ZERO else owner._pool.data(slot)  # noqa: SLF001

    def digest(self, index: int) -> bytes:
        """See `BlockSource.digest`."""
        owner, slot = self._find(index)
        if not isinstance(owner, WrittenBlocks):
            return owner.digest(index)
        if slot > 0:
            return owner._pool.digest(slot)  # noqa: SLF001
        return _ZERO_DIGEST if slot == _ZERO else super().digest(index)

    def place(self, index: int) -> tuple[object, int]:
        """See `BlockSource.place`."""
        owner, slot = self._find(index)
        return (owner, slot) if isinstance(owner, WrittenBlocks) else owner.place(index)

    def aggregate(self) -> bytes:
        """LINEAR: the SHA-256 of the digests of the blocks put here, ascending (coldsnap computes it so)."""
        whole = hashlib.sha256()
        for index in self.own_indexes():
            whole.update(self.digest(index))
        return whole.digest()

    def encrypted(self, key: str) -> BlockSource:
        """See `BlockSource.encrypted`."""
        return _Encrypted(self, key)

    def _find(self, index: int) -> tuple[BlockSource, int]:
        """Whose block it is, and where: a loop, as a chain of parents may be long."""
        source: BlockSource = self
        while isinstance(source, WrittenBlocks):
            page = source._pages.get(index // _PAGE)  # noqa: SLF001
            slot = page[index % _PAGE] if page is not None else _ABSENT
            if slot != _ABSENT or source._parent is None:  # noqa: SLF001
                return source, slot
            source = source._parent  # noqa: SLF001
        return source, _ABSENT


class BlocksOfDisk(BlockSource):
    """The blocks of a disk: those that its format allocates. Thread-safe."""

    def __init__(self, opener: Callable[[], Disk]) -> None:
        self.lineage = object()
        self.opener = opener
        self._lock = threading.Lock()
        self._disk: Disk | None = None
        self._runs: list[tuple[int, int]] | None = None

    def written(self, start: int = 0) -> Iterator[int]:
        """See `BlockSource.written`."""
        for first, end in self._allocated():
            yield from range(max(first, start), end)

    def has(self, index: int) -> bool:
        """See `BlockSource.has`."""
        return any(first <= index < end for first, end in self._allocated())

    def read(self, index: int) -> bytes:
        """See `BlockSource.read`."""
        with self._lock:
            disk = self._opened()
        # a disk that is no multiple of a block ends in zeros
        length = max(0, min(BLOCK, disk.size - index * BLOCK))
        return (disk.read(index * BLOCK, length) if length else b"").ljust(BLOCK, b"\0")

    def _opened(self) -> Disk:
        if self._disk is None:
            self._disk = self.opener()
        return self._disk

    def _allocated(self) -> list[tuple[int, int]]:
        with self._lock:
            if self._runs is None:
                runs: list[tuple[int, int]] = []
                for extent in self._opened().extents():
                    if extent.kind is ExtentKind.ALLOCATED and extent.length:
                        first, end = extent.offset // BLOCK, -(-extent.end // BLOCK)
                        if runs and first <= runs[-1][1]:
                            runs[-1] = (runs[-1][0], max(end, runs[-1][1]))
                        else:
                            runs.append((first, end))
                self._runs = runs
            return self._runs


class _Encrypted(BlockSource):
    """Blocks encrypted after they were written: a volume decrypts even what nobody wrote, which gives garbage.

    Sources: https://github.com/awslabs/coldsnap/issues/395 and /470
    """

    def __init__(self, inner: BlockSource, key: str) -> None:
        # every block of it differs from what it was made of
        self.lineage = object()
        self.noisy = True
        self._inner = inner
        self._key = key

    def written(self, start: int = 0) -> Iterator[int]:
        """See `BlockSource.written`."""
        return self._inner.written(start)

    def has(self, index: int) -> bool:
        """See `BlockSource.has`."""
        return self._inner.has(index)

    def read(self, index: int) -> bytes:
        """See `BlockSource.read`."""
        return self._inner.read(index) if self._inner.has(index) else _noise(self._key, index)

    def digest(self, index: int) -> bytes:
        """See `BlockSource.digest`."""
        return self._inner.digest(index) if self._inner.has(index) else super().digest(index)


def _indexes(layers: list[dict[int, array[int]]], start: int) -> Iterator[int]:
    """The indexes that any of the tables has, ascending, from `start` on."""
    for number in sorted({number for pages in layers for number in list(pages) if number >= start // _PAGE}):
        tables = [pages[number] for pages in layers if number in pages]
        for at in range(max(0, start - number * _PAGE), _PAGE):
            if any(table[at] != _ABSENT for table in tables):
                yield number * _PAGE + at


def merged(one: Iterator[int], other: Iterator[int]) -> Iterator[int]:
    """Both ascending sequences in one, without what is in both twice."""
    left, right = next(one, None), next(other, None)
    while left is not None or right is not None:
        least = min(value for value in (left, right) if value is not None)
        if left == least:
            left = next(one, None)
        if right == least:
            right = next(other, None)
        yield least


def _noise(key: str, index: int) -> bytes:
    """What the decryption of zeros looks like: the same bytes for the same key and block."""
    return hashlib.shake_128(f"{key}/{index}".encode()).digest(BLOCK)
