"""Compressed clusters: bounded unpacking of deflate and zstd, off the GIL, with a few clusters kept.

Readers of file systems ask for 4 KiB at a time, converters for whole clusters: only the first kind
gains from keeping what was unpacked.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

import zstandard
from isal import igzip_lib

from vmie.disk.base import Source
from vmie.disk.reading import damaged

_KEPT_BYTES = 4 << 20


class Unpacker:
    """Unpacks clusters of `size` bytes, compressed by `method` (zlib: raw deflate; zstd), from `source`."""

    def __init__(self, source: Source, *, method: str, size: int) -> None:
        self._source = source
        self._unpack = _zstd if method == "zstd" else _deflate
        self._method = method
        self._size = size
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def part(self, offset: int, length: int, *, skip: int, wanted: int) -> bytes:
        """`wanted` bytes from byte `skip` of the cluster packed in up to `length` bytes at `offset`.

        The file may end before `offset + length`: writers count in sectors. Raises ImageError.
        """
        if wanted == self._size:
            return self._whole(offset, length)
        with self._lock:
            data = self._kept.get(offset)
        if data is None:
            data = self._whole(offset, length)
            with self._lock:
                self._kept[offset] = data
                while len(self._kept) > max(1, _KEPT_BYTES // self._size):
                    self._kept.popitem(last=False)
        return data[skip : skip + wanted]

    def _whole(self, offset: int, length: int) -> bytes:
        packed = self._source.pread(offset, length)
        if not packed:
            raise damaged(self._source, f"a compressed cluster at byte {offset} lies beyond the end of the file")
        try:
            data = self._unpack(packed, self._size)
        except (igzip_lib.IsalError, zstandard.ZstdError, EOFError, ValueError) as error:  # type: ignore[misc] # isal's stub
            raise damaged(
                self._source, f"the {self._method} cluster at byte {offset} does not unpack: {error}"
            ) from error
        if len(data) != self._size:
            why = f"the {self._method} cluster at byte {offset} unpacks to {len(data)} of {self._size} bytes"
            raise damaged(self._source, why)
        return data


def _deflate(packed: bytes, size: int) -> bytes:
    decompressor = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_DEFLATE)
    return bytes(decompressor.decompress(packed, size))


def _zstd(packed: bytes, size: int) -> bytes:
    # A frame's own content size decides how much is allocated: look at it before.
    declared = zstandard.frame_content_size(packed)
    if declared > size:
        raise ValueError(f"a frame of {declared} bytes in a cluster of {size}")
    return zstandard.ZstdDecompressor().decompress(packed, max_output_size=size, allow_extra_data=True)
