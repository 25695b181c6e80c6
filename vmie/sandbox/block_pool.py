"""Where written blocks lie: in one unnamed file for all snapshots, for a process may not open many files."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable

from vmie.sandbox.storage import BlobFile

BLOCK = 512 << 10
_DIGEST = hashlib.sha256().digest_size


class BlockPool:
    """A file of blocks, and one of their digests, for all snapshots of a sandbox. Thread-safe.

    A slot is a place for a block, from 1 on. What is given back is taken again.
    """

    def __init__(self) -> None:
        self._data, self._digests = BlobFile(), BlobFile()
        self._lock = threading.Lock()
        self._free: list[int] = []
        self._slots = 0

    def store(self, data: bytes, digest: bytes) -> int:
        """Write a block and its digest; the slot that they lie in."""
        with self._lock:
            if self._free:
                slot = self._free.pop()
            else:
                self._slots = slot = self._slots + 1
        self._data.write_at((slot - 1) * BLOCK, data)
        self._digests.write_at((slot - 1) * _DIGEST, digest)
        return slot

    def data(self, slot: int) -> bytes:
        """The block in a slot."""
        return self._data.read_at((slot - 1) * BLOCK, BLOCK)

    def digest(self, slot: int) -> bytes:
        """Its digest."""
        return self._digests.read_at((slot - 1) * _DIGEST, _DIGEST)

    def give_back(self, slots: Iterable[int]) -> None:
        """Nobody needs these any more."""
        with self._lock:
            self._free.extend(slots)
