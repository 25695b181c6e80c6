"""Boots as installers leave them, family by family: every device that they name is found, and nothing is said."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.guests import Files, tree
from vmie.guest.linux import bootloader
from vmie.guest.linux.boot_devices import boot_devices, opened
from vmie.guest.linux.devices import Devices, names_of, names_of_volume

BOOT, ROOT, SWAP, ESP = (
    "b0071111-0000-4000-8000-000000000001",
    "70071111-0000-4000-8000-000000000002",
    "5a",
    "AB12-34CD",
)


def known(*volumes: tuple[str, str], label: str = "", opaque: bool = False) -> Devices:
    """An ESP, /boot, a root and swap, or logical volumes instead of the last two."""
    found = Devices(disks=1, opaque=opaque, partitions={(0, number): number for number in (1, 2, 3)})
    found.add(0, names_of(uuid=ESP))
    found.add(1, names_of(uuid=BOOT))
    found.add(2, names_of(uuid=ROOT, label=label, partuuid="1111-03"))
    found.add(3, names_of(uuid=SWAP))
    for index, (group, name) in enumerate(volumes):
        found.add(10 + index, names_of_volume(group, name))
        found.groups.add(group)
    return found


RHEL_9 = {
    "/boot/grub2/grub.cfg": f"""
if [ -f ${{config_directory}}/grubenv ]; then
  load_env -f ${{config_directory}}/grubenv
elif [ -s $prefix/grubenv ]; then
  load_env
fi
set default="${{saved_entry}}"
insmod part_gpt
insmod xfs
set root='hd0,gpt2'
if [ x$feature_platform_search_hint = xy ]; then
  search --no-floppy --fs-uuid --set=root --hint-bios=hd0,gpt2 --hint-efi=hd0,gpt2 --hint='hd0,gpt2'  {BOOT}
else
  search --no-floppy --fs-uuid --set=root {BOOT}
fi
set boot='hd0,gpt2'
search --no-floppy --fs-uuid --set=boot {BOOT}
if [ -z "${{kernelopts}}" ]; then
  set kernelopts="root=/dev/mapper/rhel-root ro "
fi
insmod blscfg
blscfg
""",
    "/boot/grub2/grubenv": "saved_entry=abc-5.14.0-427.el9.x86_64\nmenu_auto_hide=1\nboot_success=0\n",
    "/boot/efi/EFI/redhat/grub.cfg": f"search --no-floppy --root-dev-only --fs-uuid --set=dev {BOOT}\n"
    "set prefix=($dev)/grub2\nexport $prefix\nconfigfile $prefix/grub.cfg\n",
    "/boot/loader/entries/abc-5.14.0-427.el9.x86_64.conf": "title Red Hat Enterprise Linux\n"
    "linux /vmlinuz-5.14.0-427.el9.x86_64\ninitrd /initramfs-5.14.0-427.el9.x86_64.img $tuned_initrd\n"
    "options root=/dev/mapper/rhel-root ro crashkernel=1G-4G:192M resume=/dev/mapper/rhel-swap rd.lvm.lv=rhel/root "
    "rd.lvm.lv=rhel/swap $tuned_params\n",
    "/boot/vmlinuz-5.14.0-427.el9.x86_64": "k",
    "/etc/default/grub": 'GRUB_CMDLINE_LINUX="resume=/dev/mapper/rhel-swap rd.lvm.lv=rhel/root rd.lvm.lv=rhel/swap"\n',
    "/etc/kernel/cmdline": "root=/dev/mapper/rhel-root ro rd.lvm.lv=rhel/root\n",
}
CENTOS_6 = {
    "/boot/grub/grub.conf": "default=0\ntimeout=5\nsplashimage=(hd0,0)/grub/splash.xpm.gz\nhiddenmenu\ntitle CentOS 6\n"
    "\troot (hd0,0)\n\tkernel /vmlinuz-2.6.32-754.el6.x86_64 ro root=/dev/mapper/VolGroup-lv_root rd_NO_LUKS "
    "LANG=en_US.UTF-8 rd_NO_MD rd_LVM_LV=VolGroup/lv_swap SYSFONT=latarcyrheb-sun16 rd_LVM_LV=VolGroup/lv_root "
    "rd_NO_DM rhgb quiet\n\tinitrd /initramfs-2.6.32-754.el6.x86_64.img\n",
    "/boot/vmlinuz-2.6.32-754.el6.x86_64": "k",
}
UBUNTU = {
    "/boot/grub/grub.cfg": f"""
search --no-floppy --fs-uuid --set=root {BOOT}
set default="0"
menuentry 'Ubuntu' --class ubuntu $menuentry_id_option 'gnulinux-simple' {{
  recordfail
  insmod ext2
  set root='hd0,gpt2'
  if [ x$feature_platform_search_hint = xy ]; then
    search --no-floppy --fs-uuid --set=root --hint-bios=hd0,gpt2 {BOOT}
  else
    search --no-floppy --fs-uuid --set=root {BOOT}
  fi
  linux  /vmlinuz-5.15.0-91-generic root=/dev/mapper/ubuntu--vg-ubuntu--lv ro
  initrd  /initrd.img-5.15.0-91-generic
}}
menuentry 'UEFI Firmware Settings' {{
  fwsetup
}}
""",
    "/boot/efi/EFI/ubuntu/grub.cfg": f"search.fs_uuid {BOOT} root \nset prefix=($root)'/grub'\n"
    "configfile $prefix/grub.cfg\n",
    "/boot/vmlinuz-5.15.0-91-generic": "k",
    "/usr/share/initramfs-tools/init": "",
}
CLOUD = {
    "/boot/grub/grub.cfg": "menuentry 'Ubuntu' {\n search --no-floppy --label --set=root cloudimg-rootfs\n"
    " linux /boot/vmlinuz-6.8.0-1-aws root=PARTUUID=1111-03 ro console=ttyS0\n}\n"
    "menuentry 'old' {\n linux /boot/vmlinuz-6.8.0-1-aws root=LABEL=cloudimg-rootfs ro\n}\n",
    "/boot/vmlinuz-6.8.0-1-aws": "k",
}
SLES_15 = {
    "/boot/grub2/grub.cfg": f"menuentry 'SLES 15-SP5' {{\n  set root='hd0,msdos3'\n"
    f"  search --no-floppy --fs-uuid --set=root --hint-bios=hd0,msdos3 {ROOT}\n"
    f"  linux /boot/vmlinuz-5.14.21-150500.53-default root=UUID={ROOT} splash=silent resume=/dev/disk/by-uuid/{SWAP} "
    "mitigations=auto quiet\n  initrd /boot/initrd-5.14.21-150500.53-default\n}\n",
    "/boot/vmlinuz-5.14.21-150500.53-default": "k",
    "/usr/lib/dracut/dracut-functions.sh": "",
}
ARCH = {
    "/boot/efi/loader/loader.conf": "default arch.conf\n",
    "/boot/efi/loader/entries/arch.conf": f"title Arch\nlinux /vmlinuz-linux\noptions root=UUID={ROOT} rw\n",
    "/boot/efi/vmlinuz-linux": "k",
    "/usr/bin/mkinitcpio": "",
}


@pytest.mark.parametrize(
    ("files", "devices"),
    [
        (RHEL_9, known(("rhel", "root"), ("rhel", "swap"))),
        (CENTOS_6, known(("VolGroup", "lv_root"), ("VolGroup", "lv_swap"))),
        (UBUNTU, known(("ubuntu-vg", "ubuntu-lv"))),
        (CLOUD, known(label="cloudimg-rootfs")),
        (SLES_15, known()),
        (ARCH, known()),
    ],
    ids=["rhel-9", "centos-6", "ubuntu", "ubuntu-cloud", "sles-15", "arch"],
)
def test_a_boot_as_the_installer_left_it(files: Mapping[str, str], devices: Devices) -> None:
    found = tree(files)
    if files is not CLOUD and files is not SLES_15:
        inside = {path.removeprefix("/boot"): text for path, text in files.items() if path.startswith("/boot/")}
        found.mount("/boot", Files(inside))
    boot = bootloader.boot(found)
    assert boot.images.kernel
    names = opened(found, [one.cmdline for one in boot.entries])
    assert boot_devices(found, boot, devices.opening(names)) == ()


def test_without_its_other_disk_the_volume_group_is_missing() -> None:
    found = tree(RHEL_9)
    boot = bootloader.boot(found)
    assert "root=/dev/mapper/rhel-root" in [one.option for one in boot_devices(found, boot, known())]
    assert {one.present for one in boot_devices(found, boot, known(opaque=True))} == {None}
