"""Guests that are broken each in its way, on each file system: the rule says so before, and is content after.

The file system's own checker looks at what was written; without the layer the disk is what it was, byte by byte.
Whether such a guest starts then is asked of QEMU in tests/e2e/test_repair_boots.py.
"""

from __future__ import annotations

import gzip
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests import guests
from tests.guests import MIB, PE_START, Link, cpio
from tests.linux_guest import files as debian
from tests.tools import need, run
from tests.unit.repair.test_initramfs import BODY, EARLY, V, modules
from tests.unit.repair.test_network import judge
from vmie import disk
from vmie.disk.overlay import Overlay
from vmie.guest import Budget, opened
from vmie.model import Verdict
from vmie.repair import repair
from vmie.repair.mends import MENDS

Content = Mapping[str, str | bytes | Link | None]
#: the label of every root: what boot entries name it by
UUID = "2f1ed7d2-5d0a-4c1c-9b86-2a4f0c0f9d51"
_PV = "jdTN3x-MGxS-j2Uq-wqE6-Vaeg-TN91-9zddNd"
#: gzip looks back 32 KiB, zstd further: real ones have the like of it
ROOMY = [*BODY, ("zzz-firmware", random.Random(3).randbytes(50_000) * 2)]
GRUB = (
    f"menuentry 'a' {{\n  linux /boot/vmlinuz-{V} root=UUID={UUID} ro net.ifnames=0\n"
    f"  initrd /boot/initrd.img-{V}\n}}\n"
)
CONFIG = "CONFIG_RD_GZIP=y\nCONFIG_RD_XZ=y\nCONFIG_RD_ZSTD=y\nCONFIG_BLK_DEV_NVME=m\nCONFIG_ENA_ETHERNET=m\n"
STATIC = "auto lo\niface lo inet loopback\nauto eth0\niface eth0 inet static\n address 10.0.0.5/24\n gateway 10.0.0.1\n"
CARD = 'SUBSYSTEM=="net", ATTR{address}=="00:0c:29:11:22:33", NAME="eth0"\n'


def without_nvme(archive: bytes, *more: str) -> Content:
    """A kernel's files with the initramfs `archive`, and those of the kernels `more`."""
    found: dict[str, str | bytes | Link | None] = {}
    for version in (V, *more):
        found |= {name.replace(V, version): data for name, data in modules().items()}
        found |= {f"/boot/vmlinuz-{version}": b"", f"/boot/config-{version}": CONFIG}
        found[f"/boot/initrd.img-{version}"] = (
            gzip.compress(gzip.decompress(archive).replace(V.encode(), version.encode())) if version != V else archive
        )
    return found


def bls(archive: bytes) -> Content:
    """RHEL's way: an entry for each kernel, dracut's initramfs for this host only."""
    return {
        **without_nvme(archive),
        f"/boot/initrd.img-{V}": None,
        f"/boot/initramfs-{V}.img": archive,
        "/boot/grub/grub.cfg": None,
        "/boot/grub2/grub.cfg": "insmod blscfg\nblscfg\n",
        "/boot/loader/entries/a.conf": f"title RHEL\nversion {V}\nlinux /boot/vmlinuz-{V}\n"
        f"initrd /boot/initramfs-{V}.img\noptions root=UUID={UUID} ro net.ifnames=0\n",
        "/usr/bin/dracut": b"#!/bin/bash\n",
    }


@dataclass(frozen=True)
class Broken:
    """`rules` have findings before and none after; `changed` are the files that are to be changed."""

    kind: str
    content: Content
    rules: frozenset[str] = field(default_factory=frozenset)
    changed: frozenset[str] = field(default_factory=frozenset)


def of(kind: str, content: Content, *told: str) -> Broken:
    """`told` are rules and paths."""
    return Broken(
        kind,
        content,
        frozenset(one for one in told if not one.startswith("/")),
        frozenset(one for one in told if one.startswith("/")),
    )


_BOOT, _GRUB, _NET = f"/boot/initrd.img-{V}", "/boot/grub/grub.cfg", "/etc/network/interfaces"
_FSTAB, _RULES = "/etc/fstab", "/etc/udev/rules.d/70-persistent-net.rules"
GZIP = gzip.compress(cpio(ROOMY))
BROKEN: dict[str, Broken] = {
    "no NVMe, ext4": of("ext4", without_nvme(GZIP), "VMIE-BOOT-008", "VMIE-BOOT-010", _BOOT),
    "no NVMe behind microcode, XFS": of("xfs", without_nvme(EARLY + GZIP), "VMIE-BOOT-008", _BOOT),
    "a dracut for this host only, XFS": of("xfs", bls(GZIP), "VMIE-BOOT-008", f"/boot/initramfs-{V}.img"),
    "no NVMe, LVM": of("lvm", without_nvme(GZIP), "VMIE-BOOT-008", _BOOT),
    "two kernels, ext4": of(
        "ext4", without_nvme(GZIP, "6.1.0-24-amd64"), "VMIE-BOOT-008", _BOOT, "/boot/initrd.img-6.1.0-24-amd64"
    ),
    "fstab by device, ext4": of(
        "ext4", {"/etc/fstab": "/dev/sda1 / ext4 defaults 0 1\n"}, "VMIE-LNX-001", "/etc/fstab"
    ),
    "fstab by device, XFS": of("xfs", {_FSTAB: "/dev/sda1 / xfs defaults 0 0\n"}, "VMIE-LNX-001", _FSTAB),
    "static address, XFS": of("xfs", {_NET: STATIC}, "VMIE-NET-003", _NET),
    "static address, LVM": of("lvm", {_NET: STATIC}, "VMIE-NET-003", _NET),
    "persistent-net, ext4": of("ext4", {_RULES: CARD}, "VMIE-NET-007", _RULES),
    "stale root=, ext4": of("ext4", {_GRUB: GRUB.replace(f"UUID={UUID}", "/dev/sda1")}, "VMIE-BOOT-013", _GRUB),
    "quiet, XFS": of("xfs", {_GRUB: GRUB.replace(" ro", " ro quiet splash")}, _GRUB),
}
_SLICE = ("no NVMe, ext4", "no NVMe, LVM")


def xfs(path: Path, root: Path, size: int) -> None:
    """An XFS with the files of `root`; links are left out, as the prototype has no place for theirs."""
    need("mkfs.xfs", "xfs_repair")
    lines = ["/", "0 0", "d--755 0 0"]

    def folder(at: Path) -> None:
        for one in sorted(at.iterdir()):
            if one.is_dir() and not one.is_symlink():
                lines.append(f"{one.name} d--755 0 0")
                folder(one)
                lines.append("$")
            elif one.is_file() and not one.is_symlink():
                lines.append(f"{one.name} ---644 0 0 {one}")

    folder(root)
    proto = path.with_suffix(".proto")
    proto.write_text("\n".join([*lines, "$", ""]))
    with path.open("wb") as file:
        file.truncate(size)
    run(["mkfs.xfs", "-q", "-m", f"uuid={UUID}", "-p", str(proto), str(path)])


def made(broken: Broken, folder: Path) -> Path:
    """The guest on a disk of one partition."""
    size = 320 * MIB if broken.kind == "xfs" else 32 * MIB
    content = {**debian(), "/boot/grub/grub.cfg": GRUB, **broken.content}
    gone = [name for name in broken.content if broken.content[name] is None]
    root = guests.fill(folder / "root", {name: data for name, data in content.items() if name not in gone})
    volume, path = folder / "volume", folder / "disk.raw"
    if broken.kind == "xfs":
        xfs(volume, root, size)
    else:
        guests.ext4(volume, root, size=size, options=("-U", UUID))
    at = MIB
    boot = b"\xeb\x63\x90".ljust(0x180, b"\0") + b"GRUB \0Geom\0Hard Disk\0Read\0 Error\r\n\0"
    with path.open("wb") as file:
        file.write(guests.mbr(guests.mbr_entry(0x83, 2048, (size + 8 * MIB) // 512, active=True), code=boot))
        if broken.kind == "lvm":
            listed = guests.volume("root", guests.segment(0, size // 65536, ("pv0", 0)))
            label = guests.physical_volume(
                _PV, guests.group("vg0", pvs={"pv0": _PV}, volumes=listed), size=size + 4 * MIB
            )
            file.seek(MIB)
            file.write(label[:PE_START])
            at += PE_START
        file.truncate(size + 10 * MIB)
    guests.put(path, volume, at=at)
    return path


def checked(broken: Broken, layered: bytes, folder: Path) -> None:
    """The file system's own checker finds nothing."""
    start = MIB + (PE_START if broken.kind == "lvm" else 0)
    size = 320 * MIB if broken.kind == "xfs" else 32 * MIB
    volume = folder / "checked"
    volume.write_bytes(layered[start : start + size])
    run(["xfs_repair", "-n", "-f", str(volume)] if broken.kind == "xfs" else ["e2fsck", "-fn", str(volume)])
    volume.unlink()


@pytest.mark.parametrize("name", [pytest.param(one, marks=() if one in _SLICE else pytest.mark.soak) for one in BROKEN])
def test_the_rule_fails_before_and_passes_after(name: str, tmp_path: Path) -> None:
    need("e2fsck", "dd")
    broken = BROKEN[name]
    path = made(broken, tmp_path)
    source = path.read_bytes()
    with disk.open(path) as base:
        layer = Overlay(base)
        with opened([layer], budget=Budget()) as found:
            before = {one.rule for one in judge(found.facts) if one.verdict is not Verdict.PASS}
        done = repair([layer], MENDS, judge=judge)
        after = {one.rule for one in done.findings if one.verdict is not Verdict.PASS}
        changes = layer.changes()
        layer.clear()
        undone = layer.read(0, layer.size)
    assert broken.rules <= before
    assert not broken.rules & after, done.left
    assert broken.rules <= set(done.mended)
    assert broken.changed <= {one.path for one in done.changes}
    assert undone == source == path.read_bytes()
    mended = bytearray(source)
    for offset, data in changes:
        mended[offset : offset + len(data)] = data
    checked(broken, bytes(mended), tmp_path)
