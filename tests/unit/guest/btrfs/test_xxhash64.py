"""XXH64 by the values that xxHash's own documentation and programs give."""

from __future__ import annotations

import pytest

from vmie.guest.btrfs.xxhash64 import xxhash64


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"", 0xEF46DB3751D8E999),
        (b"a", 0xD24EC4F1A98C6E5B),
        (b"abc", 0x44BC2CF5AD770999),
        (b"Nobody inspects the spammish repetition", 0xFBCEA83C8A378BF1),
    ],
)
def test_known_values(data: bytes, value: int) -> None:
    assert xxhash64(data) == value
