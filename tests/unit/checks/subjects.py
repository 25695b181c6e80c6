"""Subjects that pass every rule, and ways to change one thing about them."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

from vmie.checks import CheckedDisk, CheckedMachine, Subject
from vmie.guest.disk_facts import DiskLayout, LogicalVolume, Partition, Table
from vmie.guest.facts import Firmware, GuestFacts
from vmie.guest.linux_facts import (
    Bootloader,
    CloudInit,
    DriverState,
    Initramfs,
    Kernel,
    LinuxFacts,
    Mount,
    Sshd,
    Users,
)
from vmie.guest.network_facts import Interface, Network
from vmie.guest.windows_facts import InterfaceFacts, WindowsFacts
from vmie.model import Profile

GIB = 1 << 30
STREAM = CheckedDisk(path="disk.vmdk", format="vmdk", variant="streamOptimized", size=8 * GIB, file_size=GIB)
KERNEL = "6.1.0-18-amd64"

PARTITION = Partition(disk=0, number=1, start=1 << 20, length=7 * GIB, type="83", active=True, content="ext4")
MBR = DiskLayout(index=0, size=8 * GIB, table=Table.MBR, boot_code=True, partitions=(PARTITION,))
GPT = replace(MBR, table=Table.GPT, gpt_primary=True, gpt_backup=True, boot_code=False)

LINUX = LinuxFacts(
    volume="disk 0 partition 1",
    distribution="debian",
    version="12.7",
    pretty_name="Debian GNU/Linux 12 (bookworm)",
    architecture="x86_64",
    kernels=(Kernel(KERNEL, f"/boot/vmlinuz-{KERNEL}", f"/boot/initrd.img-{KERNEL}", default=True),),
    default_kernel=KERNEL,
    bootloader=Bootloader.GRUB2,
    grub_configs=("/boot/grub/grub.cfg",),
    root_device="UUID=6f1ed7d2-5d0a-4c1c-9b86-2a4f0c0f9d51",
    drivers={
        "nvme": DriverState.INITRAMFS,
        "ena": DriverState.MODULE,
        "xen-blkfront": DriverState.INITRAMFS,
    },
    initramfs=Initramfs(f"/boot/initrd.img-{KERNEL}", readable=True, compression="zstd"),
    fstab=(Mount("UUID=6f1ed7d2", "/", "ext4", target=True),),
    fstab_read=True,
    network=Network(
        methods=("ifupdown",),
        interfaces=(Interface("eth0", "ifupdown", dhcp=True, static=False),),
        static=False,
        dhcp=True,
        ipv6=False,
        predictable_names=False,
        dhcp_client="dhclient",
    ),
    sshd=Sshd(installed=True, enabled=True),
    cloud_init=CloudInit(),
    vmware_tools=False,
    virtualbox_additions=False,
    filesystem="ext4",
    free_bytes=2 * GIB,
    dirty=False,
    users=Users(with_keys=1, non_root=1),
)

WINDOWS = WindowsFacts(
    volume="disk 0 partition 2",
    free_bytes=30 * GIB,
    product="Windows Server 2019 Datacenter",
    release="2019",
    edition="ServerDatacenter",
    version="10.0",
    build=17763,
    service_pack=0,
    kind="server",
    architecture="x86_64",
    languages=("en-US",),
    rdp_enabled=True,
    rdp_firewall_open=True,
    interfaces=(InterfaceFacts("{a}", dhcp=True),),
    dhcp_service=True,
    time_zone="UTC",
    universal_time=True,
    sysprep_state="IMAGE_STATE_COMPLETE",
    setup_in_progress=False,
    dotnet=("4.8",),
    hyperv_role=False,
    page_files=("c:\\pagefile.sys 4096 4096",),
    page_file_managed=False,
    hibernated=False,
    fast_startup=False,
    dirty_volume=False,
    autologon=False,
    ems=False,
    drivers=frozenset({"stornvme", "ena", "xenvbd"}),
    boot_drivers=frozenset({"stornvme", "xenvbd", "pci"}),
)

#: today's rules, but for the one thing that a test is about
BASE = Subject(
    disks=(STREAM,),
    guest=GuestFacts(disks=(MBR,), roots=(LINUX,), table=Table.MBR, firmware=Firmware.BIOS),
    today=dt.date(2026, 1, 1),
)


def subject(base: Subject = BASE, **changes: Any) -> Subject:
    """`base` with other fields."""
    return replace(base, **changes)


def old(base: Subject = BASE, **changes: Any) -> Subject:
    """`base` under the 2016 profile, with a Linux that the page names."""
    return replace(base, profile=Profile.Y2016, **changes)


def guest(base: Subject = BASE, **changes: Any) -> Subject:
    """`base` with other guest facts."""
    return replace(base, guest=replace(base.guest, **changes))


def linux(base: Subject = BASE, **changes: Any) -> Subject:
    """`base` with another Linux."""
    return guest(base, roots=(replace(LINUX, **changes),))


def windows(base: Subject = BASE, **changes: Any) -> Subject:
    """`base` with a Windows instead."""
    return guest(base, roots=(replace(WINDOWS, **changes),))


def disk(base: Subject = BASE, **changes: Any) -> Subject:
    """`base` with another file."""
    return replace(base, disks=(replace(STREAM, **changes),))


def layout(base: Subject = BASE, **changes: Any) -> Subject:
    """`base` with another partition table."""
    return guest(base, disks=(replace(MBR, **changes),))


def partition(**changes: Any) -> Subject:
    """A disk whose only partition holds something else, without a system."""
    return guest(disks=(replace(MBR, partitions=(replace(PARTITION, **changes),)),), roots=())


def logical(**changes: Any) -> Subject:
    """A volume group with one volume, which holds the root."""
    return guest(volumes=(replace(LogicalVolume("vg0", "root", GIB, content="ext4"), **changes),))


def machine(**changes: Any) -> Subject:
    """An OVA's machine."""
    return subject(machine=replace(CheckedMachine(), **changes))


def network(base: Subject = BASE, **changes: Any) -> Subject:
    """A Linux with another network."""
    return linux(base, network=replace(LINUX.network, **changes))


def mount(**changes: Any) -> Subject:
    """A Linux with one more line in fstab."""
    more = replace(Mount("UUID=1", "/data", "ext4", target=True), **changes)
    return linux(fstab=(*LINUX.fstab, more))
