"""A small Linux on a disk: the files by which a system is told, without the system. Made in well under a second."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

from tests import guests
from tests.guests import Link
from tests.tools import need, run

KERNEL = "6.1.0-25-amd64"
_ROOT = "UUID=2f1ed7d2-5d0a-4c1c-9b86-2a4f0c0f9d51"
MIB = 1 << 20

Files = dict[str, str | bytes | Link | None]


def files(kernel: str = KERNEL) -> Files:
    """A Debian 12.7 that has all that EC2 asks for."""
    modules = [f"usr/lib/modules/{kernel}/kernel/drivers/{name}.ko" for name in _MODULES]
    grub = (
        "set default=0\nmenuentry 'Debian' {\n"
        f"  linux /boot/vmlinuz-{kernel} root={_ROOT} ro net.ifnames=0\n  initrd /boot/initrd.img-{kernel}\n}}\n"
    )
    return {
        "/etc/os-release": 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
        "/etc/debian_version": "12.7\n",
        "/etc/fstab": f"{_ROOT} / ext4 defaults 0 1\n",
        "/etc/passwd": "root:x:0:0::/root:/bin/sh\nadmin:x:1000:1000::/home/admin:/bin/sh\n",
        "/etc/shadow": "root:*:1::::::\nadmin:$6$x$y:1::::::\n",
        "/etc/network/interfaces": "auto lo\niface lo inet loopback\nauto eth0\niface eth0 inet dhcp\n",
        "/etc/ssh/sshd_config": "Port 22\n",
        "/etc/systemd/system/multi-user.target.wants/ssh.service": Link("/lib/systemd/system/ssh.service"),
        "/lib/systemd/system/ssh.service": "[Unit]\n",
        "/sbin/dhclient": guests.elf(),
        "/usr/sbin/sshd": guests.elf(),
        "/usr/bin/env": guests.elf(),
        "/bin/sh": guests.elf(),
        "/sbin/init": guests.elf(),
        f"/boot/vmlinuz-{kernel}": b"\0" * 4096,
        f"/boot/initrd.img-{kernel}": gzip.compress(guests.cpio(modules)),
        f"/boot/config-{kernel}": "CONFIG_BLK_DEV_NVME=m\nCONFIG_ENA_ETHERNET=m\nCONFIG_XEN_BLKDEV_FRONTEND=m\n",
        "/boot/grub/grub.cfg": grub,
        "/boot/grub/i386-pc/normal.mod": b"\0",
        f"/lib/modules/{kernel}/modules.dep": "".join(f"kernel/drivers/{name}.ko:\n" for name in _MODULES),
        "/tmp": None,
        "/var/log": None,
    }


_MODULES = (
    "nvme/host/nvme-core",
    "nvme/host/nvme",
    "net/ethernet/amazon/ena/ena",
    "block/xen-blkfront",
    "net/xen-netfront",
)


def linux_disk(
    target: Path, content: Mapping[str, str | bytes | Link | None] | None = None, *, size: int = 640
) -> Path:
    """A raw disk of `size` MiB: MBR with GRUB's boot code, one ext4 partition with the files."""
    root = target.with_suffix(".root")
    root.mkdir()
    guests.fill(root, files() if content is None else content)
    volume = guests.ext4(target.with_suffix(".ext4"), root, size=(size - 1) * MIB, options=("-U", _ROOT[5:]))
    with target.open("wb") as file:
        boot = b"\xeb\x63\x90".ljust(0x180, b"\0") + b"GRUB \0Geom\0Hard Disk\0Read\0 Error\r\n\0"
        file.write(guests.mbr(guests.mbr_entry(0x83, 2048, (size - 1) * 2048, active=True), code=boot))
        file.truncate(size * MIB)
    guests.put(target, volume, at=MIB)
    volume.unlink()
    return target


def xfs(path: Path, root: Path, *, size: int = 300 * MIB) -> Path:
    """An XFS file system with the files of `root`."""
    need("mkfs.xfs")
    lines: list[str] = []

    def walk(top: Path) -> None:
        for one in sorted(top.iterdir()):
            if one.is_symlink():
                lines.append(f"{one.name} l--777 0 0 {one.readlink()}")
            elif one.is_dir():
                lines.append(f"{one.name} d--755 0 0")
                walk(one)
                lines.append("$")
            else:
                lines.append(f"{one.name} ---644 0 0 {one}")

    walk(root)
    proto = path.with_suffix(".proto")
    proto.write_text("\n".join(["/", "0 0", "d--755 0 0", *lines, "$", "$", ""]))
    with path.open("wb") as file:
        file.truncate(size)
    run(["mkfs.xfs", "-q", "-p", str(proto), str(path)])
    return path


def convert(source: Path, target: Path, kind: str, *options: str) -> Path:
    """Another format of a raw disk, by qemu-img."""
    need("qemu-img")
    chosen = ["-o", ",".join(options)] if options else []
    run(["qemu-img", "convert", "-f", "raw", "-O", kind, *chosen, str(source), str(target)])
    return target


def ova(target: Path, *disks: Path, nics: int = 1, cdrom: str = "") -> Path:
    """An OVA of stream-optimised VMDKs, as vSphere's export has them."""
    references, sections, items = [], [], []
    for number, path in enumerate(disks, start=1):
        references.append(f'<File ovf:id="f{number}" ovf:href="{path.name}" ovf:size="{path.stat().st_size}"/>')
        sections.append(f'<Disk ovf:diskId="d{number}" ovf:fileRef="f{number}" ovf:capacity="{640 * MIB}"/>')
        items.append(_item(10 + number, 17, f"<rasd:HostResource>ovf:/disk/d{number}</rasd:HostResource>"))
    items += [_item(30 + number, 10, "<rasd:ResourceSubType>VmxNet3</rasd:ResourceSubType>") for number in range(nics)]
    if cdrom:
        references.append(f'<File ovf:id="iso" ovf:href="{cdrom}"/>')
        items.append(_item(50, 15, "<rasd:HostResource>ovf:/file/iso</rasd:HostResource>"))
    text = (
        '<?xml version="1.0"?><Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" '
        'xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/'
        f'cim-schema/2/CIM_ResourceAllocationSettingData"><References>{"".join(references)}</References>'
        f"<DiskSection><Info/>{''.join(sections)}</DiskSection>"
        f'<VirtualSystem ovf:id="vm"><Info/><VirtualHardwareSection><Info/>{"".join(items)}'
        "</VirtualHardwareSection></VirtualSystem></Envelope>"
    )
    with tarfile.open(target, "w") as archive:
        member = tarfile.TarInfo("vm.ovf")
        member.size = len(text.encode())
        archive.addfile(member, io.BytesIO(text.encode()))
        for path in disks:
            archive.add(path, arcname=path.name)
    return target


def _item(instance: int, kind: int, more: str) -> str:
    return (
        f"<Item><rasd:ElementName>item {instance}</rasd:ElementName><rasd:InstanceID>{instance}</rasd:InstanceID>"
        f"{more}<rasd:ResourceType>{kind}</rasd:ResourceType></Item>"
    )
