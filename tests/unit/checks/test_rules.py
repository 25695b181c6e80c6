"""Per rule: one subject that trips it, and one that does not."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import replace
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from tests.unit.checks.subjects import (
    BASE,
    GIB,
    GPT,
    KERNEL,
    LINUX,
    MBR,
    PARTITION,
    STREAM,
    WINDOWS,
    disk,
    guest,
    layout,
    linux,
    logical,
    machine,
    mount,
    network,
    old,
    partition,
    subject,
    windows,
)
from vmie.checks import RULES, CheckedDisk, Rule, Subject, judge
from vmie.checks.disks import CLAIMED
from vmie.checks.sources import EvidenceKind, advised, bears, seed
from vmie.cli.terms import TERMS
from vmie.disk.tables import TableFault
from vmie.errors import Set, actions
from vmie.guest.disk_facts import Problem, Table
from vmie.guest.facts import Firmware
from vmie.guest.linux_facts import (
    BootDevice,
    Bootloader,
    CloudInit,
    DriverState,
    Effect,
    Firewall,
    Initramfs,
    Kernel,
    Mount,
    Sshd,
    Users,
)
from vmie.guest.network_facts import Interface
from vmie.guest.windows_facts import InterfaceFacts
from vmie.model import Finding, Profile, Route, Verdict

TIB = 1 << 40
FAIL, WARN, UNKNOWN = Verdict.FAIL, Verdict.WARN, Verdict.UNKNOWN
WIN = windows()
UEFI = guest(disks=(GPT,), firmware=Firmware.UEFI, table=Table.GPT, efi_fallback=True)
RHEL_98 = linux(distribution="rhel", version="9.8", default_kernel="5.14.0-600.el9.x86_64")
SUBVOLUMES = replace(
    PARTITION, number=2, start=7 * GIB + (1 << 20), length=GIB >> 1, content="btrfs", detail="2 subvolumes"
)
GRUB_CFG = "/boot/grub/grub.cfg"
CLOUD = CloudInit(installed=True, ec2=True)
IFCFG = replace(
    LINUX.network,
    interfaces=(Interface("eth0", "ifcfg", dhcp=True, static=False, path="/etc/sysconfig/network-scripts/ifcfg-eth0"),),
)
GZIP = {"wrapper": "gzip"}
CLIENT = windows(release="7", edition="Professional", kind="workstation")


class Case(NamedTuple):
    rule: str
    trips: Subject
    verdict: Verdict
    fine: Subject


def _fault(verdict: Verdict = FAIL, *, as_is: Verdict | None = None) -> TableFault:
    return TableFault("grain table 3", 7, 4096, "places a grain beyond the end", "the format", verdict, as_is)


def on_lvm(**changes: object) -> Subject:
    """A root in a logical volume."""
    return guest(logical(), roots=(replace(LINUX, volume="vg0/root", **changes),))  # type: ignore[arg-type]


CASES = [
    Case("DISK-001", disk(format="qcow2", variant="v3"), WARN, BASE),
    Case("DISK-001", replace(disk(format="vdi"), as_is=True), FAIL, disk(format="vhd", variant="dynamic")),
    Case("DISK-002", disk(variant="monolithicSparse"), WARN, BASE),
    Case("DISK-002", replace(disk(variant="monolithicFlat"), as_is=True), FAIL, replace(BASE, as_is=True)),
    Case("DISK-002", old(disk(variant="twoGbMaxExtentSparse")), FAIL, old(BASE)),
    Case("DISK-003", old(disk(format="vhdx", variant="dynamic")), FAIL, old(disk(format="vhd", variant="dynamic"))),
    Case("DISK-004", disk(format="vhdx", variant="dynamic"), WARN, disk(format="vhd", variant="dynamic")),
    Case("DISK-005", disk(format="vhd", variant="fixed"), WARN, disk(format="vhd", variant="dynamic")),
    Case("DISK-005", old(disk(format="vhd", variant="fixed")), FAIL, old(disk(format="vhd", variant="dynamic"))),
    Case("DISK-006", disk(unreadable="a.vhd is a differencing disk", code="NeedsParent"), FAIL, BASE),
    Case("DISK-007", disk(unreadable="a.vmdk is damaged: it ends within its grain tables"), FAIL, BASE),
    # its name is no reason
    Case("DISK-007", disk(unreadable="parent-snapshot.vmdk is truncated", code="DamagedImage"), FAIL, BASE),
    Case("DISK-007", disk(damaged="a.qcow2 is damaged: a cluster lies outside the file"), FAIL, BASE),
    Case("DISK-007", disk(faults=(_fault(),)), FAIL, BASE),
    Case("DISK-007", disk(faults=(_fault(Verdict.WARN),)), WARN, BASE),
    Case("DISK-007", replace(disk(faults=(_fault(Verdict.WARN, as_is=FAIL),)), as_is=True), FAIL, BASE),
    Case("DISK-007", disk(faults=(_fault(Verdict.WARN, as_is=FAIL),)), WARN, BASE),
    Case("DISK-007", disk(faults=(_fault(Verdict.UNKNOWN),)), Verdict.UNKNOWN, BASE),
    Case("DISK-008", disk(format="raw", file_size=1000), WARN, disk(format="raw", file_size=1024)),
    Case(
        "DISK-008",
        disk(format="raw", size=1000, file_size=284, facts={"wrapper": "xz"}),
        WARN,
        disk(format="raw", size=1 << 20, file_size=284, facts={"wrapper": "xz"}),
    ),
    Case("DISK-008", disk(format="raw", file_size=1000), WARN, disk(format="raw", size=0, file_size=284, facts=GZIP)),
    Case("DISK-009", disk(unreadable="a.vmdk is a VMDK of type seSparse", code="PointsToDevice"), FAIL, BASE),
    Case("DISK-009", disk(variant="vmfsRawDeviceMap"), FAIL, BASE),
    Case("DISK-010", disk(format="raw", facts={"looks_like": "pdf"}), FAIL, disk(format="raw")),
    Case("DISK-010", disk(format="raw", facts={"named_as": "vmdk"}), WARN, disk(format="raw")),
    Case("DISK-011", disk(format="raw", variant="gzip", facts={"wrapper": "gzip"}), WARN, disk(format="raw")),
    Case("OVA-001", machine(chunked=True), WARN, machine()),
    Case("OVA-001", replace(machine(chunked=True), as_is=True), FAIL, replace(machine(), as_is=True)),
    Case("OVA-002", machine(cdroms=("boot.iso",)), WARN, machine()),
    Case("OVA-003", machine(), WARN, BASE),
    Case("OVA-004", machine(firmware="uefi"), WARN, machine(firmware="bios")),
    Case("DISK-010", disk(unreadable="a.raw is a zip archive", code="NotADisk"), FAIL, disk(format="raw")),
    Case("OVA-005", disk(unreadable="x.ova holds 2 machines: a, b", code="SeveralMachines"), FAIL, machine()),
    Case("OVA-006", machine(empty=("data",)), WARN, machine()),
    Case("OVA-007", machine(manifest=(("'a.vmdk' has the digest 1", True),)), FAIL, machine(manifest=())),
    Case("OVA-007", machine(manifest=(("'a.iso' is not there", False),)), WARN, machine(manifest=())),
    Case("LIM-001", old(disk(size=TIB + 512)), FAIL, old(disk(size=TIB))),
    Case("LIM-002", disk(size=8 * TIB), FAIL, disk(size=8 * TIB - 512)),
    Case("LIM-002", disk(size=16 * TIB), FAIL, BASE),
    Case("LIM-003", subject(disks=(STREAM,) * 22), FAIL, subject(disks=(STREAM,) * 21)),
    Case("LIM-004", subject(disks=(STREAM,) * 2), FAIL, BASE),
    Case("LIM-005", layout(size=3 * TIB), WARN, layout(size=2 * TIB)),
    Case("LIM-006", subject(disks=(STREAM,) * 2), WARN, BASE),
    Case("PART-001", layout(table=Table.NONE, partitions=()), FAIL, BASE),
    Case("PART-001", guest(disks=(MBR, replace(MBR, index=1, table=Table.NONE))), WARN, BASE),
    Case("PART-002", old(layout(table=Table.GPT)), FAIL, old(BASE)),
    Case("PART-003", layout(table=Table.GPT), FAIL, BASE),
    Case("PART-004", guest(disks=(replace(GPT, hybrid=True),)), WARN, UEFI),
    Case("PART-005", guest(disks=(replace(GPT, gpt_backup=False),)), WARN, UEFI),
    Case("PART-005", guest(disks=(replace(GPT, gpt_primary=False),)), FAIL, UEFI),
    Case("PART-006", layout(WIN, partitions=(PARTITION, replace(PARTITION, number=2))), WARN, WIN),
    Case("PART-006", layout(WIN, partitions=(replace(PARTITION, active=False),)), WARN, WIN),
    Case(
        "PART-007",
        replace(
            guest(disks=(MBR, replace(MBR, index=1, boot_code=False)), roots=(replace(LINUX, disk=1),)),
            disks=(STREAM,) * 2,
        ),
        FAIL,
        replace(guest(disks=(MBR, replace(MBR, index=1, boot_code=False))), disks=(STREAM,) * 2),
    ),
    Case(
        "PART-008",
        guest(WIN, disks=(GPT,)),
        WARN,
        replace(guest(WIN, disks=(GPT,)), disks=(CheckedDisk(format="vhdx", variant="dynamic", size=GIB),)),
    ),
    Case("PART-009", layout(partitions=(replace(PARTITION, length=9 * GIB),)), FAIL, BASE),
    Case(
        "PART-009",
        layout(partitions=(PARTITION, replace(PARTITION, number=2, start=GIB, length=GIB))),
        WARN,
        layout(
            partitions=(
                replace(PARTITION, length=GIB),
                replace(PARTITION, number=2, start=2 * GIB, length=2 * GIB, content="extended"),
                replace(PARTITION, number=5, start=3 * GIB, length=GIB),
            )
        ),
    ),
    Case("FS-001", old(linux(free_bytes=249_000_000)), FAIL, old(linux(free_bytes=250_000_000))),
    Case("FS-001", old(linux(free_bytes=None)), UNKNOWN, old(BASE)),
    Case("FS-002", linux(free_bytes=100 << 20), WARN, BASE),
    Case("FS-003", windows(free_bytes=6 * GIB - 1), FAIL, windows(free_bytes=6 * GIB)),
    Case("FS-003", windows(free_bytes=None), UNKNOWN, WIN),
    Case("FS-004", linux(filesystem="zfs"), FAIL, linux(filesystem="xfs")),
    Case("FS-005", partition(content="refs"), UNKNOWN, BASE),
    Case("FS-005", partition(content="jfs"), UNKNOWN, BASE),
    Case("FS-005", partition(content="btrfs", detail="subvolumes"), FAIL, BASE),
    Case("FS-005", guest(disks=(replace(MBR, partitions=(PARTITION, SUBVOLUMES)),)), WARN, BASE),
    Case("FS-006", partition(content="luks", detail="LUKS2"), FAIL, BASE),
    Case("FS-006", partition(content="bitlocker"), FAIL, BASE),
    Case("FS-006", logical(content="luks"), FAIL, logical()),
    Case(
        "FS-010",
        partition(content="bitlocker", detail="BitLocker, opened by TPM or a recovery password"),
        WARN,
        partition(content="bitlocker", detail="BitLocker, opened by a clear key"),
    ),
    Case("FS-010", partition(content="luks", detail="LUKS2, opened by a Tang server"), WARN, logical()),
    Case("FS-010", logical(content="luks", detail="LUKS2"), WARN, layout(partition(content="luks"), boot_code=False)),
    Case("FS-007", logical(missing=("pv1",), readable=False), FAIL, logical()),
    Case("FS-007", logical(kind="thin", readable=False), UNKNOWN, logical()),
    Case("FS-008", linux(dirty=True), WARN, BASE),
    Case("FS-009", guest(problems=(Problem("disk 0 partition 2", "cannot be read"),)), WARN, BASE),
    Case("FS-009", guest(roots=(), problems=(Problem("disk 0", "is torn"),)), UNKNOWN, BASE),
    Case("OS-001", guest(roots=()), FAIL, BASE),
    Case("OS-001", partition(content="luks"), UNKNOWN, BASE),
    Case("OS-002", guest(roots=(LINUX, WINDOWS)), FAIL, BASE),
    Case("OS-003", linux(distribution="alpine", version="3.19"), UNKNOWN, BASE),
    Case("OS-003", linux(distribution="almalinux", version="8.4"), WARN, BASE),
    Case("OS-003", linux(distribution="photon", version="4.0"), FAIL, BASE),
    Case("OS-003", old(linux(distribution="almalinux", version="8.4")), FAIL, old(linux(version="8.0"))),
    Case("OS-003", linux(distribution="unknown", problems=(Problem("/etc", "torn"),)), UNKNOWN, BASE),
    Case("OS-004", linux(version="9.13", default_kernel="4.9.0-19-amd64"), UNKNOWN, BASE),
    Case("OS-004", linux(distribution="rhel", version="6.0", default_kernel="2.6.32-71.el6"), FAIL, BASE),
    Case("OS-004", RHEL_98, WARN, linux(version="12.4")),
    Case("OS-004", linux(version=""), UNKNOWN, BASE),
    Case("OS-004", old(BASE), FAIL, old(linux(version="8.0"))),
    Case("OS-005", linux(default_kernel="6.6.13-amd64"), FAIL, BASE),
    Case(
        "OS-005",
        linux(default_kernel="", kernels=(Kernel(KERNEL), Kernel("6.12.0-1-amd64"))),
        UNKNOWN,
        linux(default_kernel="", kernels=(Kernel(KERNEL),)),
    ),
    Case(
        "OS-005",
        old(linux(distribution="sles", version="12.0", default_kernel="3.12.60-52-default")),
        FAIL,
        old(linux(distribution="sles", version="12.0", default_kernel="3.12.28-4-default")),
    ),
    Case("OS-006", linux(default_kernel="6.1.0-custom"), WARN, BASE),
    Case("OS-007", linux(architecture="arm64"), FAIL, BASE),
    Case("OS-007", windows(architecture="arm64"), FAIL, WIN),
    Case("OS-008", linux(architecture="i386"), FAIL, BASE),
    Case("OS-009", BASE, WARN, guest(roots=())),
    Case("BOOT-001", old(UEFI), FAIL, old(BASE)),
    Case("BOOT-002", UEFI, FAIL, guest(UEFI, firmware=Firmware.HYBRID)),
    Case("BOOT-003", guest(UEFI, efi_fallback=False), FAIL, UEFI),
    Case("BOOT-003", guest(UEFI, efi_fallback=False, efi_loaders=("/EFI/debian/grubx64.efi",)), WARN, UEFI),
    Case(
        "BOOT-004",
        linux(grub_configs=("/boot/grub/grub.cfg", "/boot/grub2/grub.cfg"), grub_configs_differ=True),
        FAIL,
        linux(grub_configs=("/boot/grub2/grub.cfg", "/boot/efi/EFI/fedora/grub.cfg"), grub_configs_differ=True),
    ),
    Case(
        "BOOT-004",
        linux(grub_configs=("/boot/grub/grub.cfg", "/boot/grub/menu.lst"), grub_configs_differ=True),
        WARN,
        linux(grub_configs=("/boot/grub/grub.cfg", "/boot/grub2/grub.cfg")),
    ),
    Case(
        "BOOT-004",
        linux(
            grub_configs=("/boot/grub/grub.cfg", "/boot/grub/menu.lst"),
            grub_configs_differ=True,
            grub_kernels={"/boot/grub/grub.cfg": "vmlinuz-4.4.0-210", "/boot/grub/menu.lst": "vmlinuz-4.4.0-31"},
        ),
        FAIL,
        linux(grub_configs=("/boot/grub/grub.cfg",), grub_kernels={"/boot/grub/grub.cfg": "vmlinuz-4.4.0-210"}),
    ),
    Case("BOOT-005", linux(bls=True), FAIL, linux(bls=True, grubenv=True, grubenv_saved_entry="x-6.1.0")),
    Case("BOOT-006", linux(initramfs=Initramfs("/boot/initrd.img", readable=False, reason="torn")), FAIL, BASE),
    Case("BOOT-006", linux(initramfs=Initramfs("/boot/i", readable=False, gave_up=True)), UNKNOWN, BASE),
    Case("BOOT-006", linux(kernels=(Kernel(KERNEL, default=True),), initramfs=Initramfs()), FAIL, BASE),
    Case(
        "BOOT-006",
        linux(
            kernels=(Kernel(KERNEL, default=True),), drivers={"nvme": DriverState.BUILTIN}, root_device="PARTUUID=1-2"
        ),
        WARN,
        BASE,
    ),
    # only an initramfs finds a file system by its UUID: docs.kernel.org/admin-guide/kernel-parameters.html, root=
    Case("BOOT-006", linux(kernels=(Kernel(KERNEL, default=True),), drivers={"nvme": DriverState.BUILTIN}), FAIL, BASE),
    Case(
        "BOOT-005",
        linux(bls=True, grubenv=True, grubenv_saved_entry="gone", bls_default_found=False),
        FAIL,
        linux(bls=True, grubenv=True, grubenv_saved_entry="there", bls_default_found=True),
    ),
    Case("BOOT-007", linux(kernels=(), default_kernel=""), FAIL, BASE),
    Case("BOOT-007", linux(default_kernel=""), UNKNOWN, BASE),
    Case("BOOT-008", linux(drivers={"nvme": DriverState.MODULE}), WARN, linux(drivers={"nvme": DriverState.BUILTIN})),
    Case("BOOT-008", windows(boot_drivers=frozenset(), late_drivers=("stornvme (Start 3)",)), WARN, WIN),
    Case(
        "BOOT-008",
        windows(late_drivers=("pci (StartOverride 3)",)),
        WARN,
        windows(late_drivers=("storahci (Start 3)",)),
    ),
    Case("BOOT-009", linux(drivers={"ena": DriverState.ABSENT}), WARN, BASE),
    Case("BOOT-010", linux(drivers={"xen-blkfront": DriverState.ABSENT}), WARN, BASE),
    Case("BOOT-011", linux(bootloader=Bootloader.SYSTEMD_BOOT), FAIL, linux(bootloader=Bootloader.GRUB_LEGACY)),
    Case("BOOT-011", linux(bootloader=Bootloader.UNKNOWN), UNKNOWN, BASE),
    Case("BOOT-012", layout(boot_code=False), WARN, BASE),
    Case("BOOT-012", guest(UEFI, firmware=Firmware.UNKNOWN), WARN, UEFI),
    Case(
        "BOOT-013", linux(root_device="/dev/sda1", root_by_name=True), WARN, linux(root_device="/dev/mapper/vg0-root")
    ),
    Case("BOOT-014", linux(boot_devices=(BootDevice("root=UUID=1", GRUB_CFG),)), FAIL, linux(cmdline="ro")),
    Case("BOOT-014", linux(boot_devices=(BootDevice("root=UUID=1", GRUB_CFG, present=None),)), UNKNOWN, BASE),
    Case("BOOT-014", linux(boot_devices=(BootDevice("resume=UUID=1", GRUB_CFG, Effect.WAITS),)), WARN, BASE),
    Case(
        "BOOT-014",
        linux(boot_devices=(BootDevice("root=UUID=1", GRUB_CFG, entry="old", default=False),)),
        WARN,
        linux(boot_devices=(BootDevice("root=UUID=1", GRUB_CFG, present=None, entry="old", default=False),)),
    ),
    Case("BOOT-014", linux(boot_devices=(BootDevice("root=UUID=1", "/etc/kernel/cmdline", Effect.LATER),)), WARN, BASE),
    Case("BOOT-014", linux(boot_devices=(BootDevice("search --fs-uuid 1", "/boot/efi", uefi=True),)), WARN, BASE),
    Case("BOOT-014", linux(UEFI, boot_devices=(BootDevice("search --fs-uuid 1", "/boot/efi", uefi=True),)), FAIL, UEFI),
    Case("BOOT-015", on_lvm(lvm_bound=("sys_wwid naa.6",)), WARN, on_lvm()),
    Case("LNX-001", mount(device="/dev/sdb1", by_name=True), WARN, mount()),
    Case("LNX-002", mount(device="//nas/share", fstype="cifs", network=True), WARN, mount()),
    Case("LNX-003", linux(fstab_read=False, fstab=()), FAIL, BASE),
    Case("LNX-003", linux(fstab_read=None, fstab=()), FAIL, BASE),
    Case("LNX-004", mount(target=False), WARN, mount(target=False, options=("nofail",))),
    Case("LNX-004", mount(target=None), UNKNOWN, mount(device="/dev/sdb1", target=None, by_name=True)),
    Case("LNX-005", mount(fstype="nfs", network=True), WARN, mount(fstype="nfs", network=True, options=("nofail",))),
    Case("LNX-006", linux(sshd=Sshd()), WARN, BASE),
    Case("LNX-006", linux(sshd=Sshd(installed=True, enabled=False)), WARN, BASE),
    Case(
        "LNX-007",
        linux(firewall=Firewall("ufw", active=True, ssh_allowed=False)),
        WARN,
        linux(firewall=Firewall("ufw", active=True, ssh_allowed=True)),
    ),
    Case("LNX-008", linux(users=Users()), WARN, linux(users=Users(), cloud_init=CloudInit(installed=True, ec2=True))),
    Case("LNX-008", linux(users=Users(with_password=1)), WARN, linux(users=Users(with_ssh_password=1))),
    Case(
        "LNX-008",
        linux(users=Users(), cloud_init=CloudInit(installed=True, disabled="/etc/cloud/cloud-init.disabled")),
        WARN,
        linux(users=Users(others=("amazon-ssm-agent",)), cloud_init=CloudInit(installed=True, disabled="x")),
    ),
    Case(
        "LNX-008",
        linux(users=Users(), cloud_init=CloudInit(installed=True, datasources=("NoCloud", "VMware"))),
        WARN,
        linux(users=Users(with_keys=1), cloud_init=CloudInit(installed=True, datasources=("NoCloud", "VMware"))),
    ),
    Case(
        "LNX-008",
        linux(users=Users(with_password=1, cloud_shut_out="debian"), cloud_init=CloudInit(installed=True, ec2=True)),
        WARN,
        linux(users=Users(with_keys=1, cloud_shut_out="debian"), cloud_init=CloudInit(installed=True, ec2=True)),
    ),
    Case("LNX-008", linux(users=Users(shut_out=1)), WARN, linux(users=Users(shut_out=1, with_keys=1))),
    Case("LNX-009", linux(vmware_tools=True), WARN, BASE),
    Case(
        "LNX-010",
        linux(cloud_init=CLOUD, fstab=(Mount("/dev/xvdb", "/mnt", "auto", ("nofail", "comment=cloudconfig")),)),
        WARN,
        linux(cloud_init=CLOUD),
    ),
    Case("LNX-011", linux(selinux="enforcing", network=IFCFG), WARN, linux(selinux="permissive", network=IFCFG)),
    Case("LNX-011", linux(selinux="enforcing", network=IFCFG), WARN, linux(selinux="enforcing")),
    Case("WIN-025", windows(driver_restrictions=("DenyUnspecified",)), WARN, WIN),
    Case("WIN-001", windows(release="", product="Windows Vista"), UNKNOWN, WIN),
    Case("WIN-001", windows(release="20H2"), UNKNOWN, WIN),
    Case("WIN-001", windows(release="", product="", unknown=("no SOFTWARE hive",)), UNKNOWN, WIN),
    Case("WIN-001", windows(nano=True), FAIL, WIN),
    Case("WIN-001", old(WIN), FAIL, old(windows(release="2012 R2"))),
    Case(
        "WIN-002", windows(release="8.1", edition="Core"), UNKNOWN, windows(release="10", edition="CoreSingleLanguage")
    ),
    Case("WIN-002", windows(edition="ServerSolution"), UNKNOWN, windows(release="2008 R2", edition="ServerWeb")),
    Case(
        "WIN-002",
        old(windows(release="7", edition="HomePremium")),
        FAIL,
        windows(release="7", edition="HomePremium"),
    ),
    Case("WIN-003", windows(release="2003", service_pack=0), FAIL, windows(release="2003", service_pack=2)),
    Case("WIN-004", windows(release="2012", architecture="i386"), FAIL, windows(release="2012")),
    Case("WIN-004", windows(release="2008", architecture="i386"), WARN, windows(release="2008")),
    Case(
        "WIN-004",
        replace(windows(release="2008", architecture="i386"), today=dt.date(2026, 4, 1)),
        FAIL,
        old(windows(release="2008", architecture="i386")),
    ),
    Case("WIN-005", windows(CLIENT, release="7", languages=("ja-JP",)), FAIL, CLIENT),
    Case("WIN-005", windows(CLIENT, release="7", languages=("de-DE", "en-US")), WARN, CLIENT),
    Case("WIN-006", windows(release="11"), FAIL, guest(windows(release="11"), firmware=Firmware.UEFI)),
    Case("WIN-007", windows(hyperv_role=True), FAIL, WIN),
    Case("WIN-007", windows(CLIENT, release="10", kind="workstation", hyperv_role=True), WARN, WIN),
    Case("WIN-008", windows(hibernated=True), FAIL, WIN),
    Case("WIN-009", windows(fast_startup=True), WARN, WIN),
    Case("WIN-010", windows(dirty_volume=True), WARN, WIN),
    Case("WIN-010", windows(dirty_hives=("SYSTEM",)), WARN, WIN),
    Case("WIN-011", windows(kind="domain-controller", ad_database=r"D:\NTDS\ntds.dit"), FAIL, WIN),
    Case("WIN-011", windows(kind="domain-controller", ad_database=r"C:\Windows\NTDS\ntds.dit"), WARN, WIN),
    Case("WIN-012", windows(unknown=("the SYSTEM hive is damaged",)), WARN, WIN),
    Case("WIN-013", windows(rdp_enabled=False), WARN, WIN),
    Case("WIN-013", windows(rdp_firewall_open=False), WARN, WIN),
    Case("WIN-014", windows(pending_reboot=("Windows Update",)), WARN, WIN),
    Case("WIN-015", windows(sysprep_state="IMAGE_STATE_UNDEPLOYABLE"), FAIL, WIN),
    Case(
        "WIN-015",
        windows(setup_in_progress=True),
        WARN,
        windows(setup_in_progress=True, sysprep_state="IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE"),
    ),
    Case("WIN-016", windows(dotnet=("3.5 SP1",)), WARN, old(windows(dotnet=("3.5 SP1",)))),
    Case("WIN-017", windows(autologon=True), WARN, WIN),
    Case("WIN-018", windows(security_products=("ESET",)), WARN, WIN),
    Case("WIN-019", windows(page_file_managed=True, free_bytes=10 * GIB), WARN, windows(page_file_managed=True)),
    Case("WIN-020", windows(time_zone="Tokyo Standard Time", universal_time=False), WARN, WIN),
    Case("WIN-021", windows(ems=True), WARN, WIN),
    Case("WIN-022", windows(utf16_language_packs=("ja-JP",)), WARN, WIN),
    Case("WIN-023", windows(vmware_tools=True), WARN, WIN),
    Case("WIN-024", windows(missing_filters=("DKDFM",)), WARN, WIN),
    Case("LIC-001", linux(distribution="rhel", version="9.4"), WARN, BASE),
    Case("LIC-002", CLIENT, FAIL, WIN),
    Case("NET-001", machine(nics=2), WARN, machine(nics=1)),
    Case("NET-001", old(machine(nics=2)), FAIL, old(machine(nics=1))),
    Case(
        "NET-002",
        network(interfaces=(Interface("eth0", "ifcfg"), Interface("eth1", "ifcfg"))),
        WARN,
        network(interfaces=(Interface("eth0", "ifcfg"), Interface("lo", "ifcfg"), Interface("docker0", "ifcfg"))),
    ),
    Case("NET-003", network(static=True), WARN, BASE),
    Case("NET-003", windows(interfaces=(InterfaceFacts("a", dhcp=False, addresses=("10.0.0.5",)),)), WARN, WIN),
    Case("NET-004", network(ipv6=True), WARN, BASE),
    Case("NET-005", network(predictable_names=True), WARN, BASE),
    Case("NET-006", network(dhcp_client=""), WARN, BASE),
    Case("NET-007", network(udev_rules="/etc/udev/rules.d/70-persistent-net.rules"), WARN, BASE),
    Case("NET-010", network(interfaces=(Interface("eth0", "ifcfg", mac="00:50:56:aa:bb:cc"),)), FAIL, BASE),
    Case("NET-011", network(predictable_names=True, interfaces=(Interface("ens160", "ifcfg"),)), WARN, BASE),
    Case("NET-008", windows(dhcp_service=False), FAIL, WIN),
    Case("NET-009", old(WIN), WARN, old(windows(release="2012 R2"))),
]


def of_rule(rule: str, judged: Subject) -> list[Finding]:
    return [finding for finding in judge(judged) if finding.rule == f"VMIE-{rule}"]


def tripped(rule: str, judged: Subject) -> list[Finding]:
    return [finding for finding in of_rule(rule, judged) if finding.verdict is not Verdict.PASS]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}-{case.verdict.value}")
def test_rule(case: Case) -> None:
    found = tripped(case.rule, case.trips)
    assert case.verdict in {finding.verdict for finding in found}
    assert all(finding.message and finding.source and finding.routes for finding in found)
    assert tripped(case.rule, case.fine) == []


def test_cloud_inits_part_in_the_import_is_noted() -> None:
    (finding,) = of_rule("LNX-010", linux(cloud_init=CLOUD))
    assert (finding.verdict, finding.note) == (Verdict.PASS, True)
    assert "/dev/xvdb on /mnt" in finding.message
    assert of_rule("LNX-010", linux(cloud_init=replace(CLOUD, disabled="/etc/cloud/cloud-init.disabled"))) == []
    assert not any(one.note for one in judge(BASE))


@pytest.mark.parametrize(
    ("judged", "name"),
    [
        (linux(distribution="centos", version="7.9", default_kernel="3.10.0-1160.el7"), "CentOS 7"),
        (linux(distribution="ubuntu", version="14.04", default_kernel="3.13.0-24-generic"), "Ubuntu 14.04"),
        (linux(distribution="ubuntu", version="16.04", default_kernel="4.4.0-21-generic"), ""),
        (linux(distribution="debian", version="11.9", default_kernel="5.10.0-28-amd64"), ""),
        (linux(distribution="debian", version="10.13", default_kernel="4.19.0-26-amd64"), "Debian 10"),
        (windows(release="2008"), "Windows 2008"),
        (windows(release="2008 R2"), ""),
        (linux(distribution="alpine", version=""), ""),
    ],
)
def test_releases_that_aws_gives_up_are_noted(judged: Subject, name: str) -> None:
    (finding,) = of_rule("OS-010", judged)
    assert finding.verdict is Verdict.PASS
    assert finding.note is bool(name)
    if name:
        assert f"will begin to end its support for {name} (" in finding.message
        later = replace(judged, today=dt.date(2026, 2, 1))
        assert "has begun" in of_rule("OS-010", later)[0].message


def test_an_encrypted_system_is_no_snapshot_without_a_word() -> None:
    for how in ("LUKS2, opened by TPM", "BitLocker, opened by TPM or a recovery password", "LUKS1"):
        (finding,) = tripped("FS-010", partition(content="luks", detail=how))
        assert how in finding.message
        assert finding.without == ((Route.SNAPSHOT, "boot"),)
    (data,) = tripped("FS-010", logical(content="luks", detail="LUKS2, opened by TPM"))
    assert data.without == ()


@pytest.mark.parametrize("version", ["12.1", "12.5", "12.12", "12.15"])
def test_a_point_release_passes_with_a_note_and_its_kernel_decides(version: str) -> None:
    (finding,) = of_rule("OS-004", linux(version=version))
    assert finding.verdict is Verdict.PASS
    assert version in finding.message
    assert tripped("OS-005", linux(version=version)) == []
    (kernel,) = tripped("OS-005", linux(version=version, default_kernel="6.12.9+bpo-amd64"))
    assert kernel.predicts == "ClientError: Unsupported kernel version 6.12.9+bpo-amd64"


def test_a_minor_release_behind_the_list_is_judged_by_its_kernel() -> None:
    assert tripped("OS-005", RHEL_98) == []
    (kernel,) = tripped("OS-005", linux(distribution="rhel", version="9.8", default_kernel="6.12.0-1.el9.x86_64"))
    assert kernel.predicts == "ClientError: Unsupported kernel version 6.12.0-1.el9.x86_64"
    assert [f.verdict for f in tripped("OS-004", linux(distribution="ubuntu", version="22.10"))] == [UNKNOWN]


def test_a_disk_cut_short_is_no_snapshot_without_a_word() -> None:
    found = tripped("PART-009", layout(partitions=(replace(PARTITION, length=9 * GIB),)))
    by_route = {route.value: finding.verdict for finding in found for route in finding.routes}
    assert by_route == {"image": FAIL, "instance": FAIL, "snapshot": WARN, "volume": WARN}
    assert found[0].predicts == "ClientError: Disk validation failed"


def test_every_rule_has_a_case() -> None:
    notes = {"VMIE-OS-010"}
    assert {rule.id for rule in RULES} - notes == {f"VMIE-{case.rule}" for case in CASES}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_every_rule_says_what_it_rests_on(rule: Rule) -> None:
    for profile in rule.profiles:
        held = [one for one in rule.evidence if profile in one.profiles]
        assert held, profile
        assert rule.source(profile)
        assert bears(rule.evidence, rule.verdict, profile)
    for one in rule.evidence:
        assert one.kind in EvidenceKind
        assert one.says
        assert one.says[-1] != "."
        assert one.source.startswith("https://") or one.profiles == (Profile.Y2016,)
        assert one.allows in {FAIL, WARN}
        if one.kind is EvidenceKind.SEEN:
            assert urlsplit(one.source).path.count("/") >= 2, "a thread, not a site"


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}-{case.verdict.value}")
def test_no_rule_says_more_than_its_evidence_bears(case: Case) -> None:
    for rule in RULES:
        for judged in (case.trips, replace(case.trips, as_is=True), old(case.trips)):
            for hit in (rule.judge(judged) or ()) if judged.profile in rule.profiles else ():
                verdict = rule.verdict if hit.verdict is None else hit.verdict
                assert bears((*hit.evidence, *rule.evidence), verdict, judged.profile), (rule.id, hit.message)


def test_a_rule_without_evidence_cannot_be_made() -> None:
    sound = next(rule for rule in RULES if rule.id == "VMIE-OS-005")
    with pytest.raises(ValueError, match="no evidence bears"):
        replace(sound, evidence=())
    with pytest.raises(ValueError, match="no evidence bears fail"):
        replace(sound, evidence=(advised("https://example.com/page", "better not"),))
    with pytest.raises(ValueError, match="no evidence bears fail"):
        replace(sound, evidence=(seed(1),))
    assert replace(sound, profiles=(Profile.Y2016,), evidence=(seed(1),))


@pytest.mark.parametrize(
    ("distribution", "version", "thread"),
    [("almalinux", "8.4", "AlmaLinux/cloud-images"), ("photon", "5.0", "vmware/photon"), ("nixos", "24.05", "nixpkgs")],
)
def test_what_was_seen_of_a_system_leads_to_the_thread(distribution: str, version: str, thread: str) -> None:
    (finding,) = tripped("OS-003", linux(distribution=distribution, version=version))
    assert thread in finding.source.split("; ")[0]


def test_ids_are_unique_and_well_formed() -> None:
    ids = [rule.id for rule in RULES]
    assert len(set(ids)) == len(ids)
    assert all(len(rule.id.split("-")) == 3 and rule.id.rsplit("-", 1)[1].isdecimal() for rule in RULES)


def test_a_cure_names_our_options_by_their_fields() -> None:
    commands = re.compile(r"`[^`]*`")
    for rule in RULES:
        for action in actions(rule.cure):
            assert "--" not in commands.sub("", action.text()), rule.id
            assert "`vmie " not in action.text(), rule.id


def test_the_command_line_writes_a_findings_options_as_flags() -> None:
    finding = Finding("VMIE-X-001", Verdict.FAIL, "m", actions((Set("route", "snapshot"), "or export it again")))
    assert finding.cure == "add route='snapshot'\nor export it again"
    assert finding.as_json(TERMS)["cure"] == "add --as snapshot\nor export it again"


def test_every_rule_that_can_block_has_a_cure() -> None:
    assert [rule.id for rule in RULES if not rule.cure] == []


@pytest.mark.parametrize("case", [case for case in CASES if case.verdict is FAIL], ids=lambda case: case.rule)
def test_failures_carry_the_services_words_and_nothing_else_does(case: Case) -> None:
    from vmie import catalogue

    for finding in tripped(case.rule, case.trips):
        if finding.verdict is not FAIL:
            assert finding.predicts == ""
        elif finding.predicts:
            assert catalogue.explain(finding.predicts).known


def test_a_good_linux_and_a_good_windows_trip_nothing_on_the_image_route() -> None:
    for good in (BASE, WIN):
        stops = [f for f in judge(good) if f.verdict is not Verdict.PASS and "image" in f.routes]
        assert stops == []


@pytest.mark.parametrize("code", sorted(CLAIMED))
def test_a_reason_not_to_open_a_file_is_judged_by_one_rule(code: str) -> None:
    found = [one.rule for one in judge(disk(unreadable="x cannot be taken", code=code)) if one.verdict is FAIL]
    assert found in (["VMIE-DISK-010"], ["VMIE-OVA-005"])
