"""Devices that the boot names: found by one resolver, and judged by what the boot does without them."""

from __future__ import annotations

import struct
from collections.abc import Mapping

import pytest

from tests.guests import Files, Link, tree
from vmie.guest.linux import bootloader
from vmie.guest.linux.boot_devices import boot_devices, lvm_bound, opened
from vmie.guest.linux.devices import Devices, names_of, names_of_array, names_of_volume
from vmie.guest.linux_facts import BootDevice, Effect

HERE, GONE = "2f1ed7d2-5d0a-4c1c-9b86-2a4f0c0f9d51", "deadbeef-0000-4000-8000-000000000000"
LUKS, RAID = "11111111-2222-3333-4444-555555555555", "0a1b2c3d-0a1b-2c3d-0a1b-2c3d0a1b2c3d"
KERNEL = "6.1.0-25-amd64"
Tree = Mapping[str, str | bytes | Link | None]

ENTRY = """menuentry '{title}' {{
  {before}
  linux /boot/vmlinuz-{kernel} {options}
  initrd /boot/initrd.img-{kernel}
}}
"""


def known(**more: bool) -> Devices:
    """One disk: the root, a volume group with two volumes, an encrypted volume, half a RAID."""
    found = Devices(disks=1)
    found.add(0, names_of(uuid=HERE, label="root", partuuid="cafe-01", partlabel="linux"))
    found.add(1, names_of_volume("vg-a", "lv-b", uuids=("abc-d", "efg-h")))
    found.add(2, names_of_volume("rhel", "root"))
    found.add(3, names_of(uuid=LUKS))
    found.add(4, names_of_array(RAID, "host:data"))
    found.groups = {"vg-a", "rhel"}
    found.logical = 2
    found.partitions = {(0, 1): 0, (0, 2): 3}
    for name, value in more.items():
        setattr(found, name, value)
    return found


def entry(options: str, *, before: str = "", title: str = "Linux") -> str:
    return ENTRY.format(title=title, before=before, kernel=KERNEL, options=options)


def guest(config: str, more: Tree | None = None) -> dict[str, str | bytes | Link | None]:
    files = {f"/boot/vmlinuz-{KERNEL}": "k", f"/boot/initrd.img-{KERNEL}": "i", "/boot/grub/grub.cfg": config}
    return {**files, **(more or {})}


def look(files: Tree, devices: Devices | None = None) -> list[BootDevice]:
    found, devices = tree(files), devices or known()
    boot = bootloader.boot(found)
    return list(boot_devices(found, boot, devices.opening(opened(found, [e.cmdline for e in boot.entries]))))


def told(options: str, more: Tree | None = None) -> list[tuple[str, Effect, bool | None]]:
    return [(one.option, one.effect, one.present) for one in look(guest(entry(options), more))]


@pytest.mark.parametrize(
    "root",
    [
        f"UUID={HERE}",
        f'"UUID={HERE.upper()}"',
        "LABEL=root",
        "PARTUUID=CAFE-01",
        "PARTUUID=cafe-01/PARTNROFF=1",
        "PARTLABEL=linux",
        f"/dev/disk/by-uuid/{HERE}",
        f"block:/dev/disk/by-uuid/{HERE}",
        "/dev/disk/by-label/root",
        "/dev/disk/by-id/dm-uuid-LVM-abcdefgh",
        "/dev/rhel/root",
        "/dev/mapper/rhel-root",
        "/dev/mapper/vg--a-lv--b",
        "/dev/sda1",
        "/dev/vdb1",  # the second disk there, the first one here: BOOT-013 says that the name changes
        "/dev/nvme0n1p2",
        "801",
        "0x0801",
        "8:2",
        "ca01",
        f"/dev/mapper/luks-{LUKS}",
        "live:CDLABEL=x",
        "zfs:rpool/root",
        "/dev/ram0",
        "UUID=$unset",
        "gpt-auto",
    ],
)
def test_a_root_that_is_there_or_that_no_image_could_lack(root: str) -> None:
    assert told(f"root={root} ro quiet") == []


@pytest.mark.parametrize(
    "root", ["/dev/nfs", "nfs:10.0.0.1:/export", "nfs4:server:/x", "dhcp", "iscsi:1.2.3.4::::iqn.x"]
)
def test_whether_a_root_on_a_server_can_be_had_is_not_known(root: str) -> None:
    assert told(f"root={root} ro quiet") == [(f"root={root}", Effect.STOPS, None)]


def test_where_changes_are_kept_is_waited_for() -> None:
    assert told(f"root=UUID={HERE} overlayroot=UUID={HERE}") == []
    assert told(f"root=UUID={HERE} overlayroot=tmpfs:swap=1") == []
    gone = f"overlayroot=device:dev=UUID={GONE},timeout=20"
    assert told(f"root=UUID={HERE} {gone}") == [(gone, Effect.WAITS, False)]
    conf = {"/etc/overlayroot.conf": '# dev\noverlayroot_cfgdisk="disabled"\noverlayroot="LABEL=data"\n'}
    assert told(f"root=UUID={HERE}", conf) == [("overlayroot=LABEL=data", Effect.WAITS, False)]


@pytest.mark.parametrize(
    "root",
    [
        f"UUID={GONE}",
        "LABEL=ROOT",
        "PARTUUID=cafe-02",
        "PARTLABEL=other",
        f"/dev/disk/by-uuid/{GONE}",
        "/dev/disk/by-partuuid/cafe-02",
        "/dev/oldvg/root",
        "/dev/mapper/oldvg-root",
        "/dev/mapper/vg-a-lv-b",
        "/dev/mapper/vg--a-lv-b",
        "/dev/sda5",
        "805",
        "8:5",
        "/dev/md0",
        "/dev/dm-9",
        f"/dev/mapper/luks-{GONE}",
    ],
)
def test_a_root_that_is_not_there_stops_the_boot(root: str) -> None:
    assert told(f"root={root} ro quiet") == [(f"root={root}", Effect.STOPS, False)]
    assert [one.present for one in look(guest(entry(f"root={root}")), known(opaque=True, arrays=True))] in ([None], [])


def test_variables_of_grub() -> None:
    config = f"set uuid={GONE}\n" + entry("root=UUID=${uuid} ro $unset quiet")
    assert [one.option for one in look(guest(config))] == [f"root=UUID={GONE}"]
    assert look(guest(config.replace(GONE, HERE))) == []
    found = bootloader.boot(tree(guest(config)))
    assert found.cmdline == f"root=UUID={GONE} ro quiet"


def test_the_last_root_counts() -> None:
    assert told(f"root=UUID={GONE} quiet root=UUID={HERE}") == []


ROOT = f"root=UUID={HERE}"


@pytest.mark.parametrize(
    ("option", "effect"),
    [
        ("rd.lvm.lv=rhel/swap", Effect.STOPS),
        ("rd_LVM_LV=rhel/swap", Effect.STOPS),
        ("rd.lvm.vg=centos", Effect.STOPS),
        (f"rd.luks.uuid=luks-{GONE}", Effect.STOPS),
        (f"rd_LUKS_UUID={GONE}", Effect.STOPS),
        (f"rd.luks.name={GONE}=data", Effect.WAITS),
        ("rd.md.uuid=deadbeef:deadbeef:deadbeef:deadbeef", Effect.STOPS),
        (f"cryptdevice=UUID={GONE}:data:allow-discards", Effect.WAITS),
        (f"resume=UUID={GONE}", Effect.WAITS),
        ("resume=/dev/mapper/rhel-swap", Effect.WAITS),
    ],
)
def test_what_else_the_kernel_is_given(option: str, effect: Effect) -> None:
    assert told(f"{ROOT} {option}") == [(option, effect, False)]


@pytest.mark.parametrize(
    "option",
    [
        "rd.lvm.lv=rhel/root",
        "rd.lvm.lv=vg-a/lv-b",
        "rd.lvm.vg=vg-a",
        f"rd.luks.uuid=luks-{LUKS}",
        "rd.luks.uuid=11111111-2222",
        "rd.md.uuid=0a1b2c3d:0a1b2c3d:0a1b2c3d:0a1b2c3d",
        f"rd.md.uuid={RAID}",
        f"cryptdevice=UUID={LUKS}:data",
        f"resume=UUID={HERE}",
        f"noresume resume=UUID={GONE}",
        "rd.lvm.lv=rhel/swap rd.lvm=0",
    ],
)
def test_what_is_there_or_switched_off(option: str) -> None:
    assert told(f"{ROOT} {option}") == []


def test_initramfs_tools_reads_no_option_of_dracut() -> None:
    assert told(f"{ROOT} rd.lvm.lv=rhel/swap", {"/usr/share/initramfs-tools/init": ""}) == []
    both = {"/usr/share/initramfs-tools/init": "", "/usr/lib/dracut/dracut-functions.sh": ""}
    assert told(f"{ROOT} rd.lvm.lv=rhel/swap", both) == [("rd.lvm.lv=rhel/swap", Effect.STOPS, False)]


def test_a_name_that_is_opened_leads_to_its_source() -> None:
    assert told("root=/dev/mapper/r", {"/etc/crypttab": f"r UUID={LUKS} none luks\n"}) == []
    assert told(f"root=/dev/mapper/r cryptdevice=UUID={LUKS}:r") == []
    found = told("root=/dev/mapper/r", {"/etc/crypttab": f"r UUID={GONE} none luks\n"})
    assert found == [("root=/dev/mapper/r", Effect.STOPS, False), (f"r UUID={GONE}", Effect.WAITS, False)]
    loop = {"/etc/crypttab": "a /dev/mapper/b\nb /dev/mapper/a\n"}
    assert ("root=/dev/mapper/a", Effect.STOPS, False) in told("root=/dev/mapper/a", loop)


def test_crypttab() -> None:
    lines = (
        f"one UUID={GONE} none luks\ntwo UUID={GONE} none luks,nofail\nthree UUID={LUKS}\nfour /data/file none luks\n"
    )
    assert told(ROOT, {"/etc/crypttab": lines}) == [(f"one UUID={GONE}", Effect.WAITS, False)]


def test_other_entries_are_told_apart_from_the_default_one() -> None:
    config = entry(ROOT) + "submenu 'more' {\n" + entry(f"root=UUID={GONE}", title="old") + "}\n"
    (found,) = look(guest(config))
    assert (found.entry, found.default, found.option) == ("old", False, f"root=UUID={GONE}")
    (found,) = look(guest('set default="1>0"\n' + config))
    assert (found.entry, found.default) == ("old", True)


def test_what_kernels_that_come_later_are_given() -> None:
    more = {
        "/etc/kernel/cmdline": f"root=UUID={GONE} ro\n",
        "/etc/default/grub": 'GRUB_CMDLINE_LINUX="rd.lvm.lv=rhel/swap"\n',
    }
    assert told(ROOT, more) == [
        (f"root=UUID={GONE}", Effect.LATER, False),
        ("rd.lvm.lv=rhel/swap", Effect.LATER, False),
    ]


def test_resume_of_initramfs_tools() -> None:
    path = "/etc/initramfs-tools/conf.d/resume"
    assert told(ROOT, {path: f"RESUME=UUID={GONE}\n"}) == [(f"RESUME=UUID={GONE}", Effect.WAITS, False)]
    assert told(ROOT, {path: "RESUME=auto\n"}) == told(ROOT, {path: f"RESUME=UUID={HERE}\n"}) == []


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (f"search --no-floppy --fs-uuid --set=root {HERE}", None),
        (f"search --no-floppy --fs-uuid --set=root --hint-bios=hd0,msdos1 {HERE}", None),
        (f"search --fs-uuid --set {HERE}", None),
        ("search --label --set=root root", None),
        (f"set root='hd0,msdos9'\n  search --fs-uuid --set=root {HERE}", None),
        ("set root='hd0,msdos1'", None),
        ("set root=(hd0,1)", None),
        ("set root='lvm/vg--a-lv--b'", None),
        ("set root='mduuid/0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d'", None),
        ("search --file --set=root /boot/vmlinuz", None),
        ("set root='cd0'", None),
        # GRUB stays where its configuration lies, and the kernel is there too
        (f"search --no-floppy --fs-uuid --set=root {GONE}", Effect.WAITS),
        (f"set root='hd0,msdos1'\n  search --fs-uuid --set=root {GONE}", Effect.WAITS),
        (f"set root='hd0,gpt7'\n  search --fs-uuid --set=root {GONE}", Effect.STOPS),
        ("set root='hd0,msdos9'", Effect.STOPS),
        ("set root='hd4,msdos1'", Effect.STOPS),
        ("set root='lvm/oldvg-root'", Effect.STOPS),
    ],
)
def test_where_grub2_looks_for_the_kernel(before: str, expected: Effect | None) -> None:
    found = look(guest(entry(ROOT, before=before)))
    assert [one.effect for one in found] == ([expected] if expected else [])


def test_a_vain_search_is_the_end_when_the_kernel_lies_elsewhere() -> None:
    found = tree({"/boot/grub/grub.cfg": entry(ROOT, before=f"search --fs-uuid --set=root {GONE}")})
    found.mount("/boot/efi", Files({"/vmlinuz": "k"}))
    boot = bootloader.boot(found)
    (one,) = boot_devices(found, boot, known())
    assert (one.option, one.effect) == (f"search --fs-uuid {GONE}", Effect.STOPS)


def test_the_stub_on_the_efi_partition() -> None:
    stub = "search.fs_uuid {} root hd0,gpt2\nset prefix=($root)/boot/grub\nconfigfile $prefix/grub.cfg\n"
    path = "/boot/efi/EFI/ubuntu/grub.cfg"
    assert look(guest(entry(ROOT), {path: stub.format(HERE)})) == []
    (found,) = look(guest(entry(ROOT), {path: stub.format(GONE)}))
    assert (found.where, found.uefi, found.present) == (path, True, False)


BLS = """insmod blscfg
search --fs-uuid --set=root {}
search --fs-uuid --set=boot {}
blscfg
set kernelopts="root=UUID={} ro"
"""


def test_boot_loader_specification_entries() -> None:
    config = (
        f"title Linux\nlinux /vmlinuz-{KERNEL}\ninitrd /initrd.img-{KERNEL}\noptions $kernelopts rd.lvm.lv=rhel/swap\n"
    )
    files = {
        f"/boot/vmlinuz-{KERNEL}": "k",
        f"/boot/loader/entries/a-{KERNEL}.conf": config,
        "/boot/grub2/grub.cfg": BLS.format(HERE, HERE, GONE),
        "/boot/grub2/grubenv": f"saved_entry=a-{KERNEL}\nkernelopts=root=UUID={HERE} ro\n",
    }
    assert [one.option for one in look(files)] == ["rd.lvm.lv=rhel/swap"]
    del files["/boot/grub2/grubenv"]
    assert [one.option for one in look(files)] == [f"root=UUID={GONE}", "rd.lvm.lv=rhel/swap"]
    files["/boot/grub2/grub.cfg"] = BLS.format(GONE, HERE, HERE)
    assert next((one.option, one.effect) for one in look(files)) == (f"search --fs-uuid {GONE}", Effect.WAITS)


@pytest.mark.parametrize(
    ("line", "option"),
    [
        ("root (hd0,0)", None),
        ("root (hd0,1)", None),
        ("root (hd0,4)", "root (hd0,4)"),
        ("root (hd1,0)", "root (hd1,0)"),
        (f"uuid {HERE}", None),
        (f"uuid {GONE}", f"uuid {GONE}"),
    ],
)
def test_grub_legacy(line: str, option: str | None) -> None:
    text = f"default 0\ntitle x\n {line}\n kernel /vmlinuz-{KERNEL} ro root=/dev/VolGroup00/LogVol00\n"
    found = look({f"/boot/vmlinuz-{KERNEL}": "k", "/boot/grub/menu.lst": text})
    assert [one.option for one in found] == [*([option] if option else []), "root=/dev/VolGroup00/LogVol00"]


def test_other_boot_loaders() -> None:
    append = (
        f"LABEL a\n LINUX /boot/vmlinuz-{KERNEL}\n APPEND root=UUID={GONE}\nLABEL b\n MENU DEFAULT\n APPEND {ROOT}\n"
    )
    kernel = {f"/boot/vmlinuz-{KERNEL}": "k"}
    (found,) = look({**kernel, "/boot/extlinux/extlinux.conf": append})
    assert (found.entry, found.default) == ("a", False)
    lilo = f"root=/dev/sda7\nimage=/boot/vmlinuz-{KERNEL}\n label=x\n"
    assert [one.option for one in look({**kernel, "/etc/lilo.conf": lilo})] == ["root=/dev/sda7"]
    systemd = {
        "/boot/efi/loader/loader.conf": "default arch*\n",
        "/boot/efi/loader/entries/arch.conf": f"linux /vmlinuz\noptions root=PARTUUID={GONE}\n",
        "/boot/efi/vmlinuz": "k",
    }
    assert [one.option for one in look(systemd)] == [f"root=PARTUUID={GONE}"]


def unified(options: bytes) -> bytes:
    """A unified kernel image of one section."""
    head = bytearray(0x400)
    head[:2], head[60:64] = b"MZ", (0x80).to_bytes(4, "little")
    head[0x80:0x84] = b"PE\0\0"
    struct.pack_into("<HH12xHH", head, 0x84, 0x8664, 1, 240, 0)
    struct.pack_into("<8sIIII", head, 0x84 + 20 + 240, b".cmdline", len(options), 0x1000, 0x200, 0x400)
    return bytes(head) + options.ljust(0x200, b"\0")


def test_the_options_inside_a_unified_kernel_image() -> None:
    image = "/boot/efi/EFI/Linux/linux-6.9.efi"
    files: Tree = {"/boot/efi/EFI/systemd/x": "", image: unified(f"root=UUID={GONE} ro".encode())}
    assert [one.option for one in look(files)] == [f"root=UUID={GONE}"]
    for damaged in (b"MZ", unified(b"")[:0x90], b"MZ" + b"\xff" * 600):
        assert look({**files, image: damaged}) == []


def test_lvm_that_uses_certain_disks_only() -> None:
    file = "/etc/lvm/devices/system.devices"
    lines = (
        "# LVM uses devices listed in this file.\nVERSION=1.1.2\n"
        "IDTYPE=sys_wwid IDNAME=naa.6000c29 DEVNAME=/dev/sda3 PVID=LHWedIRT PART=3\n"
        "IDTYPE=devname IDNAME=/dev/sdb1 DEVNAME=/dev/sdb1 PVID=9dRHhFlP\n"
    )
    assert lvm_bound(tree({file: lines})) == ("sys_wwid naa.6000c29",)
    assert lvm_bound(tree({file: lines, "/etc/lvm/lvm.conf": "devices {\n\tuse_devicesfile = 0\n}\n"})) == ()
    assert lvm_bound(tree({})) == ()


def test_firmwares_first_disk_need_not_be_the_first_file() -> None:
    known_disks = known()
    known_disks.disks, known_disks.partitions = 2, {(1, 1): 0}
    assert look(guest(entry(ROOT, before="set root='hd0,msdos1'")), known_disks) == []
    assert len(look(guest(entry(ROOT, before="set root='hd0,msdos2'")), known_disks)) == 1


@pytest.mark.parametrize(
    "text", ["{" * 5000, "a" * 100_000, "\n" * 100_000, "x = " * 9999, "\0" * 99, "a b c d\n" * 9999]
)
def test_garbage_in_what_names_devices_ends(text: str) -> None:
    paths = ("/etc/crypttab", "/etc/kernel/cmdline", "/etc/default/grub", "/etc/initramfs-tools/conf.d/resume")
    assert len(look(guest(entry(ROOT), dict.fromkeys(paths, text)))) < 600


def test_hostile_configurations_end() -> None:
    for text in (entry("root=" + "x" * 100_000), entry(" ".join(["rd.lvm.lv=a/b"] * 100_000)), "search\n" * 10_000):
        assert len(look(guest(text + "search --set=root --fs-uuid\nset root=\n"))) < 10
