"""What a disk is made to be booted by, and where nothing can boot it."""

from __future__ import annotations

import pytest

from vmie.guest.disk_facts import DiskLayout, Partition, Table
from vmie.guest.efi import firmware
from vmie.guest.facts import Firmware
from vmie.guest.partitions import BIOS_BOOT, EFI_SYSTEM


def layout(table: Table, *types: str, code: bool = False, loader: str = "", active: bool = False) -> DiskLayout:
    parts = tuple(Partition(0, n, n << 20, 1 << 20, type=kind, active=active) for n, kind in enumerate(types, 1))
    return DiskLayout(0, 1 << 30, table=table, partitions=parts, boot_code=code, boot_loader=loader)


@pytest.mark.parametrize(
    ("disk", "bootable", "expected"),
    [
        (layout(Table.GPT, BIOS_BOOT, EFI_SYSTEM), True, Firmware.HYBRID),
        (layout(Table.GPT, BIOS_BOOT), False, Firmware.BIOS),
        (layout(Table.GPT, EFI_SYSTEM, code=True, loader="windows"), True, Firmware.UEFI),
        (layout(Table.GPT, "LINUX", code=True, loader="grub"), False, Firmware.BIOS),
        (layout(Table.GPT, "LINUX"), False, Firmware.UNKNOWN),
        (layout(Table.GPT, EFI_SYSTEM), False, Firmware.UNKNOWN),
        (layout(Table.MBR, "83"), False, Firmware.BIOS),
        (layout(Table.MBR, "ef", "83"), False, Firmware.UNKNOWN),
        (layout(Table.MBR, "ef", "83"), True, Firmware.UEFI),
        (layout(Table.NONE), False, Firmware.UNKNOWN),
    ],
)
def test_firmware_of_an_installed_system(disk: DiskLayout, *, bootable: bool, expected: Firmware) -> None:
    assert firmware(disk, bootable=bootable, installed=True) is expected


def test_an_mbr_without_a_system_tells_nothing() -> None:
    assert firmware(layout(Table.MBR, "83"), bootable=False) is Firmware.UNKNOWN
