"""Consoles of real machines, judged. Each excerpt is of a public report, shortened to the lines that count."""

from __future__ import annotations

import re

import pytest

from vmie.boot.console import Console, read
from vmie.boot.model import BootStage, BootVerdict
from vmie.boot.signs import SignKind, signs
from vmie.checks import RULES

BOOTS, FAILS, UNKNOWN = BootVerdict

#: (excerpt, stage that was reached, the first rule that explains it)
FAILING = {
    # https://github.com/eugene-tarassov/vivado-risc-v/issues/84
    "initramfs-tools": (
        (
            "Begin: Running /scripts/local-block ... done.\r\n"
            "done.\r\n"
            "Gave up waiting for root file system device.  Common problems:\r\n"
            " - Boot args (cat /proc/cmdline)\r\n"
            "ALERT!  UUID=68d82fa1-1bb5-435f-a5e3-862176586eec does not exist.  Dropping to a shell!\r\n"
            "(initramfs) "
        ),
        BootStage.INITRAMFS,
        "VMIE-BOOT-008",
    ),
    # https://github.com/scylladb/scylla-machine-image/issues/196 and https://github.com/dracut-ng/dracut/issues/1621
    "dracut": (
        (
            "[    0.000000] Linux version 3.10.0-1160.el7.x86_64 (mockbuild@kbuilder.bsys.centos.org)\n"
            "[  129.059941] dracut-initqueue[395]: Warning: dracut-initqueue timeout - starting timeout scripts\n"
            "[  193.465900] dracut-initqueue[395]: Warning: Could not boot.\n"
            "\n"
            "Entering emergency mode. Exit the shell to continue.\n"
            'You might want to save "/run/initramfs/rdsosreport.txt" to a USB stick or /boot\n'
        ),
        BootStage.INITRAMFS,
        "VMIE-BOOT-008",
    ),
    # https://github.com/Ultramarine-Linux/bootc/issues/4
    "no initramfs": (
        (
            '[    0.981116] VFS: Cannot open root device "UUID=96991ead" or unknown-block(0,0): error -6\n'
            "[    0.987030] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\n"
            "[    0.987874] CPU: 0 UID: 0 PID: 1 Comm: swapper/0 Not tainted 6.11.2-300.fc41.x86_64 #1\n"
        ),
        BootStage.KERNEL,
        "VMIE-BOOT-008",
    ),
    # https://github.com/linuxkit/linuxkit/issues/3123
    "damaged initramfs": (
        (
            "[    1.760459] RAMDISK: gzip image found at block 0\n"
            "[    1.800889] RAMDISK: EOF while reading compressed data\n"
            '[    1.802731] VFS: Cannot open root device "(null)" or unknown-block(0,0): error -6\n'
            "[    1.879398] ---[ end Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\n"
        ),
        BootStage.KERNEL,
        "VMIE-BOOT-008",
    ),
    # https://github.com/rear/rear/issues/509
    "init missing": (
        (
            "[    2.1] Run /init as init process\n"
            "run-init: /sbin/init: No such file or directory\n"
            "[    2.699] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100\n"
        ),
        BootStage.INITRAMFS,
        "VMIE-BOOT-008",
    ),
    # https://github.com/ibm-openbmc/dev/issues/3324
    "fstab": (
        (
            "\x1b[0;1;31mFAILED\x1b[0m] Failed to mount /home.\r\n"
            "[\x1b[0;1;33mDEPEND\x1b[0m] Dependency failed for Local File Systems.\r\n"
            "[  OK  ] Started Emergency Shell.\r\n"
            "[  OK  ] Reached target Emergency Mode.\r\n"
            'You are in emergency mode. After logging in, type "journalctl -xb" to view\r\n'
            "Give root password for maintenance\r\n"
            "(or press Control-D to continue): "
        ),
        BootStage.SERVICES,
        "VMIE-LNX-004",
    ),
    # https://github.com/google-coral/edgetpu/issues/588
    "locked root": (
        ("Cannot open access to console, the root account is locked.\nSee sulogin(8) man page for more details.\n"),
        BootStage.SERVICES,
        "VMIE-LNX-004",
    ),
    # https://github.com/GalliumOS/galliumos-distro/issues/309
    "grub's device": (
        ("Booting from Hard Disk...\nerror: no such device: 7e9a0000-0000.\nEntering rescue mode...\ngrub rescue> "),
        BootStage.LOADER,
        "VMIE-BOOT-014",
    ),
    # https://github.com/grml/grml-debootstrap/issues/30
    "grub's modules": (
        ("error: file '/grub/i386-pc/normal.mod' not found.\nEntering rescue mode...\ngrub rescue> "),
        BootStage.LOADER,
        "VMIE-BOOT-014",
    ),
    # https://github.com/microvm-nix/microvm.nix/issues/132
    "SeaBIOS": (
        (
            "SeaBIOS (version rel-1.16.2-0-gea1b7a073390-prebuilt.qemu.org)\n"
            "Booting from Hard Disk...\n"
            "Boot failed: not a bootable disk\n"
            "\n"
            "No bootable device.\n"
        ),
        BootStage.FIRMWARE,
        "VMIE-BOOT-012",
    ),
    # https://github.com/kubevirt/kubevirt/issues/11789
    "OVMF": (
        (
            'BdsDxe: failed to load Boot0001 "UEFI QEMU HARDDISK QM00001 " from '
            "PciRoot(0x0)/Pci(0x1F,0x2): Not Found\r\n"
            "BdsDxe: No bootable option or device was found.\r\n"
        ),
        BootStage.FIRMWARE,
        "VMIE-BOOT-012",
    ),
    # https://github.com/cyberkernelofficial/docker-in-termux/issues/24
    "UEFI shell": (
        (
            "\x1b[2J\x1b[01;01HUEFI Interactive Shell v2.2\x1b[02;01HEDK II\x1b[03;01HUEFI v2.70 (EDK II, "
            "0x00010000)\r\n"
            "Shell> "
        ),
        BootStage.FIRMWARE,
        "VMIE-BOOT-012",
    ),
    # https://github.com/archlinux/archinstall/issues/675
    "mkinitcpio": (
        (
            ":: running early hook [udev]\n"
            "ERROR: device 'UUID=0a1b' not found. Skipping fsck.\n"
            "mount: /new_root: can't find UUID=0a1b.\n"
            "You are now being dropped into an emergency shell.\n"
        ),
        BootStage.INITRAMFS,
        "VMIE-BOOT-008",
    ),
    # https://github.com/pftf/RPi4/issues/219
    "FreeBSD": (
        (
            "Trying to mount root from ufs:/dev/ufs/rootfs [rw]...\n"
            "Mounting from ufs:/dev/ufs/rootfs failed with error 19.\n"
            "\n"
            "mountroot> "
        ),
        BootStage.ROOT,
        "VMIE-BOOT-008",
    ),
    "BOOTMGR": (
        ("Booting from Hard Disk...\nBOOTMGR is missing\nPress Ctrl+Alt+Del to restart\n"),
        BootStage.LOADER,
        "VMIE-PART-006",
    ),
    "Windows' boot manager": (
        ("Windows failed to start. A recent hardware or software change might be the cause.\n  Status: 0xc000000e\n"),
        BootStage.LOADER,
        "VMIE-BOOT-008",
    ),
    "Windows stop": (
        ("*** STOP: 0x0000007B (0xFFFFF880009A9928,0xFFFFFFFFC0000034)\n"),
        BootStage.KERNEL,
        "VMIE-BOOT-008",
    ),
}

STARTING = {
    "Debian": (
        "[  OK  ] Started ssh.service.\r\n\r\nDebian GNU/Linux 12 debian-guest ttyS0\r\n\r\ndebian-guest login: "
    ),
    "multi-user": (
        "[\x1b[0;32m  OK  \x1b[0m] Reached target \x1b[0;1;39mmulti-user.target\x1b[0m - Multi-User System.\r\n"
    ),
    "multi-user, as it was": ("[  OK  ] Reached target Multi-User System.\n"),
    "Ubuntu": (
        "[   31.9] cloud-init[1042]: Cloud-init v. 23.4.4-0ubuntu0~22.04.1 finished at Mon, "
        "12 Feb 2024 10:00:00 +0000. Datasource DataSourceEc2Local.  Up 31.90 seconds\n"
    ),
    "Amazon Linux": (
        "Amazon Linux 2023\nKernel 6.1.61-85.141.amzn2023.x86_64 on an x86_64 (-)\n\n\rip-172-31-47-173 login: "
    ),
    "RHEL": ("Red Hat Enterprise Linux 9.2 (Plow)\nKernel 5.14.0-284.el9.x86_64 on an x86_64\n\nlocalhost login: "),
    "SUSE": (
        "Welcome to SUSE Linux Enterprise Server 15 SP4  (x86_64) - Kernel 5.14.21-default (ttyS0).\n"
        "\n"
        "eth0: 10.0.2.15\n"
        "\n"
        "\n"
        "linux login: "
    ),
    "Alpine": ("\nWelcome to Alpine Linux 3.18\nKernel 6.1.41-0-virt on an x86_64 (/dev/ttyS0)\n\nlocalhost login: "),
    "FreeBSD": ("Fri Nov  3 UTC 2023\n\nFreeBSD/amd64 (Amnesiac) (ttyu0)\n\nlogin: "),
    "no name": ("\n(none) login: "),
    "messages after the prompt": ("ip-10-0-0-5 login: [   20.123] cloud-init[900]: Generating locales\n"),
    "a device that is passed over": (
        "[ TIME ] Timed out waiting for device dev-sdb1.device.\n"
        "[DEPEND] Dependency failed for /data.\n"
        "[FAILED] Failed to mount /opt.\n"
        "host login: "
    ),
    "GRUB goes on": (
        "error: no such device: 1234-5678.\nLoading Linux 6.1.0 ...\n[    0.0] Linux version 6.1\nhost login: "
    ),
    "relabelled, then started anew": (
        "[    0.0] Linux version 5.14\n"
        "You are in emergency mode\n"
        "Welcome to GRUB!\n"
        "[    0.0] Linux version 5.14\n"
        "host login: "
    ),
}


@pytest.mark.parametrize("name", FAILING)
def test_what_fails_is_seen_and_explained(name: str) -> None:
    text, stage, rule = FAILING[name]
    found = read(text)
    assert (found.verdict, found.stage, found.certain) == (FAILS, stage, True)
    assert found.rules[0] == rule
    assert found.evidence


@pytest.mark.parametrize("name", STARTING)
def test_what_starts_is_not_called_bad(name: str) -> None:
    found = read(STARTING[name])
    assert (found.verdict, found.certain, found.rules) == (BOOTS, True, ())
    assert found.stage in {BootStage.SERVICES, BootStage.LOGIN}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Last login: Mon Mar  3 10:00:00 on ttyS0\n",
        "sshd: Failed login: root\n",
        "[    0.1] ACPI: Reserving memory at [mem 0xc000000e-0xc000000f]\n",
        "[  OK  ] Reached target Basic System.\n[   ***] A start job is running for /dev/sdb1 (1min 20s / no limit)\r",
        "[    0.000000] Linux version 6.1.0\n",
        "systemd[1]: Stopped target Emergency Mode.\n",
    ],
)
def test_what_shows_neither_is_unknown(text: str) -> None:
    found = read(text)
    assert (found.verdict, found.rules, found.certain) == (UNKNOWN, (), False)


def test_what_stands_still_has_failed_at_the_end_only() -> None:
    console = Console()
    console.feed("error: file `/boot/vmlinuz-6.1.0' not found.\r\n\r\nPress any key to continue...")
    assert console.reading().verdict is UNKNOWN
    last = console.reading(ended=True)
    assert (last.verdict, last.stage, last.rules[0]) == (FAILS, BootStage.LOADER, "VMIE-BOOT-014")
    console.feed("\n[    0.0] Linux version 6.1.0\n")
    assert console.reading(ended=True).verdict is UNKNOWN


def test_a_machine_that_starts_over_and_over_has_failed() -> None:
    once = "Welcome to GRUB!\n[    0.0] Linux version 6.1.0\n[    1.0] Run /init as init process\n"
    assert read(once * 2).verdict is UNKNOWN
    assert read(once * 4).verdict is FAILS


def test_grub_that_repeats_its_name_has_lost_its_second_part() -> None:
    found = read("Booting from Hard Disk...\nGRUB GRUB GRUB GRUB GRUB GRUB GRUB")
    assert (found.verdict, found.stage, found.rules[0]) == (FAILS, BootStage.LOADER, "VMIE-BOOT-012")


@pytest.mark.parametrize("name", [*FAILING, *STARTING])
def test_bytes_split_anywhere_say_the_same(name: str) -> None:
    text = (FAILING[name][0] if name in FAILING else STARTING[name]).encode()
    console = Console()
    for at in range(len(text)):
        console.feed(text[at : at + 1])
        console.reading()
    found, whole = console.reading(ended=True), read(text)
    assert (found.verdict, found.stage, found.rules) == (whole.verdict, whole.stage, whole.rules)
    assert found.last_lines == whole.last_lines


def test_a_screen_counts_each_line_once() -> None:
    console = Console()
    for _ in range(50):
        console.see(["SeaBIOS (version 1.16.2)", "", "Booting from Hard Disk..."])
    console.see(["Booting from Hard Disk...", "Boot failed: not a bootable disk", "No bootable device."])
    found = console.reading()
    assert (found.verdict, found.stage) == (FAILS, BootStage.FIRMWARE)
    assert len(found.evidence) == 4


def test_what_stands_on_the_screen_has_stopped_while_it_stands_there() -> None:
    console = Console()
    console.see(["Booting from Hard Disk..."])
    assert console.stands_still
    console.see([])  # a picture
    assert console.reading(ended=True).verdict is UNKNOWN
    console.see(["Booting from Hard Disk...", "GRUB"])
    assert console.reading(ended=True).rules[0] == "VMIE-BOOT-012"
    console.see(["Booting from Hard Disk...", "GRUB loading."])
    assert console.reading(ended=True).verdict is UNKNOWN


def test_a_hostile_guest_fills_nothing_and_drives_no_terminal() -> None:
    console = Console()
    console.feed(b"A" * 5_000_000)
    for _ in range(2000):
        console.feed("\x1b]0;title\x07\x1b[31merror: \u202eno such device\x9b2J: \x00\x08x not found\r\n")
    console.feed("\x1b]" + "x" * 100_000 + "login: \n")
    found = console.reading(ended=True)
    assert found.verdict is FAILS
    shown = [one.line for one in found.evidence] + list(found.last_lines)
    assert all(line.isprintable() and len(line) <= 200 for line in shown)
    assert len(shown) < 60


def test_the_table_names_rules_that_are_there_and_where_it_is_written_down() -> None:
    ids = {rule.id for rule in RULES}
    for sign in signs():
        assert set(sign.rules) <= ids, sign.meaning
        assert re.match(r"https://\S+$", sign.source)
        assert sign.rules == () or sign.kind not in {SignKind.STEP, SignKind.UP}
