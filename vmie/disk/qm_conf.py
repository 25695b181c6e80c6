"""Proxmox VE's configuration of a machine, as it lies in a backup. Source: qm.conf(5)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from vmie.disk.appliance_model import ApplianceDisk, CdRom, Nic, OsSection, VirtualMachine

_SLOT = re.compile(r"(ide|sata|scsi|virtio)(\d{1,3})")
_LINE = re.compile(r"([A-Za-z][A-Za-z0-9_]*):\s*(.*)")
_MOST_LINES = 2000
#: the order in which SeaBIOS and the older `boot: cdn` count disks
_KINDS = ("ide", "sata", "scsi", "virtio")
#: drives that hold no disk of the guest's
_NO_DISKS = ("efidisk", "tpmstate", "vmstate")
_NIC_MODELS = ("virtio", "e1000", "e1000e", "rtl8139", "vmxnet3", "i82551", "i82557b", "i82559er", "ne2k_pci", "pcnet")


def machine_of(text: str, drives: Mapping[str, int]) -> VirtualMachine:
    """The machine that a configuration describes, with the drives of the archive as its disks, boot disk first.

    `drives` are their names (``drive-scsi0``) and sizes in bytes. Snapshots' sections are passed over.
    """
    said = dict(_settings(text))
    disks = [_disk(name, size, said) for name, size in drives.items() if not _slot(name).startswith(_NO_DISKS)]
    order = _boot_order(said)
    ranked = sorted(disks, key=lambda disk: _rank(disk, order))
    firmware = "efi" if said.get("bios") == "ovmf" else "bios"
    return VirtualMachine(
        name=said.get("name", ""),
        ovf_version="",
        disks=tuple(ranked),
        nics=tuple(_nics(said)),
        cdroms=tuple(_cdroms(said)),
        os_section=OsSection(id=None, os_type=said.get("ostype", ""), description=said.get("ostype", "")),
        firmware=firmware,
        secure_boot=firmware == "efi" and "pre-enrolled-keys=1" in said.get("efidisk0", ""),
        cpus=_number(said.get("cores", "1")) * _number(said.get("sockets", "1")),
        memory_mib=_number(said.get("memory", "512").rpartition("=")[2]),
        hardware_version=said.get("machine", ""),
        machines=(said["name"],) if said.get("name") else (),
        reordered=ranked != disks,
    )


def _settings(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines()[:_MOST_LINES]:
        if line.startswith("["):  # a snapshot, or what is pending
            return
        if found := _LINE.fullmatch(line.strip()):
            yield found[1], "".join(letter for letter in found[2][:512] if letter.isprintable())


def _slot(drive: str) -> str:
    """``scsi0`` of ``drive-scsi0``; a TPM's state is called ``drive-tpmstate0-backup``."""
    return drive.removeprefix("drive-").removesuffix("-backup")


def _disk(drive: str, size: int, said: Mapping[str, str]) -> ApplianceDisk:
    slot = _slot(drive)
    found = _SLOT.fullmatch(slot)
    return ApplianceDisk(
        id=drive,
        file=slot,
        capacity=size,
        format="raw",
        attached=slot in said,
        controller=found[1] if found else "",
        controller_type=said.get("scsihw", "") if slot.startswith("scsi") else "",
        bus=0 if found else None,
        unit=int(found[2]) if found else None,
    )


def _boot_order(said: Mapping[str, str]) -> list[str]:
    """The slots that the machine boots from: ``boot: order=scsi0;ide2``, or the older ``bootdisk``."""
    order = re.search(r"order=([^,]*)", said.get("boot", ""))
    return order[1].split(";") if order else [said["bootdisk"]] if said.get("bootdisk") else []


def _rank(disk: ApplianceDisk, order: list[str]) -> tuple[int, int, int]:
    kind = _KINDS.index(disk.controller) if disk.controller in _KINDS else len(_KINDS)
    return order.index(disk.file) if disk.file in order else len(order), kind, disk.unit or 0


def _nics(said: Mapping[str, str]) -> Iterator[Nic]:
    for name, value in said.items():
        if re.fullmatch(r"net\d{1,2}", name):
            parts = dict(part.partition("=")[::2] for part in value.split(","))
            model = next((one for one in _NIC_MODELS if one in parts), parts.get("model", ""))
            yield Nic(name, parts.get("bridge", ""), model, parts.get(model, parts.get("macaddr", "")))


def _cdroms(said: Mapping[str, str]) -> Iterator[CdRom]:
    for name, value in said.items():
        if _SLOT.fullmatch(name) and "media=cdrom" in value and not value.startswith("none"):
            yield CdRom(name, value.partition(",")[0], name.rstrip("0123456789"))


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 1
