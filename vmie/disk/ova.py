"""OVA: an OVF package in a tar archive, disks read in place; or a tar archive with one disk. Source: DSP0243 7.2."""

from __future__ import annotations

from vmie.disk.base import Disk, Source
from vmie.disk.lone import open_archive
from vmie.disk.package import Archive
from vmie.disk.tarball import looks_like_tar, members


def probe(source: Source) -> bool:
    """Whether the file begins as a tar archive does."""
    return looks_like_tar(source)


def open_source(source: Source, *, index: int = 0, machine: str = "", empty_disks: bool = False) -> Disk:
    """Disk `index` in the order in which the machine boots; `facts["appliance"]` describes the machine.

    Raises ImageError for what is no OVA, or has no such disk.
    """
    return open_archive(package(source), index=index, machine=machine, empty_disks=empty_disks)


def package(source: Source) -> Archive:
    """The archive's files. Raises ImageError."""
    return Archive(source, members=members(source))
