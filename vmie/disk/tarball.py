"""Tar archives as tables of contents: only headers are read, data is stepped over, nothing is extracted.

Reads v7, ustar, pax and GNU headers (long names, base-256 sizes). Names are text to compare, never
paths. Sources: POSIX.1-2008 `pax`, GNU tar manual, "Basic Tar Format" and "GNU tar Archive Format".
"""

from __future__ import annotations

from dataclasses import dataclass, field

from vmie.disk import tar_sparse
from vmie.disk.base import Source
from vmie.disk.reading import damaged, truncated
from vmie.disk.refusals import refused

_BLOCK = 512
_MAX_MEMBERS = 1000
_MAX_HEADERS = 4 * _MAX_MEMBERS
_MAX_EXTENDED = 1 << 20  # bytes of one pax header or long name
_MAX_NAME = 4096

_REGULAR = b"\x0007"
_KINDS = {b"1": "hard link", b"2": "symbolic link", b"3": "device", b"4": "device", b"5": "folder", b"6": "pipe"}


@dataclass(frozen=True, slots=True)
class ArchiveMember:
    """A member: `offset` and `size` of its data in bytes. `kind` is "file", or what else it is.

    `pieces` are those of a sparse member (see `tar_sparse`), whose `size` is that of the whole file.
    """

    name: str
    kind: str
    offset: int
    size: int
    pieces: tuple[tuple[int, int], ...] | None = None


@dataclass(slots=True)
class _Pending:
    """What extension headers say of the next member."""

    name: str | None = None
    size: int | None = None
    sparse: dict[str, str] | None = None
    shared: dict[str, str] = field(default_factory=dict)  # pax global headers stay in force

    def take(self) -> tuple[str | None, int | None]:
        name, size = self.name, self.size
        self.name = self.size = None
        return name, size


def looks_like_tar(source: Source) -> bool:
    """Whether the first 512 bytes are a tar header with the right checksum."""
    header = source.pread(0, _BLOCK)
    return len(header) == _BLOCK and header[0] != 0 and _checksum_holds(header)


def members(source: Source) -> tuple[ArchiveMember, ...]:
    """All members in order. Raises ImageError: truncated, damaged, too many, hostile or doubled names."""
    found: dict[str, ArchiveMember] = {}
    pending = _Pending()
    offset = 0
    for _ in range(_MAX_HEADERS):
        header = source.pread(offset, _BLOCK)
        if not header or header == bytes(_BLOCK):
            break
        if len(header) < _BLOCK:
            raise truncated(source, offset + _BLOCK, what="archive member header")
        if not _checksum_holds(header):
            raise damaged(source, f"the archive header at byte {offset:,} has a wrong checksum")
        offset += _BLOCK
        size = _number(source, header[124:136])
        kind = header[156:157]
        if kind in b"xgLK" and kind:
            _extend(source, pending, kind, offset, size)
        else:
            member, offset, size = _member(source, header, pending, offset=offset, size=size)
            if member.name in found and "folder" not in (member.kind, found[member.name].kind):
                raise _hostile(source, member.name, "stands twice in the archive")
            found[member.name] = member
            if len(found) > _MAX_MEMBERS:
                raise damaged(source, f"the archive has more than {_MAX_MEMBERS} members")
        offset += -(-size // _BLOCK) * _BLOCK
    else:
        raise damaged(source, f"the archive has more than {_MAX_HEADERS} headers")
    return tuple(found.values())


def _member(
    source: Source, header: bytes, pending: _Pending, *, offset: int, size: int
) -> tuple[ArchiveMember, int, int]:
    """The member, and where its data begins and how many bytes of it there are."""
    name, pax_size = pending.take()
    sparse, pending.sparse = pending.sparse, None
    kind = header[156:157]
    if name is None:
        name = _text(header[:100])
        prefix = _text(header[345:500]) if header[257:263] == b"ustar\0" else ""
        name = f"{prefix}/{name}" if prefix else name
    name = plain_name(source, name)
    what = "file" if kind == b"S" else _KINDS.get(kind, "file" if kind in _REGULAR else "special file")
    size = pax_size if pax_size is not None else size
    if what != "file" and kind in _KINDS:
        size = 0  # links and folders carry no data, whatever their header says
    if offset + size > source.size:
        raise truncated(source, offset + size, what=f"archive member {name!r}")
    if kind == b"S" or (sparse and what == "file"):
        return _sparse(source, header, sparse, name, offset=offset, size=size)
    return ArchiveMember(name, what, offset, size), offset, size


def _sparse(
    source: Source, header: bytes, sparse: dict[str, str] | None, name: str, *, offset: int, size: int
) -> tuple[ArchiveMember, int, int]:
    """As `_member`; in the old format the map's blocks come before the data, in PAX 1.0 they are its beginning."""
    if sparse is None:
        pieces, whole, data = tar_sparse.of_header(source, header, offset)
        end = data + size
    else:
        pieces, whole, data = tar_sparse.of_pax(source, sparse, offset)
        end = offset + size
    if data + sum(length for _, length in pieces) > min(end, source.size):
        raise truncated(source, data + size, what=f"sparse archive member {name!r}")
    return ArchiveMember(name, "file", data, whole, pieces), data, end - data


def _extend(source: Source, pending: _Pending, kind: bytes, offset: int, size: int) -> None:
    if size > _MAX_EXTENDED:
        raise damaged(source, f"an extension header of {size:,} bytes; at most {_MAX_EXTENDED:,} are read")
    if offset + size > source.size:
        raise truncated(source, offset + size, what="archive extension header")
    data = source.pread(offset, size)
    if kind == b"L":
        pending.name = _text(data)
    elif kind in b"xg":
        records = _pax(source, data)
        if kind == b"x" and any(key.startswith("GNU.sparse") for key in records):
            pending.sparse = records
        if kind == b"g":
            pending.shared.update({key: value for key, value in records.items() if key in ("path", "size")})
        records = {**pending.shared, **records}
        pending.name = records.get("GNU.sparse.name") or records.get("path", pending.name)
        if "size" in records:
            pending.size = _decimal(source, records["size"])


def _pax(source: Source, data: bytes) -> dict[str, str]:
    """The records of a pax header: ``<length> <key>=<value>\\n``, length counting all of it."""
    records: dict[str, str] = {}
    at = 0
    while at < len(data) and data[at : at + 1] != b"\0":
        space = data.find(b" ", at, at + 12)
        length = _decimal(source, data[at:space].decode("ascii", errors="replace")) if space > at else 0
        if length < 5 or at + length > len(data):
            raise damaged(source, "an extension header of the archive has a record of the wrong length")
        key, equals, value = data[space + 1 : at + length - 1].partition(b"=")
        if not equals:
            raise damaged(source, "an extension header of the archive has a record without a value")
        records[key.decode("utf-8", errors="replace")] = value.decode("utf-8", errors="surrogateescape")
        at += length
    return records


def _decimal(source: Source, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise damaged(source, f"{text[:40]!r} stands where the archive should have a number")
    return int(text)


def _number(source: Source, raw: bytes) -> int:
    """A size field: octal digits, or base-256 when the first bit is set (GNU, sizes from 8 GiB)."""
    if raw[0] & 0x80:
        value = int.from_bytes(raw, "big") & ((1 << 95) - 1)
        if raw[0] & 0x40 or value > 1 << 62:
            raise damaged(source, "an archive member's size is negative or beyond any file's")
        return value
    text = raw.strip(b" \0")
    if not text:
        return 0
    if text.strip(b"01234567"):
        raise damaged(source, f"{text!r} stands where the archive should have an octal size")
    return int(text, 8)


def _checksum_holds(header: bytes) -> bool:
    """Whether the header's checksum is right, its own field counted as spaces; old tars summed signed bytes."""
    text = header[148:156].strip(b" \0")
    if not text or text.strip(b"01234567"):
        return False
    body = header[:148] + b" " * 8 + header[156:]
    total = sum(body)
    return int(text, 8) in (total, total - 256 * sum(1 for byte in body if byte > 127))


def _text(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode("utf-8", errors="surrogateescape")


def plain_name(source: Source, name: str) -> str:
    """A member's name without leading "./"; ImageError for a name that could leave a folder."""
    if "\0" in name or "\\" in name or len(name) > _MAX_NAME:
        raise _hostile(source, name, "is no plain file name")
    if name.startswith("/"):
        raise _hostile(source, name, "is an absolute path")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise _hostile(source, name, "points out of the archive")
    return "/".join(parts)


def _hostile(source: Source, name: str, why: str) -> Exception:
    shown = name.encode("utf-8", errors="backslashreplace").decode()[:120]
    return refused(
        source,
        "an archive that is not safe to read",
        cause=f"its member {shown!r} {why}",
        cure="find out where the file comes from; export the appliance again",
    )
