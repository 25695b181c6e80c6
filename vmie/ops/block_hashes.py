"""Which blocks of a snapshot AWS has, and the SHA-256 of each: a file that outlives the process.

A pending snapshot cannot be read, so that nothing but this knows what is in it. Byte 4096 + 32 × index holds the raw
digest of block `index`, zeros where none was sent: no SHA-256 is known that is all zeros. The file is sparse.

    put ──► the system's cache (outlives the process) ──► fsync every 64 blocks (outlives the machine)
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from vmie.ops import ownership

DIGEST = 32
#: bytes of the description in front of the digests
HEAD = 4096
#: blocks whose digests a failure of the machine may lose
UNSYNCED = 64
_FORMAT = "vmie block hashes 1"
_NONE = bytes(DIGEST)
#: digests read at once
_PIECE = 4096


class BlockHashes:
    """The digests of a snapshot of `count` blocks. Thread-safe; memory is a bit per block.

    `path` None keeps them for this process only; `about` is whatever else to say of the snapshot. Where the file is of
    another snapshot, or damaged, it begins anew; a `read_only` one is left as it is.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        snapshot_id: str,
        count: int,
        about: Mapping[str, str] | None = None,
        read_only: bool = False,
    ) -> None:
        self.snapshot_id = snapshot_id
        self.count = count
        self.written = 0
        self._bits = bytearray(-(-count // 8))
        self._lock = threading.Lock()
        self._unsynced = 0
        #: named where it cannot be written
        self._place = path or Path(tempfile.gettempdir())
        self._read_only = read_only
        self._file = _opened(path, read_only=read_only)
        head = {"format": _FORMAT, "snapshot": snapshot_id, "blocks": count, **(about or {})}
        if read_only or _head(self._file) == head:
            self._mark()
        else:
            with ownership.usable(self._place):
                os.ftruncate(self._file, 0)
                os.pwrite(self._file, json.dumps(head).encode().ljust(HEAD), 0)
                os.fsync(self._file)

    def __contains__(self, index: int) -> bool:
        return bool(self._bits[index >> 3] & 1 << (index & 7))

    @classmethod
    def existing(cls, path: Path) -> Self | None:
        """What is kept at `path`, to be read only; None where nothing is."""
        head = described(path)
        if head is None:
            return None
        return cls(path, snapshot_id=str(head["snapshot"]), count=int(head["blocks"]), read_only=True)

    def digest(self, index: int) -> bytes | None:
        """The digest of block `index`, None where none was sent."""
        if index >= self.count or index not in self:
            return None
        return os.pread(self._file, DIGEST, HEAD + DIGEST * index)

    def fill(self, found: Iterable[tuple[int, bytes]]) -> None:
        """Take many digests at once; they are on the medium when that is done."""
        for index, digest in found:
            self._write(index, digest)
        self.sync()

    def put(self, index: int, digest: bytes) -> None:
        """AWS has block `index`. Raises VmieError (NoState) where that cannot be recorded."""
        with self._lock:
            self._write(index, digest)
            self._unsynced += 1
            due = self._unsynced >= UNSYNCED
        if due:
            self.sync()

    def sync(self) -> None:
        """See that all of it is on the medium."""
        with self._lock:
            self._unsynced = 0
        with ownership.usable(self._place):
            os.fsync(self._file)

    def digests(self) -> Iterator[tuple[int, bytes]]:
        """Each block that was sent and its digest, in order."""
        for index, digest in _digests(self._file, self.count):
            if index in self:
                yield index, digest

    def aggregate(self) -> bytes:
        """SHA-256 of all digests in order, as CompleteSnapshot takes it (LINEAR)."""
        whole = hashlib.sha256()
        for _, digest in self.digests():
            whole.update(digest)
        return whole.digest()

    def close(self) -> None:
        """Close the file; what it holds is safe on the medium."""
        if self._file >= 0:
            if not self._read_only:
                self.sync()
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, index: int, digest: bytes) -> None:
        with ownership.usable(self._place):
            os.pwrite(self._file, digest, HEAD + DIGEST * index)
        self._set(index)

    def _mark(self) -> None:
        for index, _ in _digests(self._file, self.count):
            self._set(index)

    def _set(self, index: int) -> None:
        if index not in self:
            self._bits[index >> 3] |= 1 << (index & 7)
            self.written += 1


def described(path: Path) -> Mapping[str, Any] | None:
    """What the file at `path` says of itself: ``snapshot``, ``blocks``, what else was given; None where it is none."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        head = _head(file)
    finally:
        os.close(file)
    shape = {"format": str, "snapshot": str, "blocks": int}
    if head is None or head.get("format") != _FORMAT or any(not isinstance(head.get(n), t) for n, t in shape.items()):
        return None
    return head if 0 < head["blocks"] <= 1 << 27 and all(isinstance(v, str | int) for v in head.values()) else None


def _opened(path: Path | None, *, read_only: bool) -> int:
    if path is None:
        with tempfile.TemporaryFile() as file:
            return os.dup(file.fileno())
    if read_only:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    ownership.make_folder(path.parent)
    with ownership.usable(path):
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _head(file: int) -> Mapping[str, Any] | None:
    try:
        found = json.loads(os.pread(file, HEAD, 0))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _digests(file: int, count: int) -> Iterator[tuple[int, bytes]]:
    """What is set in the file; its holes are not read."""
    end = min(os.fstat(file).st_size, HEAD + DIGEST * count)
    at = HEAD
    while at < end:
        try:
            at = os.lseek(file, at, os.SEEK_DATA)
        except OSError:  # only a hole follows
            return
        at -= (at - HEAD) % DIGEST
        piece = os.pread(file, min(_PIECE * DIGEST, end - at), at)
        if not piece:
            return
        for offset in range(0, len(piece) - DIGEST + 1, DIGEST):
            digest = piece[offset : offset + DIGEST]
            if digest != _NONE:
                yield (at + offset - HEAD) // DIGEST, digest
        at += max(len(piece), DIGEST)
