"""What a snapshot is to hold, and its blocks read back against that, each once and in order."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Protocol

from vmie import events
from vmie.aws.ebs.client import BLOCK
from vmie.aws.ebs.snapshot_disk import SnapshotDisk
from vmie.disk import Disk
from vmie.disk.extents import zeros
from vmie.guest.free import FreeSpace, free_space
from vmie.model import ExtentKind
from vmie.ops.block_hashes import BlockHashes
from vmie.ops.diff import Difference

_ZEROS = bytes(BLOCK)
_ZERO_DIGEST = hashlib.sha256(_ZEROS).digest()
#: blocks between two events of progress
_OFTEN = 32


class Expected(Protocol):
    """What a snapshot is to hold: `size` in bytes. `freed` counts the blocks that differ in free space alone."""

    size: int
    freed: int

    def disk(self) -> Disk | None:
        """The disk, None where it is not at hand."""

    def blocks(self) -> Iterator[int]:
        """The blocks that may hold more than zeros, in order."""

    def same(self, index: int, data: bytes) -> bool:
        """Whether block `index` may be `data`; asked in order."""


class OfDisk:
    """As a disk is; by S3 with zeros for what its file systems call free, by EBS direct without such zeros."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self.size = disk.size
        self.freed = 0
        self._free = Free(self.disk)

    def disk(self) -> Disk:
        """See `Expected.disk`."""
        return self._disk

    def blocks(self) -> Iterator[int]:
        """See `Expected.blocks`: what no extent touches is zeros."""
        after = 0
        for extent in self._disk.extents():
            if extent.kind is ExtentKind.ALLOCATED and extent.length:
                first, after = max(after, extent.offset // BLOCK), max(after, -(-extent.end // BLOCK))
                yield from range(first, after)

    def same(self, index: int, data: bytes) -> bool:
        """See `Expected.same`: the file systems are asked what is free at the first block that differs."""
        mine = _block(self._disk, index)
        if mine == data:
            return True
        as_sent = self._free.unsent(index) if mine == _ZEROS else self._free.zeroed(index, mine) == data
        self.freed += as_sent
        return as_sent


class OfRecord:
    """As the digests say that were kept when it was written; what they do not have is zeros, or free on `disk`."""

    def __init__(self, record: BlockHashes, size: int, disk: Callable[[], Disk | None]) -> None:
        self.size = size
        self.freed = 0
        self.disk = disk
        self._record = record
        self._free = Free(disk)

    def blocks(self) -> Iterator[int]:
        """See `Expected.blocks`."""
        return (index for index, digest in self._record.digests() if digest != _ZERO_DIGEST)

    def same(self, index: int, data: bytes) -> bool:
        """See `Expected.same`."""
        digest = self._record.digest(index)
        if hashlib.sha256(data).digest() == (digest or _ZERO_DIGEST):
            return True
        as_sent = digest is None and self._free.unsent(index)
        self.freed += as_sent
        return as_sent


class Free:
    """What the file systems of a disk call free; asked when that first matters. No disk: nothing is."""

    def __init__(self, disk: Callable[[], Disk | None]) -> None:
        self._disk = disk

    def unsent(self, index: int) -> bool:
        """Whether block `index`, of zeros, is wholly free: never sent, it reads as garbage where it is encrypted."""
        return self._space is not None and self._space.covers(index * BLOCK, (index + 1) * BLOCK)

    def zeroed(self, index: int, data: bytes) -> bytes:
        """Block `index`, which holds `data`, with zeros for what is free."""
        if self._space is None:
            return data
        out, at = bytearray(data), index * BLOCK
        for start, end in self._space.within(at, at + BLOCK):
            out[start - at : end - at] = zeros(end - start)
        return bytes(out)

    @cached_property
    def _space(self) -> FreeSpace | None:
        disk = self._disk()
        # one that can be read forward only is past its file systems' maps
        return None if disk is None or disk.facts.get("forward_only") else free_space([disk])[0]


class ContentDigest:
    """The SHA-256 of a disk, of its first `size` bytes and of all of it, from its blocks in order; gaps are zeros."""

    def __init__(self, size: int) -> None:
        self._all = hashlib.sha256()
        self._size = size
        self._at = 0
        self._first = "" if size else self._all.hexdigest()

    def add(self, index: int, data: bytes) -> None:
        """Block `index`, after all others."""
        self._fill(index * BLOCK)
        self._take(data)

    def digests(self, end: int) -> tuple[str, str]:
        """Of the first bytes, and of all `end`."""
        self._fill(end)
        return self._first, self._all.hexdigest()

    def _fill(self, end: int) -> None:
        while self._at < end:
            self._take(zeros(min(1 << 20, end - self._at)))

    def _take(self, data: bytes) -> None:
        cut = self._size - self._at
        if 0 < cut <= len(data):
            self._all.update(data[:cut])
            self._first = self._all.hexdigest()
            data, self._at = data[cut:], self._size
        self._all.update(data)
        self._at += len(data)


def compare(
    snapshot: SnapshotDisk,
    expected: Expected,
    found: Difference,
    *,
    content: ContentDigest | None,
    report: events.Reporter,
) -> None:
    """Add to `found` the blocks that differ; `content` gets every block that is not a hole on both sides."""
    count, after = -(-snapshot.size // BLOCK), -1
    for number, index in enumerate(heapq.merge((one.index for one in snapshot.blocks()), expected.blocks())):
        if index == after or index >= count:
            continue
        after = index
        data = snapshot.read(index * BLOCK, min(BLOCK, snapshot.size - index * BLOCK))
        if not expected.same(index, data):
            found.add(index * BLOCK, BLOCK)
        if content is not None:
            content.add(index, data)
        if number % _OFTEN == 0:
            report(events.Progress("verify", index * BLOCK, snapshot.size))
    report(events.Progress("verify", snapshot.size, snapshot.size))


def _block(disk: Disk, index: int) -> bytes:
    """Block `index`, with zeros behind the end of the disk."""
    length = max(0, min(BLOCK, disk.size - index * BLOCK))
    data = disk.read(index * BLOCK, length) if length else b""
    return data if len(data) == BLOCK else data + zeros(BLOCK - len(data))
