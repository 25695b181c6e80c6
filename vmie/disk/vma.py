"""VMA: what Proxmox VE's vzdump writes of a machine, its configuration and its drives in one stream.

    header: names, sizes, configuration ──► extents of up to 59 clusters, any drive's, in any order
                                             512-byte header: for each cluster drive, number, mask
                                             of its 16 blocks of 4 KiB those that are not all zeros

An index of the clusters is made when it is first needed, from the extents' headers alone. Source: pve-qemu's
vma_spec.txt and vma.h (https://git.proxmox.com/?p=pve-qemu.git), qm.conf(5) for the configuration.
"""

from __future__ import annotations

import hashlib
import struct
import threading
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vmie.disk.appliance_model import PackageManifest, VirtualMachine, plain
from vmie.disk.base import Disk, Source
from vmie.disk.extents import coalesced
from vmie.disk.qm_conf import machine_of
from vmie.disk.reading import damaged, read_exact, within
from vmie.disk.refusals import plausible_size, refused
from vmie.errors import ImageError
from vmie.model import Extent, ExtentKind

_MAGIC = b"VMA\x00"
_EXTENT = b"VMAE"
_HEADER = 12288
_MOST_HEADER = 8 << 20
_EXTENT_HEADER = struct.Struct(">4sHH16s16s59Q")
_BLOCK, _CLUSTER = 4096, 65536
_BLOCKS = _CLUSTER // _BLOCK
_DRIVES = 256
#: clusters that an index holds: a tebibyte of data
_MOST_CLUSTERS = 1 << 24


def probe(source: Source) -> bool:
    """Whether the file begins as a VMA of the only version there is."""
    return source.pread(0, 8) == _MAGIC + b"\0\0\0\1"


def open_source(source: Source, *, index: int = 0, machine: str = "", empty_disks: bool = False) -> Disk:
    """Drive `index` of the machine, boot disk first; `facts["appliance"]` describes it.

    Raises ImageError: damaged, no such drive, another machine.
    """
    del empty_disks  # every drive is in the archive
    archive = Vma(source)
    found = archive.machine
    if machine and machine not in (found.name, *found.machines):
        raise ImageError(
            f"{source.name} holds no machine {machine[:80]!r}",
            cause=f"it is the backup of {found.name or 'one machine'}",
            fields=("machine",),
            code="NoSuchMachine",
        )
    if not found.disks:
        why = "none of its drives is one"
        raise refused(source, "a Proxmox backup without disks", cause=why, cure="back the machine up with its disks")
    if not 0 <= index < len(found.disks):
        raise ImageError(
            f"{source.name} has no disk {index}",
            cause=f"its machine has {len(found.disks)} disks, counted from 0",
            cure="name one of them",
        )
    disk = VmaDisk(archive, archive.drive(found.disks[index].id))
    disk.facts["appliance"] = {
        **found.as_json(),
        "manifest": plain(PackageManifest()),
        "signed": False,
        "package": "vma",
        "descriptor": "",
        "members": len(found.disks),
    }
    disk.facts["appliance_disk"] = index
    return disk


@dataclass(frozen=True, slots=True)
class Drive:
    """A device of the archive: `number` as the extents have it."""

    number: int
    name: str
    size: int


class Vma:
    """The header, and the places of all clusters. Raises ImageError."""

    def __init__(self, source: Source) -> None:
        self.source = source
        header = read_exact(source, 0, _HEADER, what="VMA header")
        self._uuid = header[8:24]
        blob_at, blob_size, self._begin = struct.unpack_from(">3I", header, 48)
        if not _HEADER <= self._begin <= _MOST_HEADER or not _HEADER <= blob_at <= blob_at + blob_size <= self._begin:
            raise damaged(source, "its VMA header contradicts itself")
        whole = read_exact(source, 0, self._begin, what="VMA header")
        if hashlib.md5(whole[:32] + bytes(16) + whole[48:], usedforsecurity=False).digest() != whole[32:48]:
            raise damaged(source, "its VMA header has a wrong checksum")
        self._blob = whole[blob_at : blob_at + blob_size]
        self.drives = tuple(self._drives(whole))
        configuration = self._configuration(whole)
        self.machine: VirtualMachine = machine_of(configuration, {one.name: one.size for one in self.drives})
        self._lock = threading.Lock()
        self._index: dict[int, Clusters] | None = None

    def drive(self, name: str) -> Drive:
        """The drive of that name."""
        return next(one for one in self.drives if one.name == name)

    def clusters(self, drive: Drive) -> Clusters:
        """Where the drive's clusters are; the first call reads all extents' headers. Raises ImageError."""
        with self._lock:
            if self._index is None:
                self._index = self._read_index()
            return self._index[drive.number]

    def _text(self, pointer: int) -> bytes:
        """A blob: its length in two bytes, little-endian, then itself."""
        length = int.from_bytes(self._blob[pointer : pointer + 2], "little")
        if pointer + 2 + length > len(self._blob):
            raise damaged(self.source, "a name in its VMA header lies outside of it")
        return self._blob[pointer + 2 : pointer + 2 + length]

    def _drives(self, header: bytes) -> Iterator[Drive]:
        seen: set[str] = set()
        for number in range(1, _DRIVES):
            pointer, _, size = struct.unpack_from(">IIQ", header, 4096 + 32 * number)
            if not pointer and not size:
                continue
            name = self._text(pointer).rstrip(b"\0").decode("utf-8", errors="replace")[:200]
            if name in seen:
                raise damaged(self.source, f"two of its drives are called {name[:80]!r}")
            seen.add(name)
            yield Drive(number, name, plausible_size(self.source, size))

    def _configuration(self, header: bytes) -> str:
        for number in range(_DRIVES):
            (name,) = struct.unpack_from(">I", header, 2044 + 4 * number)
            (data,) = struct.unpack_from(">I", header, 3068 + 4 * number)
            if name and self._text(name).rstrip(b"\0") == b"qemu-server.conf":
                return self._text(data).decode("utf-8", errors="replace")
        return ""

    def _extent(self, at: int) -> tuple[tuple[int, ...], int]:
        """What the extent at byte `at` says of its clusters, and how many blocks follow."""
        head = read_exact(self.source, at, _EXTENT_HEADER.size, what="VMA extent header")
        magic, _, blocks, uuid, digest, *infos = _EXTENT_HEADER.unpack(head)
        if magic != _EXTENT or uuid != self._uuid:
            raise damaged(self.source, f"no extent of this archive begins at byte {at:,}")
        if hashlib.md5(head[:24] + bytes(16) + head[40:], usedforsecurity=False).digest() != digest:
            raise damaged(self.source, f"the extent at byte {at:,} has a wrong checksum")
        return tuple(infos), blocks

    def _read_index(self) -> dict[int, Clusters]:
        found = {one.number: Clusters(-(-one.size // _CLUSTER)) for one in self.drives}
        at, total = self._begin, 0
        while at < self.source.size:
            infos, blocks = self._extent(at)
            at += _EXTENT_HEADER.size
            end = at + blocks * _BLOCK
            for info in infos:
                number, mask, cluster = info >> 32 & 0xFF, info >> 48, info & 0xFFFFFFFF
                if number == 0:  # a place that is not used
                    continue
                if number not in found or cluster >= found[number].count:
                    raise damaged(self.source, f"its extent before byte {at:,} has a cluster that no drive has")
                if mask:
                    found[number].add(cluster, at, mask)
                    total += 1
                at += mask.bit_count() * _BLOCK
            if at != end:
                raise damaged(self.source, f"its extent before byte {at:,} has not as many blocks as it says")
            if at > self.source.size or total > _MOST_CLUSTERS:
                raise damaged(self.source, "its extents reach beyond the end of the file: it was cut short")
        for clusters in found.values():
            clusters.settle(self.source)
        return found


class Clusters:
    """Where a drive's clusters are: number, offset of the first stored block, mask of the stored ones."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._numbers = array("I")
        self._places = array("Q")
        self._masks = array("H")

    def add(self, number: int, place: int, mask: int) -> None:
        """Note one; those of zeros alone need no entry."""
        self._numbers.append(number)
        self._places.append(place)
        self._masks.append(mask)

    def settle(self, source: Source) -> None:
        """Bring them into the drive's order. Raises ImageError for one that is there twice."""
        numbers = self._numbers
        if any(numbers[at] >= numbers[at + 1] for at in range(len(numbers) - 1)):
            order = sorted(range(len(numbers)), key=numbers.__getitem__)
            self._numbers = array("I", (numbers[at] for at in order))
            self._places = array("Q", (self._places[at] for at in order))
            self._masks = array("H", (self._masks[at] for at in order))
        if any(self._numbers[at] == self._numbers[at + 1] for at in range(len(numbers) - 1)):
            raise damaged(source, "a cluster of a drive stands twice in it")

    @property
    def stored(self) -> int:
        """Bytes that are stored."""
        return sum(mask.bit_count() for mask in self._masks) * _BLOCK

    def at(self, number: int) -> tuple[int, int] | None:
        """(offset, mask) of a cluster, None for one of zeros."""
        index = bisect_left(self._numbers, number)
        if index == len(self._numbers) or self._numbers[index] != number:
            return None
        return self._places[index], self._masks[index]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """(number, mask) of each with data, in order."""
        return zip(self._numbers, self._masks, strict=True)


class VmaDisk(Disk):
    """One drive of a VMA."""

    format = "raw"
    variant = "vma"

    def __init__(self, archive: Vma, drive: Drive) -> None:
        super().__init__(archive.source)
        self._archive = archive
        self._drive = drive
        self.size = drive.size
        self.facts: dict[str, Any] = {"drive": drive.name, "wrapper": "vma"}

    @property
    def allocated_size(self) -> int:  # type: ignore[override] # the base has a plain attribute
        """What is stored of the drive."""
        return min(self.size, self._archive.clusters(self._drive).stored)

    def read(self, offset: int, length: int) -> bytes:
        """See `Disk.read`."""
        end = offset + within(offset, length, self.size)
        clusters = self._archive.clusters(self._drive)
        pieces: list[bytes] = []
        while offset < end:
            number, skip = divmod(offset, _CLUSTER)
            wanted = min(end - offset, _CLUSTER - skip)
            found = clusters.at(number)
            pieces.append(bytes(wanted) if found is None else self._part(*found, skip, wanted))
            offset += wanted
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _part(self, place: int, mask: int, skip: int, wanted: int) -> bytes:
        first, last = skip // _BLOCK, (skip + wanted - 1) // _BLOCK
        before = (mask & ((1 << first) - 1)).bit_count()
        stored = (mask >> first & ((1 << (last - first + 1)) - 1)).bit_count()
        data = read_exact(self.source, place + before * _BLOCK, stored * _BLOCK, what="VMA cluster")
        if stored < last - first + 1:
            blocks = iter(range(0, len(data), _BLOCK))
            data = b"".join(
                data[(at := next(blocks)) : at + _BLOCK] if mask >> number & 1 else bytes(_BLOCK)
                for number in range(first, last + 1)
            )
        begin = skip - first * _BLOCK
        return data[begin : begin + wanted]

    def extents(self) -> Iterator[Extent]:
        """See `Disk.extents`: what is not stored was zeros."""
        return coalesced(self._runs(), self.size)

    def _runs(self) -> Iterator[tuple[int, ExtentKind]]:
        position = 0
        for number, mask in self._archive.clusters(self._drive):
            yield number * _CLUSTER - position, ExtentKind.ZERO
            for block in range(_BLOCKS):
                yield _BLOCK, ExtentKind.ALLOCATED if mask >> block & 1 else ExtentKind.ZERO
            position = (number + 1) * _CLUSTER
        yield max(0, self.size - position), ExtentKind.ZERO
