"""Zip archives: an appliance's folder, or one disk, in a zip. Source: PKWARE's APPNOTE 6.3.10.

Only the central directory is believed, and only as far as it agrees with the file: nothing is extracted, names are
text to compare. Stored members are read in place, compressed ones through `spool`.
"""

from __future__ import annotations

import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from vmie.disk import unpack
from vmie.disk.base import Disk, Source, Window
from vmie.disk.foreign import is_partitioned
from vmie.disk.lone import open_archive
from vmie.disk.package import Archive
from vmie.disk.reading import damaged, read_exact
from vmie.disk.refusals import refused
from vmie.disk.spool import Spooled
from vmie.disk.tarball import ArchiveMember, plain_name

_LOCAL = b"PK\x03\x04"
_END = struct.Struct("<4s4H2IH")
_END64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR = struct.Struct("<4sIQI")
_ENTRY = struct.Struct("<4s6H3I5H2I")
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_MAX_COMMENT = 65535
_MAX_DIRECTORY = 4 << 20
_MAX_MEMBERS = 1000
_MAX16, _MAX32 = 0xFFFF, 0xFFFFFFFF
_METHODS = {0: "stored", 8: "deflate", 93: "zstd", 95: "xz"}
_OTHERS = {6: "implode", 9: "deflate64", 12: "bzip2", 14: "lzma", 98: "PPMd"}


@dataclass(frozen=True, slots=True)
class ZipMember(ArchiveMember):
    """A member: `offset` is that of its local header; `packed` bytes by `method` unpack to `size`."""

    packed: int = 0
    method: int = 0
    crc: int = 0
    encrypted: bool = False


def probe(source: Source) -> bool:
    """Whether the file begins as a zip archive does and ends with a directory."""
    return source.pread(0, 4) == _LOCAL and not is_partitioned(source) and _end_at(source) is not None


def open_source(source: Source, *, index: int = 0, machine: str = "", empty_disks: bool = False) -> Disk:
    """Disk `index` of the appliance in the archive, or its only disk. Raises ImageError."""
    return open_archive(package(source), index=index, machine=machine, empty_disks=empty_disks)


def package(source: Source) -> Archive:
    """The archive's files. Raises ImageError."""
    return ZipArchive(source, members=members(source))


class ZipArchive(Archive):
    """Members of a zip archive."""

    kind = "zip"

    def open(self, member: ArchiveMember) -> Source:
        """See `Archive.open`; ImageError for what is encrypted, or packed in a way that is not read."""
        assert isinstance(member, ZipMember)  # noqa: S101 - it comes from `members`
        name = f"{self.source.name}: {member.name}"
        if member.encrypted:
            raise refused(
                self.source,
                "an encrypted zip archive",
                cause=f"its member {member.name[:200]!r} needs a password",
                cure="unpack it with its password, and give what comes out",
            )
        if member.method not in _METHODS:
            raise refused(
                self.source,
                f"a zip archive packed with {_OTHERS.get(member.method, f'method {member.method}')}",
                cause="deflate, zstd and xz are read, and members that are stored",
                cure=("unpack it (`unzip`, `7z x`), and give what comes out",),
            )
        packed = Window(self.source, offset=_data_of(self.source, member), size=member.packed, name=name)
        if member.method == 0:
            return packed
        pieces = _checked(packed, unpack.unpacked(packed, _METHODS[member.method]), member)
        return Spooled(packed, pieces, name=name, size=member.size)


def members(source: Source) -> tuple[ZipMember, ...]:
    """All members in the order of the directory. Raises ImageError: damaged, too many, hostile or doubled names."""
    count, length, offset = _directory(source)
    if count > _MAX_MEMBERS or length > _MAX_DIRECTORY:
        raise damaged(source, f"the archive has more than {_MAX_MEMBERS} members")
    data = read_exact(source, offset, length, what="zip directory")
    found: dict[str, ZipMember] = {}
    at = 0
    while at + _ENTRY.size <= len(data) and data[at : at + 4] == b"PK\x01\x02":
        member, at = _member(source, data, at)
        if member.name in found:
            raise damaged(source, f"its member {member.name[:120]!r} stands twice in the archive")
        found[member.name] = member
        if len(found) > _MAX_MEMBERS:
            raise damaged(source, f"the archive has more than {_MAX_MEMBERS} members")
    if len(found) != count:
        raise damaged(source, f"its zip directory says {count:,} members and lists {len(found):,}")
    return tuple(found.values())


def _end_at(source: Source) -> int | None:
    """Where the end of the central directory is, None where there is none."""
    start = max(0, source.size - _MAX_COMMENT - _END.size)
    tail = source.pread(start, source.size - start)
    at = tail.rfind(b"PK\x05\x06", 0, max(0, len(tail) - _END.size + 4))
    return start + at if at >= 0 else None


def _directory(source: Source) -> tuple[int, int, int]:
    """(members, bytes, offset) of the central directory; zip64's numbers where the old ones do not suffice."""
    end = _end_at(source)
    if end is None:
        raise damaged(source, "it has no zip directory at its end")
    _, disk, first_disk, _, count, length, offset, _ = _END.unpack(source.pread(end, _END.size))
    if _MAX16 in (count, disk) or _MAX32 in (length, offset):
        locator = read_exact(source, max(0, end - _LOCATOR.size), _LOCATOR.size, what="zip64 locator")
        magic, _, at, _ = _LOCATOR.unpack(locator)
        if magic == b"PK\x06\x07":
            values = _END64.unpack(read_exact(source, at, _END64.size, what="zip64 directory end"))
            if values[0] != b"PK\x06\x06":
                raise damaged(source, "its zip64 directory end is not where it should be")
            disk, first_disk, count, length, offset = values[4], values[5], values[7], values[8], values[9]
    if disk or first_disk:
        raise refused(
            source, "a part of a split zip archive", cause="it is one of several", cure="join the parts: `zip -s 0`"
        )
    return count, length, offset


def _member(source: Source, data: bytes, at: int) -> tuple[ZipMember, int]:
    fields = _ENTRY.unpack_from(data, at)
    flags, method, crc = fields[3], fields[4], fields[7]
    packed, size, name_length, extra_length, comment_length = fields[8:13]
    attributes, offset = fields[15], fields[16]
    start = at + _ENTRY.size
    extra = data[start + name_length : start + name_length + extra_length]
    size, packed, offset = _zip64(source, extra, size, packed, offset)
    raw = data[start : start + name_length]
    text = raw.decode("utf-8" if flags & 0x800 else "cp437", errors="surrogateescape").replace("\\", "/")
    folder = text.endswith("/")
    kind = {stat.S_IFLNK: "symbolic link", stat.S_IFDIR: "folder"}.get(stat.S_IFMT(attributes >> 16), "file")
    member = ZipMember(
        name=plain_name(source, text),
        kind="folder" if folder else kind,
        offset=offset,
        size=size,
        packed=packed,
        method=method,
        crc=crc,
        encrypted=bool(flags & 0x2041),
    )
    return member, start + name_length + extra_length + comment_length


def _zip64(source: Source, extra: bytes, *values: int) -> tuple[int, int, int]:
    """Size, packed size and offset, those of all ones read from the zip64 field, in its order."""
    at = 0
    while at + 4 <= len(extra):
        tag, length = struct.unpack_from("<2H", extra, at)
        if tag == 1:
            field = extra[at + 4 : at + 4 + length]
            wide = [number[0] for number in struct.iter_unpack("<Q", field[: len(field) // 8 * 8])]
            values = tuple(wide.pop(0) if value == _MAX32 and wide else value for value in values)
            break
        at += 4 + length
    size, packed, offset = values
    if offset + packed > source.size:
        raise damaged(source, "a zip member lies beyond the end of the file: it was cut short")
    return size, packed, offset


def _data_of(source: Source, member: ZipMember) -> int:
    """Where a member's bytes begin: behind its local header, whose name may have another length."""
    header = read_exact(source, member.offset, _LOCAL_HEADER.size, what="zip member header")
    fields = _LOCAL_HEADER.unpack(header)
    if fields[0] != _LOCAL:
        raise damaged(source, f"no zip member begins at byte {member.offset:,}")
    begin = member.offset + _LOCAL_HEADER.size + int(fields[9]) + int(fields[10])
    if begin + member.packed > source.size:
        raise damaged(source, f"its member {member.name[:120]!r} is cut short")
    return begin


def _checked(source: Source, pieces: Iterator[bytes], member: ZipMember) -> Iterator[bytes]:
    """`pieces`, whose checksum must be the directory's in the end."""
    crc = 0
    for piece in pieces:
        crc = zlib.crc32(piece, crc)
        yield piece
    if crc != member.crc:
        raise damaged(source, "its checksum is not the one that the archive gives")
