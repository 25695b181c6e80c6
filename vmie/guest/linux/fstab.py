"""fstab: what is mounted at boot, by which name, and whether that device is in the image."""

from __future__ import annotations

import re
from dataclasses import replace

from vmie.guest.linux import mount_units
from vmie.guest.linux.devices import Devices, named_by_hardware
from vmie.guest.linux.mount_units import MountUnit
from vmie.guest.linux_facts import Mount
from vmie.guest.tree import Tree

_MAX_MOUNTS = 500
_SHARES = (
    "nfs nfs4 cifs smbfs smb3 vboxsf sshfs fuse.sshfs vmhgfs fuse.vmhgfs-fuse prl_fs ceph glusterfs 9p virtiofs afs "
    "ncpfs davfs davfs2 fuse.s3fs s3fs fuse.glusterfs lustre beegfs gfs2 ocfs2"
)
_NETWORK = frozenset(_SHARES.split())


def read(tree: Tree, devices: Devices) -> tuple[tuple[Mount, ...], bool | None]:
    """The lines of /etc/fstab, then systemd's units; whether fstab could be read, None where there is none."""
    text = tree.text("/etc/fstab")
    units = [_of_unit(tree, devices, unit) for unit in mount_units.read(tree)]
    if text is None:
        return tuple(units), False if tree.there("/etc/fstab") else None
    found: list[Mount] = []
    for raw in text.splitlines():
        line = raw.strip()
        words = line.split()
        if not line or line.startswith("#") or len(words) < 2:
            continue
        if len(found) >= _MAX_MOUNTS:
            tree.problem("/etc/fstab", "was read in part only", f"it has more than {_MAX_MOUNTS} lines")
            break
        words += ["", "", ""]
        found.append(_mount(tree, devices, [_unescape(word) for word in words[:4]]))
    return (*found, *units), True


def _of_unit(tree: Tree, devices: Devices, unit: MountUnit) -> Mount:
    words = [unit.device, unit.mountpoint, unit.fstype, ",".join(unit.options)]
    return replace(_mount(tree, devices, words), path=unit.path)


def _mount(tree: Tree, devices: Devices, words: list[str]) -> Mount:
    device, mountpoint, fstype, options = words
    network = fstype in _NETWORK or device.startswith("//") or bool(re.match(r"[\w.\[\]:-]+:/", device))
    return Mount(
        device=device,
        mountpoint=mountpoint,
        fstype=fstype,
        options=tuple(option for option in options.split(",") if option),
        by_name=named_by_hardware(device),
        target=None if network else _target(tree, devices, device, options.split(",")),
        network=network,
    )


def _target(tree: Tree, devices: Devices, device: str, options: list[str]) -> bool | None:
    if "=" not in device and not device.startswith("/"):
        return None  # proc, tmpfs, none
    if not device.startswith("/dev/") and device.startswith("/"):
        return tree.exists(device)  # a swap file, a loop image
    return devices.present(device, options)


def _unescape(word: str) -> str:
    """``\\040`` is a space (fstab(5))."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8) & 0xFF), word)


def root_device(cmdline: str) -> str:
    """The last root= of a kernel command line."""
    return _last(cmdline, "root=")


def root_options(cmdline: str) -> tuple[str, ...]:
    """The options of the last rootflags= of a kernel command line."""
    return tuple(option for option in _last(cmdline, "rootflags=").split(",") if option)


def _last(cmdline: str, name: str) -> str:
    return next((word[len(name) :].strip('"') for word in reversed(cmdline.split()) if word.startswith(name)), "")
