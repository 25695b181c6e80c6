"""One snapshot's blocks in a file beside the target: begun once, no block read twice, whatever stops it.

    ListSnapshotBlocks | ListChangedBlocks ──► GetSnapshotBlock, many at once ──► partial file (raw, with holes)
                                                         │ digest kept             │
                                                         └── `block_hashes`        └──► the format asked for

The partial file is what makes every format resumable: a compressed stream could not be gone on with.
"""

from __future__ import annotations

import errno
import hashlib
import os
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from vmie import disk, events
from vmie.aws.ebs.client import BLOCK, Block, EbsDirect
from vmie.aws.ebs.read import read_blocks
from vmie.disk.base import Disk, FileSource
from vmie.disk.extents import coalesced, zeros
from vmie.disk.raw import RawDisk
from vmie.errors import AwsRefused, Cancel, Resume, VmieError
from vmie.model import Extent, ExtentKind
from vmie.ops.block_hashes import BlockHashes
from vmie.ops.context import Context
from vmie.ops.export.direct_plan import SourceDisk

_HOLE = 64 * 1024
_ZERO_HOLE = bytes(_HOLE)
_COPY = 1 << 20


@dataclass(frozen=True, slots=True)
class Delta:
    """Only what changed `since` a snapshot is read. `base`: onto a copy of this file, "" for onto nothing."""

    since: str
    base: str = ""


class FetchedDisk:
    """The blocks of disk `number` of a job, fetched into `partial`."""

    def __init__(self, context: Context, source: SourceDisk, number: int, partial: Path, delta: Delta | None) -> None:
        self._context = context
        self._source = source
        self._partial = partial
        self._delta = delta
        self._step = step_of(number)
        state = context.state
        self._hashes_at = None if state is None else hashes_path(state, context.journal.job, number)

    def fetch(self) -> int:
        """Read what is not read yet; the blocks that were read, over all runs. Raises AwsRefused, VmieError."""
        with _room(self._partial, self._context.journal.job):
            new = self._begin()
            with self._hashes() as hashes, self._partial.open("r+b") as file:
                lost = () if new else _lost(file.fileno(), hashes)
                self._read(file.fileno(), hashes, frozenset(lost))
                os.fsync(file.fileno())
                return hashes.written

    def open(self) -> Disk:
        """The fetched disk; of what changed only where it is to lie over another file."""
        whole = RawDisk(FileSource(self._partial))
        if self._delta is None or self._delta.base:
            return whole
        with self._hashes() as hashes:
            return _Changed(whole, array("Q", (index for index, _ in hashes.digests())))

    def remove(self) -> None:
        """What was fetched is needed no more."""
        remove(self._partial, self._hashes_at)

    # --- the steps ------------------------------------------------------------------------------------

    def _hashes(self) -> BlockHashes:
        return BlockHashes(self._hashes_at, snapshot_id=self._source.snapshot_id, count=self._source.size // BLOCK)

    def _begin(self) -> bool:
        """See that there is a partial file; whether it is a new one."""
        journal = self._context.journal
        kept = {"partial": str(self._partial), "snapshot_id": self._source.snapshot_id}
        # In memory alone no digest outlives a process: then nothing can be gone on with.
        if journal.get(self._step) == kept and self._partial.is_file() and self._hashes_at is not None:
            return False
        self.remove()
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._partial, flags, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            file.truncate(self._source.size)
            if self._delta is not None and self._delta.base:
                self._copy_base(file.fileno(), self._delta.base)
            os.fsync(file.fileno())
        journal.put(self._step, kept)
        return True

    def _copy_base(self, file: int, base: str) -> None:
        self._context.reporter(events.Stage("copy", base))
        with disk.open(base) as opened:
            for extent in opened.extents():
                if extent.kind is ExtentKind.ALLOCATED:
                    for at in range(extent.offset, extent.end, _COPY):
                        _put(file, at, opened.read(at, min(_COPY, extent.end - at)), sparse=True)

    def _read(self, file: int, hashes: BlockHashes, lost: frozenset[int]) -> None:
        source, context = self._source, self._context
        client = EbsDirect(context.aws, clock=context.clock, reporter=context.reporter)
        context.reporter(events.Stage("download", f"{source.snapshot_id} → {self._partial.parent}"))
        sparse = not (self._delta and self._delta.base)

        def put(index: int, data: bytes) -> None:
            _put(file, index * BLOCK, data, sparse=sparse and index not in lost)
            hashes.put(index, hashlib.sha256(data).digest())

        def wanted() -> Iterator[Block]:
            for block in self._listed(client, put):
                if block.index not in hashes or block.index in lost:
                    yield block

        total = max(source.held, BLOCK)
        try:
            for index, data in read_blocks(client, source.snapshot_id, wanted()):
                put(index, data)
                context.reporter(events.Progress("download", min(hashes.written * BLOCK, total), total=total))
        except AwsRefused as error:
            raise _explained(error, source) from error

    def _listed(self, client: EbsDirect, put: Callable[[int, bytes], None]) -> Iterator[Block]:
        """The blocks to be read; those that only the earlier snapshot holds are zeros now."""
        count = self._source.size // BLOCK
        if self._delta is None:
            yield from (one for one in client.blocks(self._source.snapshot_id) if one.index < count)
            return
        for one in client.changed(self._source.snapshot_id, since=self._delta.since):
            if one.index >= count:
                continue
            if one.new_token:
                yield Block(one.index, one.new_token)
            else:
                put(one.index, zeros(BLOCK))


class _Changed(Disk):
    """Of a disk the blocks `indices` alone: what is not among them is a hole, zeros among them are data."""

    format = "raw"
    variant = "changed blocks"

    def __init__(self, whole: Disk, indices: array[int]) -> None:
        super().__init__(whole.source)
        self.size, self.facts = whole.size, whole.facts
        self.allocated_size = len(indices) * BLOCK
        self._whole = whole
        self._indices = indices

    def read(self, offset: int, length: int) -> bytes:
        """See `Disk.read`: elsewhere it reads as zeros."""
        return self._whole.read(offset, length)

    def extents(self) -> Iterator[Extent]:
        """See `Disk.extents`."""
        return coalesced(self._runs(), self.size)

    def _runs(self) -> Iterator[tuple[int, ExtentKind]]:
        at = 0
        for index in self._indices:
            yield (index - at) * BLOCK, ExtentKind.HOLE
            yield BLOCK, ExtentKind.ALLOCATED
            at = index + 1


def step_of(number: int) -> str:
    """The journal's step of the file of disk `number`."""
    return f"file {number}"


def hashes_path(state: Path, job: str, number: int) -> Path:
    """Where the digests of what was fetched are kept."""
    return state / "blocks" / f"{job}-{number}.sha256"


def remove(partial: Path, hashes: Path | None) -> None:
    """Remove what was fetched, and what is known of it."""
    partial.unlink(missing_ok=True)
    if hashes is not None:
        hashes.unlink(missing_ok=True)


def _put(file: int, offset: int, data: bytes, *, sparse: bool) -> None:
    """Write `data`; its zeros stay holes where nothing else can be there (`sparse`)."""
    if not sparse:
        os.pwrite(file, data, offset)
        return
    for at in range(0, len(data), _HOLE):
        piece = data[at : at + _HOLE]
        if piece != _ZERO_HOLE[: len(piece)]:
            os.pwrite(file, piece, offset + at)


def _lost(file: int, hashes: BlockHashes) -> Iterator[int]:
    """The blocks that a failure of the machine took: their digest was on the medium before they were."""
    for index, digest in hashes.digests():
        if hashlib.sha256(os.pread(file, BLOCK, index * BLOCK)).digest() != digest:
            yield index


def _explained(error: AwsRefused, source: SourceDisk) -> AwsRefused:
    if error.reason == "UNRELATED_SNAPSHOTS":
        error.add_cure("name an earlier snapshot of the same volume, or its parent")
    if source.encrypted and error.code in ("AccessDeniedException", "ValidationException"):
        key = source.kms_key or "the account's key for EBS"
        error.add_cause(f"{source.id} is encrypted with {key}: reading it needs kms:Decrypt with that key")
    return error


@contextmanager
def _room(partial: Path, job: str) -> Iterator[None]:
    """A file system that is full, or holds no file so large, in words."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise VmieError(
            f"cannot write {partial}",
            cause=f"{error.strerror or error}; a copy of the disk is kept there until the file is written",
            cure=(Resume(job, "goes on, once there is room" if full else "goes on"), Cancel(job, "removes it")),
            code="NoSpace" if full else "Unwritable",
        ) from error


def tidy(state: Path | None, job: str, number: int, partial: str) -> None:
    """Remove what a job that is given up has fetched of disk `number`."""
    with suppress(OSError):
        remove(Path(partial), None if state is None else hashes_path(state, job, number))
