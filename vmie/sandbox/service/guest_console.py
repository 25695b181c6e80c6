"""What a machine shows when it starts: its serial console, its screen and its status check, as its disk deserves.

The disk is judged by vmie's own rules; the first that says what a start would lack decides how far it comes. The lines
are in the form that firmware, GRUB, Linux, initramfs-tools, dracut and systemd print.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vmie.disk.base import Disk
from vmie.model import Finding, Route
from vmie.ops.check import Prospect, prospect

#: seconds of AWS's work after the launch
_FIRMWARE, _LOADER, _KERNEL, _ROOT, _LOGIN, _GIVES_UP = 6.0, 8.0, 10.0, 16.0, 35.0, 70.0
#: when status checks have looked for the first time
STATUS_AFTER = 120.0


@dataclass(frozen=True, slots=True)
class GuestConsole:
    """Lines of the serial console, each with its second; the last screen; whether the network answers."""

    lines: tuple[tuple[float, str], ...] = ()
    screen: str = ""
    reachable: bool = False

    def text(self, age: float) -> str:
        """What was printed until the machine was `age` seconds old."""
        return "".join(f"{line}\r\n" for at, line in self.lines if at <= age)


@dataclass(frozen=True, slots=True)
class InstanceHardware:
    """What the instance type and the AMI decide. `firmware` is legacy-bios or uefi."""

    nitro: bool = True
    firmware: str = "legacy-bios"
    #: the guest came by ImportImage, which puts drivers into it
    prepared: bool = False


NOT_BOOTABLE = "Booting from Hard Disk...\nBoot failed: not a bootable disk\n\nNo bootable device."
BLUE = "Your device ran into a problem and needs to restart.\nStop code: INACCESSIBLE_BOOT_DEVICE (0x7B)"

Lines = tuple[tuple[float, str], ...]

#: rules whose machine finds no loader; the others that leave it without boot let it come to its initramfs
_NO_LOADER = frozenset({"VMIE-BOOT-003", "VMIE-BOOT-012", "VMIE-PART-001", "VMIE-PART-007"})
_NO_KERNEL = frozenset({"VMIE-BOOT-007"})
_TORN_INITRAMFS = frozenset({"VMIE-BOOT-006"})
_MOUNTS = frozenset({"VMIE-LNX-001", "VMIE-LNX-004"})
_XEN_DISK, _NVME = "VMIE-BOOT-010", "VMIE-BOOT-008"
_ENA = "VMIE-BOOT-009"
#: builds with dracut; the others are taken for those with initramfs-tools
_DRACUT = ("rhel", "centos", "rocky", "alma", "fedora", "oracle", "amzn", "suse", "sles", "opensuse")


def of(disks: Sequence[Disk], hardware: InstanceHardware) -> GuestConsole:
    """The console of a machine with these disks, boot disk first."""
    return shown(prospect(disks, route=Route.IMAGE if hardware.prepared else Route.SNAPSHOT), hardware)


def good(hardware: InstanceHardware, *, system: str = "Amazon Linux 2023") -> GuestConsole:
    """The console of a machine that starts."""
    return GuestConsole((*_kernel(hardware, "6.1.0"), *_userland(system)), f"{system} tty1\n\nlogin: ", reachable=True)


def shown(found: Prospect, hardware: InstanceHardware) -> GuestConsole:
    """The console of what was found."""
    broken = {one.rule for one in found.findings if _stops(one, hardware)}
    misfit = bool(found.firmware) and hardware.firmware not in _starts(found.firmware)
    if not found.systems or misfit or broken & _NO_LOADER:
        return _no_loader(hardware)
    reachable = not broken and not _offline(found, hardware)
    if found.windows:
        return GuestConsole(screen=BLUE) if broken else GuestConsole(_WINDOWS, "Windows Server", reachable=reachable)
    if broken & _NO_KERNEL:
        return _grub("error: file `/boot/vmlinuz' not found.", "error: you need to load the kernel first.")
    ends, screen = _ending(found, broken)
    return GuestConsole((*_kernel(hardware, found.kernel or "6.1.0"), *ends), screen, reachable=reachable)


def _ending(found: Prospect, broken: set[str]) -> tuple[Lines, str]:
    """What a machine whose kernel starts prints after that, and its last screen."""
    if broken & _TORN_INITRAMFS:
        return _PANIC, "Kernel panic - not syncing: VFS"
    if broken and broken <= _MOUNTS:
        return _EMERGENCY, "You are in emergency mode."
    if broken:
        dracut = found.distribution.startswith(_DRACUT)
        return (_dracut(found.root), "dracut:/# ") if dracut else (_initramfs_tools(found.root), "(initramfs) ")
    system = found.system or "Linux"
    return _userland(system), f"{system} tty1\n\nlogin: "


def _starts(firmware: str) -> tuple[str, ...]:
    """The firmware that starts a disk made for `firmware` (bios, uefi, hybrid)."""
    known: Mapping[str, tuple[str, ...]] = {"bios": ("legacy-bios",), "uefi": ("uefi",)}
    return known.get(firmware, ("legacy-bios", "uefi"))


def _stops(one: Finding, hardware: InstanceHardware) -> bool:
    if one.rule == _NVME and not hardware.nitro:
        return False
    if one.rule == _XEN_DISK:
        return not hardware.nitro and not hardware.prepared
    return any(what == "boot" for _, what in one.without)


def _offline(found: Prospect, hardware: InstanceHardware) -> bool:
    lost = [one for one in found.findings if any(what == "network" for _, what in one.without)]
    return any(one.rule != _ENA or hardware.nitro for one in lost)


# --- the lines -----------------------------------------------------------------------------------------


def _no_loader(hardware: InstanceHardware) -> GuestConsole:
    if hardware.firmware == "legacy-bios":
        return GuestConsole(screen=NOT_BOOTABLE)
    lines = (
        (_FIRMWARE, 'BdsDxe: failed to load Boot0001 "UEFI Misc Device": Not Found'),
        (_LOADER, "UEFI Interactive Shell v2.2"),
        (_LOADER, "EDK II"),
        (_LOADER, "Shell> "),
    )
    return GuestConsole(lines, "Shell> ")


def _grub(*words: str) -> GuestConsole:
    lines = [(_LOADER, one) for one in ("GRUB loading.", "Welcome to GRUB!", "", *words)]
    return GuestConsole((*lines, (_LOADER, "Press any key to continue..."), (_LOADER + 1, "grub> ")), "grub> ")


def _kernel(hardware: InstanceHardware, version: str) -> Lines:
    first = "BdsDxe: starting Boot0001" if hardware.firmware == "uefi" else "Booting from Hard Disk..."
    hypervisor = "KVM" if hardware.nitro else "Xen"
    return (
        (_FIRMWARE, first),
        (_LOADER, "GRUB loading."),
        (_LOADER, "Welcome to GRUB!"),
        (_KERNEL, f"[    0.000000] Linux version {version} (builder@localhost) #1 SMP PREEMPT_DYNAMIC"),
        (_KERNEL, "[    0.000000] Command line: BOOT_IMAGE=/boot/vmlinuz root=UUID=0 ro console=ttyS0"),
        (_KERNEL, f"[    0.000000] Hypervisor detected: {hypervisor}"),
    )


_INIT: Lines = ((_KERNEL + 1, "[    0.412345] Run /init as init process"),)


def _userland(system: str) -> Lines:
    return (
        *_INIT,
        (_ROOT, "[    1.923456] EXT4-fs (root): mounted filesystem with ordered data mode."),
        (_ROOT, "[    2.512345] systemd[1]: Detected architecture x86-64."),
        (_ROOT, f"Welcome to \x1b[1m{system}\x1b[0m!"),
        (_ROOT + 4, "[\x1b[0;32m  OK  \x1b[0m] Reached target \x1b[0;1;39mnetwork-online.target\x1b[0m."),
        (_LOGIN - 1, "[\x1b[0;32m  OK  \x1b[0m] Reached target \x1b[0;1;39mmulti-user.target\x1b[0m."),
        (_LOGIN, ""),
        (_LOGIN, f"{system} localhost ttyS0"),
        (_LOGIN, ""),
        (_LOGIN, "localhost login: "),
    )


def _initramfs_tools(root: str) -> Lines:
    return (
        *_INIT,
        (_ROOT, "Begin: Mounting root file system ... Begin: Waiting for root file system ... done."),
        (_GIVES_UP, "Gave up waiting for root file system device.  Common problems:"),
        (_GIVES_UP, " - Boot args (cat /proc/cmdline)"),
        (_GIVES_UP, " - Missing modules (cat /proc/modules; ls /dev)"),
        (_GIVES_UP, f"ALERT!  {root or 'UUID=0'} does not exist.  Dropping to a shell!"),
        (_GIVES_UP + 1, "(initramfs) "),
    )


def _dracut(root: str) -> Lines:
    return (
        *_INIT,
        (_ROOT, "[    3.512345] dracut-initqueue[301]: Warning: dracut-initqueue: timeout, still waiting for:"),
        (_GIVES_UP, "[  182.512345] dracut-initqueue[301]: Warning: Could not boot."),
        (_GIVES_UP, f"Warning: /dev/disk/by-uuid/{root or '0'} does not exist"),
        (_GIVES_UP, 'Generating "/run/initramfs/rdsosreport.txt"'),
        (_GIVES_UP, "Entering emergency mode. Exit the shell to continue."),
        (_GIVES_UP + 1, "dracut:/# "),
    )


_PANIC: Lines = (
    (_ROOT, '[    1.412345] VFS: Cannot open root device "UUID=0" or unknown-block(0,0): error -6'),
    (_ROOT, "[    1.412346] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)"),
)
_EMERGENCY: Lines = (
    *_INIT,
    (_ROOT, "[\x1b[0;1;31m TIME \x1b[0m] Timed out waiting for device."),
    (_GIVES_UP, "[\x1b[0;1;33mDEPEND\x1b[0m] Dependency failed for Local File Systems."),
    (_GIVES_UP + 1, 'You are in emergency mode. After logging in, type "journalctl -xb" to view'),
    (_GIVES_UP + 1, "Press Enter for maintenance"),
)
_WINDOWS: Lines = ((_LOGIN, "Windows is Ready to use"),)
