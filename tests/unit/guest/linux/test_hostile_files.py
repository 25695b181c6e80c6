"""Configuration files of a guest with damage in them: read to the end, judged, and nothing raised."""

from __future__ import annotations

import random
import time

from tests.fuzz.mutations import damaged
from tests.guests import Files, Link
from tests.unit.checks.subjects import guest
from tests.unit.guest.linux.test_boot_devices import known, unified
from vmie.checks import judge
from vmie.guest.budget import Budget
from vmie.guest.linux import inspect
from vmie.guest.tree import Tree

KERNEL = "6.1.0-25-amd64"
OPTIONS = (
    "root=UUID=2f1e resume=/dev/vg/swap rd.lvm.lv=vg/root cryptdevice=UUID=1:r rd.luks.name=a=b ifname=lan0:0:50:56"
)
LOOK = "set root='hd0,msdos1'\n search --no-floppy --fs-uuid --set=root --hint-bios=hd0,msdos1 2f1e\n"
FILES: dict[str, str | bytes | Link | None] = {
    "/boot/grub/grub.cfg": f"set default=0\nmenuentry 'a' {{\n {LOOK} linux /boot/vmlinuz-{KERNEL} {OPTIONS}\n}}\n",
    "/boot/grub/menu.lst": f"default 0\ntitle a\n root (hd0,0)\n uuid 2f1e\n kernel (hd0,1)/vmlinuz {OPTIONS}\n",
    "/boot/grub2/grubenv": f"# GRUB Environment Block\nsaved_entry=a-{KERNEL}\nkernelopts={OPTIONS}\n",
    f"/boot/loader/entries/a-{KERNEL}.conf": f"title a\nlinux /vmlinuz-{KERNEL}\noptions $kernelopts {OPTIONS}\n",
    "/boot/efi/EFI/debian/grub.cfg": "search.fs_uuid 2f1e root hd0,gpt2\nconfigfile $prefix/grub.cfg\n",
    "/boot/efi/EFI/systemd/systemd-bootx64.efi": "x",
    "/boot/efi/EFI/Linux/a.efi": unified(OPTIONS.encode()),
    f"/boot/vmlinuz-{KERNEL}": "k",
    "/etc/os-release": "ID=debian\nVERSION_ID=12\n",
    "/etc/fstab": "UUID=2f1e / ext4 defaults 0 1\n/dev/mapper/vg-lv /d xfs nofail 0 0\n801 /x ext4\n",
    "/etc/crypttab": "r UUID=1 none luks,nofail\ns /dev/mapper/r /dev/urandom swap\n",
    "/etc/kernel/cmdline": OPTIONS,
    "/etc/default/grub": f'GRUB_CMDLINE_LINUX="{OPTIONS}"\n',
    "/etc/initramfs-tools/conf.d/resume": "RESUME=UUID=5a\n",
    "/etc/lvm/devices/system.devices": "VERSION=1.1.2\nIDTYPE=sys_wwid IDNAME=naa.6 DEVNAME=/dev/sda3 PVID=L PART=3\n",
    "/etc/passwd": "root:x:0:0::/root:/bin/sh\nadmin:x:1000:1000::/home/admin:/bin/sh\n",
    "/etc/shadow": "root:*:1::::::\nadmin:$6$x$y:1::::::\n",
    "/etc/ssh/sshd_config": "Port 22\nAuthorizedKeysFile %h/.keys /etc/keys/%u\nPermitRootLogin no\n",
    "/usr/sbin/sshd": "x",
    "/home/admin/.keys": "ssh-ed25519 AAAA me\n",
    "/usr/bin/cloud-init": "x",
    "/etc/cloud/cloud.cfg": "datasource_list: [ NoCloud, Ec2 ]\nnetwork: {ethernets: {a: {dhcp4: true}}}\n",
    "/etc/cloud/cloud.cfg.d/9.cfg": "datasource_list:\n  - NoCloud\nnetwork:\n  config:\n  - type: physical\n"
    "    name: eth0\n    mac_address: '00:50:56:aa:bb:cc'\n    subnets: [{type: dhcp}]\n",
    "/etc/cloud/ds-identify.cfg": "policy: search,found=all\ndatasource: Ec2\n",
    "/var/lib/cloud/seed/nocloud/network-config": "version: 1\nconfig:\n- {type: physical, name: eth0}\n",
    "/etc/netplan/a.yaml": "network: {ethernets: {e: {match: {macaddress: '0:1', driver: [x, y]}, set-name: eth0}}}\n",
    "/etc/network/interfaces": "auto eth0\niface eth0 inet dhcp\n hwaddress ether 00:50:56:aa:bb:cc\n",
    "/etc/sysconfig/network-scripts/ifcfg-eth0": "DEVICE=eth0\nBOOTPROTO=dhcp\nHWADDR=00:50:56:AA:BB:CC\nONBOOT=yes\n",
    "/etc/NetworkManager/system-connections/w": "[connection]\ntype=ethernet\n[ethernet]\nmac-address=0:1\n[match]\n",
    "/etc/systemd/network/a.network": "[Match]\nMACAddress=0:1\nDriver=x\n[Network]\nDHCP=yes\n[Link]\n",
    "/etc/systemd/network/a.link": "[Match]\nMACAddress=0:1\n[Link]\nName=lan0\n",
    "/etc/udev/rules.d/70-persistent-net.rules": 'SUBSYSTEM=="net", ATTR{address}=="0:1", NAME="lan0"\n',
}  # fmt: skip
TOKENS = (
    b"=",
    b"\n",
    b" ",
    b"{",
    b"}",
    b"[",
    b"%s" * 9,
    b"\0",
    b"root=",
    b"(hd",
    b"\x1b[2J",
    b"\xff\xfe",
    b"0" * 5000,
    b"/" * 300,
)


def test_damaged_files_are_read_and_judged() -> None:
    rng = random.Random(14)
    begin = time.process_time()
    found = 0
    for _ in range(150):
        files = dict(FILES)
        for path in rng.sample(sorted(files), rng.randint(1, 6)):
            node = files[path]
            assert node is not None
            files[path] = damaged(rng, node if isinstance(node, bytes) else node.encode(), tokens=TOKENS)
            if rng.random() < 0.1:
                del files[path]
        told = inspect(Tree(Files(files), budget=Budget()), known(), volume="disk 0 partition 1", disk=0)
        judged = judge(guest(roots=(told,)))
        assert all(finding.message.isprintable() for finding in judged)
        found += any(finding.rule == "VMIE-NET-010" for finding in judged)
    assert found > 100  # most damage leaves most of it readable
    assert time.process_time() - begin < 60
