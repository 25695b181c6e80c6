"""BOOT: firmware and boot loader."""

from __future__ import annotations

from functools import partial

from vmie.checks import predicted_messages, sources
from vmie.checks.oslist import canonical
from vmie.checks.partitions import boot_layout
from vmie.checks.rule import AS_SNAPSHOT, NOW, TODAY, Y2016, Hit, Outcome, Rule, anyway, unprepared
from vmie.checks.sources import follows, refused, seed, seen
from vmie.checks.subject import Subject
from vmie.errors import Set
from vmie.guest.disk_facts import Table
from vmie.guest.facts import Firmware
from vmie.guest.linux_facts import Bootloader
from vmie.model import Route, Verdict

_TAKEN_LOADERS = frozenset({Bootloader.GRUB_LEGACY, Bootloader.GRUB2, Bootloader.BLS})
_NO_LOADER = "the EFI system partition holds no loader, and there is no BIOS boot partition"
_NO_ESP = "its GPT has no EFI system partition with a loader, and no BIOS boot partition"
_IMAGE_SNAPSHOT = (Route.IMAGE, Route.SNAPSHOT)


def _uefi(subject: Subject, message: str) -> Outcome:
    if subject.guest.firmware is Firmware.UNKNOWN:
        return None
    return [Hit(message)] if subject.guest.firmware is Firmware.UEFI else ()


def _fallback(subject: Subject) -> Outcome:
    root = subject.linux
    if root is None or subject.guest.firmware is not Firmware.UEFI:
        return None
    if subject.guest.efi_fallback:
        return ()
    message = "the EFI system partition has no \\EFI\\BOOT\\BOOTX64.EFI"
    if canonical(root.distribution) == "debian" and _has_grub_efi(subject):
        made = f"{message}: for Debian the service makes it from GRUBX64.EFI"
        return [
            Hit(made, Verdict.WARN, routes=(Route.IMAGE,)),
            Hit(message, Verdict.WARN, routes=(Route.SNAPSHOT,)),
        ]
    return [Hit(message, routes=(Route.IMAGE,)), Hit(message, Verdict.WARN, routes=(Route.SNAPSHOT,))]


def _has_grub_efi(subject: Subject) -> bool:
    return any(path.lower().endswith("grubx64.efi") for path in subject.guest.efi_loaders)


def _grub_files(subject: Subject) -> Outcome:
    root = subject.linux
    if root is None or not root.grub_configs:
        return None
    # What lies on the EFI system partition is a stub that loads the real one.
    real = [path for path in root.grub_configs if "/efi/" not in path.lower()]
    names = [path.rsplit("/", 1)[-1] for path in real]
    listed = ", ".join(real[:4])
    if len(real) < 2 or not root.grub_configs_differ:
        return ()
    if len(set(names)) < len(names):
        return [Hit(f"several GRUB configurations that differ: {listed}")]
    kernels = [root.grub_kernels.get(path, "") for path in real]
    if len({kernel for kernel in kernels if kernel}) > 1:
        booted = ", ".join(
            f"{path} boots {kernel or 'another'}" for path, kernel in zip(real[:4], kernels, strict=False)
        )
        return [Hit(f"GRUB configurations that name different kernels: {booted}"[:400])]
    return [Hit(f"GRUB configurations of several kinds: {listed}", Verdict.WARN, may_say=True)]


def _bls(subject: Subject) -> Outcome:
    root = subject.linux
    if root is None or not root.bls:
        return None
    if root.grubenv_saved_entry and root.bls_default_found is not False:
        return ()
    if root.grubenv_saved_entry:
        named = root.grubenv_saved_entry[:100]
        return [Hit(f"grubenv's saved_entry {named} is none of the Boot Loader Specification entries")]
    what = "grubenv has no saved_entry" if root.grubenv else "there is no grubenv"
    return [Hit(f"GRUB reads Boot Loader Specification entries, and {what}: the default kernel cannot be determined")]


def _loader(subject: Subject) -> Outcome:
    root = subject.linux
    if root is None:
        return None
    if root.bootloader in _TAKEN_LOADERS:
        return ()
    if root.bootloader is Bootloader.UNKNOWN:
        return [Hit("the boot loader cannot be determined", Verdict.UNKNOWN)]
    what = "no boot loader is installed" if root.bootloader is Bootloader.NONE else f"it is {root.bootloader.value}"
    return [Hit(f"the service takes GRUB and GRUB 2: {what}")]


def _boot_code(subject: Subject) -> Outcome:
    boot, guest = boot_layout(subject), subject.guest
    if boot is None or boot.table is Table.NONE or not guest.roots:
        return None
    if guest.firmware in {Firmware.UEFI, Firmware.HYBRID}:
        return ()
    if boot.table is Table.MBR or guest.firmware is Firmware.BIOS:
        coded = any(layout.boot_code for layout in guest.disks)
        return () if coded else [Hit("the first sector of the disk holds no boot code")]
    esp = guest.efi_fallback is not None
    return [Hit(f"neither BIOS nor UEFI can start the disk: {_NO_LOADER if esp else _NO_ESP}")]


RULES: tuple[Rule, ...] = (
    Rule(
        id="VMIE-BOOT-001",
        title="The disk boots by BIOS (2016)",
        judge=partial(_uefi, message="the disk boots by UEFI, which the service did not know in 2016"),
        profiles=Y2016,
        predicts=predicted_messages.EFI,
        cure=TODAY,
        evidence=(seed(149, 153),),
    ),
    Rule(
        id="VMIE-BOOT-002",
        title="ImportInstance boots by BIOS",
        judge=partial(_uefi, message="the disk boots by UEFI, ImportInstance knows BIOS only"),
        routes=(Route.INSTANCE,),
        profiles=NOW,
        predicts=predicted_messages.EFI,
        cure=Set("route", "image", "which knows UEFI"),
        evidence=(
            refused(f"{sources.API}/API_ImportInstance.html", "there is no boot mode to give"),
            seen(
                "https://github.com/coreos/fedora-coreos-tracker/issues/406",
                "EFI partition detected. UEFI booting is not supported: before imports took a boot mode",
            ),
        ),
    ),
    Rule(
        id="VMIE-BOOT-003",
        title="A UEFI Linux has the fallback loader",
        judge=_fallback,
        routes=_IMAGE_SNAPSHOT,
        profiles=NOW,
        predicts=predicted_messages.UNKNOWN_OS,
        cure="in the guest: `grub-install --target=x86_64-efi --removable`, or copy grubx64.efi there by hand",
        without=unprepared("boot"),
        evidence=(refused(sources.LIMITATIONS, "a UEFI Linux must have the fallback loader BOOTX64.EFI"),),
    ),
    Rule(
        id="VMIE-BOOT-004",
        title="One GRUB configuration",
        judge=_grub_files,
        predicts=predicted_messages.GRUB_FILES,
        cure="keep the one that boots, remove or rename the other grub.cfg, grub.conf and menu.lst",
        evidence=(
            refused(sources.TROUBLE, "Multiple different grub/menu.lst files found: duplicates of any of them"),
            seen("https://github.com/vmware/photon/issues/1351", "the same, of a Photon OS"),
        ),
    ),
    Rule(
        id="VMIE-BOOT-005",
        title="Boot Loader Specification entries have a default",
        judge=_bls,
        predicts=predicted_messages.BLS_DEFAULT,
        cure="in the guest: `grubby --set-default /boot/vmlinuz-VERSION`, with GRUB_DEFAULT=saved, so that "
        "`grub2-editenv list` shows saved_entry",
        evidence=(
            refused(
                "https://repost.aws/knowledge-center/ami-resolve-import-export-blsc-error",
                "BLSC-style GRUB found, but unable to detect default kernel: grubenv must name it",
            ),
            seen("https://github.com/wazuh/wazuh-packages/issues/2985", "the same, of an Amazon Linux 2023"),
        ),
    ),
    Rule(
        id="VMIE-BOOT-011",
        title="The boot loader is GRUB",
        judge=_loader,
        predicts=predicted_messages.NO_KERNEL_VERSION,
        cure=("install GRUB 2 in the guest", AS_SNAPSHOT),
        evidence=(refused(sources.PREPARE, "the boot loader is GRUB legacy or GRUB 2"),),
    ),
    Rule(
        id="VMIE-BOOT-012",
        title="The disk can be started",
        judge=_boot_code,
        routes=(Route.IMAGE, Route.INSTANCE, Route.SNAPSHOT),
        verdict=Verdict.WARN,
        cure="install the boot loader (`grub-install /dev/sda`; UEFI: `grub-install --removable`; Windows: `bcdboot`)",
        without=anyway("boot"),
        evidence=(
            follows(
                "https://www.gnu.org/software/grub/manual/grub/html_node/BIOS-installation.html",
                "a BIOS starts what stands in the first sector, UEFI what lies on the EFI system partition",
            ),
        ),
    ),
)
