"""The header of a qcow2 file, checked, and the features that cannot be read refused by name.

Source: https://www.qemu.org/docs/master/interop/qcow2.html
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from vmie.disk.base import Source
from vmie.disk.reading import damaged, read_exact
from vmie.disk.refusals import plausible_size, refused

MAGIC = b"QFI\xfb"

_V2_LENGTH = 72
_MAX_HEADER = 4096
_MAX_L1_BYTES = 32 << 20  # qemu's own limit
_MAX_NAME = 1023

_DIRTY, _CORRUPT, _EXTERNAL_DATA, _COMPRESSION, _EXTENDED_L2 = (1 << bit for bit in range(5))
_KNOWN_INCOMPATIBLE = _DIRTY | _CORRUPT | _EXTERNAL_DATA | _COMPRESSION | _EXTENDED_L2

_EXT_END, EXT_BACKING_FORMAT, _EXT_FEATURE_NAMES = 0, 0xE2792ACA, 0x6803F857
_EXT_DATA_FILE, _EXT_BITMAPS = 0x44415441, 0x23852875
_MAX_EXTENSIONS = 64

_FLATTEN = "make it stand alone: `qemu-img convert -O qcow2 FILE WHOLE.qcow2` where its other files are at hand"


@dataclass(frozen=True, slots=True)
class Qcow2Header:
    """What reading needs. `compression` is zlib or zstd; `extended` says that L2 entries map 32 subclusters each.

    `backing` is the file that holds what this one does not, as written, "" where there is none.
    """

    version: int
    cluster_bits: int
    size: int
    l1_offset: int
    l1_entries: int
    refcount_offset: int
    refcount_clusters: int
    compression: str
    extended: bool
    dirty: bool
    snapshots: int
    backing: str = ""
    backing_format: str = ""
    extensions: dict[int, bytes] = field(default_factory=dict)

    @property
    def has_bitmaps(self) -> bool:
        """Whether the file keeps dirty bitmaps (of incremental backups)."""
        return _EXT_BITMAPS in self.extensions


def read(source: Source) -> Qcow2Header:
    """The header of version 2 or 3; ImageError for what cannot be read, with the reason and the way out."""
    head = read_exact(source, 0, _V2_LENGTH, what="header")
    magic, version, backing_at, backing_size, bits, size, crypt, l1_entries, l1_at = struct.unpack_from(
        ">4sIQIIQIIQ", head
    )
    refcounts_at, refcounts, snapshots = struct.unpack_from(">QII", head, 48)
    if magic != MAGIC:
        raise damaged(source, "it does not begin with the qcow2 signature")
    if version not in (2, 3):
        raise _other_version(source, version)
    if not 9 <= bits <= 21:
        raise damaged(source, f"clusters of 2^{bits} bytes; 512 bytes to 2 MiB are defined")
    incompatible, length, compression = _v3(source) if version == 3 else (0, _V2_LENGTH, "zlib")
    extensions = dict(_extensions(source, length, backing_at or 1 << bits))
    if crypt:
        raise _encrypted(source, crypt)
    _refuse_features(source, incompatible, extensions)
    return Qcow2Header(
        backing=_backing(source, backing_at, backing_size) if backing_at else "",
        backing_format=_text(extensions.get(EXT_BACKING_FORMAT, b"")).lower(),
        version=version,
        cluster_bits=bits,
        size=plausible_size(source, size),
        l1_offset=l1_at,
        l1_entries=_checked_l1(
            source, l1_at, l1_entries, bits=bits, size=size, extended=bool(incompatible & _EXTENDED_L2)
        ),
        refcount_offset=refcounts_at,
        refcount_clusters=refcounts,
        compression=compression,
        extended=bool(incompatible & _EXTENDED_L2),
        dirty=bool(incompatible & _DIRTY),
        snapshots=snapshots,
        extensions=extensions,
    )


def _v3(source: Source) -> tuple[int, int, str]:
    head = read_exact(source, _V2_LENGTH, 32, what="version 3 header")
    incompatible, _, _, _, length = struct.unpack(">QQQII", head)
    if not 104 <= length <= _MAX_HEADER or length % 8:
        raise damaged(source, f"a header length of {length} bytes")
    method = 0
    if length > 104:
        method = read_exact(source, 104, 1, what="compression type")[0]
    if bool(incompatible & _COMPRESSION) != bool(method) or method > 1:
        raise damaged(source, f"compression type {method}, and feature bits that contradict it or do not know it")
    return incompatible, length, ("zlib", "zstd")[method]


def _extensions(source: Source, offset: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Header extensions up to byte `end`: the backing file's name, or the end of the first cluster."""
    for _ in range(_MAX_EXTENSIONS):
        if offset + 8 > min(end, source.size):
            return
        kind, length = struct.unpack(">II", read_exact(source, offset, 8, what="header extension"))
        if kind == _EXT_END:
            return
        if offset + 8 + length > end:
            raise damaged(source, f"header extension {kind:#x} of {length} bytes does not fit the first cluster")
        yield kind, read_exact(source, offset + 8, min(length, _MAX_HEADER), what="header extension")
        offset += 8 + -(-length // 8) * 8
    raise damaged(source, f"more than {_MAX_EXTENSIONS} header extensions")


def _checked_l1(source: Source, offset: int, entries: int, *, bits: int, size: int, extended: bool) -> int:
    span_bits = bits + bits - (4 if extended else 3)
    needed = (size + (1 << span_bits) - 1) >> span_bits
    if extended and bits < 14:
        raise damaged(source, f"extended L2 entries need clusters of at least 16 KiB, these have 2^{bits} bytes")
    if entries < needed or needed * 8 > _MAX_L1_BYTES:
        why = f"its L1 table has {entries} entries; a disk of {size:,} bytes needs {needed}, of at most 4,194,304"
        raise damaged(source, why)
    if needed and (offset % (1 << bits) or offset < 1 << bits):
        raise damaged(source, f"its L1 table at byte {offset} is not on a cluster of its own")
    return needed


def _refuse_features(source: Source, incompatible: int, extensions: dict[int, bytes]) -> None:
    if incompatible & _CORRUPT:
        raise refused(
            source,
            "a qcow2 marked as corrupt",
            cause="qemu found its tables damaged and refuses to write to it",
            cure="repair a copy with `qemu-img check -r all FILE`, then check what it holds",
        )
    if incompatible & _EXTERNAL_DATA:
        name = _text(extensions.get(_EXT_DATA_FILE, b"")) or "a file that it does not name"
        raise refused(
            source, "a qcow2 with an external data file", cause=f"its data lies in another file: {name}", cure=_FLATTEN
        )
    unknown = incompatible & ~_KNOWN_INCOMPATIBLE
    if unknown:
        names = _feature_names(extensions.get(_EXT_FEATURE_NAMES, b""))
        listed = ", ".join(names.get(bit, f"bit {bit}") for bit in range(64) if unknown >> bit & 1)
        raise refused(
            source,
            "a qcow2 that uses features not known here",
            cause=f"incompatible features: {listed}",
            cure="convert it with a qemu that knows them: `qemu-img convert -O qcow2 FILE PLAIN.qcow2`",
        )


def _feature_names(table: bytes) -> dict[int, str]:
    """Names of incompatible feature bits from the file's own table (48 bytes each: type, bit, name)."""
    rows = (table[at : at + 48] for at in range(0, len(table) - 47, 48))
    return {row[1]: f"{_text(row[2:])} (bit {row[1]})" for row in rows if row[0] == 0 and row[1] < 64}


def _text(data: bytes) -> str:
    text = data.partition(b"\0")[0].decode("utf-8", errors="replace")
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _backing(source: Source, offset: int, length: int) -> str:
    if not 0 < length <= _MAX_NAME:
        raise damaged(source, f"a backing file name of {length} bytes; 1 to {_MAX_NAME} are allowed")
    name = os.fsdecode(read_exact(source, offset, length, what="backing file name").partition(b"\0")[0])
    if not name:
        raise damaged(source, "a backing file without a name")
    return name


def _encrypted(source: Source, method: int) -> Exception:
    name = {1: "AES", 2: "LUKS"}.get(method, f"method {method}")
    return refused(
        source,
        f"a qcow2 encrypted with {name}",
        cause="its bytes cannot be read without the key, by AWS neither",
        cure="decrypt it with `qemu-img convert --object secret,… --image-opts … -O qcow2 PLAIN.qcow2`",
    )


def _other_version(source: Source, version: int) -> Exception:
    return refused(
        source,
        f"a qcow image of version {version}",
        cause="versions 2 and 3 are read" + ("; version 1 is the old qcow format" if version == 1 else ""),
        cure="convert it: `qemu-img convert -O qcow2 FILE NEW.qcow2`",
    )
