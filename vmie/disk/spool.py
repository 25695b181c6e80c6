"""Compressed bytes that have to be read at any place: unpacked as far as they are asked for, into a temporary file.

    compressed source ──► pieces ──► a file without a name, zeros left as holes ──► pread(offset, length)

Raw disks need none of this (see `wrapper`); every other format seeks. The file lies in ``$TMPDIR`` or /var/tmp, is
never visible, and is gone with the process. A few bytes that unpack to gigabytes are refused long before the disk is
full.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from vmie.disk.base import Source, depth_of
from vmie.disk.positional import pread, pwrite
from vmie.disk.reading import damaged
from vmie.disk.refusals import MAX_DISK, refused
from vmie.errors import ImageError

_MIB = 1 << 20
#: Of what is not zero, more than this many times the packed bytes is no disk image: those pack two to one, or ten.
_MOST_TIMES = 150
#: Zeros cost no room, only time: xz packs them 7,000 to one.
_MOST_ZEROS = 10_000
_ALWAYS = 128 * _MIB
#: packs and archives within each other
_MOST_DEPTH = 6
_UNPACK = "unpack it yourself, and give the disk image that comes out"
#: zeros of this length become holes
_BLOCK = 64 << 10
_ZEROS = memoryview(bytes(_BLOCK))
#: left free on the medium for everybody else
_KEPT_FREE = 512 * _MIB
_LOOK_EVERY = 64 * _MIB


class Spooled:
    """The unpacked content of a source, as a source. `size` is what it declares, else known when all is unpacked.

    Closing it closes the source.
    """

    def __init__(self, source: Source, pieces: Iterator[bytes], *, name: str, size: int | None = None) -> None:
        self.path: Path | None = None
        self.name = name
        self.depth = depth_of(source) + 1
        self._source = source
        self._pieces = pieces
        self._declared = size
        self._lock = threading.Lock()
        if self.depth > _MOST_DEPTH:
            raise refused(source, "packed over and over", cause=f"{_MOST_DEPTH} packs within packs", cure=_UNPACK)
        self._position = self._stored = self._looked = 0
        self._ended = False
        self._failure: ImageError | None = None
        if size is not None and size > MAX_DISK:
            raise self._endless()
        try:
            self._file = tempfile.TemporaryFile(buffering=0, dir=_folder())  # noqa: SIM115 - closed by `close`
        except OSError as error:
            raise self._no_room(error) from error

    @property
    def size(self) -> int:
        """Bytes; asking unpacks everything where the source does not tell it. Raises ImageError."""
        if self._declared is None:
            self._fill(None)
        return self._declared if self._declared is not None else self._position

    def pread(self, offset: int, length: int) -> bytes:
        """See `Source.pread`."""
        self._fill(offset + length)
        length = min(length, self._position - offset)
        return pread(self._file.fileno(), length, offset).ljust(length, b"\0") if length > 0 else b""

    def close(self) -> None:
        """Give the room back, and close the source."""
        self._file.close()
        self._source.close()

    def _fill(self, until: int | None) -> None:
        """Unpack as far as `until`, or to the end. What went wrong once goes wrong again."""
        if self._ended or (until is not None and until <= self._position):
            return
        with self._lock:
            while not self._ended and (until is None or self._position < until):
                if self._failure is not None:
                    raise self._failure
                try:
                    self._next()
                except ImageError as error:
                    self._failure = error
                    raise

    def _next(self) -> None:
        piece = next(self._pieces, b"")
        if not piece:
            self._ended = True
            if self._declared is not None and self._declared != self._position:
                raise damaged(self._source, f"it declares {self._declared:,} bytes and unpacks to {self._position:,}")
            self._declared = self._position
            return
        if self._declared is not None and self._position + len(piece) > self._declared:
            raise damaged(self._source, f"it unpacks to more than the {self._declared:,} bytes that it declares")
        for at in range(0, len(piece), _BLOCK):
            block = memoryview(piece)[at : at + _BLOCK]
            if block != _ZEROS[: len(block)]:
                self._store(block, self._position + at)
        self._position += len(piece)
        if self._position > min(MAX_DISK, self._source.size * _MOST_ZEROS + _ALWAYS):
            raise self._endless()

    def _store(self, block: memoryview, at: int) -> None:
        self._stored += len(block)
        if self._stored > self._source.size * _MOST_TIMES + _ALWAYS:
            raise self._endless()
        try:
            self._expect_room()
            while block:
                written = pwrite(self._file.fileno(), block, at)
                block, at = block[written:], at + written
        except OSError as error:
            raise self._no_room(error) from error

    def _expect_room(self) -> None:
        if self._stored < self._looked:
            return
        self._looked = self._stored + _LOOK_EVERY
        if shutil.disk_usage(_folder()).free < _KEPT_FREE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _endless(self) -> ImageError:
        return refused(
            self._source,
            "compressed data without end",
            cause=f"its {self._source.size:,} bytes unpack to more than {max(self._position, self._stored):,}: "
            "no disk image is packed so tightly",
            cure="find out where the file comes from; unpack it yourself when it is right",
        )

    def _no_room(self, error: OSError) -> ImageError:
        return ImageError(
            f"{self.name} cannot be unpacked to {_folder()}",
            cause=f"{error.strerror}: its format is read at any place, so that it has to be unpacked first",
            cure="set TMPDIR to a folder with more room, or unpack it yourself and give what comes out",
            code="NoRoom",
        )


def _folder() -> str:
    """Where large temporary files belong: /tmp is often memory."""
    wanted = os.environ.get("TMPDIR") or "/var/tmp"  # noqa: S108 - the file is made without a name in it
    return wanted if os.path.isdir(wanted) else tempfile.gettempdir()  # noqa: PTH112 - any string may be set
