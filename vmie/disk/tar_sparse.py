"""Sparse members of a tar archive, as `tar --sparse` and Google's image exports write them.

The data of a member lies together; a map says where its pieces belong, and the rest is zeros. Source: GNU tar's manual,
"Storing Sparse Files" (the old format with its header blocks, and PAX 0.1 and 1.0).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

from vmie.disk.base import Source, depth_of
from vmie.disk.extents import zeros
from vmie.disk.reading import damaged, read_exact
from vmie.disk.refusals import plausible_size

_BLOCK = 512
_MOST_PIECES = 1 << 20
_MOST_TEXT = 32 << 20

#: (offset in the file, length) of each piece, in order
Map = tuple[tuple[int, int], ...]


def of_header(source: Source, header: bytes, at: int) -> tuple[Map, int, int]:
    """The old format: (map, real size, where the data begins) of a header whose next block is at byte `at`."""
    pieces: list[tuple[int, int]] = []
    size = _octal(source, header[483:495])
    table, more = header[386:482], header[482]
    while True:
        for entry in range(0, len(table) - 23, 24):
            if not table[entry] or table[entry] == 0x20:
                break
            pieces.append((_octal(source, table[entry : entry + 12]), _octal(source, table[entry + 12 : entry + 24])))
        if not more:
            return _judged(source, pieces, size), size, at
        if len(pieces) > _MOST_PIECES:
            raise damaged(source, f"a sparse member of more than {_MOST_PIECES:,} pieces")
        block = read_exact(source, at, _BLOCK, what="sparse map")
        table, more, at = block[:504], block[504], at + _BLOCK


def of_pax(source: Source, records: dict[str, str], at: int) -> tuple[Map, int, int]:
    """PAX 1.0, whose map begins the data at byte `at`, and 0.1, whose map is a record: as `of_header`."""
    size = _decimal(source, records.get("GNU.sparse.realsize") or records.get("GNU.sparse.size", ""))
    if "GNU.sparse.map" in records:
        numbers = [_decimal(source, text) for text in records["GNU.sparse.map"].split(",")]
    else:
        numbers, at = _table(source, at)
    pieces = list(zip(numbers[::2], numbers[1::2], strict=False))
    return _judged(source, pieces, size), size, at


def _table(source: Source, at: int) -> tuple[list[int], int]:
    """The numbers that begin the data: how many pieces, then each one's offset and length, a line each."""
    begin, text = at, b""
    wanted = 1
    while text.count(b"\n") < wanted:
        if len(text) > _MOST_TEXT:
            raise damaged(source, "a sparse map without end")
        text += read_exact(source, at, _BLOCK, what="sparse map")
        at += _BLOCK
        if wanted == 1 and b"\n" in text:
            wanted = 1 + 2 * _decimal(source, text.partition(b"\n")[0].decode("ascii", errors="replace"))
            if wanted > 2 * _MOST_PIECES:
                raise damaged(source, f"a sparse member of more than {_MOST_PIECES:,} pieces")
    lines = text.split(b"\n")[1:wanted]
    return [_decimal(source, line.decode("ascii", errors="replace")) for line in lines], begin + len(text)


def _judged(source: Source, pieces: list[tuple[int, int]], size: int) -> Map:
    plausible_size(source, size)
    end = 0
    for offset, length in pieces:
        if offset < end or offset + length > size:
            raise damaged(source, "the pieces of a sparse member overlap, or lie beyond its end")
        end = offset + length
    return tuple((offset, length) for offset, length in pieces if length)


def _octal(source: Source, raw: bytes) -> int:
    if raw[:1] == b"\x80":
        return int.from_bytes(raw[1:], "big")
    text = raw.strip(b" \0")
    if not text or text.strip(b"01234567"):
        raise damaged(source, "a sparse map of the archive has no number where one should be")
    return int(text, 8)


def _decimal(source: Source, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise damaged(source, "a sparse map of the archive has no number where one should be")
    return int(text)


class SparseSource:
    """A sparse member as a source: `pieces` of what lies at byte `offset` of `source` and on, zeros between."""

    def __init__(self, source: Source, pieces: Sequence[tuple[int, int]], *, offset: int, size: int, name: str) -> None:
        self.path: Path | None = None
        self.name = name
        self.size = size
        self.depth = depth_of(source) + 1
        self._source = source
        self._starts = [start for start, _ in pieces]
        self._lengths = [length for _, length in pieces]
        self._places = [offset, *accumulate(self._lengths, initial=offset)][1:]

    def pread(self, offset: int, length: int) -> bytes:
        """See `Source.pread`."""
        end = min(offset + length, self.size)
        parts: list[bytes] = []
        index = max(0, bisect_right(self._starts, offset) - 1)
        while offset < end:
            start = self._starts[index] if index < len(self._starts) else end
            stop = start + self._lengths[index] if index < len(self._starts) else end
            if offset < start:
                parts.append(zeros(min(start, end) - offset))
                offset = min(start, end)
            elif offset < stop:
                wanted = min(stop, end) - offset
                parts.append(self._source.pread(self._places[index] + offset - start, wanted))
                if len(parts[-1]) < wanted:
                    break
                offset += wanted
            else:
                index += 1
                if index >= len(self._starts):
                    parts.append(zeros(end - offset))
                    offset = end
        return b"".join(parts)

    def close(self) -> None:
        """Leaves the archive open."""
