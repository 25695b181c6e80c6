"""A Linux root file system → `LinuxFacts`. Each module here answers one question."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vmie.guest.budget import OverBudget
from vmie.guest.linux import bootloader, fstab, kernels, network, release, services
from vmie.guest.linux.boot_devices import boot_devices, lvm_bound, opened
from vmie.guest.linux.cloud_init import cloud_init
from vmie.guest.linux.devices import Devices, named_by_hardware
from vmie.guest.linux.drivers import drivers
from vmie.guest.linux.firewall import firewall
from vmie.guest.linux.logins import users
from vmie.guest.linux_facts import LinuxFacts
from vmie.guest.tree import Tree

#: folders that hold files of the system: AWS's checker wants free space in each (aws-facts 8.4)
_SPACE = ("/", "/boot", "/etc", "/tmp", "/usr", "/var")  # noqa: S108 - the guest's


def is_root(tree: Tree) -> bool:
    """Whether a Linux is installed in `tree`: a release file, or what every Linux has in /etc."""
    if not tree.is_dir("/etc"):
        return False
    if any(tree.there(path) for path in release.MARKS):
        return True
    return tree.there("/etc/passwd") and (tree.there("/etc/fstab") or tree.there("/sbin"))


def is_skeleton(tree: Tree) -> bool:
    """Whether `tree` is a root whose /etc lies elsewhere: empty mount points side by side."""
    return all(tree.is_dir(path) for path in ("/etc", "/proc", "/dev", "/sys")) and not tree.listdir("/etc")


def inspect(tree: Tree, devices: Devices, *, volume: str, disk: int) -> LinuxFacts:
    """Everything about the Linux in `tree`, whose mounts are in place.

    What could not be determined, also for want of time, is in its `problems`.
    """
    found: dict[str, Any] = {"volume": volume, "disk": disk, "filesystem": tree.root.kind}
    steps: tuple[Callable[[], dict[str, Any]], ...] = (
        lambda: _identity(tree),
        lambda: _space(tree),
        lambda: _mounts(tree, devices),
        lambda: _boot(tree, devices),
        lambda: _services(tree, found.get("cmdline", ""), devices),
        lambda: _drivers(tree, found),
    )
    for step in steps:
        try:
            found |= step()
        except OverBudget as error:
            tree.problem("/", "the inspection was broken off", str(error))
            break
    return LinuxFacts(**found, problems=tuple(tree.problems))


def _identity(tree: Tree) -> dict[str, Any]:
    system = release.release(tree)
    return {
        "distribution": system.id,
        "version": system.version,
        "pretty_name": system.pretty_name,
        "architecture": release.architecture(tree),
    }


def _space(tree: Tree) -> dict[str, Any]:
    free = {}
    clean = []
    for path in _SPACE:
        place = tree.resolve(path)
        if place is not None:
            free[path] = place.filesystem.free_bytes
            clean.append(place.filesystem.clean)
    return {
        "filesystem_size": tree.root.size,
        "free_bytes": tree.root.free_bytes,
        "free": free,
        "dirty": True if False in clean else None if tree.root.clean is None else False,
    }


def _mounts(tree: Tree, devices: Devices, *cmdlines: str) -> dict[str, Any]:
    mounts, could_be_read = fstab.read(tree, devices.opening(opened(tree, cmdlines)))
    return {"fstab": mounts, "fstab_read": could_be_read}


def _boot(tree: Tree, devices: Devices) -> dict[str, Any]:
    boot = bootloader.boot(tree)
    cmdlines = [entry.cmdline for entry in boot.entries]
    names = opened(tree, cmdlines)
    installed, default = kernels.of_images(tree, kernels.kernels(tree), boot.images)
    root = fstab.root_device(boot.cmdline)
    return {
        "kernels": installed,
        "default_kernel": default,
        "default_kernel_source": boot.source if default else "",
        "bootloader": boot.loader,
        "bls": boot.bls,
        "bls_entries": boot.bls_entries,
        "grubenv": boot.grubenv,
        "grubenv_saved_entry": boot.saved_entry,
        "bls_default_found": boot.bls_default,
        "grub_configs": boot.configs,
        "grub_configs_differ": boot.configs_differ,
        "grub_kernels": boot.config_kernels,
        "grub_platforms": boot.platforms,
        "cmdline": boot.cmdline,
        "root_device": root,
        "root_by_name": named_by_hardware(root),
        "lvm_bound": lvm_bound(tree),
        "boot_devices": boot_devices(tree, boot, devices.opening(names)),
        # what the kernel's options open has a name that crypttab does not tell
        **(_mounts(tree, devices, *cmdlines) if len(names) > len(opened(tree, ())) else {}),
    }


def _services(tree: Tree, cmdline: str, devices: Devices) -> dict[str, Any]:
    sshd = services.sshd(tree)
    cloud = cloud_init(tree, cmdline, devices)
    return {
        "network": network.network(tree, cmdline),
        "sshd": sshd,
        "firewall": firewall(tree, sshd),
        "cloud_init": cloud,
        "vmware_tools": services.vmware_tools(tree),
        "virtualbox_additions": services.virtualbox_additions(tree),
        "selinux": services.selinux(tree),
        "users": users(tree, sshd, cloud.user),
    }


def _drivers(tree: Tree, found: dict[str, Any]) -> dict[str, Any]:
    installed = found.get("kernels", ())
    default = next((kernel for kernel in installed if kernel.default), None)
    # without a default the newest is what most boot loaders would take
    state, initramfs = drivers(tree, default or (installed[0] if installed else None))
    return {"drivers": state, "initramfs": initramfs}
