"""LZO as Btrfs stores it: segments of a sector each, in LZO1X.

The stream of a segment: https://docs.kernel.org/staging/lzo.html. No package that we have reads it.
"""

from __future__ import annotations

from vmie.guest.btrfs.ondisk import BtrfsError

_LENGTH = 4


def decompress(data: bytes, *, limit: int, sector: int) -> bytes:
    """An extent's segments: all lengths are 32 bits, and none of them lies across the end of a sector."""
    total = int.from_bytes(data[:_LENGTH], "little")
    if total > len(data):
        raise BtrfsError("LZO data is cut off")
    out = bytearray()
    at = _LENGTH
    while at < total and len(out) < limit:
        if sector - at % sector < _LENGTH:
            at += sector - at % sector
        length = int.from_bytes(data[at : at + _LENGTH], "little")
        at += _LENGTH
        if not length or at + length > total:
            raise BtrfsError("an LZO segment is cut off")
        out += segment(data[at : at + length], limit=sector)
        at += length
    return bytes(out[:limit])


def segment(data: bytes, *, limit: int) -> bytes:
    """One LZO1X stream of at most `limit` bytes."""
    out = bytearray()
    try:
        _segment(data, out, limit)
    except IndexError as error:
        raise BtrfsError("an LZO segment ends too early") from error
    if len(out) > limit:
        raise BtrfsError("an LZO segment is larger than a sector")
    return bytes(out)


def _segment(data: bytes, out: bytearray, limit: int) -> None:
    at = state = 0
    if data[0] > 17:
        count = data[0] - 17
        at = _literals(data, out, 1, count)
        state = min(count, 4)
    while len(out) <= limit:
        code = data[at]
        at += 1
        if code < 16 and not state:
            count, at = _extended(data, at, code, 15)
            at = _literals(data, out, at, count + 3)
            state = 4
            continue
        if code >= 64:
            distance, length = (data[at] << 3) + (code >> 2 & 7) + 1, (code >> 5) + 1
            at += 1
        elif code < 16:
            far = state == 4  # after a run of literals: three bytes from further back
            distance, length = (code >> 2) + (data[at] << 2) + (2049 if far else 1), 3 if far else 2
            at += 1
        else:
            length, at = _extended(data, at, code & (31 if code >= 32 else 7), 31 if code >= 32 else 7)
            length += 2
            distance = (data[at] | data[at + 1] << 8) >> 2
            distance += 1 if code >= 32 else ((code & 8) << 11) + 16384
            if distance == 16384 and code < 32:
                return
            code = data[at]
            at += 2
        _match(out, distance, length)
        state = code & 3
        at = _literals(data, out, at, state)


def _extended(data: bytes, at: int, count: int, base: int) -> tuple[int, int]:
    """A length, in the code itself or (0) in the bytes after it: 255 for each zero byte; and where it ends."""
    if count:
        return count, at
    while not data[at]:
        base += 255
        at += 1
    return base + data[at], at + 1


def _literals(data: bytes, out: bytearray, at: int, count: int) -> int:
    end = at + count
    if end > len(data):
        raise IndexError
    out += data[at:end]
    return end


def _match(out: bytearray, distance: int, length: int) -> None:
    begin = len(out) - distance
    if begin < 0:
        raise BtrfsError("an LZO segment refers to before its start")
    if distance >= length:
        out += out[begin : begin + length]
    else:
        out += (out[begin:] * (length // distance + 1))[:length]
