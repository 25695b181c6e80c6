"""Raw disks compressed as a whole: .gz, .xz, .zst. They can be read forward only.

    compressed file ──► pieces of up to 2 MiB ──► the last 32 MiB kept ──► read(offset, length)

Reading on is cheap, also by several threads that are a little out of step; reading back beyond what
is kept begins anew from the first byte. What is inside must be a raw disk: others are refused by
name, as a format that is read at random would be unpacked again and again.
"""

from __future__ import annotations

import io
import lzma
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from isal import igzip, isal_zlib

from vmie.disk import foreign, xz_index, zstd_frames
from vmie.disk.base import Disk, ObjectSource, Source
from vmie.disk.reading import damaged, within
from vmie.disk.refusals import MAX_DISK, refused
from vmie.errors import ImageError
from vmie.events import Progress, Reporter, silent
from vmie.model import Extent, ExtentKind

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_GZIP = b"\x1f\x8b\x08"
_PIECE = 256 << 10
_READ = 256 << 10
_KEPT = 32 << 20
_XZ_MEMORY = 128 << 20  # `xz -9` needs 65 MiB
_PEEK = 64 << 10


def probe(source: Source) -> bool:
    """Whether the file begins as gzip, xz or zstd do."""
    return _method(source) is not None


def open_source(source: Source) -> WrappedDisk:
    """Look at the first bytes inside; raises ImageError when they cannot be unpacked or are no raw disk."""
    return WrappedDisk(source)


def _method(source: Source) -> str | None:
    head = source.pread(0, 6)
    if head.startswith(_GZIP):
        return "gzip"
    if head.startswith(xz_index.MAGIC):
        return "xz"
    return "zstd" if zstd_frames.probe(source) else None


class WrappedDisk(Disk):
    """A raw disk inside gzip, xz or zstd; `facts["forward_only"]` is True.

    `size` may take time when first asked for: xz and most zstd files tell it, gzip files must be read once
    (`measure` does that with progress).
    """

    format = "raw"

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.variant = _method(source) or ""
        if not self.variant:
            raise damaged(source, "it begins neither as gzip, xz nor zstd")
        self._unpack: Callable[[Source], Iterator[bytes]] = {
            "gzip": _gunzip,
            "xz": _unxz,
            "zstd": zstd_frames.unpacked,
        }[self.variant]
        self._known: int | None = None
        self._lock = threading.Lock()
        self._kept: deque[tuple[int, bytes]] = deque()
        self._kept_bytes = 0
        self._position = 0
        self._failure: ImageError | None = None
        self._pieces = self.forward()
        head = ObjectSource(io.BytesIO(self.read(0, _PEEK)), name=source.name)
        _refuse_other_formats(source, head, self.variant)
        self.facts = {
            "forward_only": True,
            "wrapper": self.variant,
            "compressed_size": source.size,
            **foreign.facts_of(head, whole=head.size < _PEEK),
        }

    @property
    def size(self) -> int:  # type: ignore[override] # the base has a plain attribute
        """The disk's size in bytes; see the class for what asking may cost."""
        return self.measure()

    @property
    def allocated_size(self) -> int:  # type: ignore[override]
        """The same as `size`: what is zero inside is not known before it is read."""
        return self.size

    def measure(self, *, reporter: Reporter = silent) -> int:
        """The disk's size in bytes, by one pass over the file where the file does not tell it. Raises ImageError."""
        if self._known is None:
            declared = self._declared()
            if declared is None:
                declared = 0
                for piece in self.forward():
                    declared += len(piece)
                    reporter(Progress("measure", declared))
            if declared > MAX_DISK:
                raise _too_large(self.source)
            self._known = declared
        return self._known

    def expect(self, size: int) -> None:
        """Take `size` from an earlier `measure` of the same file, so that it need not be read once more."""
        self._known = size

    def _declared(self) -> int | None:
        if self.variant == "xz":
            return xz_index.content_size(self.source)
        return zstd_frames.content_size(self.source) if self.variant == "zstd" else None

    def forward(self) -> Iterator[bytes]:
        """The disk from its first byte to its last, in pieces of up to 2 MiB, independent of `read`.

        Raises ImageError where the file is damaged or cut short, or does not have the size it declares.
        """
        total = 0
        tail = b""
        for piece in self._unpack(self.source):
            total += len(piece)
            if total > MAX_DISK:
                raise _too_large(self.source)
            if self._known is not None and total > self._known:
                raise self._longer()
            tail = piece[-512:] if len(piece) >= 512 else (tail + piece)[-512:]
            yield piece
        if tail.startswith(b"conectix"):
            raise _inside(self.source, "a VHD", self.variant)
        if foreign.is_dmg_end(tail):
            raise foreign.no_disk(self.source, "dmg", inside=self.variant)
        if self._known is None:
            self._known = total
        elif self._known != total:
            raise damaged(self.source, f"it declares {self._known:,} bytes and unpacks to {total:,}")

    def read(self, offset: int, length: int) -> bytes:
        """See `Disk.read`: cheap at growing offsets, and up to 32 MiB back from the furthest byte read.

        A read that ends with the disk goes on to the end of the file, so that its checksums have been looked at,
        and content longer than declared has been found, when the last byte is handed out.
        """
        end = offset + within(offset, length, MAX_DISK if self._known is None else self._known)
        parts: list[bytes] = []
        with self._lock:
            if offset < self._position - self._kept_bytes:
                self._restart()
            for start, piece in self._kept:
                if start < end and start + len(piece) > offset:
                    parts.append(piece[max(0, offset - start) : end - start])
            while self._position < end:
                start = self._position
                piece = self._next()
                if not piece:
                    break
                if self._position > offset:
                    parts.append(piece[max(0, offset - start) : end - start])
            if length and end == self._known:
                while self._next():
                    pass
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _next(self) -> bytes:
        """The next piece, kept; b"" at the end. What went wrong once goes wrong again."""
        if self._failure is not None:
            raise self._failure
        try:
            piece = next(self._pieces, b"")
        except ImageError as error:
            self._failure = error
            raise
        if piece:
            self._kept.append((self._position, piece))
            self._position += len(piece)
            self._kept_bytes += len(piece)
            while self._kept_bytes > _KEPT and len(self._kept) > 1:
                self._kept_bytes -= len(self._kept.popleft()[1])
        return piece

    def _longer(self) -> ImageError:
        return damaged(self.source, f"it unpacks to more than the {self._known:,} bytes that it declares")

    def _restart(self) -> None:
        self._kept.clear()
        self._failure = None
        self._kept_bytes = self._position = 0
        self._pieces = self.forward()

    def extents(self) -> Iterator[Extent]:
        """One allocated extent: see `allocated_size`."""
        if self.size:
            yield Extent(0, self.size, ExtentKind.ALLOCATED)


class _File(io.RawIOBase):
    """A source as the file object that gzip readers want."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._at = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer)
        data = self._source.pread(self._at, len(view))
        view[: len(data)] = data
        self._at += len(data)
        return len(data)


def _gunzip(source: Source) -> Iterator[bytes]:
    try:
        file = igzip.IGzipFile(fileobj=io.BufferedReader(_File(source), _READ), mode="rb")  # type: ignore[no-untyped-call]
        with file:
            while piece := file.read(_PIECE):
                yield piece
    except (isal_zlib.IsalError, EOFError, OSError, OverflowError, ValueError) as error:  # type: ignore[misc] # isal's stub
        raise damaged(source, f"its gzip data does not unpack: {error}") from error


def _unxz(source: Source) -> Iterator[bytes]:
    offset = 0
    try:
        while offset < source.size:
            decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
            data = b""
            while not decompressor.eof:
                if decompressor.needs_input:
                    data = source.pread(offset, _READ)
                    offset += len(data)
                    if not data:
                        raise damaged(source, "its xz data ends in the middle of a stream")
                piece = decompressor.decompress(data, _PIECE)
                data = b""
                if piece:
                    yield piece
            offset -= len(decompressor.unused_data)
            offset += _padding(source, offset)
    except lzma.LZMAError as error:
        raise damaged(source, f"its xz data does not unpack: {error}") from error


def _padding(source: Source, offset: int) -> int:
    """The zero bytes after an xz stream: any number of four."""
    begin = offset
    while data := source.pread(offset, _READ):
        used = data.lstrip(b"\0")
        offset += len(data) - len(used)
        if used:
            break
    return (offset - begin) // 4 * 4


def _refuse_other_formats(source: Source, head: Source, wrapper: str) -> None:
    from vmie.disk import detect  # noqa: PLC0415 - the registry imports this module

    if head.size:
        name = detect(head)
        if name != "raw":
            what = {"ova": "an OVA", "ovf": "an OVF", "wrapper": "a compressed file"}.get(name, f"a {name.upper()}")
            raise _inside(source, what, wrapper)


def _inside(source: Source, what: str, wrapper: str) -> Exception:
    command = {"gzip": "gunzip", "xz": "unxz", "zstd": "unzstd"}[wrapper]
    return refused(
        source,
        f"{what} compressed with {wrapper}",
        cause="only raw disks are read through a compressed file; other formats need reads at any place",
        cure=f"unpack it first: `{command} FILE`",
    )


def _too_large(source: Source) -> Exception:
    return refused(
        source,
        "compressed data without end",
        cause=f"it unpacks to more than {MAX_DISK:,} bytes (64 TiB)",
        cure="find out where the file comes from; no disk is that large",
    )
