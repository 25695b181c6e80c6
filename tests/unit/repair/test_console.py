"""The serial console: in every place where a boot loader keeps the kernel's options."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.repair.linux_files import guest, mended
from vmie.repair.console import SERIAL_CONSOLE

_GRUB = """set timeout=-1
menuentry 'Debian' --id a {
  search --no-floppy --fs-uuid --set=root 2f1ed7d2-5d0a-4c1c-9b86-2a4f0c0f9d51
  linux /boot/vmlinuz-6.1.0-25-amd64 root=UUID=2f1ed7d2-5d0a-4c1c-9b86-2a4f0c0f9d51 ro  rhgb quiet splash=silent
  initrd /boot/initrd.img-6.1.0-25-amd64
}
menuentry 'Xen' {
  multiboot2 /boot/xen.gz placeholder
  module2 /boot/vmlinuz-6.1.0-25-amd64 placeholder root=/dev/sda1 ro quiet
  module2 --nounzip /boot/initrd.img-6.1.0-25-amd64
}
"""
_ENV = '# GRUB Environment Block\nsaved_entry=a\nkernelopts=root=/dev/sda1 ro dyndbg=\\"a b\\" quiet \n'
BOTH = "console=tty0 console=ttyS0,115200"


def test_grub_2_its_defaults_its_block_and_its_entries(tmp_path: Path) -> None:
    path = guest(
        tmp_path,
        {
            "/boot/grub/grub.cfg": _GRUB,
            "/boot/grub/grubenv": _ENV.ljust(1024, "#"),
            "/boot/loader/entries/one.conf": "title One\noptions root=/dev/sda1 quiet\n",
            "/boot/loader/entries/two.conf": "title Two\noptions $kernelopts quiet\n",
            "/etc/default/grub": 'GRUB_TIMEOUT=30\nGRUB_CMDLINE_LINUX_DEFAULT="quiet splash"\nGRUB_CMDLINE_LINUX=""\n',
            "/etc/kernel/cmdline": "root=/dev/sda1 ro loglevel=3 loglevel=7\n",
        },
    )
    done, texts = mended(path, [SERIAL_CONSOLE])
    assert not done.left
    root = "root=UUID=2f1ed7d2-5d0a-4c1c-9b86-2a4f0c0f9d51"
    assert f"vmlinuz-6.1.0-25-amd64 {root} ro {BOTH}\n" in texts["/boot/grub/grub.cfg"]
    assert f"placeholder root=/dev/sda1 ro {BOTH}\n" in texts["/boot/grub/grub.cfg"]
    assert "  multiboot2 /boot/xen.gz placeholder\n" in texts["/boot/grub/grub.cfg"]
    assert texts["/boot/grub/grub.cfg"].startswith("set timeout=5\n")
    assert texts["/boot/grub/grubenv"] == _ENV.replace("quiet ", BOTH).replace("\\", "").ljust(1024, "#")
    assert texts["/boot/loader/entries/one.conf"] == f"title One\noptions root=/dev/sda1 {BOTH}\n"
    assert texts["/boot/loader/entries/two.conf"] == "title Two\noptions $kernelopts\n"
    assert texts["/etc/default/grub"] == (
        f'GRUB_TIMEOUT=5\nGRUB_CMDLINE_LINUX_DEFAULT=""\nGRUB_CMDLINE_LINUX="{BOTH}"\n'
    )
    assert texts["/etc/kernel/cmdline"] == f"root=/dev/sda1 ro loglevel=7 {BOTH}\n"


def test_grub_legacy_and_extlinux(tmp_path: Path) -> None:
    legacy = (
        "default 0\ntimeout=0\n# kopt=root=/dev/hda1 ro\n# defoptions=quiet\ntitle CentOS\n\troot (hd0,0)\n"
        "\tkernel /boot/vmlinuz-2.6.32 ro root=/dev/hda1 rhgb quiet\n\tinitrd /boot/initrd-2.6.32.img\n"
        "title Xen\n\tkernel /boot/xen.gz dom0_mem=1G\n\tmodule /boot/vmlinuz-2.6.32 ro console=tty0\n"
    )
    path = guest(
        tmp_path,
        {
            "/boot/grub/grub.cfg": "",
            "/boot/grub/menu.lst": legacy,
            "/boot/extlinux/extlinux.conf": "LABEL a\n  KERNEL /boot/x\n  APPEND root=/dev/sda1 quiet\n",
        },
    )
    _, texts = mended(path, [SERIAL_CONSOLE])
    assert texts["/boot/grub/menu.lst"] == (
        legacy.replace("ro console=tty0", f"ro {BOTH}")
        .replace("rhgb quiet", BOTH)
        .replace("defoptions=quiet", "defoptions=")
        .replace("/dev/hda1 ro\n", f"/dev/hda1 ro {BOTH}\n")
    )
    assert "APPEND root=/dev/sda1 " + BOTH in texts["/boot/extlinux/extlinux.conf"]


@pytest.mark.parametrize("options", ["ro console=ttyS0", "ro console=tty0 console=ttyS0,9600n8 x=quiet"])
def test_what_shows_the_boot_on_it_already_stays(tmp_path: Path, options: str) -> None:
    grub = f"menuentry 'a' {{\n  linux /boot/vmlinuz-6.1.0-25-amd64 {options}\n}}\n"
    done, _ = mended(guest(tmp_path, {"/boot/grub/grub.cfg": grub}), [SERIAL_CONSOLE])
    assert not done.changes
