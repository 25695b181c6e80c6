"""The mends of Windows. What they do is in `windows_hives`, which is loaded for a Windows only."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable

from vmie.guest.windows_facts import WindowsFacts
from vmie.repair.files import GuestFiles
from vmie.repair.model import Edit, Left, Mend


def _of(name: str) -> Callable[[GuestFiles], Iterable[Edit | Left]]:
    def apply(files: GuestFiles) -> Iterable[Edit | Left]:
        if not isinstance(files.facts, WindowsFacts):
            return ()
        wishes: Iterable[Edit | Left] = getattr(importlib.import_module("vmie.repair.windows_hives"), name)(files)
        return wishes

    return apply


WINDOWS_MENDS: tuple[Mend, ...] = (
    Mend("windows-boot-drivers", ("VMIE-BOOT-008",), _of("DRIVERS")),
    Mend("windows-ena", ("VMIE-BOOT-009",), _of("ENA")),
    Mend("windows-rdp", ("VMIE-WIN-013",), _of("DESKTOP")),
    Mend("windows-dhcp", ("VMIE-NET-003", "VMIE-NET-008"), _of("DHCP")),
    Mend("windows-fast-startup", ("VMIE-WIN-009",), _of("FAST_STARTUP")),
    Mend("windows-clock", ("VMIE-WIN-020",), _of("CLOCK")),
    Mend("windows-logon", ("VMIE-WIN-017",), _of("LOGON")),
    Mend("windows-crash", (), _of("CRASH")),
    Mend("windows-repair-off", (), _of("REPAIR_OFF")),
)
