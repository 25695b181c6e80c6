"""An OVF descriptor as a `VirtualMachine`: DSP0243 1.1.1 and 2.1.1 (OVF), DSP0004 (units), CIM resource types.

Elements and attributes are recognised by their local names: exporters disagree on namespaces (VMware's OVF
0.9, envelope/1, envelope/2, oVirt's elements with none at all), not on the names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import defusedxml.ElementTree
from defusedxml.common import DefusedXmlException

from vmie.disk.appliance_model import ApplianceDisk, CdRom, Nic, OsSection, VirtualMachine
from vmie.disk.hardware import Hardware, HardwareItem, number
from vmie.disk.units import in_bytes
from vmie.errors import ImageError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MAX_DESCRIPTOR = 10 << 20
#: More tags or attributes than this in a descriptor serve only to fill memory.
_MAX_TAGS, _MAX_ATTRIBUTES = 60_000, 300_000
_MAX_TEXT = 512
_MAX_DISKS = 256
_MAX_FILES = 1000

#: oVirt writes a disk's interface at the disk, not as a controller among the items.
_OVIRT_INTERFACES = {"ide": "ide", "sata": "sata", "virtio": "virtio", "virtio_scsi": "scsi"}

_CURE = "export the appliance again, as OVF 1.0 or 2.0"


def parse(data: bytes, *, name: str) -> VirtualMachine:
    """Read a descriptor; `name` is for messages. Raises ImageError."""
    return _Reader(_root(data, name), name).machine()


def _root(data: bytes, name: str) -> Element:
    if len(data) > MAX_DESCRIPTOR or data.count(b"<") > _MAX_TAGS or data.count(b"=") > _MAX_ATTRIBUTES:
        raise ImageError(f"{name} is too large for an OVF descriptor", cause=f"{len(data):,} bytes", cure=_CURE)
    try:
        root = defusedxml.ElementTree.fromstring(data, forbid_dtd=True)
    except DefusedXmlException as error:
        raise ImageError(
            f"{name} is not a safe OVF descriptor", cause="it declares a document type or entities", cure=_CURE
        ) from error
    except (SyntaxError, ValueError, LookupError) as error:  # ParseError is a SyntaxError
        raise ImageError(f"{name} is not well-formed XML", cause=str(error)[:200], cure=_CURE) from error
    if local(root.tag) != "Envelope":
        raise ImageError(f"{name} is not an OVF descriptor", cause=f"its root is {local(root.tag)[:80]}", cure=_CURE)
    return root  # type: ignore[no-any-return]


def local(tag: object) -> str:
    """A tag or attribute name without its namespace."""
    return str(tag).rpartition("}")[2]


def attribute(element: Element, key: str) -> str:
    """An attribute by its local name, "" where absent."""
    return next((clean(value) for name, value in element.attrib.items() if local(name) == key), "")


def clean(text: str | None) -> str:
    """Text without surrounding space and control characters, of bounded length."""
    return "".join(letter for letter in (text or "").strip()[:_MAX_TEXT] if letter.isprintable())


def named(element: Element, *names: str) -> Iterator[Element]:
    """Descendants with one of these local names, in document order."""
    return (child for child in element.iter() if local(child.tag) in names)


class _Reader:
    """One descriptor being read."""

    def __init__(self, root: Element, name: str) -> None:
        self._root = root
        self._name = name

    def machine(self) -> VirtualMachine:
        systems = [element for element in self._root.iter() if _is(element, "VirtualSystem", "Content")]
        system = systems[0] if systems else self._root
        files = self._files()
        items = self._items(system)
        hardware = Hardware(items)
        boot_order = [attribute(element, "instanceId") for element in named(system, "BootOrderSection")]
        return VirtualMachine(
            name=self._system_name(system),
            ovf_version=self._version(),
            disks=tuple(self._attach(disk, hardware, boot_order) for disk in self._disks(files)),
            nics=tuple(Nic(item.name, item.connection, item.subtype, item.address) for item in hardware.nics()),
            cdroms=tuple(
                CdRom(item.name, self._image_of(item, files), hardware.controller_of(item)[0])
                for item in hardware.cdroms()
            ),
            os_section=_os_section(system),
            firmware=_firmware(system),
            secure_boot=_secure_boot(system),
            cpus=hardware.quantity(3),
            memory_mib=self._memory(hardware),
            hardware_version=next((clean(e.text) for e in named(system, "VirtualSystemType")), ""),
            virtual_systems=max(1, len(systems)),
            files=tuple(attribute(element, "href") for element in files.values()),
        )

    def _fail(self, cause: str) -> ImageError:
        return ImageError(f"{self._name} is a damaged OVF descriptor", cause=cause, cure=_CURE)

    def _number(self, text: str, what: str) -> int | None:
        value = number(text)
        if text and value is None:
            raise self._fail(f"{what} is {text[:40]!r}, which is no number")
        return value

    def _version(self) -> str:
        stated = attribute(self._root, "version")
        space = str(self._root.tag).partition("}")[0]
        generation = {"1": "1", "2": "2"}.get(space.rpartition("/")[2], "0.9" if "vmware.com" in space else "1")
        return stated if stated[:1] == generation[:1] else generation

    def _system_name(self, system: Element) -> str:
        stated = next((clean(child.text) for child in system if local(child.tag) == "Name"), "")
        return stated or attribute(system, "id") or next((clean(e.text) for e in named(system, "Name")), "")

    def _files(self) -> dict[str, Element]:
        files: dict[str, Element] = {}
        for references in named(self._root, "References"):
            for element in references:
                if local(element.tag) == "File" and files.setdefault(attribute(element, "id"), element) is not element:
                    raise self._fail(f"two files have the id {attribute(element, 'id')!r}")
        if len(files) > _MAX_FILES:
            raise self._fail(f"it lists more than {_MAX_FILES} files")
        return files

    def _disks(self, files: dict[str, Element]) -> Iterator[ApplianceDisk]:
        seen: set[str] = set()
        for section in self._root.iter():
            if not _is(section, "DiskSection"):
                continue
            for element in section:
                if local(element.tag) != "Disk":
                    continue
                disk = self._disk(element, files)
                if disk.id in seen or len(seen) >= _MAX_DISKS:
                    raise self._fail(f"disk {disk.id!r} is listed twice, or more than {_MAX_DISKS} disks are")
                seen.add(disk.id)
                yield disk

    def _disk(self, element: Element, files: dict[str, Element]) -> ApplianceDisk:
        key = attribute(element, "diskId")
        reference = attribute(element, "fileRef")
        file = files.get(reference)
        if reference and file is None:
            file = self._file_by_href(reference, files)
        what = f"of disk {key!r}"
        return ApplianceDisk(
            id=key,
            file=attribute(file, "href") if file is not None else "",
            capacity=self._capacity(element, what),
            format=attribute(element, "format"),
            populated_size=self._number(attribute(element, "populatedSize"), f"the populated size {what}"),
            file_size=self._number(attribute(file, "size"), f"the file size {what}") if file is not None else None,
            parent=attribute(element, "parentRef"),
            controller=_OVIRT_INTERFACES.get(attribute(element, "disk-interface").lower(), ""),
            compression=attribute(file, "compression").lower() if file is not None else "",
            chunk_size=self._chunk_size(file, what),
        )

    def _chunk_size(self, file: Element | None, what: str) -> int | None:
        size = self._number(attribute(file, "chunkSize"), f"the chunk size {what}") if file is not None else None
        return size or None  # 0 says, as absence does, that the file is whole

    def _file_by_href(self, reference: str, files: dict[str, Element]) -> Element:
        """OVirt refers to files by name rather than by id."""
        for element in files.values():
            if attribute(element, "href") == reference:
                return element
        raise self._fail(f"a disk refers to file {reference!r}, which is not listed")

    def _capacity(self, element: Element, what: str) -> int:
        text, unit = attribute(element, "capacity"), attribute(element, "capacityAllocationUnits")
        if not text:
            text, unit = attribute(element, "size"), "GigaBytes"  # oVirt
        count = self._number(text, f"the capacity {what}")
        try:
            capacity = (count or 0) * in_bytes(unit)
        except ValueError as error:
            raise self._fail(f"the capacity {what}: {error}") from error
        if capacity >= 1 << 63:
            raise self._fail(f"the capacity {what} is {capacity:,} bytes")
        return capacity

    def _items(self, system: Element) -> list[HardwareItem]:
        wanted = self._configuration()
        items: dict[str, HardwareItem] = {}
        for element in named(system, "Item", "StorageItem", "EthernetPortItem"):
            configurations = attribute(element, "configuration").split()
            if configurations and wanted not in configurations:
                continue
            item = HardwareItem.of({local(child.tag): clean(child.text) for child in element if child.text})
            # an item of a configuration stands for the plain one of the same instance
            items[item.instance or f"#{len(items)}"] = item
        return list(items.values())

    def _configuration(self) -> str:
        """The deployment option in force: the default one, else the first."""
        options = list(named(self._root, "Configuration"))
        default = next((option for option in options if attribute(option, "default") == "true"), None)
        chosen = default if default is not None else (options[0] if options else None)
        return attribute(chosen, "id") if chosen is not None else ""

    def _attach(self, disk: ApplianceDisk, hardware: Hardware, boot_order: list[str]) -> ApplianceDisk:
        item = hardware.item_of_disk(disk.id, disk.file)
        if item is None:
            return disk
        controller, kind, bus = hardware.controller_of(item)
        order = number(item.boot_order)
        if order is None and item.instance in boot_order:  # VMware's section: instances in order
            order = boot_order.index(item.instance) + 1
        return replace(
            disk,
            attached=True,
            controller=controller or disk.controller,
            controller_type=kind,
            bus=bus,
            unit=self._number(item.address_on_parent, "an address on a controller"),
            boot_order=order,
        )

    def _image_of(self, item: HardwareItem, files: dict[str, Element]) -> str:
        file = files.get(item.host_resource.rpartition("/file/")[2]) if "/file/" in item.host_resource else None
        return attribute(file, "href") if file is not None else ""

    def _memory(self, hardware: Hardware) -> int | None:
        item = hardware.first(4)
        quantity = number(item.virtual_quantity) if item else None
        if item is None or quantity is None:
            return None
        try:
            unit = in_bytes(item.allocation_units or "MB")
        except ValueError:
            unit = 1 << 20
        return quantity * unit >> 20


def _is(element: Element, *names: str) -> bool:
    """Whether an element is one of these sections, by its name or by its xsi:type (OVF 0.9, oVirt)."""
    tag = local(element.tag)
    if tag in ("Section", "Content"):
        kind = next((value for key, value in element.attrib.items() if local(key) == "type"), "")
        return kind.rpartition(":")[2].removesuffix("_Type") in names
    return tag in names


def _os_section(system: Element) -> OsSection | None:
    for element in system.iter():
        if _is(element, "OperatingSystemSection"):
            return OsSection(
                id=number(attribute(element, "id")),
                version=attribute(element, "version"),
                os_type=attribute(element, "osType"),
                description=next((clean(child.text) for child in named(element, "Description", "OSType")), ""),
            )
    return None


def _settings(system: Element) -> Iterator[tuple[str, str]]:
    """VMware's vmw:Config and vmw:ExtraConfig, keys in lower case."""
    for element in named(system, "Config", "ExtraConfig"):
        yield attribute(element, "key").lower(), attribute(element, "value").lower()


def _firmware(system: Element) -> str:
    for key, value in _settings(system):
        if key == "firmware" and value in ("bios", "efi"):
            return value
    for element in named(system, "BiosType"):  # oVirt: 1, 2 SeaBIOS; 3, 4 OVMF
        return {"1": "bios", "2": "bios", "3": "efi", "4": "efi"}.get(clean(element.text), "unknown")
    for element in named(system, "Firmware"):  # VirtualBox: EFI, EFI32, EFI64, EFIDUAL, BIOS
        kind = attribute(element, "type").lower()
        if kind:
            return "efi" if kind.startswith("efi") else "bios"
    # a machine in VirtualBox's own words that names no firmware has a BIOS
    return "bios" if next(named(system, "Machine"), None) is not None else "unknown"


def _secure_boot(system: Element) -> bool:
    keys = ("bootoptions.efisecurebootenabled", "uefi.secureboot.enabled")
    if any(key in keys and value == "true" for key, value in _settings(system)):
        return True
    if any(attribute(element, "enabled") == "true" for element in named(system, "SecureBoot")):
        return True
    return any(clean(element.text) == "4" for element in named(system, "BiosType"))
