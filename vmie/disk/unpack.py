"""Compressed files and members: bounded unpacking from the first byte to the last, off the GIL.

gzip, xz, zstd ──► a file as a whole          deflate ──► a member of a zip archive
"""

from __future__ import annotations

import io
import lzma
from collections.abc import Iterator
from typing import TYPE_CHECKING

from isal import igzip, isal_zlib

from vmie.disk import xz_index, zstd_frames
from vmie.disk.base import Source
from vmie.disk.reading import damaged

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_GZIP = b"\x1f\x8b\x08"
_PIECE = 256 << 10
_READ = 256 << 10
_XZ_MEMORY = 128 << 20  # `xz -9` needs 65 MiB


def method_of(source: Source) -> str | None:
    """What a file is compressed with: gzip, xz or zstd; None for what does not begin so."""
    head = source.pread(0, 6)
    if head.startswith(_GZIP):
        return "gzip"
    if head.startswith(xz_index.MAGIC):
        return "xz"
    return "zstd" if zstd_frames.probe(source) else None


def content_size(source: Source, method: str) -> int | None:
    """What a file declares to unpack to, in bytes; None where only unpacking shows it. Raises ImageError."""
    if method == "xz":
        return xz_index.content_size(source)
    return zstd_frames.content_size(source) if method == "zstd" else None


def unpacked(source: Source, method: str) -> Iterator[bytes]:
    """The content by a method of `method_of`, or "deflate", in pieces of up to 2 MiB. Raises ImageError."""
    if method == "gzip":
        return _gunzip(source)
    if method == "xz":
        return _unxz(source)
    return zstd_frames.unpacked(source) if method == "zstd" else _inflate(source)


class _File(io.RawIOBase):
    """A source as the file object that gzip readers want."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._at = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer)
        data = self._source.pread(self._at, len(view))
        view[: len(data)] = data
        self._at += len(data)
        return len(data)


def _gunzip(source: Source) -> Iterator[bytes]:
    try:
        file = igzip.IGzipFile(fileobj=io.BufferedReader(_File(source), _READ), mode="rb")  # type: ignore[no-untyped-call]
        with file:
            while piece := file.read(_PIECE):
                yield piece
    except (isal_zlib.IsalError, EOFError, OSError, OverflowError, ValueError) as error:  # type: ignore[misc] # isal's stub
        raise damaged(source, f"its gzip data does not unpack: {error}") from error


def _unxz(source: Source) -> Iterator[bytes]:
    offset = 0
    try:
        while offset < source.size:
            decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
            data = b""
            while not decompressor.eof:
                if decompressor.needs_input:
                    data = source.pread(offset, _READ)
                    offset += len(data)
                    if not data:
                        raise damaged(source, "its xz data ends in the middle of a stream")
                piece = decompressor.decompress(data, _PIECE)
                data = b""
                if piece:
                    yield piece
            offset -= len(decompressor.unused_data)
            offset += _padding(source, offset)
    except lzma.LZMAError as error:
        raise damaged(source, f"its xz data does not unpack: {error}") from error


def _padding(source: Source, offset: int) -> int:
    """The zero bytes after an xz stream: any number of four."""
    begin = offset
    while data := source.pread(offset, _READ):
        used = data.lstrip(b"\0")
        offset += len(data) - len(used)
        if used:
            break
    return (offset - begin) // 4 * 4


def _inflate(source: Source) -> Iterator[bytes]:
    """Raw deflate, as zip members are."""
    unpack = isal_zlib.decompressobj(wbits=-15)
    offset = 0
    try:
        while not unpack.eof:
            data = unpack.unconsumed_tail
            if not data:
                data = source.pread(offset, _READ)
                offset += len(data)
                if not data:
                    raise damaged(source, "its deflate data ends too early")
            if piece := unpack.decompress(data, _PIECE):
                yield piece
    except isal_zlib.IsalError as error:  # type: ignore[misc] # isal's stub
        raise damaged(source, f"its deflate data does not unpack: {error}") from error
