"""Items of a VirtualHardwareSection: what hangs on what. Source: CIM_ResourceAllocationSettingData (DSP0243, 8.3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmie.disk.ovf_xml import attribute, clean, local, named, number

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_IDE, _SCSI, _ETHERNET, _CD, _DVD, _DISK, _OTHER_STORAGE = 5, 6, 10, 15, 16, 17, 20
#: Disks: 17; "logical disk" and "storage extent" in XenServer's and other exporters' words.
_DISKS = (_DISK, 19, 31)
#: the order in which a BIOS counts the disks of several kinds of controller: IDE ones before those of other adapters
_KINDS = ("ide", "sata", "scsi", "virtio", "nvme")
#: what has no address comes behind what has one
_LAST = 1 << 30


@dataclass(frozen=True, slots=True)
class HardwareItem:
    """One item, fields as text; "" where absent."""

    type: int
    instance: str
    parent: str
    name: str
    subtype: str
    address: str
    address_on_parent: str
    host_resource: str
    connection: str
    virtual_quantity: str
    allocation_units: str
    boot_order: str

    @classmethod
    def of(cls, fields: dict[str, str]) -> HardwareItem:
        """From an item's children by local name."""
        return cls(
            type=number(fields.get("ResourceType", "")) or 0,
            instance=fields.get("InstanceID", fields.get("InstanceId", "")),
            parent=fields.get("Parent", ""),
            name=fields.get("ElementName", fields.get("Caption", "")),
            subtype=fields.get("ResourceSubType", ""),
            address=fields.get("Address", fields.get("MACAddress", "")),
            address_on_parent=fields.get("AddressOnParent", ""),
            host_resource=fields.get("HostResource", ""),
            connection=fields.get("Connection", ""),
            virtual_quantity=fields.get("VirtualQuantity", ""),
            allocation_units=fields.get("AllocationUnits", ""),
            boot_order=fields.get("BootOrder", ""),
        )

    @property
    def resource(self) -> tuple[str, str]:
        """What HostResource names: ("disk" or "file", id); the kind is "" where only an id or a path is given."""
        head, _, key = self.host_resource.rpartition("/")
        kind = head.rpartition("/")[2].rpartition(":")[2]
        return (kind if kind in ("disk", "file") else ""), key


def items_of(system: Element, configuration: str) -> list[HardwareItem]:
    """The machine's items in force: those of no configuration or of this one, and of a range only the normal value."""
    items: dict[str, HardwareItem] = {}
    rank: dict[str, int] = {}
    for element in named(system, "Item", "StorageItem", "EthernetPortItem"):
        configurations = attribute(element, "configuration").split()
        bound = attribute(element, "bound").lower()
        # min and max say how far a value may go; they are no hardware (DSP0243 8.4)
        if bound in ("min", "max") or (configurations and configuration not in configurations):
            continue
        item = HardwareItem.of({local(child.tag): clean(child.text) for child in element if child.text})
        key = item.instance or f"#{len(items)}"
        # an item of a configuration stands for the plain one of the same instance, that one for the range's normal
        own = 2 if configurations else 1 if bound != "normal" else 0
        if own >= rank.get(key, 0):
            items[key], rank[key] = item, own
    return list(items.values())


class Hardware:
    """The items of one machine; `booted` are the devices that it boots first, as instances or places (``scsi0:1``)."""

    def __init__(self, items: list[HardwareItem], *, booted: Sequence[str] = ()) -> None:
        self._items = items
        self._booted = list(booted)
        self._by_instance = {item.instance: item for item in items if item.instance}
        self._of_disk: dict[str, HardwareItem] = {}
        self._of_file: dict[str, HardwareItem] = {}
        for item in items:
            kind, key = item.resource
            if key and (kind == "disk" or item.type in _DISKS):
                (self._of_file if kind == "file" else self._of_disk).setdefault(key, item)

    def first(self, kind: int) -> HardwareItem | None:
        """The first item of a CIM resource type."""
        return next((item for item in self._items if item.type == kind), None)

    def quantity(self, kind: int) -> int | None:
        """The VirtualQuantity of the first item of a type."""
        item = self.first(kind)
        return number(item.virtual_quantity) if item else None

    def nics(self) -> list[HardwareItem]:
        """Ethernet adapters in order."""
        return [item for item in self._items if item.type == _ETHERNET]

    def cdroms(self) -> list[HardwareItem]:
        """CD and DVD drives in order."""
        return [item for item in self._items if item.type in (_CD, _DVD)]

    def item_of_disk(self, disk: str, file: str, file_id: str) -> HardwareItem | None:
        """The item whose HostResource names the disk (``ovf:/disk/ID``), or its file (DSP0243, oVirt), else None."""
        found = self._of_disk.get(disk) if disk else None
        if found is None and file_id:
            found = self._of_file.get(file_id)
        return found or (self._of_disk.get(file.rpartition("/")[2]) if file else None)

    def files_held(self) -> Iterable[str]:
        """The ids of files that disk items name without a DiskSection between."""
        return self._of_file

    def controller_of(self, item: HardwareItem) -> tuple[str, str, int | None]:
        """(ide, scsi, sata, nvme or "", the descriptor's own word, bus number) of what an item hangs on."""
        parent = self._by_instance.get(item.parent)
        if parent is None:
            return "", "", None
        return _bus_of(parent), parent.subtype, number(parent.address)

    def boot_order_of(self, item: HardwareItem) -> int | None:
        """The item's place in the machine's boot order, from 1; None where it has none."""
        if order := number(item.boot_order):  # 0 says that it is not booted from
            return order
        kind, _, bus = self.controller_of(item)
        place = f"{kind}{bus or 0}:{item.address_on_parent or 0}"
        for name in (item.instance, place):
            if name and name in self._booted:
                return self._booted.index(name) + 1
        return None

    def place_of(self, item: HardwareItem) -> tuple[int, int, int, int]:
        """Where firmware counts a disk: kind of controller, its bus, the unit on it, then the order of the items."""
        kind, _, bus = self.controller_of(item)
        parent = self._by_instance.get(item.parent)
        unit = number(item.address_on_parent)
        return (
            _KINDS.index(kind) if kind in _KINDS else len(_KINDS),
            bus if bus is not None else self._items.index(parent) + _LAST if parent else 2 * _LAST,
            unit if unit is not None else _LAST,
            self._items.index(item),
        )


def _bus_of(controller: HardwareItem) -> str:
    word = f"{controller.subtype} {controller.name}".lower()
    if controller.type == _IDE:
        return "ide"
    if controller.type == _SCSI:
        return "scsi"
    if "nvme" in word:
        return "nvme"
    if "sata" in word or "ahci" in word or controller.type == _OTHER_STORAGE:
        return "sata"
    return ""
