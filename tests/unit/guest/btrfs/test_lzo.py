"""LZO1X: streams put together by its description, and hostile ones. liblzo2's own are read in test_filesystem."""

from __future__ import annotations

import random

import pytest

from tests.lzo import lzo, lzo_segment
from vmie.guest.btrfs.lzo import decompress, segment
from vmie.guest.btrfs.ondisk import BtrfsError

END = b"\x11\0\0"
FOUR = b"\x15abcd"
RUN = bytes(index % 251 for index in range(20_000))


@pytest.mark.parametrize(
    ("stream", "text"),
    [
        (END, b""),
        (FOUR + END, b"abcd"),
        (b"\0\x01" + RUN[:19] + END, RUN[:19]),
        (FOUR + b"\x4c\0" + END, b"abcdabc"),
        (FOUR + b"\x26\x0c\0" + END, b"abcd" * 3),
        (FOUR + b"\x20\0\x01\x0e\0xy" + END, (b"abcd" * 100)[:293] + b"xy"),
        (b"\x13ab\0\0" + END, b"abbb"),
        (b"\0" + bytes(8) + b"\x2a" + RUN[:2100] + b"\0\0" + END, RUN[:2100] + RUN[51:54]),
        (b"\0" + bytes(78) + b"\x5c" + RUN + b"\x11\x04\0" + END, RUN + RUN[3615:3618]),
    ],
    ids=["nothing", "literals", "run", "near", "overlap", "long", "two", "far", "farthest"],
)
def test_each_kind_of_instruction(stream: bytes, text: bytes) -> None:
    assert segment(stream, limit=65536) == text


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        b"\x15abc",
        FOUR,
        FOUR + b"\x26\xff\xff" + END,
        b"\0" + bytes(40),
        b"\x4c\0" + END,
        FOUR + b"\x20" + bytes(99),
    ],
)
def test_what_ends_or_points_wrongly(stream: bytes) -> None:
    with pytest.raises(BtrfsError):
        segment(stream, limit=4096)


def test_no_more_than_a_sector() -> None:
    with pytest.raises(BtrfsError, match="larger than a sector"):
        segment(FOUR + b"\x20" + bytes(100) + b"\x01\x0c\0" + END, limit=4096)


def test_segments_keep_off_the_ends_of_sectors() -> None:
    noise = random.Random(3)
    data = noise.randbytes(4000) + b"word " * 9000 + noise.randbytes(30_000)
    assert decompress(lzo(data), limit=len(data), sector=4096) == data
    assert decompress(lzo(data), limit=5000, sector=4096) == data[:5000]
    for cut in (3, 100, 5000):
        with pytest.raises(BtrfsError):
            decompress(lzo(data)[:cut], limit=len(data), sector=4096)


def test_random_bytes() -> None:
    for seed in range(3000):
        noise = random.Random(seed)
        data = bytearray(lzo_segment(b"abc" * 50 + noise.randbytes(30)) if seed % 2 else noise.randbytes(60))
        data[noise.randrange(len(data))] = noise.randrange(256)
        try:
            assert len(segment(bytes(data), limit=4096)) <= 4096
        except BtrfsError:
            continue
