"""An OVF descriptor as a `VirtualMachine`: DSP0243 1.1.1 and 2.1.1 (OVF), DSP0004 (units), CIM resource types.

descriptor ──► the chosen system ──► its hardware ──► the disks that it holds, boot disk first
                              files, DiskSection ──┘
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from vmie.disk import ovf_disks, ovf_system, ovf_xml
from vmie.disk.appliance_model import ApplianceDisk, CdRom, LeftOut, Nic, VirtualMachine
from vmie.disk.hardware import Hardware, HardwareItem, items_of
from vmie.disk.ovf_xml import MAX_DESCRIPTOR, attribute, clean, named, number
from vmie.disk.units import in_bytes

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["MAX_DESCRIPTOR", "files", "parse"]


def parse(data: bytes, *, name: str, machine: str = "", empty_disks: bool = False) -> VirtualMachine:
    """Read a descriptor; `name` is for messages.

    `machine` is the id or Name of one of several; with `empty_disks` the disks without a file are among its disks.
    Raises ImageError.
    """
    root = ovf_xml.read(data, name=name)
    systems = ovf_system.systems_of(root)
    system = ovf_system.chosen(systems, machine, source=name)
    system = root if system is None else system
    configuration = ovf_system.configuration_of(root)
    references = ovf_disks.files_of(root, name=name)
    hardware = Hardware(items_of(system, configuration), booted=ovf_system.boot_order(system))
    properties = ovf_system.properties_of(root, system, configuration)
    listed = list(ovf_disks.disks_of(root, references, properties, name=name))
    disks, left_out = _held(listed, references, hardware, alone=len(systems) < 2, empty_disks=empty_disks)
    return VirtualMachine(
        name=ovf_system.name_of(system),
        ovf_version=_version(root),
        disks=tuple(disks),
        left_out=tuple(left_out),
        reordered=[disk.id for disk in listed if disk.id in {one.id for one in disks}] != [one.id for one in disks],
        nics=tuple(Nic(item.name, item.connection, item.subtype, item.address) for item in hardware.nics()),
        cdroms=tuple(
            CdRom(item.name, _image_of(item, references), hardware.controller_of(item)[0]) for item in hardware.cdroms()
        ),
        os_section=ovf_system.os_section(system),
        firmware=ovf_system.firmware(system),
        secure_boot=ovf_system.secure_boot(system),
        cpus=hardware.quantity(3),
        memory_mib=_memory(hardware),
        hardware_version=next((clean(e.text) for e in named(system, "VirtualSystemType")), ""),
        machines=tuple(map(ovf_system.key_of, systems)),
        files=tuple(attribute(element, "href") for element in references.values()),
    )


def files(data: bytes, *, name: str) -> tuple[str, ...]:
    """The hrefs of all files that a descriptor lists. Raises ImageError."""
    listed = ovf_disks.files_of(ovf_xml.read(data, name=name), name=name)
    return tuple(attribute(element, "href") for element in listed.values())


def _held(
    listed: Sequence[ApplianceDisk],
    files: dict[str, Element],
    hardware: Hardware,
    *,
    alone: bool,
    empty_disks: bool,
) -> tuple[list[ApplianceDisk], list[LeftOut]]:
    """The machine's disks in the order in which it boots, and what was listed and is none of them.

    A descriptor of one machine whose hardware holds no disk at all means all that it lists, in their order.
    """
    held: list[tuple[HardwareItem, ApplianceDisk]] = []
    loose: list[ApplianceDisk] = []
    ids = {attribute(element, "href"): key for key, element in files.items()}
    for disk in listed:
        item = hardware.item_of_disk(disk.id, disk.file, ids.get(disk.file, ""))
        if item is None:
            loose.append(disk)
        else:
            held.append((item, _attached(disk, item, hardware)))
    known = {disk.file for disk in listed}
    for key in hardware.files_held():
        if key in files and attribute(files[key], "href") not in known:
            item = hardware.item_of_disk("", "", key)
            if item is not None:
                held.append((item, _attached(ovf_disks.disk_of_file(key, files[key]), item, hardware)))
    taken = _in_boot_order(held, hardware)
    if not taken and alone:
        taken, loose = sorted(loose, key=lambda disk: disk.boot_order or 2), []
    empty = [] if empty_disks else [disk for disk in taken if not disk.file]
    left_out = [LeftOut(disk.id, disk.capacity, "empty", disk.problem) for disk in empty]
    left_out += [LeftOut(disk.id, disk.capacity, "unattached", disk.problem) for disk in loose if alone]
    return [disk for disk in taken if disk.file or empty_disks], left_out


def _in_boot_order(held: Iterable[tuple[HardwareItem, ApplianceDisk]], hardware: Hardware) -> list[ApplianceDisk]:
    def place(one: tuple[HardwareItem, ApplianceDisk]) -> tuple[bool, int, tuple[int, ...]]:
        item, disk = one
        return disk.boot_order is None, disk.boot_order or 0, hardware.place_of(item)

    return [disk for _, disk in sorted(held, key=place)]


def _attached(disk: ApplianceDisk, item: HardwareItem, hardware: Hardware) -> ApplianceDisk:
    controller, kind, bus = hardware.controller_of(item)
    order = hardware.boot_order_of(item)
    return replace(
        disk,
        attached=True,
        controller=controller or disk.controller,
        controller_type=kind,
        bus=bus,
        unit=number(item.address_on_parent),
        boot_order=disk.boot_order if order is None else order,
    )


def _version(root: Element) -> str:
    stated = attribute(root, "version")
    space = str(root.tag).partition("}")[0]
    generation = {"1": "1", "2": "2"}.get(space.rpartition("/")[2], "0.9" if "vmware.com" in space else "1")
    return stated if stated[:1] == generation[:1] else generation


def _image_of(item: HardwareItem, files: dict[str, Element]) -> str:
    kind, key = item.resource
    return attribute(files.get(key), "href") if kind == "file" else ""


def _memory(hardware: Hardware) -> int | None:
    item = hardware.first(4)
    quantity = number(item.virtual_quantity) if item else None
    if item is None or quantity is None:
        return None
    try:
        unit = in_bytes(item.allocation_units or "MB")
    except ValueError:
        unit = 1 << 20
    return quantity * unit >> 20
