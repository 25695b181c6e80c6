"""Which kernel boots by default, from configurations as the distributions write them."""

from __future__ import annotations

import struct

import pytest

from tests.guests import Files, Link, tree
from vmie.guest.linux import bls, bootloader, grub, kernels
from vmie.guest.linux.kernels import sort_key
from vmie.guest.linux_facts import Bootloader

OLD, NEW = "5.10.0-9-amd64", "5.10.0-28-amd64"


def installed(*versions: str) -> dict[str, str]:
    files = {"/etc/os-release": "ID=debian\n"}
    for version in versions:
        files |= {
            f"/boot/vmlinuz-{version}": "kernel",
            f"/boot/initrd.img-{version}": "initramfs",
            f"/lib/modules/{version}/modules.dep": "",
        }
    return files


DEBIAN = f"""
if [ -s $prefix/grubenv ]; then
  set have_grubenv=true
  load_env
fi
if [ "${{next_entry}}" ] ; then
   set default="${{next_entry}}"
   set next_entry=
else
   set default="DEFAULT"
fi
menuentry_id_option="--id"
function savedefault {{
  if [ -z "${{boot_once}}" ]; then
    saved_entry="${{chosen}}"
  fi
}}
menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple-1234' {{
	load_video
	if [ x$grub_platform = xxen ]; then insmod xzio; fi
	search --no-floppy --fs-uuid --set=root 1234
	echo 'Loading …'
	linux	/boot/vmlinuz-{NEW} root=UUID=1234 ro quiet
	initrd	/boot/initrd.img-{NEW}
}}
submenu 'Advanced options for Debian GNU/Linux' $menuentry_id_option 'gnulinux-advanced-1234' {{
	menuentry 'Debian GNU/Linux, with Linux {NEW}' --class x $menuentry_id_option 'gnulinux-{NEW}-advanced-1234' {{
		linux	/boot/vmlinuz-{NEW} root=UUID=1234 ro quiet
		initrd	/boot/initrd.img-{NEW}
	}}
	menuentry 'Debian GNU/Linux, with Linux {OLD}' --class x $menuentry_id_option 'gnulinux-{OLD}-advanced-1234' {{
		linux	/boot/vmlinuz-{OLD} root=UUID=1234 ro single
		initrd	/boot/early.cpio /boot/initrd.img-{OLD}
	}}
}}
"""


def default(files: dict[str, str]) -> tuple[Bootloader, str, str]:
    found = tree(files)
    boot = bootloader.boot(found)
    _, version = kernels.of_images(found, kernels.kernels(found), boot.images)
    return boot.loader, version, boot.cmdline


@pytest.mark.parametrize(
    ("setting", "environment", "version"),
    [
        ("0", "", NEW),
        ("1>1", "", OLD),
        (f"gnulinux-advanced-1234>gnulinux-{OLD}-advanced-1234", "", OLD),
        (f"Advanced options for Debian GNU/Linux>Debian GNU/Linux, with Linux {OLD}", "", OLD),
        ("${saved_entry}", "", NEW),
        ("${saved_entry}", f"saved_entry=gnulinux-advanced-1234>gnulinux-{OLD}-advanced-1234\n", OLD),
        ("${saved_entry}", "saved_entry=no such entry\n", NEW),
        ("0", "next_entry=1>1\n", OLD),
        ("99", "", NEW),
        ("²", "", NEW),
        ("1>²", "", NEW),
        (">>>", "", NEW),
    ],
)
def test_grub2(setting: str, environment: str, version: str) -> None:
    files = installed(OLD, NEW) | {"/boot/grub/grub.cfg": DEBIAN.replace("DEFAULT", setting)}
    if environment:
        files["/boot/grub/grubenv"] = ("# GRUB Environment Block\n" + environment).ljust(1024, "#")
    loader, found, _ = default(files)
    assert loader is Bootloader.GRUB2
    assert found == version


def test_grub2_initramfs_is_the_last_named_and_belongs_to_the_kernel() -> None:
    files = installed(OLD, NEW) | {"/boot/grub/grub.cfg": DEBIAN.replace("DEFAULT", "1>1"), "/boot/early.cpio": "x"}
    found = tree(files)
    boot = bootloader.boot(found)
    marked, _ = kernels.of_images(found, kernels.kernels(found), boot.images)
    chosen = next(kernel for kernel in marked if kernel.default)
    assert (chosen.initramfs, boot.cmdline) == (f"/boot/initrd.img-{OLD}", "root=UUID=1234 ro single")


BLS = """
set default="${saved_entry}"
insmod blscfg
blscfg
set kernelopts="root=/dev/mapper/rhel-root ro "
"""


def bls_files(*names: str) -> dict[str, str]:
    files = {}
    for name in names:
        version = name.split("-", 1)[1]
        files[f"/boot/loader/entries/{name}.conf"] = (
            f"title Red Hat ({version})\nversion {version}\nlinux /vmlinuz-{version}\n"
            f"initrd /initramfs-{version}.img $tuned_initrd\noptions $kernelopts $tuned_params quiet\n"
        )
        files |= {
            f"/boot/vmlinuz-{version}": "k",
            f"/boot/initramfs-{version}.img": "i",
            f"/lib/modules/{version}/x": "",
        }
    return files


IDS = ("abc-4.18.0-80.el8.x86_64", "abc-4.18.0-348.el8.x86_64", "abc-0-rescue-abc")


def test_bls_takes_the_saved_entry() -> None:
    files = bls_files(*IDS) | {
        "/boot/grub2/grub.cfg": BLS,
        "/boot/grub2/grubenv": f"saved_entry={IDS[0]}\nkernelopts=root=UUID=9 ro\n",
    }
    loader, version, cmdline = default(files)
    assert (loader, version, cmdline.split()) == (
        Bootloader.BLS,
        "4.18.0-80.el8.x86_64",
        ["root=UUID=9", "ro", "quiet"],
    )


@pytest.mark.parametrize("environment", ["", "saved_entry=gone\n", "kernelopts=x\n"])
def test_bls_without_a_usable_saved_entry_takes_the_newest(environment: str) -> None:
    files = bls_files(*IDS) | {"/boot/grub2/grub.cfg": BLS}
    if environment:
        files["/boot/grub2/grubenv"] = environment
    found = tree(files)
    boot = bootloader.boot(found)
    assert boot.images.kernel == "/boot/vmlinuz-4.18.0-348.el8.x86_64"
    assert (boot.bls, boot.bls_entries, boot.grubenv) == (True, 3, bool(environment))
    assert boot.saved_entry == ("gone" if "gone" in environment else "")


def test_bls_with_a_boot_partition_of_its_own() -> None:
    found = tree({"/boot": None, "/lib/modules": None})
    files = {path.removeprefix("/boot"): text for path, text in bls_files(*IDS).items() if path.startswith("/boot/")}
    found.mount("/boot", Files(files | {"/grub2/grub.cfg": BLS}))
    assert bootloader.boot(found).images.kernel == "/boot/vmlinuz-4.18.0-348.el8.x86_64"


LEGACY = f"""
default=DEFAULT
timeout=5
hiddenmenu
title CentOS (new)
	root (hd0,0)
	kernel /vmlinuz-{NEW} ro root=/dev/VolGroup/lv_root rhgb
	initrd /initrd.img-{NEW}
title CentOS (old)
	kernel (hd0,0)/vmlinuz-{OLD} ro root=/dev/sda1
	initrd (hd0,0)/initrd.img-{OLD}
title Xen
	kernel /xen.gz dom0_mem=1G
	module /vmlinuz-{OLD} root=/dev/sda1 xen
	module /initrd.img-{OLD}
"""


@pytest.mark.parametrize(
    ("wanted", "version", "root"),
    [
        ("0", NEW, "/dev/VolGroup/lv_root"),
        ("1", OLD, "/dev/sda1"),
        ("2", OLD, "/dev/sda1"),
        ("saved", NEW, None),
        ("7", NEW, None),
    ],
)
def test_grub_legacy(wanted: str, version: str, root: str | None) -> None:
    text = LEGACY.replace("DEFAULT", wanted)
    files = installed(OLD, NEW) | {"/boot/grub/grub.conf": text, "/boot/grub/menu.lst": Link("./grub.conf")}
    loader, found, cmdline = default(files)
    assert (loader, found) == (Bootloader.GRUB_LEGACY, version)
    assert root is None or f"root={root}" in cmdline
    assert bootloader.boot(tree(files)).configs == ("/boot/grub/grub.conf",)


def test_words_of_a_menu_lst_are_parted_by_tabs_too() -> None:
    """As update-grub of Debian 4 and 5 writes them."""
    text = LEGACY.replace("DEFAULT", "1").replace("title ", "title\t\t").replace("kernel ", "kernel\t\t")
    loader, found, _ = default(installed(OLD, NEW) | {"/boot/grub/menu.lst": text})
    assert (loader, found) == (Bootloader.GRUB_LEGACY, OLD)


def test_several_configurations_and_whether_they_differ() -> None:
    files = installed(NEW) | {"/boot/grub/grub.cfg": DEBIAN, "/boot/grub/menu.lst": LEGACY}
    both = bootloader.boot(tree(files))
    assert (both.configs, both.configs_differ) == (("/boot/grub/grub.cfg", "/boot/grub/menu.lst"), True)
    same = bootloader.boot(tree(installed(NEW) | {"/boot/grub/grub.cfg": DEBIAN, "/boot/grub2/grub.cfg": DEBIAN}))
    assert (len(same.configs), same.configs_differ) == (2, False)


def test_a_stub_on_the_efi_partition_does_not_count() -> None:
    stub = "search --no-floppy --fs-uuid --set=dev 1234\nset prefix=($dev)/grub2\nconfigfile $prefix/grub.cfg\n"
    files = installed(NEW) | {"/boot/grub/grub.cfg": DEBIAN, "/boot/efi/EFI/debian/grub.cfg": stub}
    assert bootloader.boot(tree(files)).configs == ("/boot/grub/grub.cfg",)


def test_systemd_boot() -> None:
    files = {
        "/boot/efi/loader/loader.conf": "timeout 3\ndefault arch-*\n",
        "/boot/efi/loader/entries/arch-lts.conf": "title Arch\nlinux /vmlinuz-linux-lts\ninitrd /i.img\n",
        "/boot/efi/loader/entries/zzz.conf": "title Other\nlinux /other\n",
        "/boot/efi/vmlinuz-linux-lts": b"x" * 0x202 + b"HdrS" + bytes(8) + b"\x10\x00" + b"6.6.30-2-lts (x@y) #1\0",
        "/boot/efi/i.img": "x",
        "/lib/modules/6.6.30-2-lts/modules.dep": "",
    }
    found = tree(files)  # type: ignore[arg-type]
    boot = bootloader.boot(found)
    marked, version = kernels.of_images(found, kernels.kernels(found), boot.images)
    assert (boot.loader, version, marked[0].modules) == (Bootloader.SYSTEMD_BOOT, "6.6.30-2-lts", True)


def _uki(**sections: str) -> bytes:
    """A PE file with these sections and nothing else."""
    head = (
        b"MZ".ljust(60, b"\0")
        + (64).to_bytes(4, "little")
        + b"PE\0\0"
        + struct.pack("<HH12xHH", 0x8664, len(sections), 0, 0)
    )
    at, table, data = len(head) + 40 * len(sections), b"", b""
    for name, text in sections.items():
        raw = text.encode()
        table += f".{name}".encode().ljust(8, b"\0") + struct.pack("<IIII16x", len(raw), 0, len(raw), at + len(data))
        data += raw
    return head + table + data


def _menu(files: dict[str, str | bytes], loader: str = "") -> tuple[str, list[str]]:
    boot = bootloader.boot(tree({"/boot/efi/loader/loader.conf": loader, **files}))
    assert boot.chosen is not None
    return boot.chosen.id, [entry.id for entry in boot.entries]


def test_systemd_boot_orders_by_sort_key_then_by_version() -> None:
    written = {
        "fedora-9": "sort-key fedora\nversion 6.9.1\n",
        "fedora-10": "sort-key fedora\nversion 6.10.0\n",
        "fedora-rc": "sort-key fedora\nversion 6.10.0~rc3\n",
        "arch": "sort-key arch\nversion 1\n",
        "zzz": "",
        "memtest": "efi-less\n",
    }
    files = {f"/boot/efi/loader/entries/{name}.conf": f"linux /{name}\n{text}" for name, text in written.items()}
    files["/boot/efi/loader/entries/memtest.conf"] = "title boots nothing\n"
    ordered = ["arch", "fedora-10", "fedora-rc", "fedora-9", "zzz"]
    assert _menu(files) == ("arch", ordered)
    assert _menu(files, "default FEDORA-*.conf\n") == ("fedora-10", ordered)
    assert _menu(files, "default @saved\n")[0] == "arch"


def test_systemd_boot_counts_tries_and_reads_both_partitions() -> None:
    files: dict[str, str | bytes] = {
        "/boot/efi/loader/entries/new+0-3.conf": "linux /new\nsort-key a\nversion 9\n",
        "/boot/loader/entries/old+2-1.conf": "linux /old\nsort-key a\nversion 8\n",
        "/boot/efi/EFI/Linux/image-7.efi": _uki(osrel="ID=a\nVERSION_ID=7\n", cmdline="root=LABEL=x ro"),
        "/boot/efi/EFI/Linux/image-8.5.efi": _uki(osrel="IMAGE_ID=a\nIMAGE_VERSION=8.5\n"),
    }
    assert _menu(files) == ("image-8.5.efi", ["image-8.5.efi", "old", "image-7.efi", "new"])
    boot = bootloader.boot(tree({"/boot/efi/loader/loader.conf": "default image-7.efi", **files}))
    assert boot.cmdline == "root=LABEL=x ro"


def test_the_last_initramfs_of_an_entry_is_the_one_with_drivers() -> None:
    folder = tree(
        {
            "/e/a.conf": "linux /k\ninitrd /intel-ucode.img\ninitrd /initramfs.img $tuned_initrd\n",
            "/e/b.conf": "linux /k\ninitrd /amd-ucode.img /initramfs.img\n",
        }
    )
    assert [entry.images.initramfs for entry in bls.read(folder, "/e")] == ["/initramfs.img"] * 2


def test_extlinux_and_lilo() -> None:
    text = (
        f"DEFAULT two\nLABEL one\n KERNEL /boot/vmlinuz-{NEW}\n"
        f"LABEL two\n LINUX ../vmlinuz-{OLD}\n APPEND root=/dev/vda1 initrd=/i\n"
    )
    loader, version, cmdline = default(installed(OLD, NEW) | {"/boot/extlinux/extlinux.conf": text})
    assert (loader, version, cmdline.split()[0]) == (Bootloader.EXTLINUX, OLD, "root=/dev/vda1")
    text = f"default=b\nimage=/boot/vmlinuz-{NEW}\n label=a\nimage=/boot/vmlinuz-{OLD}\n label=b\n root=/dev/sda1\n"
    assert default(installed(OLD, NEW) | {"/etc/lilo.conf": text}) == (Bootloader.LILO, OLD, "root=/dev/sda1 ")


def test_no_boot_loader() -> None:
    assert default(installed(NEW)) == (Bootloader.NONE, "", "")


def test_a_default_kernel_that_is_gone_is_a_problem() -> None:
    found = tree(installed(OLD) | {"/boot/grub/grub.cfg": DEBIAN.replace("DEFAULT", "0")})
    assert bootloader.boot(found).images.kernel == ""
    assert NEW in found.problems[0].where


def test_kernels_newest_first_without_links_and_leftovers() -> None:
    files = installed("6.1.0-9-amd64", "6.1.0-18-amd64", "0-rescue-abc") | {
        "/boot/vmlinuz": Link("vmlinuz-6.1.0-18-amd64"),
        "/boot/vmlinuz-6.1.0-9-amd64.old": "",
        "/boot/vmlinuz-old": Link("vmlinuz-6.1.0-9-amd64"),
        "/boot/.vmlinuz-6.1.0-9-amd64.hmac": "",
    }
    del files["/lib/modules/6.1.0-9-amd64/modules.dep"], files["/boot/initrd.img-6.1.0-9-amd64"]
    found = kernels.kernels(tree(files))
    assert [(k.version, k.has_initramfs, k.modules) for k in found] == [
        ("6.1.0-18-amd64", True, True),
        ("6.1.0-9-amd64", False, False),
        ("0-rescue-abc", True, True),
    ]


@pytest.mark.parametrize("name", ["initramfs-{}.img", "initrd-{}", "initrd-{}.img", "initrd.img-{}"])
def test_names_of_initramfs_files(name: str) -> None:
    files = {"/boot/vmlinuz-3.10.0-1.el7": "", "/boot/" + name.format("3.10.0-1.el7"): ""}
    assert kernels.kernels(tree(files))[0].initramfs == "/boot/" + name.format("3.10.0-1.el7")


def test_versions_are_ordered_as_rpm_orders_them() -> None:
    ordered = [
        "0-rescue",
        "2.6.32-71.el6",
        "2.6.32-696.el6",
        "4.18.0-80.el8",
        "4.18.0-348.2.1.el8",
        "4.18.0-348.12.el8",
        "6.1.0",
    ]
    assert sorted(set(ordered), key=sort_key) == ordered


@pytest.mark.parametrize(
    "text", ["{" * 5000, "menuentry 'x' {\n" * 5000, "}\n" * 100, "set default=\n", "menuentry {\n}\n", "\0" * 99]
)
def test_garbage_configurations_are_read_to_the_end(text: str) -> None:
    grub.choose(grub.parse(text), {})
    grub.choose_legacy(text)
    bootloader.boot(tree({"/boot/grub/grub.cfg": text, "/boot/grub/grubenv": text, "/etc/lilo.conf": text}))


def test_submenus_in_each_other_end() -> None:
    config = grub.parse("submenu 'a' {\n" * 100 + "}\n" * 100)
    assert grub.choose(config, {"saved_entry": "0>" * 100}) is None


@pytest.mark.parametrize(
    ("saved", "found"),
    [("id-6.1", True), ("id-6.1.conf", True), ("Linux 6.1", True), ("0", True), ("gone", False), ("7", False)],
)
def test_whether_saved_entry_names_a_bls_entry(saved: str, *, found: bool) -> None:
    entries = [grub.MenuEntry(title="Linux 6.1", id="id-6.1")]
    assert bls.named(entries, saved) is found
