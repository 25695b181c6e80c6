"""Whole machines: disks with tables, volume groups and file systems made by ordinary tools, inspected as one."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tests.guests import (
    MIB,
    Bytes,
    Disk,
    Link,
    cpio,
    elf,
    ext4,
    fill,
    gpt,
    group,
    mbr,
    mbr_entry,
    physical_volume,
    put,
    segment,
    volume,
)
from tests.tools import need, run
from vmie.guest import inspect
from vmie.guest.budget import Budget
from vmie.guest.disk_facts import Table
from vmie.guest.facts import Family, Firmware, GuestFacts
from vmie.guest.linux_facts import Bootloader, DriverState, LinuxFacts
from vmie.guest.partitions import BIOS_BOOT, EFI_SYSTEM

VERSION = "5.14.0-427.el9.x86_64"
LINUX_GUID = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
LVM_GUID = "E6D6D379-F507-44C2-A23C-238F2A3DF928"
MODULES = f"usr/lib/modules/{VERSION}/kernel/drivers"
INITRAMFS = gzip.compress(cpio([f"{MODULES}/nvme/host/nvme.ko.xz", f"{MODULES}/block/xen-blkfront.ko.xz"]))
GRUB = f"menuentry 'x' {{\n linux /boot/vmlinuz-{VERSION} root=UUID=1 ro net.ifnames=0\n initrd /boot/i.img\n}}\n"
ROOT = {
    "/etc/os-release": 'ID="rhel"\nVERSION_ID="9.4"\n',
    "/etc/fstab": "LABEL=root / ext4 defaults 0 1\n",
    "/usr/bin/bash": elf(),
    "/bin": Link("usr/bin"),
    "/usr/bin/sh": Link("bash"),
    "/lib": Link("usr/lib"),
    f"/usr/lib/modules/{VERSION}/modules.dep": "kernel/drivers/net/ethernet/amazon/ena/ena.ko.xz:\n",
    f"/boot/vmlinuz-{VERSION}": b"kernel",
    "/boot/i.img": INITRAMFS,
    "/boot/grub/grub.cfg": GRUB,
}


def look(*disks: Path | bytes | bytearray, **settings: float) -> GuestFacts:
    made = [Disk(disk) if isinstance(disk, Path) else Bytes(disk) for disk in disks]
    return inspect(made, budget=Budget(**settings))  # type: ignore[arg-type]


def disk(tmp_path: Path, *images: tuple[int, Path], head: bytes, size: int = 64 * MIB) -> Path:
    path = tmp_path / "disk.raw"
    path.write_bytes(head)
    with path.open("r+b") as file:
        file.truncate(size)
    for at, image in images:
        put(path, image, at=at)
    return path


def linux(tmp_path: Path, files: dict[str, str | bytes | None], *, name: str = "root", size: int = 24 * MIB) -> Path:
    root = fill(tmp_path / name, files)
    return ext4(tmp_path / f"{name}.img", root, size=size, options=["-L", name])


def esp(tmp_path: Path, *loaders: str) -> Path:
    need("mkfs.fat", "mmd", "mcopy")
    path = tmp_path / "esp.img"
    run(["mkfs.fat", "-C", str(path), "8192"])
    source = tmp_path / "loader.efi"
    source.write_bytes(b"MZ")
    made: set[str] = set()
    for loader in loaders:
        parts = loader.strip("/").split("/")
        for depth in range(1, len(parts)):
            folder = "/".join(parts[:depth])
            if folder not in made:
                run(["mmd", "-i", str(path), f"::/{folder}"])
                made.add(folder)
        run(["mcopy", "-i", str(path), str(source), f"::{loader}"])
    return path


def only(facts: GuestFacts) -> LinuxFacts:
    assert len(facts.linux) == 1
    return facts.linux[0]


BIOS_HEAD = mbr(mbr_entry(0x83, 2048, 24 * 2048, active=True), code=b"\xeb\x63" + b"GRUB ")


def test_a_bios_linux_on_one_partition(tmp_path: Path) -> None:
    facts = look(disk(tmp_path, (MIB, linux(tmp_path, ROOT)), head=BIOS_HEAD))
    assert (facts.table, facts.firmware, facts.family, facts.boot_disk) == (Table.MBR, Firmware.BIOS, Family.LINUX, 0)
    assert (facts.efi_fallback, facts.problems) == (None, ())
    found = only(facts)
    assert (found.distribution, found.version, found.architecture) == ("rhel", "9.4", "x86_64")
    assert (found.default_kernel, found.bootloader) == (VERSION, Bootloader.GRUB2)
    assert (found.filesystem, found.dirty, found.volume) == ("ext4", False, "disk 0 partition 1")
    assert found.drivers == {
        "nvme": DriverState.INITRAMFS,
        "xen-blkfront": DriverState.INITRAMFS,
        "ena": DriverState.MODULE,
        "xen-netfront": DriverState.ABSENT,
    }
    assert [(m.device, m.target) for m in found.fstab] == [("LABEL=root", True)]
    assert found.free_bytes
    assert found.problems == ()


@pytest.mark.parametrize(
    ("loaders", "bios", "firmware", "fallback"),
    [
        (("/EFI/BOOT/BOOTX64.EFI", "/EFI/redhat/shimx64.efi"), False, Firmware.UEFI, True),
        (("/EFI/redhat/grubx64.efi",), False, Firmware.UEFI, False),
        (("/EFI/redhat/grubx64.efi",), True, Firmware.HYBRID, False),
        ((), True, Firmware.BIOS, False),
        ((), False, Firmware.UNKNOWN, False),
    ],
)
def test_firmware(tmp_path: Path, loaders: tuple[str, ...], bios: bool, firmware: Firmware, fallback: bool) -> None:
    raw = bytearray(64 * MIB)
    parts = [(EFI_SYSTEM, MIB, 8 * MIB), (LINUX_GUID, 16 * MIB, 24 * MIB)]
    gpt(raw, *parts, *([(BIOS_BOOT, 10 * MIB, MIB)] if bios else []))
    if bios:
        raw[:100] = b"\xeb\x63" + b"GRUB ".ljust(98, b"x")
    path = disk(tmp_path, head=bytes(raw))
    put(path, esp(tmp_path, *loaders), at=MIB)
    put(path, linux(tmp_path, ROOT), at=16 * MIB)
    facts = look(path)
    assert (facts.table, facts.firmware, facts.efi_fallback) == (Table.GPT, firmware, fallback)
    assert set(facts.efi_loaders) == set(loaders)
    assert only(facts).distribution == "rhel"


def test_root_boot_and_var_on_volumes_and_partitions_of_two_disks(tmp_path: Path) -> None:
    one, two = "jdTN3x-MGxS-j2Uq-wqE6-Vaeg-TN91-9zddNd", "efe9Vt-DmCf-9zYM-Qobr-WQg8-cJdz-UQ0oQx"
    files = {name: data for name, data in ROOT.items() if not name.startswith("/boot/")} | {
        "/boot": None,
        "/var": None,
        "/etc/fstab": (
            "/dev/mapper/rhel-root / ext4 defaults 0 1\nLABEL=boot /boot ext4 defaults 0 2\n"
            "/dev/rhel/var /var ext4 defaults 0 2\n/dev/rhel/gone /srv ext4 defaults 0 2\n"
            "/dev/sdb1 /data ext4 nofail 0 2\n"
        ),
    }
    boot = {name.removeprefix("/boot"): data for name, data in ROOT.items() if name.startswith("/boot/")}
    boot["/grub/grub.cfg"] = GRUB.replace("/boot/", "/")
    extents = 256
    text = group(
        "rhel",
        pvs={"pv0": one, "pv1": two},
        volumes=volume("root", segment(0, extents, ("pv0", 0)), segment(extents, 128, ("pv1", 64)))
        + volume("var", segment(0, 64, ("pv1", 0))),
    )
    root_image, var_image = linux(tmp_path, files), ext4(tmp_path / "var.img", None, size=4 * MIB)
    data = root_image.read_bytes()
    first, second = physical_volume(one, text, size=20 * MIB), physical_volume(two, text, size=20 * MIB)
    cut = extents * 65536
    first[MIB : MIB + cut] = data[:cut]
    second[MIB + 64 * 65536 : MIB + 64 * 65536 + len(data) - cut] = data[cut:]
    second[MIB : MIB + 4 * MIB] = var_image.read_bytes()
    main = bytearray(48 * MIB)
    main[:512] = mbr(mbr_entry(0x83, 2048, 16 * 2048, active=True), mbr_entry(0x8E, 24 * 2048, 20 * 2048), code=b"GRUB")
    main[24 * MIB : 44 * MIB] = first
    boot_image = linux(tmp_path, boot, name="boot", size=16 * MIB).read_bytes()
    main[MIB : MIB + len(boot_image)] = boot_image
    facts = look(main, second)
    assert [(v.where, v.content, v.disks) for v in facts.volumes] == [
        ("rhel/root", "ext4", (0, 1)),
        ("rhel/var", "ext4", (1,)),
    ]
    found = only(facts)
    assert (found.volume, found.default_kernel, found.drivers["nvme"]) == ("rhel/root", VERSION, DriverState.INITRAMFS)
    assert [(m.mountpoint, m.target, m.by_name) for m in found.fstab] == [
        ("/", True, False),
        ("/boot", True, False),
        ("/var", True, False),
        ("/srv", False, False),
        ("/data", False, True),
    ]
    assert found.free["/boot"] != found.free["/"] != found.free["/var"]
    alone = look(main)
    assert alone.roots == ()
    assert any("physical volumes are missing" in problem.what and two in problem.what for problem in alone.problems)
    assert [(v.name, bool(v.missing)) for v in alone.volumes] == [("root", True), ("var", True)]


def test_two_systems_are_two_roots(tmp_path: Path) -> None:
    head = mbr(mbr_entry(0x83, 2048, 24 * 2048), mbr_entry(0x83, 32 * 2048, 24 * 2048))
    other = linux(tmp_path, {"/etc/debian_version": "7.8\n", "/etc/passwd": ""}, name="other")
    facts = look(disk(tmp_path, (MIB, linux(tmp_path, ROOT)), (32 * MIB, other), head=head))
    assert [(root.distribution, root.version) for root in facts.linux] == [("rhel", "9.4"), ("debian", "7.8")]


def test_etc_on_a_partition_of_its_own(tmp_path: Path) -> None:
    head = mbr(mbr_entry(0x83, 2048, 24 * 2048), mbr_entry(0x83, 32 * 2048, 16 * 2048))
    root = dict.fromkeys(("/etc", "/proc", "/sys", "/dev"), None)
    etc = {
        "/os-release": "ID=debian\nVERSION_ID=11\n",
        "/fstab": "LABEL=root / ext4\nLABEL=etc /etc ext4\n",
        "/passwd": "",
    }
    images = (MIB, linux(tmp_path, root)), (32 * MIB, linux(tmp_path, etc, name="etc", size=16 * MIB))
    assert only(look(disk(tmp_path, *images, head=head))).distribution == "debian"


def test_a_data_disk_has_no_root(tmp_path: Path) -> None:
    facts = look(disk(tmp_path, (MIB, linux(tmp_path, {"/data/x": "y"})), head=BIOS_HEAD))
    assert (facts.roots, facts.family, facts.problems) == ((), Family.UNKNOWN, ())


def test_what_is_recognised_but_not_read_is_said(tmp_path: Path) -> None:
    need("mkfs.jfs")
    image = tmp_path / "jfs.img"
    with image.open("wb") as file:
        file.truncate(20 * MIB)
    run(["mkfs.jfs", "-q", str(image)])
    path = disk(tmp_path, (MIB, image), head=mbr(mbr_entry(0x83, 2048, 20 * 2048, active=True)), size=22 * MIB)
    facts = look(path)
    assert (facts.family, facts.roots) == (Family.UNKNOWN, ())
    assert [(problem.where, problem.what) for problem in facts.problems] == [
        ("disk 0 partition 1", "jfs is recognised, but not read")
    ]


@pytest.mark.parametrize("data", [b"", b"x", bytes(MIB), bytes(range(256)) * 4096])
def test_no_disk_worth_the_name(data: bytes) -> None:
    assert look(data).roots == ()
    assert look().disks == ()


def test_an_inspection_out_of_time_tells_what_it_has(tmp_path: Path) -> None:
    path = disk(tmp_path, (MIB, linux(tmp_path, ROOT)), head=BIOS_HEAD)
    for seconds in (0, 5, 50, 200, 400):
        ticks = iter(range(1_000_000))
        facts = look(path, seconds=seconds, clock=lambda ticks=ticks: next(ticks))  # type: ignore[arg-type,misc]
        told = [*facts.problems, *(problem for root in facts.linux for problem in root.problems)]
        assert any("broken off" in problem.what or "not finished" in problem.why for problem in told)
