"""Guests whose truth is known: the test Debian, sound and broken at each stage, on BIOS and on UEFI.

Each is made anew on a copy (2 GiB, sparse) and removed by whoever asked for it: `GUESTS` has how, and what is true.
"""

from __future__ import annotations

import gzip
import os
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.debian import FIRST_SECTOR, FS_UUID
from tests.tools import need, run
from tests.unit.boot.sectors import guest

MIB = 1 << 20
_KERNEL = "/boot/vmlinuz-6.1.0-50-amd64"
_CFG = "/boot/grub/grub.cfg"
_GONE = "11111111-2222-3333-4444-555555555555"
#: what GRUB for UEFI is made of: it finds the configuration on the root file system
_EFI_MODULES = (
    *("part_msdos", "part_gpt", "ext2", "fat", "search", "search_fs_uuid", "normal", "configfile"),
    *("linux", "gzio", "echo", "test", "loadenv", "all_video", "minicmd"),
)
OVF = """<?xml version="1.0"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1">
 <References><File ovf:href="d.vmdk" ovf:id="f1"/></References>
 <DiskSection><Info/><Disk ovf:capacity="{size}" ovf:diskId="d1" ovf:fileRef="f1"/></DiskSection>
 <VirtualSystem ovf:id="vm"><Info/></VirtualSystem>
</Envelope>"""


@dataclass(frozen=True)
class Guest:
    """`make` changes a copy of the Debian and returns what is to be started; `stage` () where several are right."""

    verdict: str
    stage: str
    make: Callable[[Path], Path]
    arguments: tuple[str, ...] = ()
    #: rules of the check one of which foretells the failure, () where none can
    rules: tuple[str, ...] = ()
    copied: bool = True


def _files(disk: Path, *commands: str) -> None:
    """Change files in place with debugfs."""
    need("debugfs")
    run(["debugfs", "-w", "-f", "/dev/stdin", f"{disk}?offset={FIRST_SECTOR * 512}"], input="\n".join(commands) + "\n")


def _read(disk: Path, path: str) -> bytes:
    out = disk.with_suffix(".file")
    run(["debugfs", "-R", f"dump {path} {out}", f"{disk}?offset={FIRST_SECTOR * 512}"])
    data = out.read_bytes()
    out.unlink()
    return data


def _put(disk: Path, path: str, data: bytes) -> None:
    held = disk.with_suffix(".put")
    held.write_bytes(data)
    _files(disk, f"rm {path}", f"write {held} {path}")
    held.unlink()


def _edited(path: str, *pairs: tuple[str, str]) -> Callable[[Path], Path]:
    def make(disk: Path) -> Path:
        text = _read(disk, path).decode()
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new)
        _put(disk, path, text.encode())
        return disk

    return make


def _without(*paths: str) -> Callable[[Path], Path]:
    def make(disk: Path) -> Path:
        _files(disk, *(f"rm {path}" for path in paths))
        return disk

    return make


def _zeroed(start: int, end: int) -> Callable[[Path], Path]:
    def make(disk: Path) -> Path:
        with disk.open("r+b") as file:
            file.seek(start)
            file.write(bytes(end - start))
        return disk

    return make


def _as_it_is(disk: Path) -> Path:
    return disk


def _silent_appliance(disk: Path) -> Path:
    """Quiet, with a console on the screen alone, and that in an OVA."""
    _edited(_CFG, ("console=tty0 console=ttyS0,115200n8", "quiet splash"))(disk)
    vmdk, ovf, ova = (disk.with_name(name) for name in ("d.vmdk", "d.ovf", "d.ova"))
    run(["qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", disk, vmdk])
    ovf.write_text(OVF.format(size=disk.stat().st_size))
    with tarfile.open(ova, "w", format=tarfile.USTAR_FORMAT) as archive:
        archive.add(ovf, "d.ovf")
        archive.add(vmdk, "d.vmdk")
    return ova


def _fstab(line: str) -> Callable[[Path], Path]:
    return _edited("/etc/fstab", (" 0 1\n", f" 0 1\n{line}\n"))


def _by_name(disk: Path) -> Path:
    """Names that NVMe has not, and a boot that says nothing."""
    _edited("/etc/fstab", (f"UUID={FS_UUID} / ", "/dev/sdb1 /data ext4 defaults 0 2\n/dev/sda1 / "))(disk)
    return _edited(_CFG, (f"root=UUID={FS_UUID} ro", "root=/dev/sda1 ro quiet"))(disk)


def _initramfs(change: Callable[[bytes], bytes]) -> Callable[[Path], Path]:
    def make(disk: Path) -> Path:
        path = _KERNEL.replace("vmlinuz", "initrd.img")
        _put(disk, path, change(_read(disk, path)))
        return disk

    return make


def _no_kernel(disk: Path) -> Path:
    _put(disk, _KERNEL, b"no kernel" * 9000)
    return disk


def _no_nvme(data: bytes) -> bytes:
    """The same archive, whose NVMe modules are called otherwise: nothing finds them."""
    plain = gzip.decompress(data)
    for name in (b"drivers/nvme", b"/nvme.ko", b"/nvme-core.ko"):
        plain = plain.replace(name, name.replace(b"nvme", b"mvne"))
    return gzip.compress(plain, 1)


def _with_esp(disk: Path, *, loader: bool = True) -> Path:
    """An EFI system partition behind the root, with GRUB as the fallback loader; nothing for BIOS."""
    need("grub-mkimage", "mkfs.fat", "mcopy", "mmd", "sfdisk")
    _zeroed(0, 440)(disk)
    _zeroed(512, FIRST_SECTOR * 512)(disk)
    size = disk.stat().st_size
    esp = disk.with_suffix(".esp")
    with esp.open("wb") as file:
        file.truncate(64 * MIB)
    run(["mkfs.fat", "-F", "32", esp])
    if loader:
        early, image = disk.with_suffix(".cfg"), disk.with_suffix(".efi")
        early.write_text(f"search --fs-uuid --set=root {FS_UUID}\nset prefix=($root)/boot/grub\nconfigfile {_CFG}\n")
        argv: list[str | Path] = [
            "grub-mkimage",
            "-O",
            "x86_64-efi",
            "-p",
            "/boot/grub",
            "-c",
            early,
            "-o",
            image,
            *_EFI_MODULES,
        ]
        run(argv)
        run(["mmd", "-i", esp, "::/EFI", "::/EFI/BOOT"])
        run(["mcopy", "-i", esp, image, "::/EFI/BOOT/BOOTX64.EFI"])
    with disk.open("r+b") as file:
        file.seek(size)
        file.write(esp.read_bytes())
        file.truncate(size + 65 * MIB)
    esp.unlink()
    subprocess.run(
        ["sfdisk", "-q", "-a", "--no-reread", "--no-tell-kernel", str(disk)],
        input=f"start={size // 512}, size={64 * MIB // 512}, type=ef\n",
        text=True,
        check=True,
        env={**os.environ, "PATH": f"{os.environ['PATH']}:/sbin:/usr/sbin"},
    )
    return disk


def _data(disk: Path) -> Path:
    need("mke2fs")
    disk.write_bytes(bytes(16 * MIB))
    run(["mke2fs", "-q", "-F", "-t", "ext4", disk])
    return disk


def _empty(disk: Path) -> Path:
    disk.write_bytes(bytes(16 * MIB))
    return disk


_LOADER = ("VMIE-BOOT-012", "VMIE-PART-001", "VMIE-OS-001", "VMIE-BOOT-003")

GUESTS: dict[str, Guest] = {
    # --- they start
    "debian": Guest("boots", "network", _as_it_is),
    "silent, in an OVA": Guest("boots", "network", _silent_appliance),
    "GRUB complains and goes on": Guest(
        "boots", "network", _edited(_CFG, (f"set=root {FS_UUID}", f"set=root {_GONE}"))
    ),
    "a mount that may fail": Guest("boots", "network", _fstab(f"UUID={_GONE} /data ext4 nofail 0 2")),
    "a module of GRUB is gone, which is built in": Guest("boots", "network", _without("/boot/grub/i386-pc/normal.mod")),
    "UEFI": Guest("boots", "network", _with_esp, ("--firmware", "uefi")),
    "fstab, mended": Guest("boots", "network", _fstab(f"UUID={_GONE} /data ext4 defaults 0 2"), ("--repair",)),
    **{
        f"{name}, mended": Guest("boots", "network", make, ("--repair",))
        for name, make in (
            ("another root", _edited(_CFG, (f"root=UUID={FS_UUID}", f"root=UUID={_GONE}"))),
            ("a root on LVM that is not there", _edited(_CFG, (f"root=UUID={FS_UUID}", "root=/dev/mapper/vg-root"))),
            ("disks by their old names", _by_name),
        )
    },
    # --- they do not: firmware
    "empty": Guest("fails", "firmware", _empty, rules=_LOADER, copied=False),
    "a file system and no table": Guest("fails", "firmware", _data, rules=_LOADER, copied=False),
    "empty, by UEFI": Guest("fails", "firmware", _empty, ("--firmware", "uefi"), _LOADER, copied=False),
    "no boot code": Guest("fails", "firmware", _zeroed(0, 440), rules=_LOADER),
    "made for UEFI, by BIOS": Guest("fails", "firmware", _with_esp, ("--firmware", "bios")),
    "UEFI without its loader": Guest(
        "fails", "firmware", lambda disk: _with_esp(disk, loader=False), ("--firmware", "uefi"), _LOADER
    ),
    # --- boot loader
    "Windows without its boot manager": Guest(
        "fails", "loader", lambda disk: guest(disk, "\r\nBOOTMGR is missing\r\n", serial=False), copied=False
    ),
    "GRUB's second part is gone": Guest("fails", "loader", _zeroed(512, FIRST_SECTOR * 512)),
    "no configuration of GRUB": Guest("fails", "loader", _without(_CFG), rules=("VMIE-BOOT-007", "VMIE-BOOT-011")),
    "no kernel": Guest("fails", "loader", _without(_KERNEL), rules=("VMIE-BOOT-007",)),
    "a kernel that is none": Guest("fails", "loader", _no_kernel),
    # --- kernel and initramfs
    "no initramfs": Guest(
        "fails", "kernel", _without(_KERNEL.replace("vmlinuz", "initrd.img")), rules=("VMIE-BOOT-006", "VMIE-BOOT-008")
    ),
    "a damaged initramfs": Guest(
        "fails", "initramfs", _initramfs(lambda data: data[: len(data) // 3]), rules=("VMIE-BOOT-006", "VMIE-BOOT-008")
    ),
    "no NVMe driver": Guest("fails", "initramfs", _initramfs(_no_nvme), rules=("VMIE-BOOT-008",)),
    "another root": Guest(
        "fails", "initramfs", _edited(_CFG, (f"root=UUID={FS_UUID}", f"root=UUID={_GONE}")), rules=("VMIE-BOOT-014",)
    ),
    "a root on LVM that is not there": Guest(
        "fails",
        "initramfs",
        _edited(_CFG, (f"root=UUID={FS_UUID}", "root=/dev/mapper/vg-root")),
        rules=("VMIE-BOOT-014",),
    ),
    # --- root and services
    "an init that ends": Guest("fails", "root", _edited(_CFG, (" ro net.", " ro init=/bin/false net."))),
    "disks by their old names": Guest("fails", "initramfs", _by_name, rules=("VMIE-BOOT-013",)),
    "fstab": Guest("fails", "services", _fstab(f"UUID={_GONE} /data ext4 defaults 0 2"), rules=("VMIE-LNX-004",)),
}
