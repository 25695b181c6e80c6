"""Guests that come up on NVMe once they are mended, and not before: a whole disk, by its own GRUB, in QEMU.

The initramfs is the real Debian's without the modules that a machine of virtio and IDE does without, as its own
`MODULES=dep` would leave it; what is booted after is the layer over the same file.
"""

from __future__ import annotations

import datetime as dt
import gzip
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.debian import FIRST_SECTOR, debian_disk
from tests.tools import need, run
from vmie import checks, disk
from vmie.boot.local import boot
from vmie.boot.model import BootVerdict
from vmie.checks import Subject
from vmie.disk.overlay import Overlay
from vmie.guest import GuestFacts
from vmie.model import Finding
from vmie.repair import repair
from vmie.repair.mends import MENDS

_CFG = "/boot/grub/grub.cfg"


def judge(facts: GuestFacts) -> list[Finding]:
    return checks.judge(Subject(guest=facts, today=dt.date(2026, 1, 1)))


def _volume(path: Path) -> str:
    return f"{path}?offset={FIRST_SECTOR * 512}"


def _kernel(path: Path) -> str:
    names = run(["debugfs", "-R", "ls -p /boot", _volume(path)]).stdout
    return next(line.split("/")[5] for line in names.splitlines() if "/initrd.img-" in line)


def _put(path: Path, name: str, data: bytes) -> None:
    held = path.with_suffix(".put")
    held.write_bytes(data)
    commands = f"rm {name}\nwrite {held} {name}\n"
    run(["debugfs", "-w", "-f", "/dev/stdin", _volume(path)], input=commands)
    held.unlink()


def _read(path: Path, name: str) -> bytes:
    out = path.with_suffix(".file")
    run(["debugfs", "-R", f"dump {name} {out}", _volume(path)])
    return out.read_bytes()


def _without_nvme(path: Path) -> None:
    """The modules are taken out and the lists made anew, by kmod's own depmod."""
    need("depmod", "cpio")
    name = _kernel(path)
    folder = path.with_suffix(".x")
    folder.mkdir()
    archive = gzip.decompress(_read(path, f"/boot/{name}"))
    subprocess.run(["cpio", "-idm", "--quiet", "--no-absolute-filenames"], input=archive, cwd=folder, check=True)
    for one in [one for kind in ("nvme*.ko", "ena.ko", "xen-*front.ko") for one in folder.rglob(kind)]:
        one.unlink()
    run(["depmod", "-b", str(folder), name.removeprefix("initrd.img-")])
    packed = subprocess.run(
        "find . | LC_ALL=C sort | cpio --quiet -R 0:0 -o -H newc | gzip -9n",
        shell=True,
        cwd=folder,
        capture_output=True,
        check=True,
    ).stdout
    shutil.rmtree(folder)
    _put(path, f"/boot/{name}", packed)


def _stale_root(path: Path) -> None:
    """What an IDE machine of old names its root by: no such disk is on a Nitro instance."""
    text = _read(path, _CFG)
    uuid = text.partition(b"root=UUID=")[2].split()[0]
    _put(path, _CFG, text.replace(b"root=UUID=" + uuid, b"root=/dev/sda1"))


#: what breaks it, and the rules that say so
GUESTS: dict[str, tuple[Callable[[Path], None], set[str]]] = {
    "no NVMe in the initramfs": (_without_nvme, {"VMIE-BOOT-008", "VMIE-BOOT-010"}),
    "root by the name of an old disk": (_stale_root, {"VMIE-BOOT-013"}),
}


@pytest.mark.soak
@pytest.mark.parametrize("name", GUESTS)
def test_a_mended_guest_comes_up(name: str, tmp_path: Path) -> None:
    need("qemu-system-x86_64", "debugfs", "e2fsck")
    make, rules = GUESTS[name]
    path = tmp_path / "disk.raw"
    run(["cp", "--sparse=always", str(debian_disk()), str(path)])
    make(path)
    with disk.open(path) as base:
        layer = Overlay(base)
        assert boot([layer], timeout=580)[0].verdict is not BootVerdict.BOOTS
        done = repair([layer], MENDS, judge=judge)
        assert rules <= set(done.mended), done.left
        assert boot([layer], timeout=580)[0].verdict is BootVerdict.BOOTS
        with path.open("r+b") as file:
            for offset, data in layer.changes():
                file.seek(offset)
                file.write(data)
    run(["e2fsck", "-fn", _volume(path)])
    shutil.rmtree(tmp_path)
