"""CRC-32C (Castagnoli, RFC 3720 appendix B.4), for the few small structures of a VHDX that carry one."""

from __future__ import annotations

_POLYNOMIAL = 0x82F63B78  # reflected


def _table() -> tuple[int, ...]:
    rows = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (_POLYNOMIAL if crc & 1 else 0)
        rows.append(crc)
    return tuple(rows)


_TABLE = _table()


def crc32c(data: bytes) -> int:
    """The checksum of `data`. Time goes with the bytes before the trailing zeros: VHDX pads 64 KiB with them."""
    body = data.rstrip(b"\0")
    crc = 0xFFFFFFFF
    for byte in body:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return _append_zeros(crc, len(data) - len(body)) ^ 0xFFFFFFFF


def _append_zeros(crc: int, count: int) -> int:
    """The register after `count` zero bytes: a product with x^(8·count), by squaring."""
    power = 1 << 23  # x^8; bit 31 is x^0 in the reflected form
    while count:
        if count & 1:
            crc = _multiply(crc, power)
        power = _multiply(power, power)
        count >>= 1
    return crc


def _multiply(left: int, right: int) -> int:
    """The product of two polynomials modulo the CRC's own."""
    product = 0
    for bit in range(31, -1, -1):
        if left >> bit & 1:
            product ^= right
        right = (right >> 1) ^ (_POLYNOMIAL if right & 1 else 0)
    return product
