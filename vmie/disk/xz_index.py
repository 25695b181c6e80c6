"""The size that an .xz file declares, from the index of each of its streams. Source: the .xz file format 1.2.0."""

from __future__ import annotations

from vmie.disk.base import Source
from vmie.disk.reading import damaged, read_exact
from vmie.disk.refusals import MAX_DISK

MAGIC = b"\xfd7zXZ\x00"

_FOOTER = 12
_MAX_INDEX = 4 << 20
_MAX_STREAMS = 10_000


def content_size(source: Source) -> int:
    """The sum of all blocks' uncompressed sizes in bytes, reading the file from its end. Raises ImageError."""
    end = source.size
    total = 0
    for _ in range(_MAX_STREAMS):
        if not end:
            return total
        end = _without_padding(source, end)
        packed, content = _stream(source, end)
        if packed > end or total + content > MAX_DISK:
            raise damaged(source, "its xz index contradicts the file's size")
        end -= packed
        total += content
    raise damaged(source, f"more than {_MAX_STREAMS} xz streams")


def _without_padding(source: Source, end: int) -> int:
    while end >= 4 + _FOOTER:
        start = max(0, end - 65536)
        data = source.pread(start, end - start)
        used = len(data.rstrip(b"\0"))
        if used:
            return start + -(-used // 4) * 4
        end = start
    return end


def _stream(source: Source, end: int) -> tuple[int, int]:
    """The stream that ends at `end`: all its bytes, and those it unpacks to."""
    footer = read_exact(source, max(0, end - _FOOTER), _FOOTER, what="xz footer")
    index_size = (int.from_bytes(footer[4:8], "little") + 1) * 4
    if footer[10:] != b"YZ":
        raise damaged(source, "it does not end as an xz file does")
    if index_size > min(_MAX_INDEX, end - _FOOTER):
        raise damaged(source, f"an xz index of {index_size:,} bytes")
    index = read_exact(source, end - _FOOTER - index_size, index_size, what="xz index")
    try:
        packed, content = _records(index)
    except (IndexError, ValueError) as error:
        raise damaged(source, "its xz index is damaged") from error
    return 12 + packed + index_size + _FOOTER, content


def _records(index: bytes) -> tuple[int, int]:
    if index[0] != 0:
        raise ValueError("no index indicator")
    count, at = _integer(index, 1)
    packed = content = 0
    for _ in range(count):
        unpadded, at = _integer(index, at)
        size, at = _integer(index, at)
        packed += -(-unpadded // 4) * 4
        content += size
    return packed, content


def _integer(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 63, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
    raise ValueError("an integer of more than nine bytes")
