"""VDI: VirtualBox's disk format, dynamic and fixed. Source: VirtualBox's VDICore.h (header version 1.1).

One 32-bit number per block: its place among the stored blocks, or "free", or "reads as zeros".
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator

from vmie.disk.base import Source
from vmie.disk.mapped import BlockDisk, Page, page_of
from vmie.disk.reading import NEEDS_PARENT, damaged, read_exact
from vmie.disk.refusals import plausible_size, refused
from vmie.disk.tables import TableFault, misplaced
from vmie.errors import ImageError
from vmie.model import ExtentKind

#: what QEMU's `vdi_co_check` calls an error; VirtualBox publishes no more than the structures
_SPECIFICATION = "QEMU, https://gitlab.com/qemu-project/qemu/-/blob/v9.0.0/block/vdi.c"
_SIGNATURE = 0xBEDA107F
_FREE = 0xFFFFFFFF
_ZERO = 0xFFFFFFFE
_HEADER = 400
_DYNAMIC, _FIXED, _UNDO, _DIFFERENCING = 1, 2, 3, 4


def probe(source: Source) -> bool:
    """Whether the VDI signature stands at byte 64."""
    return source.pread(64, 4) == _SIGNATURE.to_bytes(4, "little")


def open_source(source: Source) -> VdiDisk:
    """Read the header; raises ImageError, also for differencing and undo images."""
    return VdiDisk(source)


class VdiDisk(BlockDisk):
    """A dynamic or fixed VDI."""

    format = "vdi"

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        header = read_exact(source, 0, _HEADER, what="header")
        signature, version, _, kind = struct.unpack_from("<IIII", header, 0x40)
        if signature != _SIGNATURE or version >> 16 != 1:
            raise damaged(source, f"version {version >> 16}.{version & 0xFFFF} of the header; 1.x is known")
        if kind not in (_DYNAMIC, _FIXED):
            raise _refusal(source, kind)
        self._map, self._data = struct.unpack_from("<II", header, 0x154)
        size, block_size, self._extra, self.blocks, allocated = struct.unpack_from("<QIIII", header, 0x170)
        self.size = plausible_size(source, size)
        self.block_size = block_size
        self.variant = "dynamic" if kind == _DYNAMIC else "fixed"
        self._check()
        self.allocated_size = self._bound_allocated(_FREE, _ZERO)
        self.facts = {
            "block_size": block_size,
            "blocks_allocated": allocated,
            "header_version": f"{version >> 16}.{version & 0xFFFF}",
            "description": header[0x54:0x154].partition(b"\0")[0].decode("utf-8", errors="replace"),
        }

    def _check(self) -> None:
        size = self.block_size
        if size & (size - 1) or not 4096 <= size <= 256 << 20:
            raise damaged(self.source, f"a block size of {size} bytes; powers of two from 4 KiB to 256 MiB are read")
        if self._extra > size:
            raise damaged(self.source, f"{self._extra} extra bytes per block, more than the block itself")
        needed = -(-self.size // size)
        if self.blocks < needed:
            raise damaged(self.source, f"its map has {self.blocks} blocks; the disk's size needs {needed}")
        self.blocks = needed
        if self._map < _HEADER or self._map + 4 * needed > self.source.size:
            why = f"its map of {needed} blocks at byte {self._map} lies outside the file ({self.source.size} bytes)"
            raise damaged(self.source, why)
        if self._data < self._map + 4 * needed and needed:
            raise damaged(self.source, f"its data at byte {self._data} begins inside its block map")

    def table_faults(self) -> Iterator[TableFault]:
        """See `Disk.table_faults`: each block within the file, and none twice."""
        places = array("Q")
        for number in range(-(-self.blocks // self.per_page)):
            page = self._pages[number]
            if not (page.uniform and page.entries[0] >= _ZERO):
                places.extend(entry for entry in page.entries if entry < _ZERO)
        step = self.block_size + self._extra
        # The last block needs no more of the file than the disk has of it.
        end = self.source.size + self.blocks * self.block_size - self.size
        for host, why in misplaced(array("Q", (self._data + step * place for place in places)), step, end=end):
            entry = self._entry_of((host - self._data) // step)
            yield TableFault("block map", entry, self._map + 4 * entry, why, _SPECIFICATION)

    def _entry_of(self, place: int) -> int:
        """The first block that is stored at `place`."""
        for number in range(-(-self.blocks // self.per_page)):
            if place in (entries := self._pages[number].entries):
                return number * self.per_page + entries.index(place)
        raise ValueError(f"no block is stored at {place}")

    def _load(self, number: int) -> Page:
        first = number * self.per_page
        count = min(self.per_page, self.blocks - first)
        data = read_exact(self.source, self._map + 4 * first, 4 * count, what="block map")
        return page_of(data, "I")

    def _place(self, entry: int) -> tuple[ExtentKind, int]:
        if entry == _FREE:
            return ExtentKind.HOLE, -1
        if entry == _ZERO:
            return ExtentKind.ZERO, -1
        return ExtentKind.ALLOCATED, self._data + entry * (self.block_size + self._extra) + self._extra


def _refusal(source: Source, kind: int) -> ImageError:
    if kind in (_UNDO, _DIFFERENCING):
        return refused(
            source,
            "a differencing VDI" if kind == _DIFFERENCING else "a VDI undo image",
            cause="it holds only what changed since its parent disk",
            cure="delete the snapshot in VirtualBox to merge it, or clone the disk: VBoxManage clonemedium",
            code=NEEDS_PARENT,
        )
    return damaged(source, f"image type {kind} is not defined")
