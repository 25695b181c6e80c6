"""A machine's disks taken together: tables, volume groups, file systems, and the names by which fstab knows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from vmie.errors import ImageError
from vmie.guest import volumes
from vmie.guest.budget import Budget
from vmie.guest.disk_facts import DiskLayout, LogicalVolume, Partition, Problem
from vmie.guest.filesystem import FileSystem, FileSystemError, open_filesystem
from vmie.guest.linux.fstab import Devices, names_of, names_of_volume
from vmie.guest.partitions import layout
from vmie.guest.recognise import Content, recognise
from vmie.guest.stream import Blocks, Cached, Slice

LINUX = frozenset(("ext2", "ext3", "ext4", "xfs"))
READABLE = LINUX | {"ntfs", "fat"}
#: containers whose contents stay unseen: a name in fstab may well be inside
OPAQUE = frozenset(("luks", "md", "bcache", "zfs", "btrfs"))
#: nothing to look for inside
_DULL = frozenset(("swap", "empty", "extended", "lvm2", "bios-boot", "ext-journal", *READABLE))
_RESERVED = "E3C9E316-0B5C-4DB8-817D-F92DF00215AE"


@dataclass(slots=True)
class Volume:
    """A partition or logical volume that may hold a file system; `blocks` None where it cannot be read."""

    where: str
    disk: int
    content: Content
    blocks: Blocks | None
    partition: Partition | None = None
    filesystem: FileSystem | None = None
    failed: bool = False


class Machine:
    """What stands on `disks`, in their order. File systems are opened when they are asked for."""

    def __init__(self, disks: Sequence[Blocks], *, budget: Budget) -> None:
        self.budget = budget
        self.problems: list[Problem] = []
        self.sources = [Cached(disk, budget=budget) for disk in disks]
        self.layouts: list[DiskLayout] = []
        self.volumes: list[Volume] = []
        self.logical: list[LogicalVolume] = []
        self.devices = Devices(disks=len(disks))

    def read(self) -> None:
        """Read tables, labels and superblocks. Raises OverBudget, with what was read so far in place."""
        for index, source in enumerate(self.sources):
            try:
                found, problems = layout(source, index=index)
            except ImageError as error:
                found, problems = DiskLayout(index=index, size=source.size), (f"{error}",)
            self.problems += [Problem(f"disk {index}", problem) for problem in problems]
            self.layouts.append(found)
        for found in self.layouts:
            for partition in found.partitions:
                self._partition(partition)
        self._assemble()
        self.devices.opaque = any(volume.content.kind in OPAQUE or volume.blocks is None for volume in self.volumes)

    def _partition(self, partition: Partition) -> None:
        blocks = Slice(self.sources[partition.disk], start=partition.start, length=partition.length)
        content = Content(partition.content, partition.label, partition.uuid, partition.detail)
        self.devices.partitions[partition.disk, partition.number] = len(self.volumes)
        names = names_of(uuid=content.uuid, label=content.label, partuuid=partition.guid, partlabel=partition.name)
        self.devices.add(len(self.volumes), names)
        self.volumes.append(Volume(partition.where, partition.disk, content, blocks, partition))
        if partition.content not in _DULL and partition.type != _RESERVED:
            self.problems.append(Problem(partition.where, _unread(partition.content), partition.detail))

    def _assemble(self) -> None:
        physical = []
        for volume in self.volumes:
            if volume.content.kind == "lvm2" and volume.blocks is not None:
                try:
                    found, problems = volumes.physical_volume(volume.blocks, where=volume.where, disk=volume.disk)
                except ImageError as error:
                    self.problems.append(Problem(volume.where, "the LVM label cannot be read", str(error)))
                    continue
                physical.append(found)
                self.problems += problems
        mapped, problems = volumes.assemble(physical)
        self.problems += problems
        for one in mapped:
            self._logical(one)

    def _logical(self, mapped: volumes.Mapped) -> None:
        facts, content = mapped.facts, Content("unknown")
        if mapped.blocks is None:
            why = f"{facts.kind} volumes are not read" if not facts.missing else f"{', '.join(facts.missing)} missing"
            self.problems.append(Problem(facts.where, "the logical volume cannot be read", why))
        else:
            try:
                content = recognise(mapped.blocks)
            except ImageError as error:
                self.problems.append(Problem(facts.where, "the logical volume cannot be read", str(error)))
            else:
                if content.kind not in _DULL:
                    self.problems.append(Problem(facts.where, _unread(content.kind), content.detail))
        self.logical.append(
            replace(facts, content=content.kind, label=content.label, uuid=content.uuid, detail=content.detail)
        )
        names = names_of(uuid=content.uuid, label=content.label)
        names += names_of_volume(facts.group, facts.name)
        self.devices.add(len(self.volumes), names)
        disk = facts.disks[0] if facts.disks else 0
        self.volumes.append(Volume(facts.where, disk, content, mapped.blocks))

    def filesystem(self, volume: Volume) -> FileSystem | None:
        """The file system on `volume`, opened once; None (noted once) when there is none that can be read."""
        if volume.filesystem is None and not volume.failed:
            volume.failed = True
            if volume.blocks is not None and volume.content.kind in READABLE:
                try:
                    volume.filesystem = open_filesystem(volume.blocks, volume.content, budget=self.budget)
                except FileSystemError as error:
                    what = f"the {volume.content.kind} file system cannot be read"
                    self.problems.append(Problem(volume.where, what, str(error)))
        return volume.filesystem

    def find(self, device: str) -> Volume | None:
        """The volume that fstab's `device` means."""
        index = self.devices.find(device)
        return None if index is None else self.volumes[index]

    def close(self) -> None:
        """Close all file systems, newest first."""
        for volume in reversed(self.volumes):
            if volume.filesystem is not None:
                volume.filesystem.close()
                volume.filesystem = None


def _unread(kind: str) -> str:
    if kind in ("luks", "bitlocker"):
        return f"{kind} encryption: its contents cannot be read"
    if kind == "unknown":
        return "what it holds is not recognised"
    return f"{kind} is recognised, but not read"
