"""What an OVF descriptor says of a machine, as values.

Appliance
├── disks        what the machine's hardware holds, boot disk first, with the file and the controller of each
├── left_out     what else the DiskSection lists: disks without a file, and disks that nothing holds
├── nics, cdroms from the VirtualHardwareSection
├── os_section   what the machine is said to run
└── manifest     digests of the files; checked on demand
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ApplianceDisk:
    """A disk of an appliance; sizes in bytes.

    `file` is the name as the descriptor gives it, "" for a disk that is to be created empty. `capacity` is 0 where
    the descriptor says nothing that can be used; `problem` is why.
    `controller` is ide, scsi, sata, nvme, virtio, or "" where none is named; `attached` whether a
    hardware item uses the disk; `controller_type` is the descriptor's own word (lsilogic, VirtualSCSI, AHCI …).
    `compression` is the member's (gzip), not the disk format's; `chunk_size` is set for a disk that
    is split into numbered files.
    """

    id: str
    file: str
    capacity: int
    format: str = ""
    populated_size: int | None = None
    file_size: int | None = None
    parent: str = ""
    compression: str = ""
    chunk_size: int | None = None
    attached: bool = False
    controller: str = ""
    controller_type: str = ""
    bus: int | None = None
    unit: int | None = None
    boot_order: int | None = None
    problem: str = ""

    @property
    def chunked(self) -> bool:
        """Whether the disk is split into numbered files."""
        return self.chunk_size is not None

    @property
    def compressed(self) -> bool:
        """Whether the file is compressed as a whole (ovf:compression)."""
        return bool(self.compression)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A listed disk that is not among the machine's: `reason` is empty (no file) or unattached (nothing holds it)."""

    id: str
    capacity: int
    reason: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Nic:
    """A network adapter: `type` as the descriptor has it (E1000, VmxNet3 …), `mac` "" where not given."""

    name: str
    network: str
    type: str
    mac: str = ""


@dataclass(frozen=True, slots=True)
class CdRom:
    """A CD or DVD drive; `file` is the attached image's name in the package, "" when there is none."""

    name: str
    file: str = ""
    controller: str = ""


@dataclass(frozen=True, slots=True)
class OsSection:
    """OperatingSystemSection: CIM's number, and VMware's and the exporter's words for it."""

    id: int | None
    version: str = ""
    os_type: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class PackageManifest:
    """The .mf file: `algorithms` in it, such as ("SHA256",); none where there is no manifest.

    `problem` says why a manifest that is there cannot be read: no reason to leave the disks alone.
    """

    present: bool = False
    algorithms: tuple[str, ...] = ()
    files: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class VirtualMachine:
    """What the descriptor alone says; `Appliance` adds the package around it.

    `firmware` is bios, efi or unknown. `machines` are the ids of all machines described; the rest is one's.
    `reordered` says that its hardware has the disks in another order than the descriptor lists them.
    """

    name: str
    ovf_version: str
    disks: tuple[ApplianceDisk, ...]
    nics: tuple[Nic, ...] = ()
    cdroms: tuple[CdRom, ...] = ()
    os_section: OsSection | None = None
    firmware: str = "unknown"
    secure_boot: bool = False
    cpus: int | None = None
    memory_mib: int | None = None
    hardware_version: str = ""
    machines: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    reordered: bool = False
    files: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """JSON-able, keys as the fields; each disk also says `chunked` and `compressed`."""
        out = {item.name: plain(getattr(self, item.name)) for item in fields(VirtualMachine)}
        for row, disk in zip(out["disks"], self.disks, strict=True):
            row.update(chunked=disk.chunked, compressed=disk.compressed)
        return out


def plain(value: Any) -> Any:
    """Dataclasses to dicts, tuples to lists, all the way down."""
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if is_dataclass(value):
        return {item.name: plain(getattr(value, item.name)) for item in fields(value)}
    return value
