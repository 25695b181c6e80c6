"""BOOT, third part: the devices that the boot names."""

from __future__ import annotations

from collections.abc import Iterator

from vmie.checks.rule import ALL, Hit, Outcome, Rule
from vmie.checks.sources import follows, seen
from vmie.checks.subject import Subject
from vmie.guest.facts import Firmware
from vmie.guest.linux_facts import BootDevice, Effect
from vmie.model import Route, Verdict

_SHOWN = 4


def _named(subject: Subject) -> Outcome:
    root = subject.linux
    if root is None or not (root.cmdline or root.boot_devices):
        return None
    return list(_hits(root.boot_devices, subject.guest.firmware))


def _lvm(subject: Subject) -> Outcome:
    root = subject.linux
    if root is None or all(volume.where != root.volume for volume in subject.guest.volumes):
        return None
    if not root.lvm_bound:
        return ()
    listed = ", ".join(root.lvm_bound[:_SHOWN])
    return [Hit(f"LVM takes only the disks in /etc/lvm/devices/system.devices, which will not be there: {listed}")]


def _hits(found: tuple[BootDevice, ...], firmware: Firmware) -> Iterator[Hit]:
    for one in found:
        if one.default and one.effect is Effect.STOPS:
            yield _stopping(one, firmware)
    waiting = [one for one in found if one.default and one.effect is Effect.WAITS and one.present is False]
    if waiting:
        yield Hit(f"boot looks in vain for what is not in the image, then goes on: {_listed(waiting)}", Verdict.WARN)
    later = [one for one in found if one.effect is Effect.LATER and one.present is False]
    if later:
        yield Hit(f"kernels installed later will look for what is not in the image: {_listed(later)}", Verdict.WARN)
    others = [one for one in found if not one.default and one.present is False]
    if others:
        named = ", ".join(f"{one.option} ({one.entry[:60]})" for one in others[:_SHOWN])
        yield Hit(f"boot entries other than the default one name what is not in the image: {named}", Verdict.WARN)


def _stopping(one: BootDevice, firmware: Firmware) -> Hit:
    if one.present is None:
        return Hit(f"{one.where}: whether {one.option} is in the image cannot be determined", Verdict.UNKNOWN)
    message = f"{one.where}: {one.option} is not in the image, and the system does not start without it"
    return Hit(message, Verdict.WARN if one.uefi and firmware is not Firmware.UEFI else None)


def _listed(devices: list[BootDevice]) -> str:
    return ", ".join(f"{one.option} ({one.where})" for one in devices[:_SHOWN])


RULES: tuple[Rule, ...] = (
    Rule(
        id="VMIE-BOOT-014",
        title="Every device that the boot names is in the image",
        judge=_named,
        routes=ALL,
        cure="give all disks of the machine together, or name in the guest what is there (`blkid`, `lvs`): "
        "`grubby --update-kernel=ALL`, `update-grub` or `grub2-mkconfig`; then rebuild the initramfs",
        evidence=(
            follows(
                "https://manpages.debian.org/bookworm/initramfs-tools-core/initramfs-tools.7.en.html",
                "without its root an initramfs ends in a shell; resume= is waited for, then passed over",
            ),
            follows(
                "https://github.com/dracut-ng/dracut-ng/blob/main/man/dracut.cmdline.7.adoc",
                "dracut waits for root=, rd.lvm.lv=, rd.luks.uuid= and rd.md.uuid=, then gives up with a shell",
            ),
            seen(
                "https://github.com/gowda-m/linux-topic/blob/main/troubleshooting/almalinux-dracut-emergency-mode-fix.md",
                'rd.lvm.lv= of a volume that is gone: "does not exist", emergency mode',
            ),
            follows(
                "https://www.gnu.org/software/grub/manual/grub/grub.html#search",
                "GRUB loads the kernel from the device that was set; a search that finds none sets nothing",
            ),
        ),
    ),
    Rule(
        id="VMIE-BOOT-015",
        title="LVM may use the disks of another machine",
        judge=_lvm,
        routes=(Route.IMAGE, Route.INSTANCE, Route.SNAPSHOT),
        verdict=Verdict.WARN,
        cure="delete /etc/lvm/devices/system.devices before the export and rebuild the initramfs; `vgimportdevices -a` "
        "makes it anew on EC2",
        evidence=(
            follows(
                "https://man7.org/linux/man-pages/man8/lvmdevices.8.html",
                "LVM uses the devices of the file alone, each found by its id",
                allows=Verdict.WARN,
            ),
            seen(
                "https://github.com/verge-io/docs/issues/431",
                "clones of RHEL 9 find no volume group and end in emergency mode",
                allows=Verdict.WARN,
            ),
        ),
    ),
)
