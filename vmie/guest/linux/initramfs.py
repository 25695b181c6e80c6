"""Names in an initramfs: cpio archives one after the other, plain (microcode) and compressed, none kept in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from vmie.guest.budget import Budget
from vmie.guest.linux.unpack import Feed, GaveUpError, UnpackError, compression
from vmie.guest.tree import ResolvedPath

_HEADER = 110
_MAGICS = (b"070701", b"070702")
_MAX_NAME = 4096
_MAX_ENTRIES = 300_000
_MAX_ARCHIVES = 16
_MICROCODE = "kernel/x86/microcode"
_LAST = "TRAILER!!!"


@dataclass
class Listing:
    """What was read: `compression` of the main archive, `entries` seen, `complete` unless `seen` said enough."""

    compression: str = ""
    early_microcode: bool = False
    entries: int = 0
    complete: bool = False
    unpacked: int = field(default=0, repr=False)


class _Plain:
    """An uncompressed archive: bodies are passed over without being read."""

    def __init__(self, feed: Feed) -> None:
        self.take = feed.take
        self.skip = feed.skip


class _Packed:
    """A compressed archive: bodies have to be unpacked, and are counted."""

    def __init__(self, pieces: Iterator[bytes], listing: Listing, budget: Budget) -> None:
        self._pieces = pieces
        self._listing = listing
        self._budget = budget
        self._piece = b""
        self._at = 0

    def _next(self) -> bool:
        for piece in self._pieces:
            self._budget.check()
            self._listing.unpacked += len(piece)
            if self._listing.unpacked > self._budget.unpacked:
                raise GaveUpError(f"it unpacks to more than {self._budget.unpacked >> 20} MiB")
            if piece:
                self._piece, self._at = piece, 0
                return True
        return False

    def take(self, length: int) -> bytes:
        end = self._at + length
        if end <= len(self._piece):
            data = self._piece[self._at : end]
            self._at = end
            return data
        parts = [self._piece[self._at :]]
        self._at = len(self._piece)
        missing = length - len(parts[0])
        while missing and self._next():
            part = self._piece[:missing]
            self._at = len(part)
            missing -= len(part)
            parts.append(part)
        return b"".join(parts)

    def skip(self, length: int) -> None:
        while length > len(self._piece) - self._at:
            length -= len(self._piece) - self._at
            self._at = len(self._piece)
            if not self._next():
                return
        self._at += length


def names(place: ResolvedPath, *, budget: Budget, seen: Callable[[str], bool]) -> Listing:
    """Call `seen` with each name until it returns True or the archives end.

    Raises UnpackError (damaged, of an unknown kind, or a bomb), FileSystemError and OverBudget.
    """
    listing = Listing()
    feed = Feed(lambda offset, length: place.filesystem.read(place.inner, length, offset), size=place.entry.size)
    for _ in range(_MAX_ARCHIVES):
        _skip_zeros(feed, budget)
        head = feed.peek(8)
        if not head:
            break
        if head[:6] in _MAGICS:
            if _walk(_Plain(feed), listing, budget, seen):
                listing.compression = "none"
                return listing
            continue
        kind, reader = compression(feed)
        if reader is None:
            if listing.compression and not kind:
                break  # junk behind the archive: the kernel stops there as well
            if kind:
                raise GaveUpError(f"{kind} compression is not read")
            raise UnpackError("it is no cpio archive")
        listing.compression = kind
        packed = _Packed(reader(feed), listing, budget)
        if _walk(packed, listing, budget, seen):
            return listing
        packed.skip(budget.unpacked)
    if not listing.entries:
        raise UnpackError("it holds no files")
    listing.compression = listing.compression or "none"
    listing.complete = True
    return listing


def _skip_zeros(feed: Feed, budget: Budget) -> None:
    while head := feed.peek(4096):
        zeros = len(head) - len(head.lstrip(b"\0"))
        feed.skip(zeros)
        if zeros < len(head):
            return
        budget.check()


def _walk(source: _Plain | _Packed, listing: Listing, budget: Budget, seen: Callable[[str], bool]) -> bool:
    """One archive in the "newc" format; True when `seen` has heard enough."""
    while True:
        header = source.take(_HEADER)
        if len(header) < _HEADER or header[:6] not in _MAGICS:
            if not listing.entries:
                raise UnpackError("it is no cpio archive")
            raise UnpackError("its cpio archive is damaged or ends too early")
        try:
            size, length = int(header[54:62], 16), int(header[94:102], 16)
        except ValueError as error:
            raise UnpackError("its cpio archive is damaged") from error
        if not 0 < length <= _MAX_NAME or size < 0:
            raise UnpackError("its cpio archive is damaged")
        name = source.take(length + (-(_HEADER + length)) % 4)[: length - 1].decode("utf-8", "replace")
        if name == _LAST:
            return False
        listing.entries += 1
        if listing.entries > _MAX_ENTRIES:
            raise GaveUpError(f"it holds more than {_MAX_ENTRIES} files")
        if listing.entries % 1024 == 0:
            budget.check()
        if name.startswith(_MICROCODE):
            listing.early_microcode = True
        elif seen(name):
            return True
        source.skip(size + -size % 4)
