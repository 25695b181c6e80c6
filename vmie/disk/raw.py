"""Raw disks: the bytes themselves, with the file's holes; last in line, so it also says what else they look like."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePath

from vmie.disk.base import SECTOR, Disk, Source
from vmie.disk.extents import coalesced
from vmie.disk.holes import file_allocated, file_runs
from vmie.disk.reading import read_exact, within
from vmie.model import Extent

#: Content that is surely something else, by its first bytes.
_MAGICS = (
    (b"%PDF-", "pdf"),
    (b"\x7fELF", "elf"),
    (b"MZ", "windows-executable"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "rar"),
    (b"\x1f\x8b", "gzip"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"hsqs", "squashfs"),
    (b"MSWIM\x00\x00\x00", "wim"),
    (b"QED\x00", "qed"),
    (b"EVF\x09\x0d\x0a\xff\x00", "e01"),
    (b"VMA\x00", "proxmox-vma"),
    (b"partclone-image", "partclone"),
    (b"WithoutFreeSpace", "parallels"),
    (b"WithouFreSpacExt", "parallels"),
    (b"LUKS\xba\xbe", "luks"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"SQLite format 3\x00", "sqlite"),
)

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
    """`facts["looks_like"]` names other content (pdf, iso9660, text …), None when nothing else is known."""

    format = "raw"
    variant = "raw"

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.size = source.size
        self.allocated_size = file_allocated(source)
        self.facts = {
            "sector_multiple": source.size % SECTOR == 0,
            "sparse": self.allocated_size < source.size,
            "looks_like": looks_like(source),
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


def looks_like(source: Source) -> str | None:
    """The kind of content that is surely not a disk (or not a plain one), None where nothing says so."""
    head = source.pread(0, 4096)
    if source.pread(32769, 5) == b"CD001":
        return "iso9660"
    if head[510:512] == b"\x55\xaa" or head[512:520] == b"EFI PART" or source.pread(4096, 8) == b"EFI PART":
        return None
    if source.size >= SECTOR and source.pread(source.size - SECTOR, 4) == b"koly":
        return "dmg"
    for magic, name in _MAGICS:
        if head.startswith(magic):
            return name
    return "text" if _is_text(head) else None


def _is_text(head: bytes) -> bool:
    if not head or b"\x00" in head:
        return False
    printable = sum(byte >= 0x20 or byte in b"\t\n\r\f\x1b" for byte in head)
    if printable < len(head):
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start > len(head) - 4  # cut within a character
    return True
