"""VMDK and VHD images made by hand, field by field, for what qemu-img does not write."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

SECTOR = 512
GRAIN = 128
GRAIN_BYTES = GRAIN * SECTOR
TABLE = 512
GD_AT_END = 0xFFFFFFFFFFFFFFFF

DESCRIPTOR = """# Disk DescriptorFile
version=1
CID=fffffffe
parentCID=ffffffff
createType="{kind}"

# Extent description
RW {sectors} {extent} "disk.vmdk"

# The Disk Data Base
#DDB

ddb.virtualHWVersion = "13"
ddb.toolsVersion = "10309"
ddb.adapterType = "lsilogic"
ddb.geometry.cylinders = "5"
ddb.geometry.heads = "255"
ddb.geometry.sectors = "63"
"""


def pad(data: bytes, unit: int = SECTOR) -> bytes:
    return data + bytes(-len(data) % unit)


def sparse_header(
    *,
    capacity: int,
    version: int = 1,
    flags: int = 3,
    grain: int = GRAIN,
    descriptor: tuple[int, int] = (1, 20),
    entries: int = TABLE,
    rgd: int = 0,
    gd: int = 0,
    overhead: int = 0,
    unclean: int = 0,
    newlines: bytes = b"\n \r\n",
    compression: int = 0,
    magic: bytes = b"KDMV",
) -> bytes:
    return pad(
        struct.pack(
            "<4sIIQQQQIQQQB4sH", magic, version, flags, capacity, grain, *descriptor, entries, rgd, gd, overhead,
            unclean, newlines, compression,
        )
    )  # fmt: skip


def descriptor_text(kind: str = "monolithicSparse", *, sectors: int, extent: str = "SPARSE", more: str = "") -> bytes:
    return (DESCRIPTOR.format(kind=kind, sectors=sectors, extent=extent) + more).encode()


def sparse_vmdk(
    grains: Mapping[int, bytes | None],
    *,
    capacity: int,
    descriptor: bytes | None = None,
    redundant: bool = True,
    **header: int | bytes,
) -> bytes:
    """A monolithicSparse disk of one grain table: header, descriptor, two directories and tables, grains.

    `grains` maps numbers to a grain's bytes, or to None for a grain of zeros (GTE 1).
    """
    text = descriptor_text(sectors=capacity) if descriptor is None else descriptor
    rgd, gd, overhead = 21, 26, 128
    table = [0] * TABLE
    data = b""
    for number, content in sorted(grains.items()):
        table[number] = 1 if content is None else overhead + len(data) // SECTOR
        data += b"" if content is None else pad(content, GRAIN_BYTES)
    entries = struct.pack(f"<{TABLE}I", *table)
    fields: dict[str, int | bytes] = {
        "flags": 1 | (2 if redundant else 0) | (4 if None in grains.values() else 0),
        "rgd": rgd if redundant else 0,
        "gd": gd,
        "overhead": overhead,
        **header,
    }
    out = sparse_header(capacity=capacity, **fields) + text.ljust(20 * SECTOR, b"\0")  # type: ignore[arg-type]
    out += pad(struct.pack("<I", rgd + 1)) + entries
    out += pad(struct.pack("<I", gd + 1)) + entries
    return out.ljust(overhead * SECTOR, b"\0") + data


def stream_vmdk(
    grains: Mapping[int, bytes],
    *,
    capacity: int,
    at_end: bool = True,
    descriptor: bytes | None = None,
    footer: bool = True,
    packed: Mapping[int, bytes] | None = None,
    lba: Mapping[int, int] | None = None,
    **header: int | bytes,
) -> bytes:
    """A streamOptimized disk as ovftool writes it: the directory's place is told by the footer (`at_end`).

    `packed` overrides a grain's compressed bytes, `lba` the sector in its marker.
    """
    text = descriptor_text("streamOptimized", sectors=capacity) if descriptor is None else descriptor
    fields: dict[str, int | bytes] = {"version": 3, "flags": 0x30001, "compression": 1, "overhead": 128, **header}
    body = bytearray(bytes(128 * SECTOR))
    body[SECTOR : 21 * SECTOR] = text.ljust(20 * SECTOR, b"\0")
    table = [0] * TABLE
    for number, content in sorted(grains.items()):
        table[number] = len(body) // SECTOR
        data = (packed or {}).get(number, zlib.compress(content))
        body += pad(struct.pack("<QI", (lba or {}).get(number, number * GRAIN), len(data)) + data)
    body += _marker(4, 1) + struct.pack(f"<{TABLE}I", *table)
    place = len(body) // SECTOR - 4
    body += _marker(1, 2) + pad(struct.pack("<I", place))
    directory = len(body) // SECTOR - 1
    body[:SECTOR] = sparse_header(capacity=capacity, **{**fields, "gd": GD_AT_END if at_end else directory})  # type: ignore[arg-type]
    if footer:
        body += _marker(1, 3) + sparse_header(capacity=capacity, **{**fields, "gd": directory})  # type: ignore[arg-type]
        body += bytes(SECTOR)
    return bytes(body)


def _marker(sectors: int, kind: int) -> bytes:
    return pad(struct.pack("<QII", sectors, 0, kind))


def checksum(data: bytes, at: int) -> bytes:
    return struct.pack(">I", ~(sum(data) - sum(data[at : at + 4])) & 0xFFFFFFFF)


def signed(data: bytes, at: int) -> bytes:
    """`data` with the VHD checksum of itself at `at`."""
    return data[:at] + checksum(data, at) + data[at + 4 :]


def vhd_footer(
    *,
    size: int,
    kind: int,
    header_offset: int = 0xFFFFFFFFFFFFFFFF,
    creator: bytes = b"win ",
    geometry: tuple[int, int, int] = (1, 1, 1),
    saved: int = 0,
    current: int | None = None,
) -> bytes:
    data = struct.pack(
        ">8sIIQI4sHH4sQQHBBII16sB", b"conectix", 2, 0x10000, header_offset, 0, creator, 6, 1, b"Wi2k", size,
        size if current is None else current, *geometry, kind, 0, bytes(range(16)), saved,
    ).ljust(SECTOR, b"\0")  # fmt: skip
    return signed(data, 64)


def fixed_vhd(data: bytes, **footer: int | bytes | tuple[int, int, int]) -> bytes:
    return data + vhd_footer(**{"size": len(data), "kind": 2, **footer})  # type: ignore[arg-type]


def dynamic_vhd(
    blocks: Mapping[int, bytes],
    *,
    size: int,
    block: int = 1 << 16,
    entries: int | None = None,
    bitmaps: Mapping[int, bytes] | None = None,
    table: Mapping[int, int] | None = None,
    kind: int = 3,
    parent: str = "",
    **footer: int | bytes | tuple[int, int, int],
) -> bytes:
    """`bitmaps` overrides a block's sector bitmap, `table` an entry of the block table."""
    count = -(-size // block) if entries is None else entries
    bitmap_bytes = -(-block // (SECTOR * 8 * SECTOR)) * SECTOR
    places = [0xFFFFFFFF] * count
    at = 512 + 1024 + len(pad(bytes(count * 4)))
    data = b""
    for number, content in sorted(blocks.items()):
        places[number] = (at + len(data)) // SECTOR
        bits = (bitmaps or {}).get(number, b"\xff" * (block // 4096 or 1))
        data += bits.ljust(bitmap_bytes, b"\0") + content.ljust(block, b"\0")
    for number, value in (table or {}).items():
        places[number] = value
    end = vhd_footer(**{"size": size, "kind": kind, "header_offset": 512, **footer})  # type: ignore[arg-type]
    header = struct.pack(">8sQQIII", b"cxsparse", 0xFFFFFFFFFFFFFFFF, 1536, 0x10000, count, block)
    header = header.ljust(64, b"\0") + parent.encode("utf-16-be").ljust(512, b"\0")
    header = signed(header.ljust(1024, b"\0"), 36)
    return end + header + pad(struct.pack(f">{count}I", *places)) + data + end
