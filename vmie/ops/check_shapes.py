"""The contracted shapes of a disk and of a guest in a check's JSON (docs/reference/json.md)."""

from __future__ import annotations

from typing import Any

from vmie.checks import CheckedDisk
from vmie.guest.facts import GuestFacts
from vmie.guest.linux_facts import DriverState, LinuxFacts
from vmie.guest.windows_facts import WindowsFacts

_DISK_DRIVERS = frozenset({DriverState.BUILTIN, DriverState.INITRAMFS})
#: ``guest`` where no system was seen
NO_GUEST: dict[str, Any] = {
    "family": "unknown",
    "distribution": None,
    "version": None,
    "architecture": "unknown",
    "kernels": [],
    "default_kernel": None,
    "root_filesystem": None,
    "free_bytes": None,
    "drivers": {"nvme": None, "ena": None, "xen": None},
    "network": None,
}


def disk(image: CheckedDisk, index: int, guest: GuestFacts) -> dict[str, Any]:
    """One element of ``disks[]``."""
    layout = next((layout for layout in guest.disks if layout.index == index), None)
    return {
        "path": image.path,
        "format": image.format,
        "variant": image.variant,
        "virtual_size": image.size or None,
        "allocated_size": image.allocated_size or None,
        "partition_table": layout.table.value if layout else None,
        "partitions": [
            {
                "number": part.number,
                "start": part.start,
                "length": part.length,
                "type": part.type,
                "content": part.content,
                "label": part.label,
            }
            for part in (layout.partitions if layout else ())
        ],
    }


def linux(root: LinuxFacts) -> dict[str, Any]:
    """``guest`` of a Linux."""
    network = root.network
    return {
        "family": "linux",
        "distribution": root.distribution,
        "version": root.version or None,
        "architecture": root.architecture,
        "kernels": [kernel.version for kernel in root.kernels],
        "default_kernel": root.default_kernel or None,
        "root_filesystem": root.filesystem,
        "free_bytes": root.free_bytes,
        "drivers": {
            "nvme": _driver(root, "nvme", early=True),
            "ena": _driver(root, "ena", early=False),
            "xen": _driver(root, "xen-blkfront", early=True),
        },
        "network": {
            "methods": list(network.methods),
            "dhcp": network.dhcp,
            "static": network.static,
            "ipv6": network.ipv6,
            "predictable_names": network.predictable_names,
            "interfaces": [nic.name for nic in network.interfaces],
        },
        "name": root.pretty_name or None,
        "bootloader": root.bootloader.value,
        "cloud_init": None if root.cloud_init is None else root.cloud_init.installed and not root.cloud_init.disabled,
        "ssh_server": root.sshd.installed,
    }


def _driver(root: LinuxFacts, name: str, *, early: bool) -> bool | None:
    """True when the default kernel has the driver where it needs it; None when that is not known."""
    state = root.drivers.get(name, DriverState.UNKNOWN)
    if state is DriverState.UNKNOWN:
        return None
    return state in _DISK_DRIVERS or (not early and state is DriverState.MODULE)


def windows(root: WindowsFacts) -> dict[str, Any]:
    """``guest`` of a Windows."""
    return {
        "family": "windows",
        "distribution": "windows",
        "version": root.release or root.version or None,
        "architecture": root.architecture or "unknown",
        "kernels": [str(root.build)] if root.build is not None else [],
        "default_kernel": str(root.build) if root.build is not None else None,
        "root_filesystem": root.filesystem,
        "free_bytes": root.free_bytes,
        "drivers": {"nvme": root.has_nvme, "ena": root.has_ena, "xen": root.has_xen},
        "network": {
            "methods": ["windows"],
            "dhcp": None if not root.interfaces else any(nic.dhcp for nic in root.interfaces),
            "static": None if not root.interfaces else bool(root.static_addresses),
            "ipv6": None,
            "predictable_names": None,
            "interfaces": [nic.id for nic in root.interfaces],
        },
        "name": root.product or None,
        "edition": root.edition or None,
        "kind": root.kind or None,
        "service_pack": root.service_pack,
        "languages": list(root.languages),
    }
