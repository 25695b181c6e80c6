"""The free ranges of a machine's disks."""

from __future__ import annotations

import math
import struct
from array import array
from collections.abc import Iterator, Sequence

from vmie.errors import ImageError
from vmie.guest.budget import Budget, OverBudget
from vmie.guest.disk_facts import Table
from vmie.guest.filesystem import FileSystemError
from vmie.guest.free import ext, lvm, windows, xfs
from vmie.guest.free.free_map import COARSE, FreeMap, FreeSpace
from vmie.guest.free.ranges import NotKnown, Range, joined
from vmie.guest.machine import Machine, Volume
from vmie.guest.partitions import LOGICAL_DISK_TYPES
from vmie.guest.recognise import signatures
from vmie.guest.stream import Blocks

#: Bounds that the content alone decides, and no clock: an upload that goes on must find the same space free.
_BYTES = 16 << 30
_MOST_RANGES = 2 << 20
#: and of a volume, those too that are too short to count
_MOST_SEEN = 4 << 20
#: where tables lie: MBR, GPT and its copy
_TABLES = 64 << 10
#: bytes of a page by where its end has the magic, for each size that mkswap(8) knows
_SWAP_PAGES = (4096, 8192, 16384, 65536)
_VERITY = b"verity\0\0"
#: partitions that dm-verity hashes with their free space, and whose hashes are not in a partition of their own, or
#: have no superblock: Flatcar's and CoreOS's /usr, ChromeOS's root, and Bottlerocket's hashes
_VERIFIED = frozenset(
    (
        "5DFBF5F4-2848-4BAC-AA5E-0D9A20B745A6",
        "3CB8E202-3B7E-47DD-8A3C-7FF2A13CFCEC",
        "598F10AF-C955-4456-6A99-7720068A6CEA",
    )
)


def free_space(disks: Sequence[Blocks]) -> tuple[FreeSpace, ...]:
    """The free space of each of `disks`, those of one machine: a volume may lie on several.

    What cannot be read or trusted counts as in use and is named in `unknown`; nothing is raised for it. What is read
    is bounded (16 GiB, and some million ranges), and depends on nothing but the content: equal disks have equal
    answers. What lies behind such a bound counts as in use.
    """
    budget = Budget(seconds=math.inf, read_bytes=_BYTES)
    machine = Machine(disks, budget=budget)
    maps = [FreeMap(disk.size) for disk in disks]
    left = _MOST_RANGES
    try:
        machine.read()
        copied = lvm.origins(machine.physical)
        for volume in machine.volumes:
            if volume.blocks is None or volume.content.kind in ("empty", "extended"):
                continue
            try:
                left -= _mark(machine, volume, maps, copied=volume.where in copied, most=left)
            except (NotKnown, FileSystemError, ImageError) as error:
                maps[volume.disk].unknown.append((volume.where, str(error)))
    except OverBudget as error:
        for index, one in enumerate(maps):
            one.unknown.append((f"disk {index}", str(error)))
    finally:
        machine.close()
    for index, one in enumerate(maps[: len(machine.layouts)]):
        _keep_shared(machine, index, one)
    return tuple(one.done() for one in maps)


def _mark(machine: Machine, volume: Volume, maps: Sequence[FreeMap], *, copied: bool, most: int) -> int:
    """Mark what is free of `volume`, all of it or nothing; the pieces that it was, `most` at most."""
    if copied:
        raise NotKnown("a snapshot of it may need what is free by now")
    least = min(one.granule for one in maps)
    pieces = _pieces(machine, volume, least=least, most=most)
    if len(pieces) > 3 * most:
        pieces = _pieces(machine, volume, least=COARSE, most=most)
    if len(pieces) > 3 * most:
        raise NotKnown("its free space is in too many pieces")
    for at in range(0, len(pieces), 3):
        disk, start, length = pieces[at : at + 3]
        maps[disk].add(start, start + length)
    return len(pieces) // 3


def _pieces(machine: Machine, volume: Volume, *, least: int, most: int) -> array[int]:
    """(disk, offset, length) of what is free of `volume`, one behind the other; more than `most` where there are."""
    pieces = array("Q")
    for number, (start, end) in enumerate(joined(_ask(machine, volume, least=least))):
        if number > _MOST_SEEN:
            return array("Q", bytes(8 * 3 * (most + 1)))
        if volume.blocks is None or end - start < least:
            continue
        for piece in machine.places(volume.blocks, start, end - start):
            pieces.extend(piece)
            if len(pieces) > 3 * most:
                return pieces
    return pieces


def _keep_shared(machine: Machine, index: int, found: FreeMap) -> None:
    """Count as in use what is not one volume's alone: what one calls free may be in use in the other."""
    found.remove(0, _TABLES)
    found.remove(found.size - _TABLES, found.size)
    listed = [volume for volume in machine.volumes if volume.partition and volume.disk == index]
    overlapping = _overlapping(listed)
    for volume in listed:
        partition = volume.partition
        if partition is None or volume.content.kind == "extended":
            continue
        end = partition.start + partition.length
        if volume.where in overlapping:
            found.unknown.append((volume.where, "it overlaps another partition"))
            found.remove(partition.start, end)
        elif volume.where in machine.mirrored:
            found.unknown.append((volume.where, "what is free in a mirror is to be equal in all its members"))
            found.remove(partition.start, end)
        elif partition.type in LOGICAL_DISK_TYPES:
            found.unknown.append((volume.where, "dynamic disks are not read here"))
            found.remove(partition.start, end)
        elif sealed(volume):
            found.unknown.append((f"disk {index}", "dm-verity hashes free space too"))
            found.remove(0, found.size)
    for start, end in _only_in_mbr(machine, index):
        found.remove(start, end)


def sealed(volume: Volume) -> bool:
    """Whether dm-verity hashes what is on the disk of `volume`, all blocks of a file system alike."""
    partition = volume.partition
    verified = partition is not None and partition.type in _VERIFIED
    return verified or (volume.blocks is not None and _head(volume.blocks) == _VERITY)


def _head(blocks: Blocks) -> bytes:
    try:
        return blocks.read(0, len(_VERITY))
    except (ImageError, OverBudget):
        return b""


def _overlapping(volumes: Sequence[Volume]) -> set[str]:
    found: set[str] = set()
    end, where = 0, ""
    listed = [volume.partition for volume in volumes if volume.partition and volume.content.kind != "extended"]
    for partition in sorted(listed, key=lambda one: one.start):
        if partition.start < end:
            found |= {where, partition.where}
        end, where = max((end, where), (partition.start + partition.length, partition.where))
    return found


def _only_in_mbr(machine: Machine, index: int) -> Iterator[Range]:
    """Partitions of a hybrid MBR that the GPT does not have: firmware and Windows go by them."""
    layout = machine.layouts[index]
    if layout.table is not Table.GPT or not layout.hybrid:
        return
    same = {(partition.start, partition.start + partition.length) for partition in layout.partitions}
    try:
        raw = machine.sources[index].read(0, 512)
    except (ImageError, OverBudget):
        raw = b""
    for at in range(446, min(510, len(raw) - 15), 16):
        kind, start, count = struct.unpack_from("<4xB3xII", raw, at)
        where = start * layout.sector_size, (start + count) * layout.sector_size
        if kind not in (0, 0xEE) and count and where not in same:
            yield where


def _ask(machine: Machine, volume: Volume, *, least: int) -> Iterator[Range]:
    """The free ranges of `volume`, at least those of `least` bytes, in its own bytes.

    Raises NotKnown, FileSystemError, ImageError, OverBudget.
    """
    blocks, kind = volume.blocks, volume.content.kind
    if blocks is None:
        raise NotKnown("it cannot be read")
    if others := signatures(blocks) - {kind}:
        raise NotKnown(f"it looks like {' and '.join(sorted(others))} too")
    if kind in ("ext2", "ext3", "ext4"):
        yield from ext.free(blocks, least=least)
    elif kind == "xfs":
        yield from xfs.free(blocks, least=least)
    elif kind == "fat":
        yield from windows.fat(blocks, least=least)
    elif kind == "ntfs":
        files = machine.filesystem(volume)
        if files is None:
            raise NotKnown("it cannot be read")
        yield from windows.ntfs(blocks, files, least=least)
    elif kind == "swap":
        yield from _swap(blocks, suspended=bool(volume.content.detail))
    elif kind == "lvm2":
        yield from lvm.free(machine.physical, volume.where)
    else:
        raise NotKnown(f"what is free on {kind} is not read here")


def _swap(blocks: Blocks, *, suspended: bool) -> Iterator[Range]:
    """All behind the first page, up to the last (mkswap(8)), unless a hibernated system is in it."""
    head = blocks.read(0, _SWAP_PAGES[-1])
    page = next((size for size in _SWAP_PAGES if head[size - 10 : size] == b"SWAPSPACE2"), 0)
    if suspended or not page:
        raise NotKnown("a hibernated system is in it, or it is of an old version")
    last = int.from_bytes(head[1028:1032], "little")
    if (last + 1) * page > blocks.size:
        raise NotKnown("its header does not fit the volume")
    yield page, (last + 1) * page
