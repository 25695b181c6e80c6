"""An initramfs by its archives: what each holds and where, and entries to write ("newc" format).

https://docs.kernel.org/driver-api/early-userspace/buffer-format.html: archives follow one another, each plain or
compressed, with zeros between and behind them; a file in a later one replaces that of an earlier.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from vmie.guest.budget import Budget
from vmie.guest.linux.unpack import Feed, GaveUpError, UnpackError, compression

Read = Callable[[int, int], bytes]

_HEADER = 110
_MAGICS = (b"070701", b"070702")
_TRAILER = b"TRAILER!!!"
_MAX_NAME = 4096
_USUAL_NAME = 258
_MAX_ENTRIES = 300_000
_MAX_STREAMS = 16
#: what the kernel looks for before it unpacks anything: it has to stay plain and in front
_EARLY = (b"kernel/", b"early_cpio")
#: above the inode numbers of any archive, which only tell hard links
_FIRST_INODE = 0xF0000000


@dataclass(frozen=True, slots=True)
class Entry:
    """One file: its header begins at `at`, its contents at `data`; `length` is that of all, to the next header."""

    name: bytes
    at: int
    length: int
    data: int
    size: int
    mode: int
    links: int


@dataclass
class CpioArchive:
    """One archive up to its trailer; `read` gives its bytes, which end at `end` (behind the trailer)."""

    read: Read
    entries: list[Entry] = field(default_factory=list)
    end: int = 0

    @property
    def early(self) -> bool:
        """Whether it holds nothing but what the kernel reads from plain memory."""
        names = [one.name.removeprefix(b"./") for one in self.entries]
        return all(name in (b"", b".", b"kernel") or name.startswith(_EARLY) for name in names)

    def content(self, entry: Entry, limit: int) -> bytes:
        """The file, which may have `limit` bytes at most."""
        if entry.size > limit:
            raise GaveUpError(f"{entry.name.decode('utf-8', 'replace')} in it is longer than {limit >> 20} MiB")
        return self.read(entry.data, entry.size)


@dataclass
class CpioStream:
    """A stretch of the file from `start`: a plain archive, or a compressed stream of one or several."""

    start: int
    kind: str
    archives: list[CpioArchive]


def streams(read: Read, size: int, scratch: BinaryIO, *, budget: Budget) -> list[CpioStream]:
    """All of an initramfs of `size` bytes; what is compressed is unpacked into `scratch`.

    Raises UnpackError (damaged, or not understood to its last byte), and OverBudget.
    """
    found: list[CpioStream] = []
    feed = Feed(read, size=size)
    while _past_zeros(feed, budget):
        start = feed.position
        if len(found) == _MAX_STREAMS:
            raise GaveUpError(f"it holds more than {_MAX_STREAMS} archives")
        if feed.peek(6) in _MAGICS:
            archive = _archive(read, start, size, budget)
            found.append(CpioStream(start, "", [archive]))
            feed = _from(read, archive.end, size)
            continue
        kind, reader = compression(feed)
        if reader is None:
            raise GaveUpError(f"{kind} compression is not read" if kind else "it ends in something that is no archive")
        first = scratch.seek(0, 2)
        for piece in reader(feed):
            budget.check()
            scratch.write(piece)
            if scratch.tell() > budget.unpacked:
                raise GaveUpError(f"it unpacks to more than {budget.unpacked >> 20} MiB")
        found.append(CpioStream(start, kind, list(_unpacked(scratch, first, scratch.tell(), budget))))
    return found


def _from(read: Read, start: int, size: int) -> Feed:
    feed = Feed(read, size=size)
    feed.skip(start)
    return feed


def _past_zeros(feed: Feed, budget: Budget) -> bool:
    """Whether anything follows the zeros."""
    while head := feed.peek(4096):
        zeros = len(head) - len(head.lstrip(b"\0"))
        feed.skip(zeros)
        if zeros < len(head):
            return True
        budget.check()
    return False


def _unpacked(scratch: BinaryIO, start: int, end: int, budget: Budget) -> Iterator[CpioArchive]:
    def read(offset: int, length: int) -> bytes:
        scratch.seek(offset)
        return scratch.read(max(0, min(length, end - offset)))

    feed = _from(read, start, end)
    while _past_zeros(feed, budget):
        archive = _archive(read, feed.position, end, budget)
        yield archive
        feed = _from(read, archive.end, end)


def _archive(read: Read, at: int, end: int, budget: Budget) -> CpioArchive:
    archive = CpioArchive(read)
    while len(archive.entries) <= _MAX_ENTRIES:
        one = _entry(read, at, end)
        at += one.length
        if one.name == _TRAILER:
            archive.end = min(at, end)
            return archive
        archive.entries.append(one)
        if len(archive.entries) % 1024 == 0:
            budget.check()
    raise GaveUpError(f"it holds more than {_MAX_ENTRIES} files")


def _entry(read: Read, at: int, end: int) -> Entry:
    header = read(at, _HEADER + _USUAL_NAME)
    if header[:6] not in _MAGICS:
        raise UnpackError("its cpio archive is damaged or ends too early")
    try:
        mode, links, size, length = (int(header[i : i + 8], 16) for i in (14, 38, 54, 94))
    except ValueError as error:
        raise UnpackError("its cpio archive is damaged or ends too early") from error
    if length > _USUAL_NAME:
        header = read(at, _HEADER + min(length, _MAX_NAME))
    name = header[_HEADER : _HEADER + length - 1]
    data = at + _aligned(_HEADER + length)
    after = data + _aligned(size)
    if not 0 < length <= _MAX_NAME or len(name) < length - 1 or size < 0 or after > end + 3 or b"\0" in name:
        raise UnpackError("its cpio archive is damaged or ends too early")
    return Entry(name, at, after - at, data, size, mode, links)


def _aligned(length: int) -> int:
    return length + -length % 4


def entry(name: bytes, mode: int, data: bytes, number: int) -> bytes:
    """A file or a folder of root's, the `number`th that is added; without a time, so that it is the same tomorrow."""
    inode = _FIRST_INODE + number
    links = 2 if stat.S_ISDIR(mode) else 1
    # ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor, namesize, check
    fields = (inode, mode, 0, 0, links, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name + b"\0"
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)


def trailer() -> bytes:
    """The end of an archive."""
    head = b"070701" + b"0" * 32 + b"%08X" % 1 + b"0" * 48 + b"%08X" % (len(_TRAILER) + 1) + b"0" * 8
    head += _TRAILER + b"\0"
    return head + bytes(-len(head) % 512)
