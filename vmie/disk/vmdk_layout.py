"""VMDK structures on disk, as in VMware's "Virtual Disk Format 5.0" (vmdk technical note): numbers, no behaviour.

A hosted sparse extent, offsets in sectors of 512 bytes:

    header │ descriptor │ redundant directory + tables │ directory + tables │ grains …
    header │ descriptor │ (marker, grain) … (marker, table) … │ marker, directory │ marker, footer │ end of stream
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from vmie.disk.base import SECTOR, Source
from vmie.disk.reading import damaged, read_exact
from vmie.errors import ImageError

MAGIC = b"KDMV"
#: ESX 2 and VMFS snapshot deltas ("copy on write disk").
COWD_MAGIC = b"COWD"
#: SEsparse: 64-bit little-endian 0x00000000cafebabe.
SESPARSE_MAGIC = b"\xbe\xba\xfe\xca\x00\x00\x00\x00"

FLAG_NEWLINE_TEST = 1 << 0
FLAG_REDUNDANT_TABLE = 1 << 1
FLAG_ZEROED_GRAIN = 1 << 2
FLAG_COMPRESSED = 1 << 16
FLAG_MARKERS = 1 << 17

#: `gd_offset` of a stream: the footer names the directory's place.
GD_AT_END = 0xFFFFFFFFFFFFFFFF
#: A grain table entry that stands for a grain of zeros, under FLAG_ZEROED_GRAIN.
GTE_ZEROED = 1
DEFLATE = 1

MARKER_FOOTER = 3

#: 64-bit sector of the grain, 32-bit size of what follows.
GRAIN_MARKER = struct.Struct("<QI")
_MARKER = struct.Struct("<QII")
_HEADER = struct.Struct("<4sIIQQQQIQQQB4sH")

#: One grain of 1 GiB is what other readers take for unrealistic; a compressed one is held in memory whole.
_GRAIN_SECTORS_LIMIT = 1 << 21
_COMPRESSED_GRAIN_SECTORS_LIMIT = 1 << 12
_TABLE_ENTRIES_LIMIT = 512
#: Beyond this a byte offset no longer fits the 64-bit signed offsets of the operating system.
_SECTORS_LIMIT = (1 << 63) // SECTOR - 1
#: How far before the end a footer is looked for, where something was appended to the file.
_FOOTER_SEARCH = 64 << 10


@dataclass(frozen=True, slots=True)
class SparseHeader:
    """The header, or its copy in the footer, of a hosted sparse extent. Sizes and offsets in sectors."""

    version: int
    flags: int
    capacity: int
    grain_sectors: int
    descriptor_offset: int
    descriptor_sectors: int
    table_entries: int
    redundant_gd_offset: int
    gd_offset: int
    overhead: int
    unclean_shutdown: bool
    newline_test: bytes
    compression: int

    @property
    def compressed(self) -> bool:
        """Whether grains are deflated."""
        return bool(self.flags & FLAG_COMPRESSED) or self.compression == DEFLATE

    @property
    def markers(self) -> bool:
        """Whether each grain follows a marker."""
        return bool(self.flags & FLAG_MARKERS)

    @classmethod
    def parse(cls, data: bytes) -> SparseHeader:
        """The fields as they stand; `check` judges them."""
        _, version, flags, capacity, grain, place, sectors, entries, rgd, gd, overhead, unclean, newlines, deflate = (
            _HEADER.unpack_from(data)
        )
        return cls(
            version=version,
            flags=flags,
            capacity=capacity,
            grain_sectors=grain,
            descriptor_offset=place,
            descriptor_sectors=sectors,
            table_entries=entries,
            redundant_gd_offset=rgd,
            gd_offset=gd,
            overhead=overhead,
            unclean_shutdown=unclean != 0,
            newline_test=newlines,
            compression=deflate,
        )

    def check(self, source: Source) -> None:
        """Raise ImageError for what no reader could go on with."""
        if self.flags & FLAG_NEWLINE_TEST and self.newline_test != b"\n \r\n":
            raise damaged(
                source,
                "its header's newline test fails: the file went through a text-mode transfer",
                cure="copy it again in binary mode",
            )
        if self.version not in (1, 2, 3):
            raise ImageError(
                f"{source.name} is a VMDK of version {self.version}",
                cause="versions 1 to 3 exist",
                cure="export the disk again, or convert it with the program that wrote it",
            )
        if self.compressed and self.compression != DEFLATE:
            raise ImageError(
                f"{source.name} uses unsupported compression algorithm {self.compression}",
                cause="the only compression in a VMDK is deflate (1)",
                cure="export the disk again as OVF or OVA, or convert it to stream-optimised VMDK",
            )
        limit = _COMPRESSED_GRAIN_SECTORS_LIMIT if self.compressed else _GRAIN_SECTORS_LIMIT
        if not 1 <= self.grain_sectors <= limit:
            raise damaged(source, f"its grain size of {self.grain_sectors:,} sectors is not between 1 and {limit:,}")
        if not 1 <= self.table_entries <= _TABLE_ENTRIES_LIMIT:
            raise damaged(source, f"its grain tables would have {self.table_entries:,} entries; 512 is the format's")
        if not 0 < self.capacity <= _SECTORS_LIMIT:
            raise damaged(source, f"its capacity of {self.capacity:,} sectors is impossible")
        if self.overhead != 0 and self.overhead * SECTOR > source.size:
            raise damaged(source, f"its header alone would take {self.overhead:,} sectors: the file is truncated")


def read_header(source: Source) -> SparseHeader:
    """The header at the start of the file, unchecked."""
    data = read_exact(source, 0, SECTOR, what="sparse extent header")
    if data[:4] != MAGIC:
        raise damaged(source, "a sparse extent must begin with the letters KDMV")
    return SparseHeader.parse(data)


def read_footer(source: Source) -> SparseHeader:
    """The footer of a stream: marker, header copy, end-of-stream, the file's last three sectors.

    Looks a little further towards the front, so that padding behind the stream does no harm.
    """
    start = max(0, source.size - _FOOTER_SEARCH) // SECTOR * SECTOR
    tail = source.pread(start, source.size - start)
    for at in range(len(tail) // SECTOR * SECTOR - SECTOR, SECTOR - 1, -SECTOR):
        if tail[at : at + 4] != MAGIC:
            continue
        _, size, kind = _MARKER.unpack_from(tail, at - SECTOR)
        if size == 0 and kind == MARKER_FOOTER:
            return SparseHeader.parse(tail[at : at + SECTOR])
    raise ImageError(
        f"{source.name} is truncated: the footer of the stream-optimised VMDK is missing",
        cause="its header says that the grain directory is named by a footer at the end of the file",
        cure="copy or export the image again, and compare its size and checksum with the original's",
    )
