"""Zstandard files by their frames and blocks (RFC 8878, section 3): bounded unpacking, and sizes without any.

The streaming readers of the zstandard package end quietly where a file is cut short, and a few bytes
may unpack to gigabytes. Block headers tell both beforehand: no block holds more than 128 KiB.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import zstandard

from vmie.disk.base import Source
from vmie.disk.reading import damaged, read_exact

MAGIC = b"\x28\xb5\x2f\xfd"

_SKIPPABLE = 0x184D2A50
_MAX_WINDOW = 1 << 27  # what `zstd -d` takes without an option
_MAX_HEADER = 18
_PROBED_FRAMES = 8
_BATCH_BYTES = 1 << 20
_BATCH_BLOCKS = 16


@dataclass(frozen=True, slots=True)
class _Frame:
    """A frame header: its length in bytes, the content size it declares, whether a checksum follows."""

    length: int
    content: int | None
    checksum: bool


def probe(source: Source) -> bool:
    """Whether a frame begins the file, or follows the skippable frames that begin it, as pzstd writes them."""
    offset = 0
    for _ in range(_PROBED_FRAMES):
        head = source.pread(offset, 8)
        if head[:4] == MAGIC:
            return True
        if len(head) < 8 or not _is_skippable(head):
            return False
        offset += 8 + int.from_bytes(head[4:], "little")
    return False


def content_size(source: Source) -> int | None:
    """What all frames together declare, in bytes, read from headers alone; None when one does not say."""
    total = 0
    offset = 0
    while offset < source.size:
        frame = _frame(source, offset)
        if frame is None:
            offset += _skippable(source, offset)
            continue
        if frame.content is None:
            return None
        total += frame.content
        offset += frame.length
        last = False
        while not last:
            length, last = _block(source, offset)
            offset += length
        offset += 4 if frame.checksum else 0
    return total


def unpacked(source: Source) -> Iterator[bytes]:
    """The content in pieces of up to 2 MiB. Raises ImageError."""
    offset = 0
    while offset < source.size:
        frame = _frame(source, offset)
        if frame is None:
            offset += _skippable(source, offset)
            continue
        unpack = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW).decompressobj().decompress
        try:
            unpack(read_exact(source, offset, frame.length, what="zstd frame header"))
            offset += frame.length
            last = False
            while not last:
                length, last = _batch(source, offset)
                if last and frame.checksum:
                    length += 4
                piece = unpack(read_exact(source, offset, length, what="zstd block"))
                offset += length
                if piece:
                    yield piece
        except zstandard.ZstdError as error:
            raise damaged(source, f"its zstd frame does not unpack near byte {offset:,}: {error}") from error


def _frame(source: Source, offset: int) -> _Frame | None:
    """The header of the frame at `offset`; None for a skippable frame."""
    head = source.pread(offset, _MAX_HEADER)
    if len(head) >= 4 and _is_skippable(head):
        return None
    if head[:4] != MAGIC:
        raise damaged(source, f"no zstd frame begins at byte {offset:,}")
    try:
        length = zstandard.frame_header_size(head)
        parameters = zstandard.get_frame_parameters(head)
    except zstandard.ZstdError as error:
        raise damaged(source, f"the zstd frame at byte {offset:,} has a damaged header: {error}") from error
    if parameters.window_size > _MAX_WINDOW:
        why = f"its zstd window of {parameters.window_size:,} bytes is larger than {_MAX_WINDOW:,}"
        raise damaged(source, why, cure="compress it again without --long or --ultra")
    content = parameters.content_size
    return _Frame(length, None if content >= (1 << 64) - 2 else content, parameters.has_checksum)


def _is_skippable(head: bytes) -> bool:
    return int.from_bytes(head[:4], "little") & ~0xF == _SKIPPABLE


def _skippable(source: Source, offset: int) -> int:
    head = read_exact(source, offset, 8, what="zstd skippable frame")
    length = 8 + int.from_bytes(head[4:], "little")
    if offset + length > source.size:
        read_exact(source, offset, length, what="zstd skippable frame")
    return length


def _block(source: Source, offset: int) -> tuple[int, bool]:
    """The bytes that the block at `offset` takes with its header, and whether it is its frame's last."""
    return _measured(source, read_exact(source, offset, 3, what="zstd block header"), offset)


def _measured(source: Source, raw: bytes, offset: int) -> tuple[int, bool]:
    head = int.from_bytes(raw, "little")
    kind, size = head >> 1 & 3, head >> 3
    if kind == 3 or size > 1 << 17:
        raise damaged(source, f"the zstd block at byte {offset:,} has a damaged header")
    return 3 + (1 if kind == 1 else size), bool(head & 1)


def _batch(source: Source, offset: int) -> tuple[int, bool]:
    """As `_block`, for as many blocks as unpack to at most 2 MiB."""
    data = source.pread(offset, _BATCH_BYTES)
    length = 0
    last = False
    for _ in range(_BATCH_BLOCKS):
        head = data[length : length + 3]
        if len(head) < 3:
            break
        step, last = _measured(source, head, offset + length)
        if length and length + step > len(data):
            return length, False
        length += step
        if last:
            break
    if not length:
        read_exact(source, offset, 3, what="zstd block header")
    return length, last
