"""Where in a file system a Linux is installed: at its top or, on Btrfs, in the subvolumes that boot.

A subvolume is mounted as / when rootflags=subvol= names it or, without that, when it is the default one
(https://btrfs.readthedocs.io/en/latest/Subvolumes.html). SUSE makes a snapshot the default and names none in
fstab; Fedora, Debian and Ubuntu name theirs. So a subvolume whose own fstab mounts it as / is a system,
and a snapshot or a copy of one, whose fstab mounts the original, is not.
"""

from __future__ import annotations

from vmie.guest import linux
from vmie.guest.disk_facts import Problem
from vmie.guest.filesystem import FileSystem, FileSystemError
from vmie.guest.linux import fstab
from vmie.guest.linux.devices import Devices
from vmie.guest.machine import Machine, Volume
from vmie.guest.tree import Tree


def installations(machine: Machine, volume: Volume, filesystem: FileSystem) -> list[FileSystem]:
    """The parts of `filesystem` that hold a Linux: itself, or subvolumes. Raises OverBudget."""
    found: list[FileSystem] = []
    problems: list[Problem] = []
    try:
        parts = filesystem.subvolumes()
    except FileSystemError as error:
        machine.problems.append(Problem(volume.where, "its subvolumes cannot be read", str(error)))
        parts = (filesystem,)
    for part in parts:
        tree = Tree(part, budget=machine.budget, where=volume.where)
        if linux.is_root(tree):
            found.append(part)
        problems += tree.problems
    if not found:
        machine.problems += dict.fromkeys(problems)
    if len(found) < 2:
        return found
    own = [part for part in found if _mounts_itself(machine, part)]
    if not own:
        names = ", ".join(part.name for part in found[:4])
        machine.problems.append(
            Problem(volume.where, f"of its subvolumes with a Linux only {found[0].name} is read", names)
        )
    return own or found[:1]


def _mounts_itself(machine: Machine, part: FileSystem) -> bool:
    tree = Tree(part, budget=machine.budget)
    root = next((line for line in fstab.read(tree, Devices())[0] if line.mountpoint == "/"), None)
    try:
        return root is not None and part.mounted(root.options) is part
    except FileSystemError:
        return False


def booted_instead(machine: Machine, tree: Tree, cmdline: str) -> FileSystem | None:
    """The Linux that rootflags= on `tree`'s kernel command line mounts as /, None when it is `tree`'s own root."""
    options = fstab.root_options(cmdline)
    if not tree.root.name or not any(option.startswith("subvol") for option in options):
        return None
    try:
        found = tree.root.mounted(options)
    except FileSystemError as error:
        tree.problem("/", "the subvolume that the kernel mounts cannot be read", str(error))
        return None
    if found is None or found is tree.root or not linux.is_root(Tree(found, budget=machine.budget)):
        return None
    return found
