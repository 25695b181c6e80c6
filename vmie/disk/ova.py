"""OVA: an OVF package in a tar archive, disks read in place. Source: DSP0243 7.2."""

from __future__ import annotations

from pathlib import Path

from vmie.disk.base import Disk, Source
from vmie.disk.ovf import Appliance
from vmie.disk.package import Archive
from vmie.disk.tarball import looks_like_tar, members


def probe(source: Source) -> bool:
    """Whether the file begins as a tar archive does."""
    return looks_like_tar(source)


def open_source(source: Source, *, index: int = 0, machine: str = "", empty_disks: bool = False) -> Disk:
    """Disk `index` in the order of the descriptor; `facts["appliance"]` describes the machine.

    Raises ImageError for what is no OVA, or has no such disk.
    """
    package = Archive(source, members=members(source))
    disk = Appliance.of(package, machine=machine, empty_disks=empty_disks).open_disk(index)
    disk.source = _Owning(disk.source, archive=source)
    return disk


class _Owning:
    """A member whose closing closes the archive: nobody else holds it."""

    def __init__(self, member: Source, *, archive: Source) -> None:
        self._member = member
        self._archive = archive
        self.path: Path | None = None
        self.name = member.name
        self.size = member.size
        self.pread = member.pread

    def close(self) -> None:
        """Close the member and the archive."""
        self._member.close()
        self._archive.close()
