"""Files compressed as a whole: .gz, .xz, .zst.

    a raw disk         ──► pieces of up to 2 MiB ──► the last 32 MiB kept ──► read(offset, length)
    any other format   ──► `spool`, a temporary file ──► that format's own reader

A raw disk is read forward only. Reading on is cheap, also by several threads that are a little out of step; reading
back beyond what is kept begins anew from the first byte. Every other format is read at any place, and would be
unpacked again and again.
"""

from __future__ import annotations

import io
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import PurePath

from vmie.disk import foreign, unpack
from vmie.disk.base import Disk, ObjectSource, Source
from vmie.disk.reading import damaged, within
from vmie.disk.refusals import MAX_DISK, refused
from vmie.disk.spool import Spooled
from vmie.errors import ImageError
from vmie.events import Progress, Reporter, silent
from vmie.model import Extent, ExtentKind

_KEPT = 32 << 20
_PEEK = 64 << 10
_SUFFIXES = frozenset({".gz", ".xz", ".zst", ".tgz", ".txz", ".tzst"})
#: suffixes that stand for two
_LONG = {".tgz": ".tar", ".txz": ".tar", ".tzst": ".tar"}


def probe(source: Source) -> bool:
    """Whether the file begins as gzip, xz or zstd do."""
    return unpack.method_of(source) is not None


def open_source(source: Source, *, index: int = 0, machine: str = "", empty_disks: bool = False) -> Disk:
    """The disk inside, whatever its format. Raises ImageError when it cannot be unpacked."""
    from vmie.disk import registry  # noqa: PLC0415 - it imports this module

    method = str(unpack.method_of(source))
    if _kind_inside(source, method) == "raw":
        registry.expect_single(source, index=index, machine=machine)
        return WrappedDisk(source)
    inner = spooled(source)
    try:
        disk = registry.open_source(inner, index=index, machine=machine, empty_disks=empty_disks)
    except BaseException:
        inner.close()
        raise
    disk.facts.setdefault("wrapper", method)
    return disk


def spooled(source: Source) -> Spooled:
    """What a compressed file holds, to be read at any place; it bears the file's name without .gz, .xz, .zst."""
    method = str(unpack.method_of(source))
    stem = PurePath(PurePath(source.name).name.rpartition(": ")[2])
    inside = stem.stem if stem.suffix.lower() in _SUFFIXES else stem.name
    name = f"{source.name}: {inside}{_LONG.get(stem.suffix.lower(), '')}"
    return Spooled(source, unpack.unpacked(source, method), name=name, size=unpack.content_size(source, method))


def _kind_inside(source: Source, method: str) -> str:
    """The format of the content by its beginning; a fixed VHD shows at its end alone, so that its name counts."""
    from vmie.disk import registry  # noqa: PLC0415 - it imports this module

    head = b""
    for piece in unpack.unpacked(source, method):
        head += piece
        if len(head) >= _PEEK:
            break
    if PurePath(PurePath(source.name).stem).suffix.lower() in (".vhd", ".vpc"):
        return "vhd"
    return registry.detect(ObjectSource(io.BytesIO(head), name=source.name)) if head else "raw"


class WrappedDisk(Disk):
    """A raw disk inside gzip, xz or zstd; `facts["forward_only"]` is True.

    `size` may take time when first asked for: xz and most zstd files tell it, gzip files must be read once
    (`measure` does that with progress).
    """

    format = "raw"

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.variant = unpack.method_of(source) or ""
        if not self.variant:
            raise damaged(source, "it begins neither as gzip, xz nor zstd")
        self._known: int | None = None
        self._lock = threading.Lock()
        self._kept: deque[tuple[int, bytes]] = deque()
        self._kept_bytes = 0
        self._position = 0
        self._failure: ImageError | None = None
        self._pieces = self.forward()
        head = ObjectSource(io.BytesIO(self.read(0, _PEEK)), name=source.name)
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
            declared = unpack.content_size(self.source, self.variant)
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

    def forward(self) -> Iterator[bytes]:
        """The disk from its first byte to its last, in pieces of up to 2 MiB, independent of `read`.

        Raises ImageError where the file is damaged or cut short, or does not have the size it declares.
        """
        total = 0
        tail = b""
        for piece in unpack.unpacked(self.source, self.variant):
            total += len(piece)
            if total > MAX_DISK:
                raise _too_large(self.source)
            if self._known is not None and total > self._known:
                raise self._longer()
            tail = piece[-512:] if len(piece) >= 512 else (tail + piece)[-512:]
            yield piece
        if tail.startswith(b"conectix"):
            raise _fixed_vhd(self.source, self.variant)
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


def _fixed_vhd(source: Source, wrapper: str) -> Exception:
    suffix = {"gzip": ".gz", "xz": ".xz", "zstd": ".zst"}[wrapper]
    return refused(
        source,
        f"a VHD compressed with {wrapper}",
        cause="a fixed VHD shows what it is at its end alone, so that it was taken for a raw disk",
        cure=f"rename it so that it ends in .vhd{suffix}: then it is read",
    )


def _too_large(source: Source) -> Exception:
    return refused(
        source,
        "compressed data without end",
        cause=f"it unpacks to more than {MAX_DISK:,} bytes (64 TiB)",
        cure="find out where the file comes from; no disk is that large",
    )
