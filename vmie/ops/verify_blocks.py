"""What a snapshot is to hold, and its blocks read back against that, each once and in order."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterator
from typing import Protocol

from vmie import events
from vmie.aws.ebs.client import BLOCK
from vmie.aws.ebs.snapshot_disk import SnapshotDisk
from vmie.disk import Disk
from vmie.disk.extents import zeros
from vmie.guest.free import without_free
from vmie.model import ExtentKind
from vmie.ops.block_hashes import BlockHashes
from vmie.ops.diff import Difference

_ZERO_DIGEST = hashlib.sha256(bytes(BLOCK)).digest()
#: blocks between two events of progress
_OFTEN = 32


class Expected(Protocol):
    """What a snapshot is to hold: `size` in bytes. `freed` counts the blocks that `same` found without free space."""

    size: int
    freed: int

    def blocks(self) -> Iterator[int]:
        """The blocks that may hold more than zeros, in order."""

    def same(self, index: int, data: bytes) -> bool:
        """Whether block `index` may be `data`; asked in order."""


class OfDisk:
    """As a disk is; or, by S3, with zeros for what its file systems call free."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.size = disk.size
        self.freed = 0
        self._zeroed: Disk | None = None

    def blocks(self) -> Iterator[int]:
        """See `Expected.blocks`: what no extent touches is zeros."""
        after = 0
        for extent in self.disk.extents():
            if extent.kind is ExtentKind.ALLOCATED and extent.length:
                first, after = max(after, extent.offset // BLOCK), max(after, -(-extent.end // BLOCK))
                yield from range(first, after)

    def same(self, index: int, data: bytes) -> bool:
        """See `Expected.same`: the file systems are asked what is free at the first block that differs."""
        if _block(self.disk, index) == data:
            return True
        if self._zeroed is None:
            self._zeroed = without_free(self.disk)
        if self._zeroed is self.disk or _block(self._zeroed, index) != data:
            return False
        self.freed += 1
        return True


class OfRecord:
    """As the digests say that were kept when it was written; what they do not have is zeros."""

    freed = 0

    def __init__(self, record: BlockHashes, size: int) -> None:
        self.size = size
        self._record = record

    def blocks(self) -> Iterator[int]:
        """See `Expected.blocks`."""
        return (index for index, digest in self._record.digests() if digest != _ZERO_DIGEST)

    def same(self, index: int, data: bytes) -> bool:
        """See `Expected.same`."""
        return hashlib.sha256(data).digest() == (self._record.digest(index) or _ZERO_DIGEST)


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
