"""Items of a VirtualHardwareSection: what hangs on what. Source: CIM_ResourceAllocationSettingData (DSP0243, 8.3)."""

from __future__ import annotations

from dataclasses import dataclass

_IDE, _SCSI, _ETHERNET, _CD, _DVD, _DISK, _OTHER_STORAGE = 5, 6, 10, 15, 16, 17, 20
#: Disks: 17; "logical disk" and "storage extent" in XenServer's and other exporters' words.
_DISKS = (_DISK, 19, 31)


def number(text: str) -> int | None:
    """A plain decimal number of at most 18 digits, else None."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


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


class Hardware:
    """The items of one machine."""

    def __init__(self, items: list[HardwareItem]) -> None:
        self._items = items
        self._by_instance = {item.instance: item for item in items if item.instance}
        self._by_resource: dict[str, HardwareItem] = {}
        for item in items:
            self._by_resource.setdefault(item.host_resource.rpartition("/")[2], item)

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

    def item_of_disk(self, disk: str, file: str) -> HardwareItem | None:
        """The item whose HostResource names the disk (``ovf:/disk/ID``), or its file (oVirt), else None."""
        item = self._by_resource.get(disk) or (self._by_resource.get(file.rpartition("/")[2]) if file else None)
        if item is None or "/file/" in item.host_resource:
            return None
        return item if item.type in _DISKS or "/disk/" in item.host_resource else None

    def controller_of(self, item: HardwareItem) -> tuple[str, str, int | None]:
        """(ide, scsi, sata, nvme or "", the descriptor's own word, bus number) of what an item hangs on."""
        parent = self._by_instance.get(item.parent)
        if parent is None:
            return "", "", None
        return _bus_of(parent), parent.subtype, number(parent.address)


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
