"""fstab, crypttab and what the boot names: by names that last, and without waiting for what is not there."""

from __future__ import annotations

from pathlib import Path

from tests.unit.repair.linux_files import guest, mended
from vmie.repair.boot_devices import BOOT_DEVICES
from vmie.repair.mounts import FSTAB

ROOT = "UUID=2f1ed7d2-5d0a-4c1c-9b86-2a4f0c0f9d51"
GONE = "11111111-2222-3333-4444-555555555555"


def test_fstab_by_lasting_names_and_without_waiting(tmp_path: Path) -> None:
    fstab = (
        "# kept\n"
        "/dev/sda1\t/\text4\terrors=remount-ro\t0 1\n"
        f"UUID={GONE} /data xfs defaults 0 2\n"
        "/dev/sdb1  /more  ext4\n"
        "/dev/sdc1 none swap sw 0 0\n"
        "nas:/export /nfs nfs rw 0 0\n"
        "nas:/soft /soft nfs rw,nofail 0 0\n"
        "//nas/share /share cifs credentials=/x 0 0\n"
        f"UUID={GONE} /usr ext4 defaults 0 2\n"
        "tmpfs /tmp tmpfs defaults 0 0"
    )
    path = guest(tmp_path, {"/etc/fstab": fstab, "/etc/crypttab": "a /dev/sda1 none luks\nb /dev/sdz1 none\n"})
    done, texts = mended(path, [FSTAB])
    assert texts["/etc/fstab"] == (
        "# kept\n"
        f"{ROOT}\t/\text4\terrors=remount-ro\t0 1\n"
        f"UUID={GONE} /data xfs defaults,nofail 0 2\n"
        "/dev/sdb1  /more  ext4\tdefaults,nofail\n"
        "/dev/sdc1 none swap sw,nofail 0 0\n"
        "nas:/export /nfs nfs rw,nofail 0 0\n"
        "nas:/soft /soft nfs rw,nofail 0 0\n"
        "#//nas/share /share cifs credentials=/x 0 0\n"
        f"UUID={GONE} /usr ext4 defaults 0 2\n"
        "tmpfs /tmp tmpfs defaults 0 0"
    )
    assert texts["/etc/crypttab"] == f"a {ROOT} none luks\nb /dev/sdz1 none\n"
    assert [(one.rule, "/usr" in one.why) for one in done.left] == [("VMIE-LNX-004", True)]


def test_what_the_kernel_and_grub_are_told_is_in_the_image(tmp_path: Path) -> None:
    grub = (
        f"search --no-floppy --fs-uuid --set=root --hint-bios=hd0,msdos1  {GONE}\n"
        "menuentry 'Debian' {\n"
        "  linux /boot/vmlinuz-6.1.0-25-amd64 root=/dev/vg/root ro"
        f" resume=UUID={GONE} rd.lvm.lv=vg/root rd.md.uuid=1:2\n"
        "  initrd /boot/initrd.img-6.1.0-25-amd64\n}\n"
    )
    path = guest(
        tmp_path,
        {
            "/boot/grub/grub.cfg": grub,
            "/etc/default/grub": 'GRUB_CMDLINE_LINUX="root=/dev/sda1 rd.lvm.lv=vg/swap x=y"\n',
            "/etc/initramfs-tools/conf.d/resume": "RESUME=/dev/sdb5\n",
            "/etc/crypttab": f"data UUID={GONE}\nkept {ROOT} none luks\n",
        },
    )
    _, texts = mended(path, [BOOT_DEVICES])
    assert texts["/boot/grub/grub.cfg"] == grub.replace(GONE, ROOT[5:], 1).replace("/dev/vg/root", ROOT).replace(
        f" resume=UUID={GONE} rd.lvm.lv=vg/root rd.md.uuid=1:2", ""
    )
    assert texts["/etc/default/grub"] == f'GRUB_CMDLINE_LINUX="root={ROOT} x=y"\n'
    assert texts["/etc/initramfs-tools/conf.d/resume"] == "RESUME=none\n"
    assert texts["/etc/crypttab"] == f"data UUID={GONE} none luks,nofail\nkept {ROOT} none luks\n"


def test_a_kernel_without_an_initramfs_gets_the_partition(tmp_path: Path) -> None:
    grub = "menuentry 'a' {\n  linux /boot/vmlinuz-9.9.9 root=/dev/sda1\n}\n"
    path = guest(tmp_path, {"/boot/grub/grub.cfg": grub, "/boot/vmlinuz-9.9.9": bytes(4096)})
    _, texts = mended(path, [BOOT_DEVICES])
    assert "root=PARTUUID=" in texts["/boot/grub/grub.cfg"]
