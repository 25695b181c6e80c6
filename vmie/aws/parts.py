"""What is sent: payloads cut into parts, and a part as the body of one request.

    Payload ──► Part(number, size, chunks) ──► Body (a file for botocore, paced, stopped at once)

A part gives its bytes as often as it is asked: for its checksum, for each attempt at sending it. A generated one keeps
them in memory; one that lies in a file reads them again, so that its size costs no memory.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from vmie.aws.pace import Rate
from vmie.errors import UsageError

MIB = 1 << 20
MIN_PART = 5 * MIB
MAX_PART = 5 << 30
MAX_PARTS = 10_000
#: small enough that the parts in flight stay well under 300 MB, large enough to be few requests
DEFAULT_PART = 16 * MIB
#: one send() of this much must end within the socket's time-out, which Python counts over the whole of it
CHUNK = 256 * 1024
_LEAST_CHUNK = 4096

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Part:
    """One part. `chunks` gives its bytes, each buffer good until the next; `source_end` is how far the source was read.

    `held` is the memory it takes while it waits.
    """

    number: int
    size: int
    chunks: Callable[[], Iterator[Buffer]]
    source_end: int
    held: int = 0

    def load(self) -> bytes:
        """All its bytes at once, for a caller whose parts are small."""
        whole = bytearray()
        for chunk in self.chunks():
            whole += chunk
        return bytes(whole)

    def digest(self, algorithm: str) -> bytes:
        """Its checksum, by `hashlib`'s name."""
        found = hashlib.new(algorithm, usedforsecurity=False)
        for chunk in self.chunks():
            found.update(chunk)
        return found.digest()


class Payload(Protocol):
    """Something to upload. `bound` is the most bytes it can come to, `source_size` the bytes it is made from."""

    bound: int
    source_size: int

    def parts(self, part_size: int) -> Iterator[Part]:
        """All parts in order, at least one; every one but the last is exactly `part_size` long."""


class TransferStopped(Exception):  # noqa: N818
    """The upload is being given up: this body is not sent to its end."""


class Body:
    """A part as the file that botocore wants: seekable, of known length, at the given rate.

    `read` gives whole chunks whatever amount is asked for: urllib3 asks for 16 KiB, and a system call for each would
    cost more than the sending.
    """

    def __init__(
        self,
        part: Part,
        *,
        rate: Rate | None = None,
        stopped: Callable[[], bool] = lambda: False,
        moved: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._part = part
        self._rate = rate
        self._stopped = stopped
        self._moved = moved
        # At a low rate in small pieces: S3 hangs up on a connection that is silent for 20 s.
        self._most = CHUNK if rate is None else max(_LEAST_CHUNK, min(CHUNK, int(rate.per_second / 32)))
        self._at = 0
        self._pieces = self._from(0)

    def __len__(self) -> int:
        return self._part.size

    def read(self, amount: int | None = None) -> Buffer:
        """The next chunk when its time has come, b"" at the end; without an amount, all there is. Raises Stopped."""
        if amount is None or amount < 0:
            whole = bytearray()
            while piece := self.read(CHUNK):
                whole += piece
            return bytes(whole)
        if self._stopped():
            raise TransferStopped
        piece = next(self._pieces, b"")
        self._at += len(piece)
        if piece:
            if self._rate is not None:
                self._rate.take(len(piece))
            self._moved(len(piece))
        return piece

    def tell(self) -> int:
        """Where the next read begins."""
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        """As files do."""
        base = (0, self._at, self._part.size)[whence]
        self._at = max(0, min(self._part.size, base + offset))
        self._pieces = self._from(self._at)
        return self._at

    def _from(self, offset: int) -> Iterator[Buffer]:
        """The bytes from `offset` on, in pieces; begins to read when first asked."""
        if offset >= self._part.size:
            return
        for chunk in self._part.chunks():
            if offset >= len(chunk):
                offset -= len(chunk)
                continue
            view = memoryview(chunk)
            for start in range(offset, len(chunk), self._most):
                yield view[start : start + self._most]
            offset = 0


def part_size_for(bound: int, wanted: int | None = None) -> int:
    """The part size for a payload of at most `bound` bytes: 10,000 parts of 5 MiB to 5 GiB.

    Raises UsageError beyond 48.8 TiB (S3's limit).
    """
    need = -(-bound // MAX_PARTS)
    if need > MAX_PART:
        raise UsageError(f"{bound} bytes are more than S3 takes in one object (48.8 TiB)", cure="split the image")
    size = max(need, wanted or DEFAULT_PART, MIN_PART)
    return -(-size // MIB) * MIB


def b64(digest: bytes) -> str:
    """As S3 writes checksums."""
    return base64.b64encode(digest).decode("ascii")
