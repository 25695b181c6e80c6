"""What every disk format offers, and what every reader may assume about its bytes.

A format is one file: `disk/<format>.py` with a class derived from `Disk` and a `probe`. Readers
take a `Source` (positional reads, thread-safe), never a path, so tests feed bytes and an S3 object
can be read by range.
"""

from __future__ import annotations

import io
import os
import stat
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, Self

from vmie.disk.positional import BINARY, NOFOLLOW, NONBLOCK, pread
from vmie.errors import ImageError
from vmie.model import Extent

if TYPE_CHECKING:
    from vmie.disk.tables import TableFault

SECTOR = 512


class Source(Protocol):
    """Bytes with positional, thread-safe reads.

    `name` is for messages; `path` is set only when the bytes are a real local file (SEEK_HOLE,
    sibling extents).
    """

    name: str
    path: Path | None

    @property
    def size(self) -> int:
        """In bytes."""

    def pread(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`; fewer only at the end of the source."""

    def close(self) -> None:
        """Release the bytes; further reads raise ValueError."""


class FileSource:
    """A local file, read with `pread`: no shared position, no lock."""

    def __init__(self, path: str | os.PathLike[str], *, follow: bool = True) -> None:
        self.path: Path | None = Path(path)
        self.name = str(path)
        flags = os.O_RDONLY | BINARY | NONBLOCK | (0 if follow else NOFOLLOW)
        try:
            self._fd = os.open(path, flags)
        except OSError as error:
            raise ImageError(
                f"cannot open {self.name}", cause=str(error.strerror), cure="check the path and its permissions"
            ) from error
        try:
            self.size = os.lseek(self._fd, 0, os.SEEK_END)
        except OSError as error:
            os.close(self._fd)
            raise ImageError(
                f"{self.name} cannot be read at arbitrary positions",
                cause="it is a pipe, a socket or a terminal",
                cure="save it to a file first",
            ) from error
        if not self.size and stat.S_ISCHR(os.fstat(self._fd).st_mode):
            os.close(self._fd)
            raise ImageError(
                f"{self.name} is no disk image",
                cause="it is a character device, such as /dev/zero: it has no size",
                cure="name a file or a block device",
            )

    def pread(self, offset: int, length: int) -> bytes:
        """See `Source.pread`."""
        if offset >= self.size or length <= 0:
            return b""
        try:
            data = pread(self._fd, length, offset)
        except OSError as error:
            if self._fd < 0:
                raise ValueError(f"{self.name} is closed") from error
            raise ImageError(
                f"cannot read {self.name} at byte {offset:,}: {error.strerror}",
                cure="check the medium or the network file system; copy the image to a sound disk",
            ) from error
        if len(data) == length or offset + len(data) >= self.size:
            return data
        parts = [data]
        got = len(data)
        while got < length and (piece := pread(self._fd, length - got, offset + got)):
            parts.append(piece)
            got += len(piece)
        return b"".join(parts)

    def preadinto(self, buffer: memoryview, offset: int) -> int:
        """Fill `buffer` from `offset` as far as the file goes; the bytes read, 0 at its end. Raises ImageError."""
        try:
            return os.preadv(self._fd, [buffer], offset)
        except OSError as error:
            if self._fd < 0:
                raise ValueError(f"{self.name} is closed") from error
            raise ImageError(
                f"cannot read {self.name} at byte {offset:,}: {error.strerror}",
                cause="the medium or the network file system failed",
                cure="copy the image to a sound disk",
            ) from error

    def fileno(self) -> int:
        """The descriptor, for SEEK_DATA/SEEK_HOLE."""
        return self._fd

    def close(self) -> None:
        """See `Source.close`."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class ObjectSource:
    """Any seekable binary file object (BytesIO, an S3 range reader), behind one lock. Not closed by us."""

    def __init__(self, file: BinaryIO, *, name: str = "") -> None:
        self.path: Path | None = None
        self.name = name or str(getattr(file, "name", "<file object>"))
        self._file = file
        self._lock = threading.Lock()
        try:
            self.size = file.seek(0, io.SEEK_END)
        except (OSError, ValueError, AttributeError) as error:
            raise ImageError(f"{self.name} is not seekable", cure="give a seekable binary file") from error

    def pread(self, offset: int, length: int) -> bytes:
        """See `Source.pread`."""
        if offset >= self.size or length <= 0:
            return b""
        with self._lock:
            try:
                self._file.seek(offset)
                data = self._read(length)
                wanted = min(length, self.size - offset)
                while data and len(data) < wanted:  # an unbuffered file or a network reader may give less than it has
                    more = self._read(wanted - len(data))
                    if not more:
                        break
                    data += more
            except OSError as error:
                raise ImageError(
                    f"cannot read {self.name} at byte {offset:,}",
                    cause=str(error),
                    cure="check what the file object reads from, then try again",
                ) from error
        return data

    def _read(self, length: int) -> bytes:
        data: Any = self._file.read(length)
        if isinstance(data, str):
            raise ImageError(f"{self.name} is open as text", cause="a disk is bytes", cure='open it with mode "rb"')
        return bytes(data or b"")

    def close(self) -> None:
        """Leaves the file object open: whoever made it closes it."""


def depth_of(source: Source) -> int:
    """How many archives and packs a source lies in."""
    return int(getattr(source, "depth", 0))


class Window:
    """A slice of another source: a member of an archive. `depth`: how many archives it lies in."""

    def __init__(self, source: Source, *, offset: int, size: int, name: str) -> None:
        self.path: Path | None = None
        self.name = name
        #: what it is a slice of, and where it begins there
        self.of = source
        self.offset = offset
        self.size = size
        self.depth = depth_of(source) + 1

    def pread(self, offset: int, length: int) -> bytes:
        """See `Source.pread`."""
        length = min(length, self.size - offset)
        return self.of.pread(self.offset + offset, length) if length > 0 else b""

    def close(self) -> None:
        """Leaves the archive open."""


def place_in_file(source: Source) -> int | None:
    """Where the bytes of `source` begin in the one local file that they are a range of; None where they are not."""
    if isinstance(source, Window):
        place = place_in_file(source.of)
        return None if place is None else place + source.offset
    return 0 if isinstance(source, FileSource) else None


class Placed:
    """A member of an archive that knows the files beside it: `sibling` finds one by its bare name."""

    def __init__(self, source: Source, sibling: Callable[[str], Source | None]) -> None:
        self.path: Path | None = None
        self.name = source.name
        self.depth = depth_of(source)
        self.sibling = sibling
        self.pread = source.pread
        self.close = source.close
        self._source = source

    @property
    def size(self) -> int:
        """The member's."""
        return self._source.size


class Disk(ABC):
    """A virtual disk, whatever holds it.

    `format` is the container (raw, vmdk, vhd, vhdx, qcow2, vdi), `variant` its sub-format in the
    format's own terms (streamOptimized, dynamic, …), `size` the virtual size in bytes,
    `allocated_size` the bytes that hold data (an upper bound, cheap to tell), `facts` whatever else
    the headers say, JSON-able.
    """

    format: str
    variant: str
    size: int
    allocated_size: int
    facts: dict[str, Any]

    def __init__(self, source: Source) -> None:
        self.source = source
        self.facts = {}

    @abstractmethod
    def read(self, offset: int, length: int) -> bytes:
        """Exactly the bytes of ``[offset, offset+length)`` that lie within the disk. Thread-safe.

        Holes read as zeros. Raises ImageError when the container is damaged there, ValueError for a negative
        offset or length.
        """

    @abstractmethod
    def extents(self) -> Iterator[Extent]:
        """The whole disk, in order, without gaps or overlaps, equal neighbours coalesced."""

    def table_faults(self) -> Iterator[TableFault]:
        """What the container's tables say that cannot be so; reads tables, no data. Raises ImageError.

        Nothing for a container without tables, or one that was made whole when it was opened.
        """
        yield from ()

    def close(self) -> None:
        """Close the source."""
        self.source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
