"""Look inside a machine's disks: no mount, no root, nothing is written.

    inspect(disks) ── Machine: tables, LVM2, superblocks ── Linux / Windows roots ── GuestFacts

Start with `facts`: the nouns. `filesystem` is the door to the readers: `libyal` and `btrfs`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from vmie.guest import efi, linux
from vmie.guest.budget import Budget, OverBudget
from vmie.guest.disk_facts import DiskLayout, Problem, Table
from vmie.guest.facts import GuestFacts
from vmie.guest.filesystem import FileSystem, FileSystemError
from vmie.guest.installations import booted_instead, installations
from vmie.guest.linux import fstab
from vmie.guest.linux.devices import Devices
from vmie.guest.linux_facts import LinuxFacts
from vmie.guest.machine import LINUX, Machine, Volume
from vmie.guest.partitions import EFI_SYSTEM, EFI_SYSTEM_MBR
from vmie.guest.stream import Blocks
from vmie.guest.tree import Tree
from vmie.guest.windows_facts import WindowsFacts

#: what a guest mounts that holds files of the system, outer ones first
_MOUNTS = (
    *("/etc", "/usr", "/usr/local", "/var", "/opt", "/tmp", "/home", "/root"),  # noqa: S108 - the guest's
    *("/boot", "/efi", "/boot/efi"),
)


@dataclass(slots=True)
class OpenGuest:
    """A machine whose file systems are open: its facts, and each system with its files, in the order of the roots."""

    machine: Machine
    facts: GuestFacts = field(default_factory=GuestFacts)
    systems: list[tuple[LinuxFacts | WindowsFacts, Tree]] = field(default_factory=list)


def inspect(disks: Sequence[Blocks], *, budget: Budget) -> GuestFacts:
    """What is on `disks` (`disk.Disk`s, in the machine's order), as far as it can be read within `budget`.

    Never raises for what is in the image: that ends in `GuestFacts.problems`. One thread at a time.
    """
    with opened(disks, budget=budget) as guest:
        return guest.facts


@contextmanager
def opened(disks: Sequence[Blocks], *, budget: Budget) -> Iterator[OpenGuest]:
    """As `inspect`, with everything left open until the end of the block."""
    machine = Machine(disks, budget=budget)
    guest = OpenGuest(machine)
    loaders: list[str] = []
    fallback: bool | None = None
    try:
        try:
            machine.read()
            for _, esp in efi.system_partitions(machine):
                loaders += efi.loaders(esp)
                fallback = bool(fallback) or any(path.upper() == efi.FALLBACK for path in loaders)
            _roots(machine, guest.systems)
        except OverBudget as error:
            machine.problems.append(Problem("the image", "the inspection was broken off", str(error)))
        guest.facts = _facts(machine, [facts for facts, _ in guest.systems], loaders, fallback)
        yield guest
    finally:
        machine.close()


def _facts(
    machine: Machine, roots: list[LinuxFacts | WindowsFacts], loaders: list[str], fallback: bool | None
) -> GuestFacts:
    boot = _boot_disk(machine, roots)
    return GuestFacts(
        disks=tuple(machine.layouts),
        volumes=tuple(machine.logical),
        roots=tuple(roots),
        problems=tuple(machine.problems),
        table=boot.table,
        hybrid=boot.hybrid,
        firmware=efi.firmware(boot, bootable=bool(loaders), installed=bool(roots)),
        boot_disk=boot.index,
        efi_loaders=tuple(dict.fromkeys(loaders)),
        efi_fallback=fallback,
    )


def _boot_disk(machine: Machine, roots: list[LinuxFacts | WindowsFacts]) -> DiskLayout:
    """The first disk that firmware could start, else that of the first root, else the first."""
    for found in machine.layouts:
        starts = found.boot_code and found.table is Table.MBR
        if starts or any(part.type in (EFI_SYSTEM, EFI_SYSTEM_MBR) for part in found.partitions):
            return found
    disk = roots[0].disk if roots else 0
    return machine.layouts[disk] if disk < len(machine.layouts) else DiskLayout(index=0, size=0)


def _roots(machine: Machine, roots: list[tuple[LinuxFacts | WindowsFacts, Tree]]) -> None:
    skeletons: list[tuple[Volume, FileSystem]] = []
    seen: list[FileSystem] = []
    for volume in machine.volumes:
        filesystem = machine.filesystem(volume) if volume.content.kind in (*LINUX, "ntfs") else None
        if filesystem is None or any(filesystem is one for one in seen):
            continue
        seen.append(filesystem)
        if filesystem.kind == "ntfs":
            from vmie.guest import windows  # noqa: PLC0415 - hives only where there are some

            found = windows.inspect(filesystem, volume=volume.where, disk=volume.disk)
            if found is not None:
                roots.append((found, Tree(filesystem, budget=machine.budget, where=volume.where)))
            continue
        systems = installations(machine, volume, filesystem)
        if systems:
            roots += [_linux(machine, volume, one, beside=systems) for one in systems]
        elif linux.is_skeleton(Tree(filesystem, budget=machine.budget)):
            skeletons.append((volume, filesystem))
        else:
            _remark(machine, volume, filesystem)
    for volume, filesystem in skeletons:
        etc = _holding(machine, "/fstab", "/passwd")
        if etc is not None:
            roots.append(_linux(machine, volume, filesystem, etc=etc))


def _remark(machine: Machine, volume: Volume, filesystem: FileSystem) -> None:
    try:
        paths = ("/ostree/deploy", "/ostree/repo")
        if any(part.lstat(path) is not None for part in filesystem.subvolumes() for path in paths):
            machine.problems.append(
                Problem(volume.where, "holds an ostree deployment, which is not read", "no /etc at its top")
            )
    except FileSystemError as error:
        machine.problems.append(Problem(volume.where, "cannot be read", str(error)))


def _linux(
    machine: Machine,
    volume: Volume,
    root: FileSystem,
    *,
    etc: FileSystem | None = None,
    beside: Sequence[FileSystem] | None = None,
) -> tuple[LinuxFacts, Tree]:
    """What is installed in `root`; with `beside`, the systems found there, the one that its boot loader starts."""
    tree = Tree(root, budget=machine.budget, where=volume.where)
    if etc is not None:
        tree.mount("/etc", etc)
    try:
        _mount(machine, tree, machine.devices)
    except OverBudget as error:
        tree.problem("/etc/fstab", "the inspection was broken off", str(error))
    facts = linux.inspect(tree, machine.devices, volume=volume.where, disk=volume.disk)
    if beside is None:
        return facts, tree
    booted = booted_instead(machine, tree, facts.cmdline)
    return (facts, tree) if booted is None or booted in beside else _linux(machine, volume, booted)


def _mount(machine: Machine, tree: Tree, devices: Devices) -> None:
    """Put the volumes that fstab names in their places; without a line for /boot, the one that looks like it."""
    wanted = {mount.mountpoint.rstrip("/"): mount for mount in fstab.read(tree, devices)[0]}
    for path in _MOUNTS:
        found = machine.find(wanted[path].device) if path in wanted and not wanted[path].network else None
        filesystem = machine.mounted(found, wanted[path].options) if found is not None else None
        if filesystem is not None and filesystem is not tree.root:
            tree.mount(path, filesystem)
    if "/boot" not in tree.mounts and not any(name.startswith("vmlinu") for name in tree.listdir("/boot")):
        boot = _holding(machine, "/grub2", "/loader") or _holding(machine, "/grub") or _holding(machine, "/loader")
        if boot is not None and boot is not tree.root:
            tree.mount("/boot", boot)
    if not {"/boot/efi", "/efi"} & set(tree.mounts):
        esp = next((filesystem for _, filesystem in efi.system_partitions(machine)), None)
        if esp is not None and esp is not tree.mounts.get("/boot"):
            tree.mount("/boot/efi", esp)


def _holding(machine: Machine, *paths: str) -> FileSystem | None:
    """The first file system with all of `paths` at its top."""
    for volume in machine.volumes:
        filesystem = machine.filesystem(volume) if volume.content.kind in (*LINUX, "fat") else None
        try:
            if filesystem is not None and all(filesystem.lstat(path) is not None for path in paths):
                return filesystem
        except FileSystemError:
            continue
    return None


__all__ = ["Budget", "GuestFacts", "OpenGuest", "inspect", "opened"]
