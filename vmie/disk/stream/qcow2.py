"""qcow2, version 3, into a file: whole disks, or what a disk differs in from the file that it lies over.

    header · { clusters · level-2 table } … · level-1 table · refcount blocks · refcount table

Clusters follow each other in the order of the disk, so that memory is one level-2 table (512 MiB of the disk) and the
level-1 table. The header comes last, at the beginning: only then is it known where the tables are.
Source: https://www.qemu.org/docs/master/interop/qcow2.html
"""

from __future__ import annotations

import os
import struct
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from sys import byteorder
from typing import BinaryIO

from vmie.disk.base import SECTOR, Disk
from vmie.disk.qcow2_header import EXT_BACKING_FORMAT, MAGIC
from vmie.disk.stream import spans
from vmie.disk.stream.parallel import ordered
from vmie.errors import ImageError
from vmie.model import Extent, ExtentKind

BITS = 16
CLUSTER = 1 << BITS
LARGEST = 64 * 1024**4
"""EBS's largest volume; the level-1 table of twice that is within qemu's limit of 32 MiB."""

_ENTRIES = CLUSTER // 8
_REFCOUNTS = CLUSTER // 2
_COPIED = 1 << 63
#: a cluster that reads as zeros, whatever lies under it
_ZERO = 1
_BATCH = 16
_HEADER = 112
_MOST_NAME = 1023
_ZERO_CLUSTER = bytes(CLUSTER)


@dataclass(frozen=True, slots=True)
class Backing:
    """The file that holds what the new one does not: its `name` as qemu will look for it, and its `format`."""

    name: str
    format: str


def check(disk: Disk) -> None:
    """Raise ImageError for a disk of no bytes, or of more than EBS has."""
    spans.refuse_empty(disk)
    if disk.size > LARGEST:
        raise ImageError(
            f"{disk.source.name} is too large for a qcow2 of vmie's: {disk.size} bytes",
            cause=f"{LARGEST} bytes (64 TiB) are written at most",
            cure="convert to raw, or shrink the disk first",
        )


def upper_bound(disk: Disk) -> int:
    """No file of this disk takes more bytes; reads the extents, not the data."""
    clusters = sum(stop - first for first, stop in spans.touched(disk.extents(), unit=CLUSTER))
    tables = -(-disk.size // (CLUSTER * _ENTRIES))
    held = 1 + clusters + tables + _clusters(tables * 8)
    blocks, table = _refcount_sizes(held)
    return (held + blocks + table) * CLUSTER


def save(
    disk: Disk,
    file: BinaryIO,
    *,
    workers: int | None = None,
    progress: Callable[[int], None] = lambda _: None,
    backing: Backing | None = None,
) -> int:
    """Write `disk` to a new, empty `file`; the bytes written. `progress` gets the bytes of data read so far.

    Over a `backing` file a hole shows what is there, and zeros (`ExtentKind.ZERO`, or data that is zero) hide it.
    Raises ImageError when the source is damaged.
    """
    check(disk)
    writer = _Writer(disk, file, over=backing is not None)
    extents = disk.extents() if backing is None else _explicit(disk.extents())
    tasks = spans.batches(spans.touched(extents, unit=CLUSTER), most=_BATCH, fence=_ENTRIES)
    done = 0
    for pieces in ordered(partial(_read, disk), tasks, workers=spans.hands(disk, workers)):
        for first, data in pieces:
            writer.put(first, data)
            done += len(data)
        progress(done)
    return writer.finish(backing)


def _explicit(extents: Iterable[Extent]) -> Iterator[Extent]:
    """Zeros as data: they are to be seen."""
    for one in extents:
        yield replace(one, kind=ExtentKind.ALLOCATED) if one.kind is ExtentKind.ZERO else one


def _read(disk: Disk, batch: list[spans.Span]) -> list[tuple[int, bytes]]:
    return [(first, disk.read(first * CLUSTER, (stop - first) * CLUSTER)) for first, stop in batch]


class _Writer:
    """Puts clusters behind each other and remembers where they are."""

    def __init__(self, disk: Disk, file: BinaryIO, *, over: bool) -> None:
        self._file = file
        self._size = spans.sectors(disk.size) * SECTOR
        self._zero = _ZERO if over else 0
        self._tables = array("Q", bytes(8 * -(-self._size // (CLUSTER * _ENTRIES))))
        self._table = array("Q", bytes(CLUSTER))
        self._number = 0
        self._held = 1
        file.seek(CLUSTER, os.SEEK_SET)

    def put(self, first: int, data: bytes) -> None:
        """The data of cluster `first` and of those that follow, all of one level-2 table."""
        if first // _ENTRIES != self._number:
            self._finish_table()
            self._number = first // _ENTRIES
        for at in range(0, len(data), CLUSTER):
            entry = (first + at // CLUSTER) % _ENTRIES
            piece = data[at : at + CLUSTER]
            if piece == _ZERO_CLUSTER[: len(piece)]:
                self._table[entry] = self._zero
                continue
            self._table[entry] = self._append(piece) | _COPIED

    def finish(self, backing: Backing | None) -> int:
        """The tables and the header; the bytes of the file."""
        self._finish_table()
        directory = self._append(_big(self._tables))
        blocks, table = _refcount_sizes(self._held)
        total = self._held + blocks + table
        counts = array("H", b"\1\0" * total if byteorder == "little" else b"\0\1" * total)
        first = self._append(_big(counts))
        places = array("Q", (first + number * CLUSTER for number in range(blocks)))
        counts_at = self._append(_big(places))
        self._file.truncate(total * CLUSTER)
        self._file.seek(0, os.SEEK_SET)
        self._file.write(
            _header(self._size, level1=(directory, len(self._tables)), refcounts=(counts_at, table), backing=backing)
        )
        return total * CLUSTER

    def _finish_table(self) -> None:
        if any(self._table):
            self._tables[self._number] = self._append(_big(self._table)) | _COPIED
            self._table = array("Q", bytes(CLUSTER))

    def _append(self, data: bytes) -> int:
        """Write `data` in clusters of its own; where it begins."""
        at = self._held * CLUSTER
        self._file.write(data + bytes(-len(data) % CLUSTER))
        self._held += _clusters(len(data))
        return at


def _header(size: int, *, level1: tuple[int, int], refcounts: tuple[int, int], backing: Backing | None) -> bytes:
    """`level1` is the place and the entries of that table, `refcounts` the place and the clusters of theirs."""
    name = backing.name.encode() if backing else b""
    if len(name) > _MOST_NAME:
        raise ImageError(
            f"the path of {backing.name if backing else ''} is too long: {len(name)} bytes",
            cause=f"a qcow2 names the file that it lies over in {_MOST_NAME} bytes at most",
            cure="put the two files into one folder",
        )
    form = backing.format.encode() if backing else b""
    extensions = struct.pack(">II", EXT_BACKING_FORMAT, len(form)) + form + bytes(-len(form) % 8) if backing else b""
    extensions += bytes(8)
    name_at = _HEADER + len(extensions) if backing else 0
    head = struct.pack(
        ">4sIQIIQIIQQIIQ",
        *(MAGIC, 3, name_at, len(name), BITS, size, 0),
        *(level1[1], level1[0], *refcounts, 0, 0),
    )
    # no feature bits; refcounts of 2^4 bits; the compression type and its padding
    return head + struct.pack(">QQQII", 0, 0, 0, 4, _HEADER) + bytes(8) + extensions + name


def _refcount_sizes(held: int) -> tuple[int, int]:
    """Clusters of refcount blocks and of their table, which count themselves, for `held` other clusters."""
    blocks = table = 0
    while True:
        wanted = -(-(held + blocks + table) // _REFCOUNTS)
        if wanted == blocks:
            return blocks, table
        blocks, table = wanted, _clusters(wanted * 8)


def _clusters(length: int) -> int:
    return -(-length // CLUSTER)


def _big(numbers: array[int]) -> bytes:
    """The numbers, their highest bytes first."""
    if byteorder == "big":
        return numbers.tobytes()
    swapped = array(numbers.typecode, numbers)
    swapped.byteswap()
    return swapped.tobytes()
