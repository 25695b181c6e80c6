"""Decompressors for initramfs files, one step at a time: no step gives more than `STEP` bytes, whatever the input.

Each reader takes bytes from a `Feed` and leaves behind what follows its stream (archives may be
concatenated: https://docs.kernel.org/driver-api/early-userspace/buffer-format.html).
"""

from __future__ import annotations

import bz2
import importlib
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Any

STEP = 1 << 20
_FEED = 256 << 10
_LZMA_MEMORY = 128 << 20
_ZSTD_WINDOW = 64 << 20
_ZSTD_HEAD = 18


class UnpackError(Exception):
    """The compressed data is damaged, or of a kind that is not read; `str` says which."""


class GaveUpError(UnpackError):
    """The data may be sound, but is larger than is unpacked here, or of a kind that is not read."""


class Feed:
    """A file's bytes in order, with look-ahead; skipping costs nothing."""

    def __init__(self, read: Callable[[int, int], bytes], *, size: int) -> None:
        self._read = read
        self._size = size
        self._at = 0
        self._rest = b""

    @property
    def position(self) -> int:
        """The offset of the next byte."""
        return self._at - len(self._rest)

    def peek(self, length: int) -> bytes:
        """The next `length` bytes, fewer at the end, without taking them."""
        while len(self._rest) < length and self._at < self._size:
            piece = self._read(self._at, max(_FEED, length - len(self._rest)))
            if not piece:
                break
            self._rest += piece
            self._at += len(piece)
        return self._rest[:length]

    def take(self, length: int) -> bytes:
        """The next `length` bytes, fewer at the end."""
        data = self.peek(length)
        self._rest = self._rest[len(data) :]
        return data

    def piece(self) -> bytes:
        """Whatever is at hand, at least a byte before the end."""
        self.peek(1)
        data, self._rest = self._rest, b""
        return data

    def back(self, data: bytes) -> None:
        """Give back `data`, taken too much."""
        self._rest = data + self._rest

    def skip(self, length: int) -> None:
        """Pass over `length` bytes."""
        if length <= len(self._rest):
            self._rest = self._rest[length:]
        else:
            self._at = self.position + length
            self._rest = b""

    def read(self, size: int = -1) -> bytes:
        """As a file object: for decompressors that pull."""
        return self.take(_FEED if size < 0 else size)


def _push(feed: Feed, machine: Any, errors: tuple[type[Exception], ...]) -> Iterator[bytes]:
    """For lzma's and bz2's objects, which keep unread input themselves."""
    while not machine.eof:
        try:
            data = machine.decompress(feed.piece() if getattr(machine, "needs_input", True) else b"", STEP)
        except errors as error:
            raise (GaveUpError if "limit" in str(error) else UnpackError)(str(error) or "damaged") from error
        if not data and getattr(machine, "needs_input", True) and not feed.peek(1) and not machine.eof:
            raise UnpackError("it ends too early")
        yield data
    feed.back(machine.unused_data)


def _xz(feed: Feed) -> Iterator[bytes]:
    return _push(feed, lzma.LZMADecompressor(lzma.FORMAT_AUTO, memlimit=_LZMA_MEMORY), (lzma.LZMAError,))


def _bzip2(feed: Feed) -> Iterator[bytes]:
    return _push(feed, bz2.BZ2Decompressor(), (OSError, ValueError))


def _gzip(feed: Feed) -> Iterator[bytes]:
    """ISA-L is several times as fast as zlib; its objects follow zlib's (unconsumed_tail)."""
    isal_zlib = importlib.import_module("isal.isal_zlib")
    machine: Any = isal_zlib.decompressobj(wbits=31)
    pending = b""
    while not machine.eof:
        pending = pending or feed.piece()
        if not pending:
            raise UnpackError("it ends too early")
        try:
            data = machine.decompress(pending, STEP)
        except (isal_zlib.error, zlib.error) as error:
            raise UnpackError(str(error)) from error
        pending = machine.unconsumed_tail
        yield data
    feed.back(machine.unused_data)


def _zstd(feed: Feed) -> Iterator[bytes]:
    """One frame, by its blocks of at most 128 KiB (RFC 8878, 3.1.1): the streaming readers pass its end."""
    zstandard = importlib.import_module("zstandard")
    try:
        head = feed.peek(_ZSTD_HEAD)
        frame, length = zstandard.get_frame_parameters(head), zstandard.frame_header_size(head)
        if frame.window_size > _ZSTD_WINDOW:
            raise GaveUpError(f"it needs too much memory: a window of {frame.window_size >> 20} MiB")
        unpack = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj().decompress
        unpack(feed.take(length))
        last = False
        while not last:
            packed, last = _zstd_blocks(feed)
            data = unpack(packed + (feed.take(4) if last and frame.has_checksum else b""))
            if data:
                yield data
    except zstandard.ZstdError as error:
        raise UnpackError(str(error)) from error


def _zstd_blocks(feed: Feed) -> tuple[bytes, bool]:
    """As many blocks as unpack to `STEP` bytes at most, and whether the last one is among them."""
    parts = []
    for _ in range(STEP >> 17):
        head = int.from_bytes(feed.peek(3), "little")
        kind, size = head >> 1 & 3, head >> 3
        length = 3 + (1 if kind == 1 else size)
        block = feed.take(length)
        if kind == 3 or len(block) < length or size > 1 << 17:
            raise UnpackError("a block of it is damaged, or it ends too early")
        parts.append(block)
        if head & 1:
            return b"".join(parts), True
    return b"".join(parts), False


_LZ4_BLOCK = 8 << 20


def _lz4_legacy(feed: Feed) -> Iterator[bytes]:
    """What the kernel reads: blocks of up to 8 MiB, each with its compressed length in front."""
    block = importlib.import_module("lz4.block")
    feed.take(4)
    while len(header := feed.peek(4)) == 4:
        length = int.from_bytes(header, "little")
        if length == 0 or length > _LZ4_BLOCK + _LZ4_BLOCK // 255 + 16:
            return  # another archive's magic, or padding
        feed.take(4)
        data = feed.take(length)
        if len(data) < length:
            raise UnpackError("it ends too early")
        try:
            yield block.decompress(data, uncompressed_size=_LZ4_BLOCK)
        except block.LZ4BlockError as error:
            raise UnpackError(str(error)) from error


def _lz4(feed: Feed) -> Iterator[bytes]:
    frame = importlib.import_module("lz4.frame")
    return _push(feed, frame.LZ4FrameDecompressor(), (RuntimeError,))


#: (magic, name, reader)
_KINDS: tuple[tuple[bytes, str, Callable[[Feed], Iterator[bytes]] | None], ...] = (
    (b"\x1f\x8b", "gzip", _gzip),
    (b"\xfd7zXZ\x00", "xz", _xz),
    (b"\x28\xb5\x2f\xfd", "zstd", _zstd),
    (b"\x02\x21\x4c\x18", "lz4", _lz4_legacy),
    (b"\x04\x22\x4d\x18", "lz4", _lz4),
    (b"\x5d\x00\x00", "lzma", _xz),
    (b"BZh", "bzip2", _bzip2),
    (b"\x89LZO", "lzop", None),
)


def compression(feed: Feed) -> tuple[str, Callable[[Feed], Iterator[bytes]] | None]:
    """The kind of stream that begins here and its reader; ("", None) for none that is known."""
    head = feed.peek(8)
    for magic, name, reader in _KINDS:
        if head.startswith(magic):
            return name, reader
    return "", None
