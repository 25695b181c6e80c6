"""The free ranges of a machine's disks."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from vmie.errors import ImageError
from vmie.guest.budget import Budget, OverBudget
from vmie.guest.filesystem import FileSystemError
from vmie.guest.free import ext, lvm, windows, xfs
from vmie.guest.free.ranges import NotKnown, Range, merged
from vmie.guest.machine import Machine, Volume
from vmie.guest.recognise import Content
from vmie.guest.stream import Blocks

#: a range that is shorter saves nothing
LEAST = 64 << 10
_SECONDS, _BYTES = 60.0, 4 << 30
_SWAP_HEAD = 64 << 10


@dataclass(frozen=True, slots=True)
class FreeSpace:
    """Of one disk: sorted ranges that do not touch. `unknown`: (where, why) of what counts as in use."""

    ranges: tuple[Range, ...] = ()
    unknown: tuple[tuple[str, str], ...] = ()
    _starts: list[int] = field(init=False, repr=False, compare=False, default_factory=list)

    def __post_init__(self) -> None:
        self._starts.extend(start for start, _ in self.ranges)

    @property
    def size(self) -> int:
        """Bytes that are free."""
        return sum(end - start for start, end in self.ranges)

    def covers(self, start: int, end: int) -> bool:
        """Whether all of ``[start, end)`` is free."""
        index = bisect_right(self._starts, start) - 1
        return index >= 0 and end <= self.ranges[index][1]


def free_space(disks: Sequence[Blocks], *, least: int = LEAST) -> tuple[FreeSpace, ...]:
    """The free space of each of `disks`, in ranges of at least `least` bytes.

    What cannot be read or trusted counts as in use and is named in `unknown`; nothing is raised for it. Time and
    bytes read are bounded (a minute, 4 GiB): what then is not yet read counts as in use.
    """
    budget = Budget(seconds=_SECONDS, read_bytes=_BYTES)
    machine = Machine(disks, budget=budget)
    found: list[list[Range]] = [[] for _ in disks]
    unknown: list[list[tuple[str, str]]] = [[] for _ in disks]
    try:
        machine.read()
        overlapping = _overlapping(machine.volumes)
        for volume in machine.volumes:
            if volume.blocks is None or volume.where in machine.mirrored | overlapping:
                continue
            try:
                for start, end in merged(_ask(machine, volume), least=least):
                    for disk, at, length in machine.places(volume.blocks, start, end - start):
                        found[disk].append((at, at + length))
            except (NotKnown, FileSystemError, ImageError) as error:
                unknown[volume.disk].append((volume.where, str(error)))
    except OverBudget as error:
        for index, noted in enumerate(unknown):
            noted.append((f"disk {index}", str(error)))
    finally:
        machine.close()
    return tuple(
        FreeSpace(tuple(merged(ranges, least=least)), tuple(noted))
        for ranges, noted in zip(found, unknown, strict=True)
    )


def _overlapping(volumes: Sequence[Volume]) -> set[str]:
    """Partitions that share bytes with another: what one calls free may be in use in the other."""
    found: set[str] = set()
    ends: dict[int, tuple[int, str]] = {}
    listed = [volume.partition for volume in volumes if volume.partition and volume.content.kind != "extended"]
    for partition in sorted(listed, key=lambda one: one.start):
        end, where = ends.get(partition.disk, (0, ""))
        if partition.start < end:
            found |= {where, partition.where}
        ends[partition.disk] = max((end, where), (partition.start + partition.length, partition.where))
    return found


def _ask(machine: Machine, volume: Volume) -> Iterator[Range]:
    """The free ranges of `volume`, in its own bytes. Raises NotKnown, FileSystemError, ImageError, OverBudget."""
    blocks, kind = volume.blocks, volume.content.kind
    if blocks is None:
        raise NotKnown("it cannot be read")
    if kind in ("ext2", "ext3", "ext4"):
        yield from ext.free(blocks)
    elif kind == "xfs":
        yield from xfs.free(blocks)
    elif kind == "fat":
        yield from windows.fat(blocks)
    elif kind == "ntfs":
        files = machine.filesystem(volume)
        if files is None:
            raise NotKnown("it cannot be read")
        yield from windows.ntfs(blocks, files)
    elif kind == "swap":
        yield from _swap(blocks, volume.content)
    elif kind == "lvm2":
        yield from lvm.free(machine.physical, volume.where)
    elif kind != "extended":
        raise NotKnown(f"what is free on {kind} is not read here")


def _swap(blocks: Blocks, content: Content) -> Iterator[Range]:
    """All behind the header, which may be 64 KiB (mkswap(8), --pagesize), unless a hibernated system is in it."""
    if content.detail:
        raise NotKnown("a hibernated system is in it")
    if blocks.size > _SWAP_HEAD:
        yield _SWAP_HEAD, blocks.size
