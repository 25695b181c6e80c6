"""The References and DiskSections of an OVF descriptor: every disk that is listed, whoever uses it.

What a disk says of its size is taken when it makes sense and noted as a `problem` when it does not: a disk with a file
says itself how large it is. Source: DSP0243 1.1.1 and 2.1.1, 7.1 (References), 9.1 (DiskSection), 9.5 (properties).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from vmie.disk.appliance_model import ApplianceDisk
from vmie.disk.ovf_xml import CURE, attribute, is_section, local, named, number
from vmie.disk.refusals import MAX_DISK
from vmie.disk.units import in_bytes
from vmie.errors import ImageError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_MAX_DISKS = 256
_MAX_FILES = 1000
_PROPERTY = re.compile(r"\$\{([^{}]+)\}")

#: oVirt writes a disk's interface at the disk, not as a controller among the items.
_OVIRT_INTERFACES = {"ide": "ide", "sata": "sata", "virtio": "virtio", "virtio_scsi": "scsi"}


def files_of(root: Element, *, name: str) -> dict[str, Element]:
    """The File elements by their ids. Raises ImageError for an id given twice, and for too many."""
    files: dict[str, Element] = {}
    for references in named(root, "References"):
        for element in references:
            if local(element.tag) != "File":
                continue
            key = attribute(element, "id") or f"#{len(files)}"  # one without an id cannot be meant twice
            if files.setdefault(key, element) is not element:
                raise _damaged(name, f"two files have the id {key!r}")
            if len(files) > _MAX_FILES:
                raise _damaged(name, f"it lists more than {_MAX_FILES} files")
    return files


def disks_of(
    root: Element, files: Mapping[str, Element], properties: Mapping[str, str], *, name: str
) -> Iterator[ApplianceDisk]:
    """Every listed disk, in order; `properties` are the values that ``${key}`` stands for. Raises ImageError."""
    seen: set[str] = set()
    for section in root.iter():
        if not is_section(section, "DiskSection", "SharedDiskSection"):
            continue
        for element in section:
            if local(element.tag) not in ("Disk", "SharedDisk"):
                continue
            disk = _disk(element, files, properties)
            if disk.id in seen or len(seen) >= _MAX_DISKS:
                raise _damaged(name, f"disk {disk.id!r} is listed twice, or more than {_MAX_DISKS} disks are")
            seen.add(disk.id)
            yield disk


def disk_of_file(key: str, file: Element) -> ApplianceDisk:
    """The disk that a hardware item names by its file, without a DiskSection between."""
    return ApplianceDisk(id=key, capacity=0, problem="no disk section lists it", **_facts_of_file(file, ""))  # type: ignore[arg-type]


def _disk(element: Element, files: Mapping[str, Element], properties: Mapping[str, str]) -> ApplianceDisk:
    reference = attribute(element, "fileRef")
    file = files.get(reference)
    if file is None and reference:  # oVirt refers to files by name rather than by id
        file = next((one for one in files.values() if attribute(one, "href") == reference), None)
    capacity, problem = _capacity(element, properties)
    return ApplianceDisk(
        id=attribute(element, "diskId"),
        capacity=capacity,
        problem=problem,
        format=attribute(element, "format"),
        populated_size=number(attribute(element, "populatedSize")),
        parent=attribute(element, "parentRef"),
        controller=_OVIRT_INTERFACES.get(attribute(element, "disk-interface").lower(), ""),
        boot_order=1 if attribute(element, "boot").lower() == "true" else None,
        **_facts_of_file(file, reference),  # type: ignore[arg-type]
    )


def _facts_of_file(file: Element | None, reference: str) -> dict[str, object]:
    """What a File element says; a reference to none stands for itself, and is missed when it is opened."""
    compression = attribute(file, "compression").lower()
    return {
        "file": attribute(file, "href") if file is not None else reference,
        "file_size": number(attribute(file, "size")),
        "compression": "" if compression in ("", "identity", "none") else compression,
        "chunk_size": number(attribute(file, "chunkSize")) or None,  # 0 says, as absence does, that the file is whole
    }


def _capacity(element: Element, properties: Mapping[str, str]) -> tuple[int, str]:
    """The virtual size in bytes, 0 where it is not known, and why it is not."""
    text, unit = attribute(element, "capacity"), attribute(element, "capacityAllocationUnits")
    if not text:
        text, unit = attribute(element, "size"), "GigaBytes"  # oVirt
    if not text:
        return 0, "no capacity is given"
    if found := _PROPERTY.fullmatch(text):
        text = properties.get(found[1].strip(), "").strip()
        if not text:
            return 0, f"its capacity is the property {found[1][:80]!r}, which has no value"
    count = number(text)
    if count is None:
        return 0, f"its capacity is {text[:40]!r}, which is no number that a disk can have"
    try:
        capacity = count * in_bytes(unit)
    except ValueError as error:
        return 0, f"its capacity: {error}"
    if not 0 < capacity <= MAX_DISK:
        return 0, f"its capacity is {capacity:,} bytes; a disk has at most {MAX_DISK:,} (64 TiB)"
    return capacity, ""


def _damaged(name: str, cause: str) -> ImageError:
    return ImageError(f"{name} is a damaged OVF descriptor", cause=cause, cure=CURE)
