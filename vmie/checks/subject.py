"""What rules look at: the disks as files, the guest as facts, the machine as its OVF describes it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vmie.disk.tables import TableFault
from vmie.errors import Action
from vmie.guest.facts import GuestFacts
from vmie.guest.linux_facts import LinuxFacts
from vmie.guest.windows_facts import WindowsFacts
from vmie.model import Profile

MIB = 1 << 20
GIB = 1 << 30
TIB = 1 << 40


@dataclass(frozen=True, slots=True)
class CheckedDisk:
    """One disk as a file: the names of `disk.Disk`, plus `file_size`, the bytes of the file itself.

    `size` is 0 where it cannot be determined without reading the whole file (gzip).
    """

    path: str = "disk.raw"
    format: str = "raw"
    variant: str = ""
    size: int = 8 * GIB
    allocated_size: int = 1 * GIB
    file_size: int | None = None
    #: why it cannot be opened, and what to do about it; "" for a disk that can
    unreadable: str = ""
    unreadable_cure: tuple[Action, ...] = ()
    #: of the error: what kind of reason it is
    code: str = ""
    #: what was damaged in the container when its content was read, and the cure
    damaged: str = ""
    damaged_cure: tuple[Action, ...] = ()
    #: what its tables say that cannot be so, worst first, and few of many
    faults: tuple[TableFault, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CheckedMachine:
    """What an OVF descriptor says of the machine; `firmware` is bios, uefi or ""."""

    nics: int = 1
    cdroms: tuple[str, ...] = ()
    chunked: bool = False
    firmware: str = ""
    product: str = ""
    guest_os: str = ""
    #: ids of the disks that have no file and are left out
    empty: tuple[str, ...] = ()
    #: what is amiss by its manifest, and whether that is damage; None where nothing was compared
    manifest: tuple[tuple[str, bool], ...] | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """One virtual machine, or one disk, under judgement.

    `as_is` is True when the bytes go to AWS as they are; else vmie re-streams them into a form the
    service takes. `today` decides about end dates.
    """

    disks: tuple[CheckedDisk, ...] = (CheckedDisk(),)
    guest: GuestFacts = field(default_factory=GuestFacts)
    machine: CheckedMachine | None = None
    profile: Profile = Profile.CURRENT
    as_is: bool = False
    today: dt.date = dt.date(2026, 1, 1)

    @property
    def linux(self) -> LinuxFacts | None:
        """The first Linux root."""
        return next(iter(self.guest.linux), None)

    @property
    def windows(self) -> WindowsFacts | None:
        """The first Windows root."""
        return next(iter(self.guest.windows), None)

    @property
    def literal(self) -> bool:
        """True when a file is judged as it is: `--as-is`, or the 2016 page, which knows no converter."""
        return self.as_is or self.profile is Profile.Y2016
