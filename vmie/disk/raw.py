"""Raw disks: the bytes themselves, with the file's holes; last in line, so it also says what else they look like."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePath

from vmie.disk import foreign
from vmie.disk.base import SECTOR, Disk, Source
from vmie.disk.extents import coalesced
from vmie.disk.holes import file_allocated, file_runs
from vmie.disk.reading import read_exact, within
from vmie.model import Extent

#: Names that promise a format whose signature would have been seen by now.
_NAMED = {
    ".vmdk": "vmdk",
    ".vhd": "vhd",
    ".vpc": "vhd",
    ".vhdx": "vhdx",
    ".avhdx": "vhdx",
    ".qcow2": "qcow2",
    ".qcow": "qcow2",
    ".vdi": "vdi",
    ".ova": "ova",
    ".ovf": "ovf",
}
#: The data files of monolithicFlat and twoGbMaxExtentFlat disks, with the descriptor's name in front.
_FLAT_EXTENT = re.compile(r"(.+)-(?:flat|f\d{3,})\.vmdk", re.IGNORECASE)


def probe(source: Source) -> bool:
    """Always: what nothing else claims is read as it stands."""
    return source.size > 0


def open_source(source: Source) -> Disk:
    """The bytes as a disk. `facts`: ``looks_like``, ``named_as``, ``flat_extent_of``, ``sector_multiple``."""
    return RawDisk(source)


class RawDisk(Disk):
    """`facts["looks_like"]` names other content (pdf, iso9660, text …), None when nothing else is known.

    `facts["no_disk"]` says in words what it is where that is surely no disk.
    """

    format = "raw"
    variant = "raw"

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.size = source.size
        self.allocated_size = file_allocated(source)
        self.facts = {
            "sector_multiple": source.size % SECTOR == 0,
            "sparse": self.allocated_size < source.size,
            **foreign.facts_of(source),
            "named_as": _NAMED.get(PurePath(source.name).suffix.lower()),
        }
        if flat := _FLAT_EXTENT.fullmatch(PurePath(source.name).name):
            self.facts["named_as"] = None
            self.facts["flat_extent_of"] = f"{flat[1]}.vmdk"

    def read(self, offset: int, length: int) -> bytes:
        """See `Disk.read`."""
        length = within(offset, length, self.size)
        return read_exact(self.source, offset, length, what="data") if length else b""

    def extents(self) -> Iterator[Extent]:
        """See `Disk.extents`: what the file system says is a hole is one; the rest counts as allocated."""
        return coalesced(file_runs(self.source, 0, self.size), self.size)
