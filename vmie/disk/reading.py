"""Reads that get what they ask for or say why not: every structure of every format comes through here."""

from __future__ import annotations

from vmie.disk.base import Source
from vmie.errors import ImageError

#: No table that a reader keeps in memory is larger than this (64 MiB maps 2 TiB at the smallest usual grain).
TABLE_LIMIT = 64 << 20

_TRUNCATED_CURE = "copy or export the image again, and compare its size and checksum with the original's"


def read_exact(source: Source, offset: int, length: int, *, what: str) -> bytes:
    """`length` bytes from `offset`, or ImageError that names `what` (a structure: "grain directory")."""
    if offset < 0 or length < 0 or offset + length > source.size:
        raise truncated(source, offset + length, what=what)
    data = source.pread(offset, length)
    if len(data) != length:
        raise truncated(source, offset + length, what=what)
    return data


def truncated(source: Source, end: int, *, what: str) -> ImageError:
    """`what` would end at byte `end`, past the end of the source."""
    return ImageError(
        f"{source.name} is truncated or damaged: its {what} lies outside the file",
        cause=f"the {what} ends at byte {end:,}, the file has {source.size:,} bytes",
        cure=_TRUNCATED_CURE,
    )


def damaged(source: Source, cause: str, *, cure: str = _TRUNCATED_CURE) -> ImageError:
    """A structure contradicts the format."""
    return ImageError(f"{source.name} is damaged", cause=cause, cure=cure)
