"""Bytes to disks, and disks to streams.

    file ──► probe (content first, name for ties) ──► Disk: size, read, extents, facts

`open` is the only door: each format is a module with `probe(source) -> bool`, cheap and by content,
and `open_source(source) -> Disk`. Order matters only where two could answer: a fixed VHD is recognised by
its last sector alone, so that its first ones may look like anything (there the name decides), and
everything is a raw disk in the end.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from vmie.disk.base import Disk, Source
from vmie.disk.registry import detect, formats, open, open_source  # noqa: A004 - vmie.disk.open
from vmie.model import Extent

if TYPE_CHECKING:
    from vmie.disk.ovf import Appliance

__all__ = ["Disk", "Extent", "appliance", "detect", "files_of_descriptor", "formats", "open", "open_source"]


def appliance(path: str | os.PathLike[str] | Source, *, machine: str = "", empty_disks: bool = False) -> Appliance:
    """The machine in an OVA, or in an .ovf with its files beside it: facts, manifest, and its disks to open.

    `machine` is the id or Name of one of several; with `empty_disks` the disks without a file are among its disks.
    Raises ImageError, also when the file is neither.
    """
    from vmie.disk.ovf import open_appliance  # noqa: PLC0415 - XML only where it is needed

    return open_appliance(path, machine=machine, empty_disks=empty_disks)


def files_of_descriptor(path: str | os.PathLike[str]) -> list[Path]:
    """The files that a bare .ovf names and that lie in its folder, sorted; none for what is no .ovf.

    Whatever the descriptor's faults and however many its machines: only the names are read. Raises ImageError for a
    path that cannot be opened.
    """
    from vmie.disk.ovf import files_beside  # noqa: PLC0415 - XML only where it is needed

    return files_beside(path)
