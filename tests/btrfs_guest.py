"""Small Linuxes on Btrfs, with the subvolumes that SUSE, Fedora and Ubuntu make."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path

from tests.btrfs_image import LZO, ZLIB, ZSTD, File, Sub, btrfs
from tests.guests import MIB, Link, cpio, elf, ext4, fill, mbr, mbr_entry, put

UUID = "5c0e9b3a-7d41-4c0e-8d5a-0f6f1f5b7a11"
BOOT_UUID = "0b7f8f6e-2c55-4f0a-9d3e-6a1c0a5d2b22"
SUSE_KERNEL = "5.14.21-150500.55.19-default"
FEDORA_KERNEL = "6.2.9-300.fc38.x86_64"
Files = dict[str, str | bytes | Link | File | None]
_MODULES = (
    "nvme/host/nvme-core",
    "nvme/host/nvme",
    "net/ethernet/amazon/ena/ena",
    "block/xen-blkfront",
    "net/xen-netfront",
)
_KEY = "ssh-ed25519 AAAA admin\n"


def _common(kernel: str, initramfs: str, *, boot: str = "/boot") -> Files:
    modules = [f"usr/lib/modules/{kernel}/kernel/drivers/{name}.ko" for name in _MODULES]
    dep = "".join(f"kernel/drivers/{name}.ko:\n" for name in _MODULES)
    found: Files = {
        "/etc/passwd": "root:x:0:0::/root:/bin/bash\nadmin:x:1000:1000::/home/admin:/bin/bash\n",
        "/etc/shadow": "root:*:1::::::\nadmin:!:1::::::\n",
        "/etc/ssh/sshd_config": "Port 22\n",
        "/etc/systemd/system/multi-user.target.wants/sshd.service": Link("/usr/lib/systemd/system/sshd.service"),
        "/usr/lib/systemd/system/sshd.service": "[Unit]\n",
        "/usr/sbin/sshd": elf(),
        "/usr/bin/bash": elf(),
        "/usr/lib/systemd/systemd": elf(),
        "/bin": Link("usr/bin"),
        "/sbin": Link("usr/sbin"),
        "/lib": Link("usr/lib"),
        f"/usr/lib/modules/{kernel}/modules.dep": File(dep.encode() * 40, LZO),
        "/home": None,
        "/var": None,
        "/tmp": None,
        f"{boot}/vmlinuz-{kernel}": b"\0" * 4096,
        f"{boot}/{initramfs}": gzip.compress(cpio(modules)),
        f"{boot}/config-{kernel}": "CONFIG_BLK_DEV_NVME=m\nCONFIG_ENA_ETHERNET=m\nCONFIG_XEN_BLKDEV_FRONTEND=m\n",
    }
    return found


def suse_files(*, version: str = "15.5", ghost: str = "") -> Files:
    """A SUSE Linux Enterprise Server: GRUB reads its configuration and kernels from the default subvolume."""
    config = (
        'set btrfs_relative_path="yes"\nexport btrfs_relative_path\nset default="${saved_entry}"\n'
        "menuentry 'SLES' --class sles {\n"
        f"  search --no-floppy --fs-uuid --set=root {UUID}\n"
        f"  linux /boot/vmlinuz-{SUSE_KERNEL} root=UUID={UUID} net.ifnames=0 {ghost}\n"
        f"  initrd /boot/initrd-{SUSE_KERNEL}\n}}\n"
    )
    mounts = {"/var": "@/var", "/home": "@/home", "/root": "@/root", "/.snapshots": "@/.snapshots"}
    return {
        **_common(SUSE_KERNEL, f"initrd-{SUSE_KERNEL}"),
        "/etc/os-release": f'ID="sles"\nVERSION_ID="{version}"\nPRETTY_NAME="SUSE Linux Enterprise Server {version}"\n',
        "/etc/fstab": f"UUID={UUID} / btrfs defaults 0 0\n"
        + "".join(f"UUID={UUID} {path} btrfs subvol=/{at} 0 0\n" for path, at in mounts.items()),
        "/etc/sysconfig/network/ifcfg-eth0": "BOOTPROTO='dhcp'\nSTARTMODE='auto'\n",
        "/boot/grub2/grub.cfg": File(config.encode() + b"# more of it\n" * 400, ZLIB),
        "/boot/grub2/i386-pc": None,
    }


def suse(target: Path) -> Path:
    """snapper's layout: the running system is the snapshot that is the default subvolume."""
    stale = suse_files(version="12.5")
    subs = (
        Sub(256, "@", {}),
        Sub(257, "@/.snapshots", {"/1/info.xml": "<snapshot/>", "/2/info.xml": "<snapshot/>"}),
        Sub(258, "@/.snapshots/1/snapshot", {**suse_files(), "/root": None, "/.snapshots": None}, snapshot_of=256),
        Sub(259, "@/.snapshots/2/snapshot", stale, read_only=True, snapshot_of=258),
        Sub(260, "@/.snapshots/3/snapshot", stale, snapshot_of=258),
        Sub(261, "@/var", {"/log": None}),
        Sub(262, "@/home", {"/admin/.ssh/authorized_keys": _KEY}),
        Sub(263, "@/root", {}),
    )
    return on_disk(target, *subs, default=258)


def fedora_files(*, subvolume: str = "root") -> Files:
    """The root of a Fedora whose /boot is another file system."""
    fstab = (
        f"UUID={UUID} / btrfs subvol={subvolume},compress=zstd:1 0 0\n"
        f"UUID={UUID} /home btrfs subvol=home,compress=zstd:1 0 0\n"
        f"UUID={BOOT_UUID} /boot ext4 defaults 1 2\n"
    )
    files = {name: node for name, node in _common(FEDORA_KERNEL, "x").items() if not name.startswith("/boot")}
    return {
        **files,
        "/etc/os-release": File(b'NAME="Fedora Linux"\nID=fedora\nVERSION_ID=38\n' + b"# x\n" * 2000, ZSTD),
        "/etc/fstab": fstab,
        "/etc/NetworkManager/system-connections/e.nmconnection": "[connection]\ntype=ethernet\n[ipv4]\nmethod=auto\n",
        "/usr/sbin/NetworkManager": elf(),
        "/boot": None,
    }


def fedora(target: Path, *, subvolume: str = "root", options: str = "rootflags=subvol=root") -> Path:
    """Subvolumes `root` and `home` below the top level, which stays the default; /boot on ext4 with BLS entries."""
    name = f"initramfs-{FEDORA_KERNEL}.img"
    boot = {
        path.removeprefix("/boot"): node for path, node in _common(FEDORA_KERNEL, name).items() if path[:5] == "/boot"
    }
    boot["/grub2/grub.cfg"] = 'set default="${saved_entry}"\ninsmod blscfg\nblscfg\n'
    boot["/loader/entries/0123-6.2.9.conf"] = (
        f"title Fedora Linux\nversion {FEDORA_KERNEL}\nlinux /vmlinuz-{FEDORA_KERNEL}\ninitrd /{name}\n"
        f"options root=UUID={UUID} ro net.ifnames=0 {options}\n"
    )
    folder = target.with_suffix(".boot")
    folder.mkdir()
    plain = {path: node for path, node in boot.items() if not isinstance(node, File)}
    image = ext4(target.with_suffix(".ext4"), fill(folder, plain), size=32 * MIB, options=("-U", BOOT_UUID))
    root = Sub(256, subvolume, fedora_files(subvolume=subvolume))
    return on_disk(target, root, Sub(257, "home", {"/admin/.ssh/authorized_keys": _KEY}), beside=image)


def ubuntu(target: Path, *, extra: Mapping[str, str] | None = None, more: tuple[Sub, ...] = ()) -> Path:
    """`@` and `@home`, with GRUB's paths from the top level, and writable snapshots that a tool left behind."""
    config = (
        "set default=0\nmenuentry 'Ubuntu' {\n"
        f"  linux /@/boot/vmlinuz-{FEDORA_KERNEL} root=UUID={UUID} ro rootflags=subvol=@ net.ifnames=0\n"
        f"  initrd /@/boot/initrd.img-{FEDORA_KERNEL}\n}}\n"
    )
    files: Files = {
        **_common(FEDORA_KERNEL, f"initrd.img-{FEDORA_KERNEL}"),
        "/etc/os-release": 'ID=ubuntu\nVERSION_ID="22.04"\n',
        "/etc/fstab": f"UUID={UUID} / btrfs defaults,subvol=@ 0 1\nUUID={UUID} /home btrfs defaults,subvol=@home 0 2\n",
        "/boot/grub/grub.cfg": config,
        **(extra or {}),
    }
    old = {**files, "/etc/os-release": 'ID=ubuntu\nVERSION_ID="20.04"\n'}
    subs = (
        Sub(256, "timeshift-btrfs/snapshots/old/@", old, snapshot_of=257),
        Sub(257, "@", files),
        Sub(258, "@home", {"/admin/.ssh/authorized_keys": _KEY}),
    )
    return on_disk(target, *subs, *more)


def on_disk(target: Path, *subs: Sub, default: int = 5, beside: Path | None = None) -> Path:
    """An MBR disk of 1 GiB: the Btrfs of `subs`, behind the file system `beside` if there is one."""
    image = target.with_suffix(".btrfs")
    btrfs(image, *subs, default=default, size=900 * MIB, options=("-U", UUID))
    at = 1 + (0 if beside is None else beside.stat().st_size // MIB)
    entries = [mbr_entry(0x83, at * 2048, 900 * 2048, active=beside is None)]
    if beside is not None:
        entries.insert(0, mbr_entry(0x83, 2048, (at - 1) * 2048, active=True))
    code = b"\xeb\x63\x90".ljust(0x180, b"\0") + b"GRUB \0Geom\0Hard Disk\0Read\0 Error\r\n\0"
    with target.open("wb") as file:
        file.write(mbr(*entries, code=code))
        file.truncate(1024 * MIB)
    if beside is not None:
        put(target, beside, at=MIB)
    put(target, image, at=at * MIB)
    image.unlink()
    return target
