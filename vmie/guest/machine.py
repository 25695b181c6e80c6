"""A machine's disks taken together: tables, volume groups, file systems, and the names by which fstab knows them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from vmie.errors import ImageError
from vmie.guest import md, volumes
from vmie.guest.budget import Budget
from vmie.guest.disk_facts import DiskLayout, LogicalVolume, Partition, Problem
from vmie.guest.filesystem import FileSystem, FileSystemError, open_filesystem
from vmie.guest.linux.devices import Devices, names_of, names_of_array, names_of_volume
from vmie.guest.partitions import layout
from vmie.guest.recognise import UNKNOWN, Content, recognise
from vmie.guest.stream import Blocks, Cached, Layered, Slice

LINUX = frozenset(("ext2", "ext3", "ext4", "xfs", "btrfs"))
READABLE = LINUX | {"ntfs", "fat"}
#: nothing to look for inside
_DULL = frozenset(("swap", "empty", "extended", "lvm2", "bios-boot", "ext-journal", *READABLE))
#: whose names are all known: behind anything else (md, LUKS, what is not recognised) may be one that is looked for
_NAMED = _DULL | {"jfs"}
#: partitions without a file system: Microsoft's reserved one, and PReP boot
_RESERVED = frozenset(("E3C9E316-0B5C-4DB8-817D-F92DF00215AE", "9E1A2D38-C612-4316-AA26-8B49521E5A8B", "41"))


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
        self.physical: list[volumes.PhysicalVolume] = []
        self.devices = Devices(disks=len(disks), lacks=self._lacks)
        #: members of mirrors that are read as one
        self.mirrored: set[str] = set()

    def read(self) -> None:
        """Read tables, labels and superblocks. Raises OverBudget, with what was read so far in place."""
        for index, source in enumerate(self.sources):
            try:
                found, problems = layout(source, index=index)
                self.devices.opaque |= not found.partitions and recognise(source).kind == UNKNOWN
            except ImageError as error:
                found, problems = DiskLayout(index=index, size=source.size), (f"{error}",)
                self.devices.opaque = True
            self.problems += [Problem(f"disk {index}", problem) for problem in problems]
            self.layouts.append(found)
        for found in self.layouts:
            for partition in found.partitions:
                self._partition(partition)
        self._arrays()
        self._assemble()
        self.devices.opaque |= any(self._opaque(volume) for volume in self.volumes)
        self.devices.arrays = any(volume.content.kind == "md" for volume in self.volumes)
        self.devices.unlabelled = any(volume.content.kind == "ntfs" for volume in self.volumes)

    def _opaque(self, volume: Volume) -> bool:
        if volume.where in self.mirrored:
            return False
        reserved = volume.partition is not None and volume.partition.type in _RESERVED
        return volume.blocks is None or (volume.content.kind not in _NAMED and not reserved)

    def _partition(self, partition: Partition) -> None:
        blocks = Slice(self.sources[partition.disk], start=partition.start, length=partition.length)
        content = Content(partition.content, partition.label, partition.uuid, partition.detail)
        self.devices.partitions[partition.disk, partition.number] = len(self.volumes)
        if content.kind == "lvm2":
            names = names_of(partuuid=partition.guid, partlabel=partition.name)
            names.append(f"/dev/disk/by-id/lvm-pv-uuid-{content.uuid}")
        elif content.kind == "md":
            names = names_of(partuuid=partition.guid, partlabel=partition.name)
        else:
            names = names_of(uuid=content.uuid, label=content.label, partuuid=partition.guid, partlabel=partition.name)
        self.devices.add(len(self.volumes), names)
        self.volumes.append(Volume(partition.where, partition.disk, content, blocks, partition))
        if partition.content not in (*_DULL, "md") and partition.type not in _RESERVED:
            self.problems.append(Problem(partition.where, _unread(partition.content), partition.detail))

    def _arrays(self) -> None:
        """Software RAID: a mirror is read from the newest of its members, other levels are named."""
        arrays: dict[str, list[tuple[md.RaidMember, Volume]]] = {}
        for volume in self.volumes:
            found = md.member(volume.blocks) if volume.content.kind == "md" and volume.blocks is not None else None
            if found is not None:
                arrays.setdefault(found.uuid or volume.where, []).append((found, volume))
        for members in arrays.values():
            newest, volume = max(members, key=lambda one: one[0].events)
            names = names_of_array(newest.uuid, newest.name)
            if newest.whole and volume.blocks is not None:
                self.mirrored |= {one.where for _, one in members}
                self._mirror(newest, volume, names)
            else:
                self.devices.add(self.volumes.index(volume), names)
                self.problems += [Problem(one.where, _unread("md"), one.content.detail) for _, one in members]

    def _mirror(self, newest: md.RaidMember, member: Volume, names: list[str]) -> None:
        where = f"md {newest.name or newest.uuid}"
        blocks = Slice(member.blocks, start=newest.start, length=newest.length) if member.blocks else None
        try:
            content = recognise(blocks) if blocks else Content(UNKNOWN)
        except ImageError as error:
            self.problems.append(Problem(where, "the array cannot be read", str(error)))
            content, blocks = Content(UNKNOWN), None
        if content.kind not in _DULL:
            self.problems.append(Problem(where, _unread(content.kind), content.detail))
        if content.kind == "lvm2":
            names = [*names, f"/dev/disk/by-id/lvm-pv-uuid-{content.uuid}"]
        else:
            names = names_of(uuid=content.uuid, label=content.label) + names
        self.devices.add(len(self.volumes), names)
        self.volumes.append(Volume(where, member.disk, content, blocks))

    def _assemble(self) -> None:
        for volume in self.volumes:
            if volume.content.kind == "lvm2" and volume.blocks is not None:
                try:
                    found, problems = volumes.physical_volume(volume.blocks, where=volume.where, disk=volume.disk)
                except ImageError as error:
                    self.problems.append(Problem(volume.where, "the LVM label cannot be read", str(error)))
                    self.devices.opaque = True
                    continue
                self.physical.append(found)
                self.problems += problems
                self.devices.opaque |= bool(problems) and found.metadata is None
        mapped, problems = volumes.assemble(self.physical)
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
        names += names_of_volume(facts.group, facts.name, uuids=(mapped.group_uuid, mapped.uuid))
        self.devices.groups.add(facts.group)
        self.devices.logical += 1
        self.devices.add(len(self.volumes), names)
        disk = facts.disks[0] if facts.disks else 0
        self.volumes.append(Volume(facts.where, disk, content, mapped.blocks))

    def _lacks(self, index: int, options: Sequence[str]) -> bool:
        volume = self.volumes[index]
        if volume.content.kind != "btrfs" or not any(option.startswith("subvol") for option in options):
            return False
        filesystem = self.filesystem(volume)
        try:
            return filesystem is not None and filesystem.mounted(options) is None
        except FileSystemError:
            return False

    def filesystem(self, volume: Volume) -> FileSystem | None:
        """The file system on `volume`, opened once; None (noted once) when there is none that can be read."""
        if volume.filesystem is None and not volume.failed:
            volume.failed = True
            same = self._same(volume)
            volume.filesystem = next((one.filesystem for one in same if one.filesystem is not None), None)
            if volume.filesystem is None and volume.blocks is not None and volume.content.kind in READABLE:
                try:
                    others = [one.blocks for one in same if one.blocks is not None]
                    volume.filesystem = open_filesystem(
                        volume.blocks, volume.content, budget=self.budget, others=others
                    )
                    self.problems += [Problem(volume.where, remark) for remark in volume.filesystem.remarks]
                except FileSystemError as error:
                    what = f"the {volume.content.kind} file system cannot be read"
                    self.problems.append(Problem(volume.where, what, str(error)))
        return volume.filesystem

    def mounted(self, volume: Volume, options: Sequence[str]) -> FileSystem | None:
        """The file system on `volume` as a mount with `options` shows it: of Btrfs the subvolume they name."""
        filesystem = self.filesystem(volume)
        try:
            return None if filesystem is None else filesystem.mounted(options)
        except FileSystemError as error:
            self.problems.append(Problem(volume.where, "a subvolume cannot be read", str(error)))
            return None

    def _same(self, volume: Volume) -> list[Volume]:
        """The other devices of the Btrfs on `volume`: they have its identifier, and one `FileSystem` for all."""
        if volume.content.kind != "btrfs":
            return []
        own = volume.content
        return [
            one
            for one in self.volumes
            if one is not volume and (one.content.kind, one.content.uuid) == (own.kind, own.uuid)
        ]

    def places(self, blocks: Blocks, offset: int, length: int) -> Iterator[tuple[int, int, int]]:
        """(disk, offset, length) of the pieces of the disks that a range of a volume is made of; raises ImageError."""
        if isinstance(blocks, Layered):
            for one, at, size in blocks.beneath(offset, length):
                yield from self.places(one, at, size)
        else:
            yield next(index for index, source in enumerate(self.sources) if source is blocks), offset, length

    def find(self, device: str) -> Volume | None:
        """The volume that fstab's `device` means."""
        index = self.devices.find(device)
        return None if index is None else self.volumes[index]

    def close(self) -> None:
        """Close all file systems, newest first, and let go of what was kept of the disks."""
        for volume in reversed(self.volumes):
            if volume.filesystem is not None:
                volume.filesystem.close()
                volume.filesystem = None
        for source in self.sources:
            source.forget()


def _unread(kind: str) -> str:
    if kind in ("luks", "bitlocker"):
        return f"{kind} encryption: its contents cannot be read"
    if kind == "unknown":
        return "what it holds is not recognised"
    return f"{kind} is recognised, but not read"
