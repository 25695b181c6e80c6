"""A file of NTFS: its record in the MFT, and the runs of clusters that it names.

https://flatcap.github.io/linux-ntfs/ntfs/ (file records, fixups, attributes, data runs); a file that the Windows
Overlay Filter has compressed is a reparse point, https://learn.microsoft.com/en-us/windows/win32/fileio/reparse-point-tags.
The copy of the size in the directory is left: Windows brings it up to date when the file is next opened.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from vmie.guest.filesystem import FileSystem
from vmie.guest.free.windows import at_rest
from vmie.guest.in_place.file_map import MOST, FileMap, NotWritable, Patch, Piece, contiguous, least_of
from vmie.guest.libyal import Numbered, Spread
from vmie.guest.stream import Blocks

_LIST, _DATA, _REPARSE, _END = 0x20, 0x80, 0xC0, 0xFFFFFFFF
_IN_USE, _DIRECTORY = 1, 2
_STATES = {0x00FF: "it is compressed", 0x4000: "it is encrypted", 0x8000: "it is sparse"}
_SECTOR = 512


@dataclass(frozen=True, slots=True)
class _Layout:
    cluster: int
    record: int
    mft: int


def file_map(files: FileSystem, path: str) -> FileMap:
    """See `in_place.file_map`. Raises NotWritable, NotKnown, FileSystemError, ImageError, OverBudget."""
    if not isinstance(files, Numbered):
        raise NotWritable("it is no NTFS of the reader's")
    at_rest(files)
    blocks = files.blocks
    layout = _layout(blocks)
    place, raw = _record(blocks, layout, files.number(path))
    record = _restored(raw)
    attributes = _attributes(record)
    if any(kind == _REPARSE for kind, _ in attributes):
        raise NotWritable("the Windows Overlay Filter has compressed it, or it is a link")
    if any(kind == _LIST for kind, _ in attributes):
        return _listed(files, path, layout)
    at = next((at for kind, at in attributes if kind == _DATA and not record[at + 9]), None)
    if at is None:
        raise NotWritable("its data is in another record")
    flags = int.from_bytes(record[at + 12 : at + 14], "little")
    for flag, why in _STATES.items():
        if flags & flag:
            raise NotWritable(why)
    return _runs(raw, record, place, at, layout) if record[at + 8] else _resident(raw, record, place, at)


def _layout(blocks: Blocks) -> _Layout:
    raw = blocks.read(0, 512).ljust(512, b"\0")
    sector, per = struct.unpack_from("<HB", raw, 11)
    mft, per_record = int.from_bytes(raw[48:56], "little"), struct.unpack_from("<b", raw, 64)[0]
    cluster = sector * (per if per <= 128 else 1 << (256 - per))
    record = 1 << -per_record if per_record < 0 else per_record * cluster
    if not 512 <= cluster <= 2 << 20 or not 512 <= record <= 65536 or record % _SECTOR:
        raise NotWritable("its boot sector does not say where its records lie")
    return _Layout(cluster, record, mft * cluster)


def _record(blocks: Blocks, layout: _Layout, number: int) -> tuple[int, bytes]:
    """(offset in the volume, bytes) of the record `number`, by the runs of the MFT's own first record."""
    first = _restored(blocks.read(layout.mft, layout.record))
    at = next((at for kind, at in _attributes(first) if kind == _DATA), None)
    if at is None or not first[at + 8]:
        raise NotWritable("the MFT cannot be read")
    wanted = number * layout.record
    for start, place, length in _decoded(first, at, layout.cluster):
        if start <= wanted and wanted + layout.record <= start + length:
            at = place + wanted - start
            raw = blocks.read(at, layout.record)
            if len(raw) < layout.record or raw[:4] != b"FILE":
                break
            if int.from_bytes(raw[22:24], "little") & (_IN_USE | _DIRECTORY) != _IN_USE:
                break
            return at, raw
    raise NotWritable("its record in the MFT cannot be read")


def _restored(raw: bytes) -> bytes:
    """A record with the ends of its sectors back in place of the number that guards them."""
    record = bytearray(raw)
    if record[:4] != b"FILE" or len(record) < 512:
        raise NotWritable("its record in the MFT is damaged")
    fixups, words = struct.unpack_from("<HH", record, 4)
    if words != len(record) // _SECTOR + 1 or fixups + 2 * words > _SECTOR - 2:
        raise NotWritable("its record in the MFT is damaged")
    for index in range(1, words):
        end = index * _SECTOR - 2
        if record[end : end + 2] != record[fixups : fixups + 2]:
            raise NotWritable("its record in the MFT was not written to its end")
        record[end : end + 2] = record[fixups + 2 * index : fixups + 2 * index + 2]
    return bytes(record)


def _guarded(record: bytes, raw: bytes) -> bytes:
    """The reverse: `record` with the number of `raw` at the ends of its sectors."""
    changed = bytearray(record)
    fixups = int.from_bytes(raw[4:6], "little")
    for index in range(1, len(raw) // _SECTOR + 1):
        end = index * _SECTOR - 2
        changed[fixups + 2 * index : fixups + 2 * index + 2] = record[end : end + 2]
        changed[end : end + 2] = raw[fixups : fixups + 2]
    return bytes(changed)


def _attributes(record: bytes) -> list[tuple[int, int]]:
    """(type, offset) of each attribute."""
    found: list[tuple[int, int]] = []
    at = int.from_bytes(record[20:22], "little")
    while at + 24 <= len(record):
        kind, length = struct.unpack_from("<II", record, at)
        if kind == _END:
            return found
        if length < 24 or at + length > len(record):
            break
        found.append((kind, at))
        at += length
    raise NotWritable("its record in the MFT is damaged")


def _decoded(record: bytes, at: int, cluster: int) -> list[Piece]:
    """The runs of the attribute at `at`: each a byte of two widths, the count, and the step to the first cluster."""
    end = at + int.from_bytes(record[at + 4 : at + 8], "little")
    place = at + int.from_bytes(record[at + 32 : at + 34], "little")
    found: list[Piece] = []
    start = first = 0
    while place < end and record[place]:
        counts, steps = record[place] & 15, record[place] >> 4
        if counts > 8 or steps > 8 or not steps or place + 1 + counts + steps > end:
            raise NotWritable("it is sparse, or its runs are damaged")
        count = int.from_bytes(record[place + 1 : place + 1 + counts], "little")
        first += int.from_bytes(record[place + 1 + counts : place + 1 + counts + steps], "little", signed=True)
        if first < 0:
            raise NotWritable("its runs are damaged")
        found.append((start, first * cluster, count * cluster))
        start += count * cluster
        place += 1 + counts + steps
    return found


def _runs(raw: bytes, record: bytes, place: int, at: int, layout: _Layout) -> FileMap:
    """Data in clusters; the record keeps its size, and up to where it was ever written."""
    size, written = struct.unpack_from("<QQ", record, at + 48)
    if record[at + 16 : at + 24] != bytes(8) or size > MOST or written > size:
        raise NotWritable("its data is in another record, or too large")
    pieces = contiguous(_decoded(record, at, layout.cluster), size, layout.cluster)
    room = sum(length for _, _, length in pieces)
    allocated = int.from_bytes(record[at + 40 : at + 48], "little")
    least = size if allocated != room else min(size, least_of(room, layout.cluster))
    if written < size:
        raise NotWritable("it has bytes that were never written")

    def resized(length: int) -> list[Patch]:
        changed = bytearray(record)
        struct.pack_into("<QQ", changed, at + 48, length, length)
        return [(place, _guarded(bytes(changed), raw))]

    return FileMap(size, least, room, pieces, resized)


def _resident(raw: bytes, record: bytes, place: int, at: int) -> FileMap:
    """Data inside the record: as much as the attribute has room for, nothing behind it is moved."""
    length = int.from_bytes(record[at + 4 : at + 8], "little")
    size, start = struct.unpack_from("<IH", record, at + 16)
    room = length - start
    if start < 24 or room < 0 or size > room:
        raise NotWritable("its record in the MFT is damaged")

    def around(data: bytes) -> list[Patch]:
        changed = bytearray(record)
        struct.pack_into("<I", changed, at + 16, len(data))
        changed[at + start : at + length] = data.ljust(room, b"\0")
        return [(place, _guarded(bytes(changed), raw))]

    return FileMap(size, 0, room, (), lambda _: [], around, record[at + start : at + start + size])


def _listed(files: FileSystem, path: str, layout: _Layout) -> FileMap:
    """A file whose runs are spread over records: where the reader finds them, its size kept."""
    status = files.lstat(path)
    if not isinstance(files, Spread) or status is None or status.size > MOST:
        raise NotWritable("its data is spread over records of the MFT")
    runs: list[Piece] = []
    start = 0
    for at, length in files.extents(path):
        runs.append((start, at, length))
        start += length
    pieces = contiguous(runs, status.size, layout.cluster)
    return FileMap(status.size, status.size, status.size, pieces, lambda _: [])
