"""Bytes to disks, and disks to streams.

    file ──► probe (content first, name for ties) ──► Disk: size, read, extents, facts

`open` is the only door: each format is a module with `probe(source) -> bool`, cheap and by content,
and `open_source(source) -> Disk`. Order matters only where two could answer: a fixed VHD is recognised by
its last sector alone, so that its first ones may look like anything (there the name decides), and
everything is a raw disk in the end.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from vmie.disk.base import Disk, Source
from vmie.disk.registry import detect, formats, open, open_source  # noqa: A004 - vmie.disk.open
from vmie.model import Extent

if TYPE_CHECKING:
    from vmie.disk.ovf import Appliance

__all__ = ["Disk", "Extent", "appliance", "detect", "formats", "open", "open_source"]


def appliance(path: str | os.PathLike[str] | Source) -> Appliance:
    """The machine in an OVA, or in an .ovf with its files beside it: facts, manifest, and its disks to open.

    Raises ImageError, also when the file is neither.
    """
    from vmie.disk.ovf import open_appliance  # noqa: PLC0415 - XML only where it is needed

    return open_appliance(path)
