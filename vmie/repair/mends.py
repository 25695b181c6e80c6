"""The table of all mends, in the order in which they are made. To add one, add it here."""

from __future__ import annotations

from vmie.guest.facts import GuestFacts
from vmie.repair.boot_devices import BOOT_DEVICES
from vmie.repair.cloud_init import CLOUD_INIT
from vmie.repair.console import SERIAL_CONSOLE
from vmie.repair.hypervisor_services import HYPERVISOR_SERVICES
from vmie.repair.initramfs import INITRAMFS_DRIVERS
from vmie.repair.model import Mend
from vmie.repair.mounts import FSTAB
from vmie.repair.network import DHCP, PERSISTENT_NET
from vmie.repair.windows import WINDOWS_MENDS

_LINUX_MENDS: tuple[Mend, ...] = (
    INITRAMFS_DRIVERS,
    FSTAB,
    BOOT_DEVICES,
    PERSISTENT_NET,
    DHCP,
    CLOUD_INIT,
    HYPERVISOR_SERVICES,
    SERIAL_CONSOLE,
)
MENDS: tuple[Mend, ...] = (*_LINUX_MENDS, *WINDOWS_MENDS)

#: what changes nothing, and says what to do in the guest
_TELLING = frozenset({"windows-ena"})
#: rules whose findings one of them may take away
MENDABLE = frozenset(rule for mend in MENDS for rule in mend.rules if mend.name not in _TELLING)


def mendable(guest: GuestFacts) -> frozenset[str]:
    """The same of the mends for the systems of `guest`."""
    listed = (*(_LINUX_MENDS if guest.linux else ()), *(WINDOWS_MENDS if guest.windows else ()))
    return frozenset(rule for mend in listed for rule in mend.rules) & MENDABLE
