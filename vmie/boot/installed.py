"""What is installed to start disks with: QEMU and, for UEFI, its firmware."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vmie.errors import Action, Run, UsageError

PROGRAM = "qemu-system-x86_64"
_KVM = Path("/dev/kvm")
_CPU = Path("/proc/cpuinfo")

#: firmware and its variables where distributions keep them: Debian, Fedora, Arch, SUSE, what QEMU brings itself
PLACES = (
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
    ("/usr/share/edk2-ovmf/x64/OVMF_CODE.fd", "/usr/share/edk2-ovmf/x64/OVMF_VARS.fd"),
    ("/usr/share/qemu/ovmf-x86_64-code.bin", "/usr/share/qemu/ovmf-x86_64-vars.bin"),
    ("/usr/share/qemu/edk2-x86_64-code.fd", "/usr/share/qemu/edk2-i386-vars.fd"),
    ("/opt/homebrew/share/qemu/edk2-x86_64-code.fd", "/opt/homebrew/share/qemu/edk2-i386-vars.fd"),
    ("/usr/local/share/qemu/edk2-x86_64-code.fd", "/usr/local/share/qemu/edk2-i386-vars.fd"),
)
#: what installs, and the packages of QEMU, the firmware and the TPM there
_INSTALLERS: dict[str, tuple[tuple[str, ...], tuple[str, str, str]]] = {
    "apt-get": (("apt-get", "install", "--no-install-recommends"), ("qemu-system-x86", "ovmf", "swtpm")),
    "dnf": (("dnf", "install"), ("qemu-system-x86-core", "edk2-ovmf", "swtpm")),
    "zypper": (("zypper", "install"), ("qemu-x86", "qemu-ovmf-x86_64", "swtpm")),
    "pacman": (("pacman", "-S"), ("qemu-system-x86", "edk2-ovmf", "swtpm")),
    "apk": (("apk", "add"), ("qemu-system-x86_64", "ovmf", "swtpm")),
    "brew": (("brew", "install"), ("qemu", "qemu", "swtpm")),
}
_QEMU, _FIRMWARE, _TPM = range(3)


@dataclass(frozen=True, slots=True)
class Uefi:
    """Firmware that is only read, and the variables that a machine gets a copy of."""

    code: Path
    variables: Path


def qemu() -> str:
    """The program's path. Raises UsageError (NoQemu) with the command that installs it."""
    found = shutil.which(PROGRAM)
    if found is None:
        raise UsageError(
            f"{PROGRAM} is not installed",
            cause="a disk is started in QEMU",
            cure=_install(_QEMU),
            code="NoQemu",
        )
    return found


def kvm(device: Path = _KVM, cpu: Path = _CPU) -> bool:
    """Whether KVM can start a machine: not only is its device there, the processor has what runs real mode, too.

    A hypervisor may offer the device without (PVM): firmware is interpreted then, at a thousandth of the speed.
    """
    if not os.access(device, os.R_OK | os.W_OK):
        return False
    try:
        return (
            re.search(r"^flags\s*:.* (?:vmx|svm)\b", cpu.read_text(encoding="ascii", errors="replace"), re.M)
            is not None
        )
    except OSError:
        return False


def uefi(places: Sequence[tuple[str, str]] = PLACES) -> Uefi:
    """The firmware for UEFI. Raises UsageError (NoUefiFirmware) with the command that installs it."""
    for code, variables in places:
        if Path(code).is_file() and Path(variables).is_file():
            return Uefi(Path(code), Path(variables))
    raise UsageError(
        "the firmware OVMF is not installed",
        cause="this disk is started by UEFI, and QEMU needs a firmware for that",
        cure=_install(_FIRMWARE),
        code="NoUefiFirmware",
    )


def swtpm() -> str:
    """The path of the program. Raises UsageError (NoTpm) with the command that installs it."""
    found = shutil.which("swtpm")
    if found is None:
        raise UsageError(
            "swtpm is not installed", cause="the machine was to have a TPM", cure=_install(_TPM), code="NoTpm"
        )
    return found


def _install(which: int) -> tuple[Action, ...]:
    for program, (command, packages) in _INSTALLERS.items():
        if shutil.which(program):
            return (Run((*command, packages[which]), "as root, or with sudo"),)
    return (Run(("apt-get", "install", _INSTALLERS["apt-get"][1][which]), "the name of the package in Debian"),)
