"""A snapshot as a disk: only the blocks that are asked for are read, and what was never written is a hole.

    read(offset, length) ──► page of the listing (index, token) ──► blocks, side by side, kept for a while

A page of the listing covers 10,000 blocks that hold data (5 GiB of it). Pages and blocks are kept up to a bound, so
memory does not grow with the snapshot. Sources: botocore's ebs model;
https://docs.aws.amazon.com/ebs/latest/userguide/readsnapshots.html
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from vmie.aws.ebs.client import BLOCK, Block, EbsDirect
from vmie.aws.ebs.snapshots import SnapshotFacts
from vmie.disk.base import Disk
from vmie.disk.extents import coalesced, zeros
from vmie.disk.reading import within
from vmie.errors import VmieError
from vmie.model import Extent, ExtentKind

#: blocks that are kept: those being read, and the last ones (64 MiB)
_KEPT = 128
#: blocks read before they are asked for, once reads follow each other
_AHEAD = 48
_PAGES_KEPT = 4
#: reads that must follow each other before the next ones are foreseen
_STREAK = 3
_THREADS = 64
_UNKNOWN_TOKEN = frozenset({"INVALID_BLOCK_TOKEN"})


@dataclass(frozen=True, slots=True)
class _Page:
    """The blocks with data from index `first` up to `end`, both as the listing has them, in order."""

    first: int
    end: int
    indices: tuple[int, ...]
    tokens: tuple[str, ...]

    def token(self, index: int) -> str:
        """What block `index` is read with, "" for one without data."""
        at = bisect_left(self.indices, index)
        return self.tokens[at] if at < len(self.indices) and self.indices[at] == index else ""


class _NoFile:
    """Stands where a disk has its file: there is none."""

    path: Path | None = None

    def __init__(self, name: str, size: int) -> None:
        self.name, self.size = name, size

    def pread(self, offset: int, length: int) -> bytes:
        """Nothing reads a snapshot past its disk."""
        raise NotImplementedError

    def close(self) -> None:
        """There is nothing to close."""


class SnapshotDisk(Disk):
    """The disk that a completed snapshot is of. `blocks_read` counts the blocks that were paid for. Thread-safe."""

    format = "raw"
    variant = "snapshot"

    def __init__(self, direct: EbsDirect, facts: SnapshotFacts) -> None:
        super().__init__(_NoFile(facts.snapshot_id, facts.size))
        self.snapshot_id = facts.snapshot_id
        self.size = facts.size
        self.allocated_size = min(facts.size, facts.full_size or facts.size)
        self.facts = {"snapshot_id": facts.snapshot_id, "encrypted": facts.encrypted, "sector_multiple": True}
        self.blocks_read = 0
        self._stop = threading.Event()
        self._direct = direct.until(self._stop)
        self._count = -(-facts.size // BLOCK)
        self._pages: OrderedDict[int, _Page] = OrderedDict()
        self._blocks: OrderedDict[int, Future[bytes]] = OrderedDict()
        self._following, self._streak = -1, 0
        self._lock = threading.Lock()
        self._listing = threading.Lock()
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="snapshot")

    def read(self, offset: int, length: int) -> bytes:
        """See `Disk.read`. Raises AwsRefused, VmieError (`passing`) when AWS cannot be reached."""
        length = within(offset, length, self.size)
        if not length:
            return b""
        first, last = offset // BLOCK, (offset + length - 1) // BLOCK
        wanted = [self._asked(index) for index in range(first, last + 1)]
        self._read_ahead(first, last)
        pieces = [zeros(BLOCK) if one is None else one.result() for one in wanted]
        begin, end = offset - first * BLOCK, offset + length - first * BLOCK
        return pieces[0][begin:end] if len(pieces) == 1 else b"".join(pieces)[begin:end]

    def _asked(self, index: int) -> Future[bytes] | None:
        """The block at `index`, on its way; None for a hole."""
        token = self._token(index)
        if not token:
            return None
        with self._lock:
            found = self._blocks.get(index)
            if found is None or (found.done() and found.exception() is not None):
                found = self._blocks[index] = self._pool.submit(self._get, index, token)
            self._blocks.move_to_end(index)
            while len(self._blocks) > _KEPT:
                self._blocks.popitem(last=False)
            return found

    def _get(self, index: int, token: str) -> bytes:
        try:
            data = self._direct.get(self.snapshot_id, index, token)
        except VmieError as error:
            if error.reason not in _UNKNOWN_TOKEN:
                raise
            with self._listing:
                self._pages.clear()  # a token is good for seven days
            data = self._direct.get(self.snapshot_id, index, self._token(index))
        with self._lock:
            self.blocks_read += 1
        return data

    def _read_ahead(self, first: int, last: int) -> None:
        """Ask for what comes next, where a read follows the one before."""
        with self._lock:
            if first == self._following or (first < self._following <= last):
                self._streak += 1
            elif last + 1 != self._following:
                self._streak = 0
            self._following = last + 1
            follows = self._streak >= _STREAK
        if follows:
            page = self._page(last)
            at = bisect_left(page.indices, last + 1)
            for index in page.indices[at : at + _AHEAD]:
                self._asked(index)

    def _token(self, index: int) -> str:
        return self._page(index).token(index)

    def _page(self, index: int) -> _Page:
        """The page of the listing that says whether block `index` holds data."""
        with self._listing:
            for page in reversed(self._pages.values()):
                if page.first <= index < page.end:
                    return page
            blocks, following = self._direct.page(self.snapshot_id, start=index)
            end = self._count if following is None else following
            page = _Page(index, end, tuple(one.index for one in blocks), tuple(one.token for one in blocks))
            self._pages[index] = page
            while len(self._pages) > _PAGES_KEPT:
                self._pages.popitem(last=False)
            return page

    def blocks(self, start: int = 0) -> Iterator[Block]:
        """The blocks that hold data, in order."""
        return self._direct.blocks(self.snapshot_id, start=start)

    def extents(self) -> Iterator[Extent]:
        """See `Disk.extents`: a block that was written holds data, whatever is in it."""
        return coalesced(self._runs(), self.size)

    def _runs(self) -> Iterator[tuple[int, ExtentKind]]:
        at = 0
        for block in self.blocks():
            yield (block.index - at) * BLOCK, ExtentKind.HOLE
            yield BLOCK, ExtentKind.ALLOCATED
            at = block.index + 1

    def close(self) -> None:
        """Read no more."""
        self._stop.set()
        self._direct.close()
        self._pool.shutdown(wait=True, cancel_futures=True)
