"""BOOT: firmware, boot loader, kernel, initramfs and the drivers EC2 needs."""

from __future__ import annotations

from functools import partial

from vmie.checks import predicted_messages, sources
from vmie.checks.oslist import canonical
from vmie.checks.partitions import boot_layout
from vmie.checks.rule import AS_SNAPSHOT, NOW, TODAY, Y2016, Hit, Outcome, Rule
from vmie.checks.subject import Subject
from vmie.errors import Set
from vmie.guest.disk_facts import Table
from vmie.guest.facts import Firmware
from vmie.guest.linux_facts import Bootloader, DriverState, LinuxFacts
from vmie.model import Route, Verdict

_TAKEN_LOADERS = frozenset({Bootloader.GRUB_LEGACY, Bootloader.GRUB2, Bootloader.BLS})
_NO_LOADER = "the EFI system partition holds no loader, and there is no BIOS boot partition"
_NO_ESP = "its GPT has no EFI system partition with a loader, and no BIOS boot partition"
_IMAGE_SNAPSHOT = (Route.IMAGE, Route.SNAPSHOT)
#: a disk driver has to be there before the root file system is mounted, a network driver need not
_EARLY = frozenset({DriverState.BUILTIN, DriverState.INITRAMFS})


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
    return [Hit(f"GRUB configurations of several kinds: {listed}", Verdict.WARN)]


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


def _kernel(subject: Subject) -> Outcome:
    root = subject.linux
    if root is None:
        return None
    if not root.kernels:
        return [Hit("no kernel is installed under /boot")]
    if not root.default_kernel:
        return [Hit(f"{len(root.kernels)} kernels are installed, the default one is unknown", Verdict.UNKNOWN)]
    return ()


def _initramfs(subject: Subject) -> Outcome:
    root = subject.linux
    if root is None or not root.kernels:
        return None
    if root.initramfs.readable is False:
        why = f" ({root.initramfs.reason[:200]})" if root.initramfs.reason else ""
        verdict = Verdict.UNKNOWN if root.initramfs.gave_up else None
        return [Hit(f"the initramfs {root.initramfs.path} cannot be read{why}", verdict)]
    default = next((kernel for kernel in root.kernels if kernel.version == root.default_kernel), None)
    if default is None or default.has_initramfs:
        return ()
    # a kernel with its disk drivers built in boots without one
    alone = any(root.drivers.get(name) is DriverState.BUILTIN for name in ("nvme", "xen-blkfront"))
    return [Hit(f"the default kernel {default.version} has no initramfs", Verdict.WARN if alone else None)]


def _nvme(subject: Subject) -> Outcome:
    windows = subject.windows
    if subject.linux is None and windows is not None:
        message = "no NVMe driver starts with Windows: no Nitro instance can boot it without one"
        return () if windows.has_nvme else [Hit(message, routes=(Route.SNAPSHOT,))]
    return _driver(subject, ("nvme",), "the NVMe driver", early=True)


def _ena(subject: Subject) -> Outcome:
    windows = subject.windows
    if subject.linux is None and windows is not None:
        message = "the ENA driver is not installed: no network on Nitro instances"
        return () if windows.has_ena else [Hit(message, routes=(Route.SNAPSHOT,))]
    return _driver(subject, ("ena",), "the ENA network driver", early=False)


def _xen(subject: Subject) -> Outcome:
    return _driver(subject, ("xen-blkfront",), "the Xen disk driver", early=True)


def _driver(subject: Subject, names: tuple[str, ...], what: str, *, early: bool) -> Outcome:
    root: LinuxFacts | None = subject.linux
    if root is None:
        return None
    states = [root.drivers.get(name, DriverState.UNKNOWN) for name in names]
    if all(state is DriverState.UNKNOWN for state in states):
        return None
    if any(state in _EARLY or (not early and state is DriverState.MODULE) for state in states):
        return ()
    if DriverState.MODULE in states:
        return [Hit(f"{what} is not in the initramfs of {root.default_kernel or 'the default kernel'}")]
    return [Hit(f"{what} is missing from {root.default_kernel or 'the default kernel'}")]


def _root_option(subject: Subject) -> Outcome:
    root = subject.linux
    if root is None or not root.root_device:
        return None
    # Volume groups and multipath keep their names on other machines; sda, vda and the like do not.
    if root.root_device.startswith("/dev/") and "/mapper/" not in root.root_device and _by_name(root.root_device):
        return [Hit(f"the kernel gets root={root.root_device}, a name that changes on EC2")]
    return ()


def _by_name(device: str) -> bool:
    name = device.removeprefix("/dev/")
    return "/" not in name and name[:2] in {"sd", "vd", "hd", "xv", "nv", "cc"}


RULES: tuple[Rule, ...] = (
    Rule(
        id="VMIE-BOOT-001",
        title="The disk boots by BIOS (2016)",
        judge=partial(_uefi, message="the disk boots by UEFI, which the service did not know in 2016"),
        profiles=Y2016,
        predicts=predicted_messages.EFI,
        cure=TODAY,
        source=sources.seed(149, 153),
    ),
    Rule(
        id="VMIE-BOOT-002",
        title="ImportInstance boots by BIOS",
        judge=partial(_uefi, message="the disk boots by UEFI, ImportInstance knows BIOS only"),
        routes=(Route.INSTANCE,),
        profiles=NOW,
        predicts=predicted_messages.EFI,
        cure=Set("route", "image", "which knows UEFI"),
        source=sources.API_INSTANCE,
    ),
    Rule(
        id="VMIE-BOOT-003",
        title="A UEFI Linux has the fallback loader",
        judge=_fallback,
        routes=_IMAGE_SNAPSHOT,
        profiles=NOW,
        predicts=predicted_messages.UNKNOWN_OS,
        cure="in the guest: `grub-install --target=x86_64-efi --removable`, or copy grubx64.efi there by hand",
        source=sources.BOOT_MODES,
    ),
    Rule(
        id="VMIE-BOOT-004",
        title="One GRUB configuration",
        judge=_grub_files,
        predicts=predicted_messages.GRUB_FILES,
        cure="keep the one that boots, remove or rename the other grub.cfg, grub.conf and menu.lst",
        source=sources.TROUBLE,
    ),
    Rule(
        id="VMIE-BOOT-005",
        title="Boot Loader Specification entries have a default",
        judge=_bls,
        predicts=predicted_messages.BLS_DEFAULT,
        cure="in the guest: `grubby --set-default /boot/vmlinuz-VERSION`, with GRUB_DEFAULT=saved, so that "
        "`grub2-editenv list` shows saved_entry",
        source=sources.TROUBLE,
    ),
    Rule(
        id="VMIE-BOOT-006",
        title="The initramfs can be read",
        judge=_initramfs,
        predicts=predicted_messages.INITRAMFS,
        cure="rebuild it in the guest (`update-initramfs -u`, `dracut -f`) and look with lsinitramfs or lsinitrd",
        source=sources.TROUBLE,
    ),
    Rule(
        id="VMIE-BOOT-007",
        title="The default kernel is known",
        judge=_kernel,
        predicts=predicted_messages.NO_KERNEL_VERSION,
        cure="install the distribution's kernel package and run update-grub or grub2-mkconfig",
        source=sources.TROUBLE,
    ),
    Rule(
        id="VMIE-BOOT-008",
        title="The NVMe driver is there at boot",
        judge=_nvme,
        routes=_IMAGE_SNAPSHOT,
        verdict=Verdict.WARN,
        profiles=NOW,
        cure="add nvme and nvme-core to the initramfs (Windows: the AWS NVMe driver): Nitro disks need it",
        source=sources.CHANGES,
    ),
    Rule(
        id="VMIE-BOOT-009",
        title="The ENA driver is there",
        judge=_ena,
        routes=_IMAGE_SNAPSHOT,
        verdict=Verdict.WARN,
        profiles=NOW,
        cure="install the ena driver first: the AMI gets its ENA flag only then, and Nitro instances need it",
        source=sources.ENA,
    ),
    Rule(
        id="VMIE-BOOT-010",
        title="The Xen disk driver is there at boot",
        judge=_xen,
        routes=(Route.SNAPSHOT,),
        verdict=Verdict.WARN,
        cure="add xen-blkfront to the initramfs if the image is to boot on Xen instance types (t2, m4, …)",
        source=sources.CHANGES,
    ),
    Rule(
        id="VMIE-BOOT-011",
        title="The boot loader is GRUB",
        judge=_loader,
        predicts=predicted_messages.NO_KERNEL_VERSION,
        cure=("install GRUB 2 in the guest", AS_SNAPSHOT),
        source=sources.PREPARE,
    ),
    Rule(
        id="VMIE-BOOT-012",
        title="The disk can be started",
        judge=_boot_code,
        routes=(Route.IMAGE, Route.INSTANCE, Route.SNAPSHOT),
        verdict=Verdict.WARN,
        cure="install the boot loader (`grub-install /dev/sda`; UEFI: `grub-install --removable`; Windows: `bcdboot`)",
        source=sources.LIMITATIONS,
    ),
    Rule(
        id="VMIE-BOOT-013",
        title="The root file system is named by UUID or label",
        judge=_root_option,
        routes=(Route.IMAGE, Route.INSTANCE, Route.SNAPSHOT),
        verdict=Verdict.WARN,
        cure="let GRUB name it by UUID (remove GRUB_DISABLE_LINUX_UUID, then update-grub)",
        source=sources.PREPARE,
    ),
)
