"""Logical addresses → places on devices: the chunks, by profile.

How a chunk lies on its devices: https://btrfs.readthedocs.io/en/latest/mkfs.btrfs.html (profiles) and
Linux's fs/btrfs/volumes.c (btrfs_map_block).
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from vmie.guest.btrfs.ondisk import CHUNK_ITEM, KEY, BtrfsError
from vmie.guest.stream import Blocks

DATA = 0x1
_RAID0, _RAID1, _DUP, _RAID10, _RAID5, _RAID6, _RAID1C3, _RAID1C4 = 8, 16, 32, 64, 128, 256, 512, 1024
_NAMES = {_RAID0: "RAID0", _RAID10: "RAID10", _RAID5: "RAID5", _RAID6: "RAID6"}
_PROFILES = _RAID0 | _RAID1 | _DUP | _RAID10 | _RAID5 | _RAID6 | _RAID1C3 | _RAID1C4
_STRIPE = 65536
_MAX_STRIPES = 1024
_MAX_CHUNKS = 100_000


@dataclass(frozen=True, slots=True)
class Chunk:
    """A run of logical addresses; `stripes` are (device, offset on it)."""

    start: int
    length: int
    kind: int
    stripes: tuple[tuple[int, int], ...]

    @property
    def copies(self) -> int:
        """How many times its bytes exist; parity is not counted as a copy."""
        if self.kind & (_RAID0 | _RAID5 | _RAID6):
            return 1
        return min(2, len(self.stripes)) if self.kind & _RAID10 else len(self.stripes)

    @property
    def taken(self) -> int:
        """Bytes that it takes on all devices together."""
        parity = 1 if self.kind & _RAID5 else 2 if self.kind & _RAID6 else 0
        return self.length * self.copies * len(self.stripes) // (len(self.stripes) - parity)

    def locate(self, inside: int, copy: int) -> tuple[int, int, int]:
        """(device, offset on it, bytes that follow each other there) for byte `inside` of the chunk."""
        count = len(self.stripes)
        if not self.kind & (_RAID0 | _RAID10 | _RAID5 | _RAID6):
            device, offset = self.stripes[copy]
            return device, offset + inside, self.length - inside
        number, skip = divmod(inside, _STRIPE)
        if self.kind & _RAID10:
            row, column = divmod(number, count // 2)
            column = 2 * column + copy
        elif self.kind & _RAID0:
            row, column = divmod(number, count)
        else:
            row, column = divmod(number, count - (1 if self.kind & _RAID5 else 2))
            column = (column + row) % count  # the parity moves on with every row
        device, offset = self.stripes[column]
        return device, offset + row * _STRIPE + skip, _STRIPE - skip


class ChunkMap:
    """All chunks of a file system over the `devices` at hand, by their identifiers."""

    def __init__(self, devices: Mapping[int, Blocks]) -> None:
        self._devices = devices
        self._chunks: dict[int, Chunk] = {}
        self._starts: list[int] = []

    def __iter__(self) -> Iterator[Chunk]:
        return iter(self._chunks.values())

    def add_system(self, raw: bytes) -> None:
        """The chunks that the superblock carries: those of the tree of chunks itself."""
        at = 0
        while at < len(raw):
            if at + KEY.size > len(raw):
                raise BtrfsError("its list of system chunks is cut off")
            _, kind, start = KEY.unpack_from(raw, at)
            if kind != CHUNK_ITEM:
                raise BtrfsError("its list of system chunks holds something else")
            at += KEY.size
            at += self.add(start, raw[at:])

    def add(self, start: int, item: bytes) -> int:
        """Note a chunk item; its length in bytes."""
        if len(item) < 80:
            raise BtrfsError("a chunk item is cut off")
        length, _, stripe, kind = struct.unpack_from("<QQQQ", item)
        count = int.from_bytes(item[44:46], "little")
        size = 48 + 32 * count
        if not 0 < count <= _MAX_STRIPES or size > len(item) or not 0 < length < 1 << 63:
            raise BtrfsError("a chunk item claims what cannot be")
        profile = kind & _PROFILES
        parity = {_RAID5: 1, _RAID6: 2}.get(profile, 0)
        if profile & (profile - 1) or count <= parity or (profile == _RAID10 and count % 2):
            raise BtrfsError("a chunk item claims a profile that cannot be")
        if profile in _NAMES and stripe != _STRIPE:
            raise BtrfsError(f"stripes of {stripe} bytes are not read")
        if start not in self._chunks:
            if len(self._chunks) >= _MAX_CHUNKS:
                raise BtrfsError(f"it has more than {_MAX_CHUNKS} chunks")
            stripes = tuple(struct.unpack_from("<QQ", item, at) for at in range(48, size, 32))
            self._chunks[start] = Chunk(start, length, kind, stripes)
            self._starts = []
        return size

    def _chunk(self, address: int) -> Chunk:
        if not self._starts:
            self._starts = sorted(self._chunks)
        index = bisect_right(self._starts, address) - 1
        chunk = self._chunks[self._starts[index]] if index >= 0 else None
        if chunk is None or address >= chunk.start + chunk.length:
            raise BtrfsError(f"no chunk holds address {address}")
        return chunk

    def copies(self, address: int) -> int:
        """How many copies of the byte at `address` there are, on devices at hand or not."""
        return self._chunk(address).copies

    def read(self, address: int, length: int, *, copy: int | None = None) -> bytes:
        """`length` bytes from `address`: of the copy of that number, or of any that is at hand."""
        parts = []
        while length > 0:
            chunk = self._chunk(address)
            device, offset, room = self._place(chunk, address - chunk.start, copy)
            wanted = min(length, room, chunk.start + chunk.length - address)
            data = self._devices[device].read(offset, wanted)
            if len(data) < wanted:
                raise BtrfsError(f"address {address} lies outside of its device")
            parts.append(data)
            address += wanted
            length -= wanted
        return b"".join(parts)

    def _place(self, chunk: Chunk, inside: int, copy: int | None) -> tuple[int, int, int]:
        for number in range(chunk.copies) if copy is None else (copy,):
            place = chunk.locate(inside, number)
            if place[0] in self._devices:
                return place
        device = chunk.locate(inside, copy or 0)[0]
        profile = _NAMES.get(chunk.kind & _PROFILES, "")
        raise BtrfsError(f"{f'its {profile}' if profile else 'it'} needs device {device}, which is not in the image")
