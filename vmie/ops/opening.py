"""Disks by what the user calls them: a path, or the id of a snapshot, whose blocks are read."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

from vmie import disk
from vmie.cures import says
from vmie.disk import Disk
from vmie.errors import Drop, UsageError

#: opens the disk of a snapshot by its id
Snapshots = Callable[[str], Disk]


@runtime_checkable
class Counted(Protocol):
    """A disk each of whose blocks costs money to read."""

    blocks_read: int


_SNAPSHOT = re.compile(r"snap-([0-9a-f]{8}|[0-9a-f]{17})")


def is_snapshot(name: str | os.PathLike[str]) -> bool:
    """Whether `name` is a snapshot's id, and no file here is called so."""
    return _SNAPSHOT.fullmatch(os.fspath(name)) is not None and not os.path.lexists(name)


@dataclass(frozen=True, slots=True)
class Opening:
    """How disks are opened: which machine of an appliance, and by what the snapshots. See `disk.open`."""

    machine: str = ""
    empty_disks: bool = False
    snapshots: Snapshots | None = None
    repair_of: ClassVar[tuple[str, ...]] = ()

    def disk(self, source: Path, *, index: int | None = None) -> Disk:
        """The disk of a file or a snapshot.

        Raises ImageError, and for a snapshot what `aws.ebs.snapshots.open_snapshot` raises.
        """
        if not is_snapshot(source):
            return disk.open(source, index=index or 0, machine=self.machine, empty_disks=self.empty_disks)
        if self.snapshots is None:
            raise UsageError(f"{source} is a snapshot: here a file is needed", cure="name a file")
        for field, given in (("machine", self.machine), ("disk", index)):
            if given:
                template = f"{{{field}}} chooses from an appliance; {{source}} is one disk"
                raise UsageError(says(template, source=str(source)), fields=(field,), cure=Drop((field,)))
        return self.snapshots(os.fspath(source))
