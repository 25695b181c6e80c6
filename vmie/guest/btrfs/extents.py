"""What a file holds: inline, regular and preallocated extents, holes, and compressed ones (zlib, LZO, zstd)."""

from __future__ import annotations

import importlib
import struct
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from vmie.guest.btrfs import lzo
from vmie.guest.btrfs.btree import BTree
from vmie.guest.btrfs.ondisk import EXTENT_DATA, BtrfsError
from vmie.guest.btrfs.subvolumes import BtrfsVolume

_INLINE, _REGULAR, _PREALLOCATED = 0, 1, 2
_HEAD, _FULL = 21, 53
#: Linux compresses at most 128 KiB at a time (BTRFS_MAX_UNCOMPRESSED)
_MAX_COMPRESSED = 1 << 20
#: unpacked extents that are kept: files are read in pieces smaller than they
_KEPT = 4


@dataclass(frozen=True, slots=True)
class _Extent:
    start: int
    length: int
    kind: int
    compression: int
    unpacked: int
    address: int = 0
    stored: int = 0
    skip: int = 0
    inline: bytes = b""


class Extents:
    """Reads the extents of `volume`; `check` raises when the time is up. Raises BtrfsError, ImageError, OverBudget."""

    def __init__(self, volume: BtrfsVolume, check: Callable[[], None]) -> None:
        self._volume = volume
        self._check = check
        self._kept: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._unpackers = {1: _zlib, 2: self._lzo, 3: _zstd}

    def read(self, tree: BTree, inode: int, offset: int, length: int) -> bytes:
        """`length` bytes of `inode` from `offset`; the caller keeps within its size. What no extent covers is zeros."""
        out = bytearray()
        end = offset + length
        for extent in self._extents(tree, inode, offset, end):
            self._check()
            at = offset + len(out)
            begin, stop = max(extent.start, at), min(extent.start + extent.length, end)
            if begin >= stop:
                continue
            out += bytes(begin - at)
            out += self._bytes(extent, begin - extent.start, stop - begin)
        out += bytes(length - len(out))
        return bytes(out)

    def _extents(self, tree: BTree, inode: int, offset: int, end: int) -> Iterator[_Extent]:
        before = tree.floor((inode, EXTENT_DATA, offset))
        first = before[0] if before and before[0][:2] == (inode, EXTENT_DATA) else (inode, EXTENT_DATA, offset)
        for key, item in tree.items(first, (inode, EXTENT_DATA, end - 1)):
            yield _extent(key[2], item)

    def _bytes(self, extent: _Extent, begin: int, length: int) -> bytes:
        if extent.compression:
            data = self._unpacked(extent)[extent.skip + begin :][:length]
        elif extent.kind == _INLINE:
            data = extent.inline[begin : begin + length]
        elif extent.kind == _PREALLOCATED or not extent.address:
            return bytes(length)
        else:
            return self._volume.chunks.read(extent.address + extent.skip + begin, length)
        return data.ljust(length, b"\0")

    def _unpacked(self, extent: _Extent) -> bytes:
        if extent.kind == _INLINE:
            return self._unpack(extent, extent.inline)
        if extent.kind == _PREALLOCATED or not extent.address:
            return b""
        key = (extent.address, extent.unpacked)
        kept = self._kept.get(key)
        if kept is None:
            kept = self._unpack(extent, self._volume.chunks.read(extent.address, extent.stored))
            self._kept[key] = kept
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return kept

    def _unpack(self, extent: _Extent, data: bytes) -> bytes:
        found = self._unpackers[extent.compression](data, extent.unpacked)
        # mkfs.btrfs leaves out what fills up a file's last sector
        if len(found) < extent.unpacked and len(found) <= extent.unpacked - self._volume.superblock.sector_size:
            raise BtrfsError("a compressed extent ends too early")
        return found

    def _lzo(self, data: bytes, limit: int) -> bytes:
        return lzo.decompress(data, limit=limit, sector=self._volume.superblock.sector_size)


def _extent(start: int, item: bytes) -> _Extent:
    if len(item) < _HEAD:
        raise BtrfsError("an extent item is cut off")
    unpacked, compression, encryption, encoding, kind = struct.unpack_from("<QBBHB", item, 8)
    if compression > 3 or encryption or encoding or kind > _PREALLOCATED:
        raise BtrfsError("an extent is compressed or encrypted in a way that is not read")
    if kind != _INLINE and len(item) < _FULL:
        raise BtrfsError("an extent item is cut off")
    if kind == _INLINE:
        length = unpacked if compression else len(item) - _HEAD
        found = _Extent(start, length, kind, compression, unpacked, inline=item[_HEAD:])
    else:
        address, stored, skip, length = struct.unpack_from("<QQQQ", item, _HEAD)
        found = _Extent(start, length, kind, compression, unpacked, address, stored, skip)
    if compression and (found.unpacked > _MAX_COMPRESSED or found.stored > _MAX_COMPRESSED):
        raise BtrfsError("a compressed extent is larger than Linux makes them")
    return found


def _zlib(data: bytes, limit: int) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, max(limit, 1))
    except zlib.error as error:
        raise BtrfsError(f"a compressed extent is damaged: {error}") from error


def _zstd(data: bytes, limit: int) -> bytes:
    """One frame; what fills up the sector after it is not looked at."""
    zstandard = importlib.import_module("zstandard")
    try:
        with zstandard.ZstdDecompressor(max_window_size=_MAX_COMPRESSED).stream_reader(data) as reader:
            found: bytes = reader.read(limit)
    except zstandard.ZstdError as error:
        raise BtrfsError(f"a compressed extent is damaged: {error}") from error
    return found
