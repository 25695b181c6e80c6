"""CRC-32C by the examples of RFC 3720 (appendix B.4); long data, taken four bytes at a time, like short data."""

from __future__ import annotations

import random

import pytest

from vmie.disk.crc32c import crc32c, register


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (b"123456789", 0xE3069283),
        (b"", 0),
    ],
)
def test_known_values(data: bytes, value: int) -> None:
    assert crc32c(data) == value


@pytest.mark.parametrize("length", [2047, 2048, 2049, 2051, 5000])
def test_long_data_is_the_sum_of_its_parts(length: int) -> None:
    data = random.Random(length).randbytes(length)
    state = 0xFFFFFFFF
    for at in range(0, length, 100):
        state = register(data[at : at + 100], state)
    assert register(data, 0xFFFFFFFF) == state
    assert crc32c(data + bytes(300)) == register(bytes(300), state) ^ 0xFFFFFFFF
