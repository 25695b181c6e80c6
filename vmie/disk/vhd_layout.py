"""VHD structures on disk, as in Microsoft's "Virtual Hard Disk Image Format Specification", version 1.0, 2006.

All numbers are big-endian. Which footer to go by is decided here, as that is a matter of the layout too.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from vmie.disk.base import SECTOR, Source
from vmie.disk.reading import damaged, read_exact
from vmie.errors import ImageError

SPECIFICATION = (
    "Microsoft, Virtual Hard Disk Image Format Specification 1.0, "
    "https://download.microsoft.com/download/f/f/e/ffef50a5-07dd-4cf8-aaa3-442c0673a029/"
    "Virtual%20Hard%20Disk%20Format%20Spec_10_18_06.doc"
)
COOKIE = b"conectix"
HEADER_COOKIE = b"cxsparse"
FIXED, DYNAMIC, DIFFERENCING = 2, 3, 4
#: A block table entry without a block.
ABSENT = 0xFFFFFFFF
#: Footers that Virtual PC wrote before 2004 lack the last, reserved byte.
SHORT_FOOTER = SECTOR - 1

_FOOTER = struct.Struct(">8sIIQI4sHH4sQQHBBII16sB")
_HEADER = struct.Struct(">8sQQIIII")
HEADER_SIZE = 1024
_BLOCK_LIMIT = 1 << 30

#: The geometry that stands for "larger than geometry can tell".
_MAX_GEOMETRY_SECTORS = 65535 * 16 * 255
#: These show their guests the disk by its geometry, and Current Size may be larger than that; everyone else
#: (Hyper-V "win ", disk2vhd "d2v ", XenServer "tap\0", Azure "wa\0\0", VirtualBox "vbox", qemu with force_size
#: "qem2") goes by Current Size. QEMU distinguishes creators in the same way.
_BY_GEOMETRY = (b"vpc ", b"qemu")


@dataclass(frozen=True, slots=True)
class Footer:
    """A hard disk footer; `data` is what it was read from."""

    data: bytes
    header_offset: int
    creator: bytes
    creator_os: bytes
    original_size: int
    current_size: int
    cylinders: int
    heads: int
    sectors: int
    kind: int
    checksum: int
    saved_state: bool

    @classmethod
    def parse(cls, data: bytes) -> Footer | None:
        """None where the cookie is missing; `valid` says whether the checksum fits."""
        if not data.startswith(COOKIE) or len(data) < SHORT_FOOTER:
            return None
        data = data.ljust(SECTOR, b"\0")
        fields = _FOOTER.unpack_from(data)
        _, _, _, header_offset, _, creator, _, _, creator_os, original, current = fields[:11]
        cylinders, heads, sectors, kind, checksum, _, saved = fields[11:]
        return cls(
            data, header_offset, creator, creator_os, original, current, cylinders, heads, sectors, kind, checksum,
            saved != 0,
        )  # fmt: skip

    @property
    def valid(self) -> bool:
        """Whether the checksum holds."""
        return _checksum(self.data, at=64) == self.checksum

    @property
    def geometry_sectors(self) -> int:
        """What cylinders, heads and sectors multiply to."""
        return self.cylinders * self.heads * self.sectors

    @property
    def disk_size(self) -> int:
        """The size that the guest sees, in bytes."""
        by_geometry = self.creator in _BY_GEOMETRY and 0 < self.geometry_sectors < _MAX_GEOMETRY_SECTORS
        return self.geometry_sectors * SECTOR if by_geometry else self.current_size


@dataclass(frozen=True, slots=True)
class FooterMatch:
    """The footer to go by, and what the other copy is like."""

    footer: Footer
    #: where the data of a fixed disk ends
    end: int
    from_header: bool
    short: bool
    identical: bool | None


def tails(source: Source) -> Iterator[tuple[Footer, int]]:
    """What may be the footer at the end, with its place: 512 bytes, or 511 as Virtual PC once wrote."""
    for length in (SECTOR, SHORT_FOOTER):
        if source.size > length:
            footer = Footer.parse(source.pread(source.size - length, length))
            if footer is not None:
                yield footer, source.size - length


def find_footer(source: Source) -> FooterMatch:
    """The footer at the end, or the copy at the start of a dynamic disk. Raises ImageError if neither is valid."""
    head = Footer.parse(source.pread(0, SECTOR))
    ends = list(tails(source))
    for footer, end in ends:
        if footer.valid:
            same = None if footer.kind == FIXED else head is not None and head.data == footer.data
            return FooterMatch(footer, end, from_header=False, short=source.size - end != SECTOR, identical=same)
    if head is not None and head.valid and head.kind != FIXED:
        return FooterMatch(head, source.size, from_header=True, short=False, identical=False)
    raise ImageError(
        f"{source.name} is a damaged VHD: no footer with a valid checksum",
        cause="the footer at the end of the file "
        + ("has a false checksum" if ends else "is missing: the file is truncated, or something was appended"),
        cure="copy or export the disk again; Hyper-V's Test-VHD and Convert-VHD can tell and mend more",
    )


def dynamic_header(source: Source, footer: Footer) -> tuple[int, int, int]:
    """Offset of the block table, its entries, and the block size in bytes."""
    data = read_exact(source, footer.header_offset, HEADER_SIZE, what="dynamic disk header")
    cookie, _, table_offset, _, entries, block, checksum = _HEADER.unpack_from(data)
    if cookie != HEADER_COOKIE:
        raise damaged(source, "its dynamic disk header must begin with the letters cxsparse")
    if _checksum(data, at=36) != checksum:
        raise damaged(source, "its dynamic disk header has a false checksum")
    if block & (block - 1) or not SECTOR <= block <= _BLOCK_LIMIT:
        raise damaged(source, f"its block size of {block:,} bytes is not a power of two from 512 to {_BLOCK_LIMIT:,}")
    return table_offset, entries, block


def parent_name(source: Source, footer: Footer) -> str:
    """The parent's name in a differencing disk's header, "" if it cannot be determined."""
    data = source.pread(footer.header_offset, HEADER_SIZE)
    if not data.startswith(HEADER_COOKIE):
        return ""
    name = data[64 : 64 + 512].decode("utf-16-be", "replace").split("\0", 1)[0]
    return "".join(letter for letter in name if letter.isprintable())


def _checksum(data: bytes, *, at: int) -> int:
    """One's complement of the sum of all bytes but the checksum's own four."""
    return ~(sum(data) - sum(data[at : at + 4])) & 0xFFFFFFFF
