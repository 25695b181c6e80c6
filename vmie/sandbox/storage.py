"""Where the sandbox keeps bytes: in memory while small, in an unnamed file when large.

moto keeps every part of an upload in a file of its own, joins them in memory to complete it, and
reads a whole object to answer a range of it. A gigabyte disk then costs gigabytes of memory and a
download is quadratic. Here the parts of an upload share one file, the object *is* their list of
ranges, and reads are positional: one writing, no copying, no lock.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

IN_MEMORY = 1 << 20
_COPY = 8 << 20


class Spool:
    """An unnamed, append-only temporary file, closed when nobody refers to it any more."""

    def __init__(self) -> None:
        self._fd, path = tempfile.mkstemp(prefix="vmie-sandbox-")
        Path(path).unlink()
        self._end = 0
        self._lock = threading.Lock()

    def append(self, data: bytes | memoryview) -> tuple[int, int]:
        """Write `data` at the end; returns its offset and length."""
        with self._lock:
            offset, self._end = self._end, self._end + len(data)
        self.write_at(offset, data)
        return offset, len(data)

    def write_at(self, offset: int, data: bytes | memoryview) -> None:
        """Write all of `data` at `offset`; a gap before it reads as zeros and takes no room."""
        view = memoryview(data)
        while view:
            done = os.pwrite(self._fd, view, offset)
            view, offset = view[done:], offset + done
        with self._lock:
            self._end = max(self._end, offset)

    def extend(self, size: int) -> None:
        """Make the file at least `size` bytes long."""
        with self._lock:
            if size > self._end:
                os.ftruncate(self._fd, size)
                self._end = size

    def read_at(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`, fewer at the end."""
        parts = []
        while length > 0 and (data := os.pread(self._fd, min(length, 1 << 30), offset)):
            parts.append(data)
            offset, length = offset + len(data), length - len(data)
        return b"".join(parts)

    def all(self) -> Stored:
        """The whole file as an object's bytes."""
        return Stored([(self, 0, self._end)])

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) >= 0:
            os.close(self._fd)
            self._fd = -1


class Zeros(Spool):
    """As many zeros as are asked for, without a file."""

    def __init__(self) -> None:
        self._fd, self._end, self._lock = -1, 0, threading.Lock()

    def read_at(self, offset: int, length: int) -> bytes:
        """See `Spool.read_at`."""
        return bytes(length)


class Stored:
    """An object's bytes, immutable: a list of ranges of spools and of byte strings.

    Also a `vmie.disk.base.Source`: positional, thread-safe. `close` does nothing, for the bytes live
    as long as somebody holds them, be the S3 object deleted or not.
    """

    def __init__(self, pieces: Iterable[tuple[Spool | bytes, int, int]], *, name: str = "") -> None:
        self._pieces = list(pieces)
        self.size = sum(length for _, _, length in self._pieces)
        self.name = name
        self.path: Path | None = None

    @classmethod
    def of(cls, data: bytes, *, spool: Spool | None = None) -> Stored:
        """Keep `data`: in `spool` where one is given, else in memory or in a spool of its own."""
        if spool is None and len(data) <= IN_MEMORY:
            return cls([(bytes(data), 0, len(data))])
        spool = spool or Spool()
        return cls([(spool, *spool.append(data))])

    @classmethod
    def joined(cls, parts: Iterable[Stored]) -> Stored:
        """The parts one after the other, without copying."""
        return cls(piece for part in parts for piece in part._pieces)  # noqa: SLF001

    def named(self, name: str) -> Stored:
        """The same bytes under another `name` for messages."""
        return Stored(self._pieces, name=name)

    def pread(self, offset: int, length: int) -> bytes:
        """See `vmie.disk.base.Source.pread`."""
        out = []
        for holder, start, size in self._pieces:
            if length <= 0:
                break
            if offset < size:
                take = min(length, size - offset)
                at = start + offset
                out.append(holder[at : at + take] if isinstance(holder, bytes) else holder.read_at(at, take))
                offset, length = 0, length - take
            else:
                offset -= size
        return out[0] if len(out) == 1 else b"".join(out)

    def chunks(self) -> Iterator[bytes]:
        """All bytes, a few MiB at a time."""
        for offset in range(0, self.size, _COPY):
            yield self.pread(offset, _COPY)

    def md5(self) -> str:
        """The ETag of an object uploaded in one piece, without quotes."""
        digest = hashlib.md5(usedforsecurity=False)
        for chunk in self.chunks():
            digest.update(chunk)
        return digest.hexdigest()

    def close(self) -> None:
        """Nothing: see the class."""


class Lazy(bytes):
    """Looks like an object's whole bytes, and reads only the slice that is taken."""

    stored: Stored

    @classmethod
    def of(cls, stored: Stored) -> Lazy:
        """Stand for `stored`."""
        lazy = cls()
        lazy.stored = stored
        return lazy

    def __len__(self) -> int:
        return self.stored.size

    def __bool__(self) -> bool:
        return self.stored.size > 0

    def __getitem__(self, key: object) -> bytes:  # type: ignore[override]
        if not isinstance(key, slice):
            raise TypeError("only slices are read")
        start, stop, step = key.indices(self.stored.size)
        if step != 1:
            raise TypeError("only whole slices are read")
        return self.stored.pread(start, stop - start)

    def whole(self) -> bytes:
        """All of it, in memory."""
        return self.stored.pread(0, self.stored.size)
