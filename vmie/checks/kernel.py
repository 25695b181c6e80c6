"""BOOT, second part: the kernel, its initramfs, the root it is given, and the drivers EC2 needs."""

from __future__ import annotations

from dataclasses import replace

from vmie.checks import predicted_messages, sources
from vmie.checks.rule import NOW, Hit, Outcome, Rule, anyway, both, unprepared
from vmie.checks.sources import advised, follows, refused, seen
from vmie.checks.subject import Subject
from vmie.guest.linux_facts import Bootloader, DriverState, LinuxFacts
from vmie.model import Route, Verdict

_IMAGE_SNAPSHOT = (Route.IMAGE, Route.SNAPSHOT)
#: a disk driver has to be there before the root file system is mounted, a network driver need not
_EARLY = frozenset({DriverState.BUILTIN, DriverState.INITRAMFS})


def _kernel(subject: Subject) -> Outcome:
    root = subject.linux
    if root is None:
        return None
    if not root.kernels:
        none = Hit("no kernel is installed under /boot")
        # systemd-boot may start one that lies on the EFI system partition
        return [none] if root.bootloader is Bootloader.SYSTEMD_BOOT else both(none)
    if not root.default_kernel:
        message = f"{len(root.kernels)} kernels are installed, the default one is unknown"
        return [Hit(message, Verdict.UNKNOWN, without={})]
    return ()


def _initramfs(subject: Subject) -> Outcome:
    root = subject.linux
    if root is None or not root.kernels:
        return None
    if root.initramfs.readable is False:
        why = f" ({root.initramfs.reason[:200]})" if root.initramfs.reason else ""
        torn = Hit(f"the initramfs {root.initramfs.path} cannot be read{why}")
        return [replace(torn, verdict=Verdict.UNKNOWN, without={})] if root.initramfs.gave_up else both(torn)
    default = next((kernel for kernel in root.kernels if kernel.version == root.default_kernel), None)
    if default is None or default.has_initramfs:
        return ()
    # a kernel with its disk drivers built in boots without one, if the root is named in a way that it understands
    alone = any(root.drivers.get(name) is DriverState.BUILTIN for name in ("nvme", "xen-blkfront"))
    alone = alone and not root.root_device.upper().startswith(("UUID=", "LABEL=", "/DEV/DISK/", "/DEV/MAPPER/"))
    bare = Hit(f"the default kernel {default.version} has no initramfs")
    return [replace(bare, verdict=Verdict.WARN, without={})] if alone else both(bare)


def _nvme(subject: Subject) -> Outcome:
    windows = subject.windows
    if subject.linux is None and windows is not None:
        late = ", ".join(windows.late_drivers[:4])
        message = "no NVMe driver is loaded at the start of Windows: no Nitro instance can boot it without one"
        hit = Hit(f"{message}{f': {late}' if late else ''}", routes=(Route.SNAPSHOT,))
        return () if windows.has_nvme else [hit]
    return _driver(subject, ("nvme",), "the NVMe driver", early=True)


def _ena(subject: Subject) -> Outcome:
    windows = subject.windows
    if subject.linux is None and windows is not None:
        message = "the ENA driver is not installed: no network on Nitro instances"
        return () if windows.has_ena else [Hit(message, routes=(Route.SNAPSHOT,))]
    return _driver(subject, ("ena",), "the ENA network driver", early=False)


def _xen(subject: Subject) -> Outcome:
    root = subject.linux
    if root is None or root.drivers.get("xen-blkfront", DriverState.UNKNOWN) is DriverState.UNKNOWN:
        return None
    return _driver(subject, ("xen-blkfront",), "the Xen disk driver", early=True)


def _driver(subject: Subject, names: tuple[str, ...], what: str, *, early: bool) -> Outcome:
    root: LinuxFacts | None = subject.linux
    if root is None:
        return None
    states = [root.drivers.get(name, DriverState.UNKNOWN) for name in names]
    if all(state is DriverState.UNKNOWN for state in states):
        doubt = f"whether {what} is there cannot be determined"
        return [Hit(doubt, Verdict.UNKNOWN, routes=(Route.SNAPSHOT,))]
    if any(state in _EARLY or (not early and state is DriverState.MODULE) for state in states):
        return ()
    if DriverState.MODULE in states:
        return [Hit(f"{what} is not in the initramfs of {root.default_kernel or 'the default kernel'}")]
    return [Hit(f"{what} is missing from {root.default_kernel or 'the default kernel'}")]


def _root_option(subject: Subject) -> Outcome:
    root = subject.linux
    if root is None or not root.root_device:
        return None
    # Volume groups keep their names on other machines; sda, vda, device numbers and the like do not.
    return [Hit(f"the kernel gets root={root.root_device}, a name that changes on EC2")] if root.root_by_name else ()


RULES: tuple[Rule, ...] = (
    Rule(
        id="VMIE-BOOT-006",
        title="The initramfs can be read",
        judge=_initramfs,
        predicts=predicted_messages.INITRAMFS,
        cure="rebuild it in the guest (`update-initramfs -u`, `dracut -f`) and look with lsinitramfs or lsinitrd",
        without=anyway("boot"),
        evidence=(
            refused(sources.TROUBLE, "We were unable to read your import's initramfs/initrd"),
            follows(
                f"{sources.KERNEL}/filesystems/ramfs-rootfs-initramfs.html",
                "what the kernel lacks to reach its root has to be in the initramfs",
            ),
            follows(
                f"{sources.KERNEL}/admin-guide/kernel-parameters.html",
                "the kernel itself knows root= as a device, its number, PARTUUID or PARTLABEL",
            ),
        ),
    ),
    Rule(
        id="VMIE-BOOT-007",
        title="The default kernel is known",
        judge=_kernel,
        predicts=predicted_messages.NO_KERNEL_VERSION,
        cure="install the distribution's kernel package and run update-grub or grub2-mkconfig",
        without=anyway("boot"),
        evidence=(seen("https://github.com/hashicorp/packer/issues/8302", "Unable to determine kernel version"),),
    ),
    Rule(
        id="VMIE-BOOT-008",
        title="The NVMe driver is there at boot",
        judge=_nvme,
        routes=_IMAGE_SNAPSHOT,
        verdict=Verdict.WARN,
        profiles=NOW,
        cure="add nvme and nvme-core to the initramfs (Windows: install the AWS NVMe driver; Start=0 for it and "
        "for pci, and delete their keys StartOverride): Nitro disks need it",
        without=unprepared("boot"),
        evidence=(
            advised(f"{sources.EC2_GUIDE}/nvme-ebs-volumes.html", "Nitro instances show their volumes as NVMe devices"),
            seen(
                "https://github.com/Azure/SAP-on-Azure-Scripts-and-Utilities/issues/147",
                "INACCESSIBLE_BOOT_DEVICE (0x7B): StartOverride keeps stornvme, or the bus below it, from being loaded",
            ),
        ),
    ),
    Rule(
        id="VMIE-BOOT-009",
        title="The ENA driver is there",
        judge=_ena,
        routes=_IMAGE_SNAPSHOT,
        verdict=Verdict.WARN,
        profiles=NOW,
        cure="install the ena driver first: the AMI gets its ENA flag only then, and Nitro instances need it",
        without=unprepared("network"),
        evidence=(
            advised(f"{sources.EC2_GUIDE}/enhanced-networking-ena.html", "Nitro instances need ENA: driver and flag"),
        ),
    ),
    Rule(
        id="VMIE-BOOT-010",
        title="The Xen disk driver is there at boot",
        judge=_xen,
        routes=(Route.SNAPSHOT,),
        verdict=Verdict.WARN,
        cure="add xen-blkfront to the initramfs if the image is to boot on Xen instance types (t2, m4, …)",
        evidence=(
            advised(sources.CHANGES, "the image route adds Xen drivers to the initramfs; a snapshot goes without"),
        ),
    ),
    Rule(
        id="VMIE-BOOT-013",
        title="The root file system is named by UUID or label",
        judge=_root_option,
        routes=(Route.IMAGE, Route.INSTANCE, Route.SNAPSHOT),
        verdict=Verdict.WARN,
        cure="let GRUB name it by UUID (remove GRUB_DISABLE_LINUX_UUID, then update-grub)",
        without=unprepared("boot"),
        evidence=(advised(sources.PREPARE, "name disks by UUID: the names of devices change"),),
    ),
)
