"""VMDK streamOptimized, written forward only: what an OVF export of ESX holds, and what AWS takes.

    header · descriptor · { grain … grain · marker + grain table } … · marker + grain directory · marker + footer · end

Format: VMware, "Virtual Disk Format 5.0" (https://www.vmware.com/app/vmdk/?src=vmdk), "Stream-Optimized
Compressed Sparse Extents". The directory's place is known only at the end, so the header says
`GD_AT_END` and the footer, a second header, has the truth.

The bytes depend on the disk's content alone: not on the number of workers, nor on how the source
stored its zeros. Deflate itself is ISA-L's, whose choice of matches may differ between CPU
families: the same input gives the same bytes on the same kind of machine.
"""

from __future__ import annotations

import struct
import zlib
from array import array
from collections.abc import Callable, Iterator
from sys import byteorder

from isal import isal_zlib

from vmie.disk.base import SECTOR, Disk
from vmie.disk.stream import spans
from vmie.disk.stream.parallel import ordered
from vmie.disk.vmdk_layout import (
    DEFLATE,
    FLAG_COMPRESSED,
    FLAG_MARKERS,
    FLAG_NEWLINE_TEST,
    GD_AT_END,
    GRAIN_MARKER,
    MAGIC,
    MARKER_FOOTER,
)
from vmie.errors import ImageError

GRAIN = 64 * 1024
GRAIN_SECTORS = GRAIN // SECTOR
TABLE = 512
"""Grains per grain table (numGTEsPerGT)."""

LEVEL = 2
"""ISA-L's level: as fast as 1, and 8 to 9 % above zlib's default on a Debian disk; 3 saves 1 % for twice the time."""

LARGEST = 62 * 1024**4
"""vSphere's largest virtual disk (VMware, "Configuration Maximums")."""

_BATCH = 16
_FIRST_BYTES = 4
_VERSION = 3
_FLAGS = FLAG_NEWLINE_TEST | FLAG_COMPRESSED | FLAG_MARKERS
_OVERHEAD = 128  # sectors before the first grain, as ESX and ovftool write it: grain-aligned
_DESCRIPTOR_SECTORS = 20
_MOST_PER_GRAIN = 129 * SECTOR
_END_OF_STREAM, _GRAIN_TABLE, _GRAIN_DIRECTORY, _FOOTER = 0, 1, 2, MARKER_FOOTER

_ZERO_GRAIN = bytes(GRAIN)
_PADDING = [bytes(count) for count in range(SECTOR)]


def check(disk: Disk) -> None:
    """Raise ImageError when no streamOptimized VMDK can hold the disk."""
    spans.refuse_empty(disk)
    if disk.size > LARGEST:
        raise ImageError(
            f"{disk.source.name} is too large for a VMDK: {disk.size} bytes",
            cause=f"the largest virtual disk of the format is {LARGEST} bytes (62 TiB)",
            cure="convert to raw, or shrink the disk first",
        )


def upper_bound(disk: Disk) -> int:
    """No stream of this disk is longer than this many bytes; reads the extents, not the data."""
    grains, tables = 0, 0
    last_table = -1
    for first, stop in spans.touched(disk.extents(), unit=GRAIN):
        grains += stop - first
        tables += (stop - 1) // TABLE - max(first // TABLE, last_table + 1) + 1
        last_table = (stop - 1) // TABLE
    fixed = _OVERHEAD * SECTOR + len(_empty_directory(disk.size)) + 4 * SECTOR
    return fixed + grains * _MOST_PER_GRAIN + tables * (SECTOR + TABLE * 4)


def stream(
    disk: Disk, *, workers: int | None = None, progress: Callable[[int], None] = lambda _: None
) -> Iterator[bytes]:
    """The VMDK in pieces of at most about 1 MiB. `progress` gets the bytes of data read so far.

    Raises ImageError as `check` does, when the source is damaged, or when the compressed disk
    outgrows the format's 2 TiB.
    """
    check(disk)
    yield _head(disk)
    tables = _Tables(disk)
    done = 0
    tasks = spans.batches(spans.touched(disk.extents(), unit=GRAIN), most=_BATCH, fence=TABLE)
    for first, grains, placed, read in ordered(_Compressor(disk), tasks, workers=spans.hands(disk, workers)):
        if finished := tables.turn_to(first // TABLE):
            yield finished
        tables.place(placed)
        if grains:
            yield grains
        done += read
        progress(done)
    yield tables.tail()


class _Tables:
    """Where each grain went, and the metadata that says so. Holds the directory and one grain table."""

    def __init__(self, disk: Disk, *, most_sectors: int = 1 << 32) -> None:
        self._disk = disk
        self._directory = _empty_directory(disk.size)
        self._table = array("I", bytes(4 * TABLE))
        self._number = 0
        self._position = _OVERHEAD
        # Entries are 32-bit sector numbers: room is kept for what follows the last grain.
        self._last = most_sectors - len(self._directory) // SECTOR - 16

    def turn_to(self, number: int) -> bytes:
        """Go on with grain table `number`; the one before it, with its marker, unless it is empty."""
        if number == self._number:
            return b""
        finished = self._finish()
        self._number = number
        return finished

    def place(self, grains: list[tuple[int, int]]) -> None:
        """(grain number, sectors) of grains as they follow in the stream."""
        for grain, length in grains:
            if self._position + length > self._last:
                raise _too_much(self._disk)
            self._table[grain % TABLE] = self._position
            self._position += length

    def tail(self) -> bytes:
        """The last grain table, the directory, the footer and the end of the stream."""
        last = self._finish()
        return b"".join(
            (
                last,
                _marker(len(self._directory) // SECTOR, _GRAIN_DIRECTORY),
                self._directory,
                _marker(1, _FOOTER),
                _header(self._disk, self._position + 1),
                _marker(0, _END_OF_STREAM),
            )
        )

    def _finish(self) -> bytes:
        if not any(self._table):
            return b""
        struct.pack_into("<I", self._directory, self._number * 4, self._position + 1)
        if byteorder == "big":
            self._table.byteswap()
        data = self._table.tobytes()
        self._table = array("I", bytes(4 * TABLE))
        self._position += 1 + len(data) // SECTOR
        return _marker(len(data) // SECTOR, _GRAIN_TABLE) + data


class _Compressor:
    """One batch of grains: read, drop the zero ones, deflate the others."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def __call__(self, batch: list[spans.Span]) -> tuple[int, bytes, list[tuple[int, int]], int]:
        """The first grain, the bytes for the stream, (grain, sectors) for each grain in them, the bytes read."""
        parts: list[bytes] = []
        placed: list[tuple[int, int]] = []
        read = 0
        for first, stop in batch:
            data = self._disk.read(first * GRAIN, min(stop * GRAIN, self._disk.size) - first * GRAIN)
            read += len(data)
            if len(data) % GRAIN:  # AWS: "Uncompressed data has an invalid length" unless every grain is whole
                data += bytes(-len(data) % GRAIN)
            view = memoryview(data)
            for grain in range(first, stop):
                at = (grain - first) * GRAIN
                if data.startswith(_ZERO_GRAIN, at):  # memcmp, ends at the first byte that differs; no copy
                    continue
                deflated = _deflate(view[at : at + GRAIN])
                length = GRAIN_MARKER.size + len(deflated)
                parts += (GRAIN_MARKER.pack(grain * GRAIN_SECTORS, len(deflated)), deflated, _PADDING[-length % SECTOR])
                placed.append((grain, -(-length // SECTOR)))
        return batch[0][0], b"".join(parts), placed, read


def _deflate(grain: memoryview) -> bytes:
    # The first bytes are a deflate block of their own. Where ISA-L's main loop for levels 1 and 2 meets the start of a
    # buffer, it enters the third byte into its table of matches under the hash of a register that still holds the
    # stream's address (igzip_icf_body_h1_gr_bt.asm, .write_first_byte). The bytes would then differ from one process
    # to the next, in about one grain of ten thousand, and an upload could not be resumed. So few bytes as these go
    # through another routine, and the main loop never meets a start.
    flow = isal_zlib.compressobj(LEVEL)
    deflated = b"".join(
        (
            flow.compress(grain[:_FIRST_BYTES]),
            flow.flush(isal_zlib.Z_SYNC_FLUSH),
            flow.compress(grain[_FIRST_BYTES:]),
            flow.flush(),
        )
    )
    if len(deflated) > _MOST_PER_GRAIN - GRAIN_MARKER.size:
        return zlib.compress(grain, 0)  # stored: 16 bytes more than the grain, which `upper_bound` counts on
    return deflated


def _too_much(disk: Disk) -> ImageError:
    return ImageError(
        f"{disk.source.name} compresses to more than 2 TiB",
        cause="a VMDK's grain tables hold 32-bit sector numbers",
        cure="convert to raw, which has no such limit",
    )


def _head(disk: Disk) -> bytes:
    text = descriptor(disk).encode("ascii")
    head = _header(disk, GD_AT_END) + text
    return head + bytes(_OVERHEAD * SECTOR - len(head))


def descriptor(disk: Disk) -> str:
    """The embedded descriptor, as an export of vSphere has it: hardware version 4 and LSI Logic suit every importer."""
    size = spans.sectors(disk.size)
    identity = spans.identity(disk)
    content_id = int.from_bytes(identity[:4], "little") % 0xFFFF_FFFE  # …FE and …FF mean "none"
    heads, per_track = 255, 63
    return (
        "# Disk DescriptorFile\n"
        "version=1\n"
        f"CID={content_id:08x}\n"
        "parentCID=ffffffff\n"
        'createType="streamOptimized"\n'
        "\n"
        "# Extent description\n"
        f'RDONLY {size} SPARSE "generated-stream.vmdk"\n'
        "\n"
        "# The Disk Data Base\n"
        "#DDB\n"
        "\n"
        'ddb.adapterType = "lsilogic"\n'
        f'ddb.geometry.cylinders = "{max(1, size // (heads * per_track))}"\n'
        f'ddb.geometry.heads = "{heads}"\n'
        f'ddb.geometry.sectors = "{per_track}"\n'
        f'ddb.longContentID = "{identity[4:16].hex()}{content_id:08x}"\n'
        'ddb.virtualHWVersion = "4"\n'
    )


def _header(disk: Disk, directory_at: int) -> bytes:
    packed = struct.pack(
        "<4sIIQQQQIQQQBcccc H",
        MAGIC,
        _VERSION,
        _FLAGS,
        spans.sectors(disk.size),
        GRAIN_SECTORS,
        1,
        _DESCRIPTOR_SECTORS,
        TABLE,
        0,
        directory_at,
        _OVERHEAD,
        0,
        *(b"\n", b" ", b"\r", b"\n"),
        DEFLATE,
    )
    return packed + bytes(SECTOR - len(packed))


def _marker(count: int, kind: int) -> bytes:
    """A metadata marker: `count` sectors of `kind` follow."""
    return struct.pack("<QII", count, 0, kind) + bytes(SECTOR - 16)


def _empty_directory(size: int) -> bytearray:
    """One 32-bit entry per grain table, in whole sectors; 0 stands for a table of zeros that is not there."""
    tables = -(-size // (GRAIN * TABLE))
    return bytearray(-(-tables * 4 // SECTOR) * SECTOR)
