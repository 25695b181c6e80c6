"""Free units of a bitmap, against the bits themselves."""

from __future__ import annotations

import random
import re

import pytest

from vmie.guest.free.free_map import FreeMap
from vmie.guest.free.ranges import joined, of_bitmap

UNIT = 4096


def bits_of(bitmap: bytes, count: int) -> str:
    return "".join(f"{byte:08b}"[::-1] for byte in bitmap)[:count]


@pytest.mark.parametrize("least", [1024, 4096, 65536, 1 << 20])
def test_every_long_run_is_found_and_nothing_in_use(least: int) -> None:
    mixed = random.Random(least)
    for _ in range(200):
        kinds = mixed.choices([b"\0", b"\xff", mixed.randbytes(1)], weights=[5, 1, 2], k=mixed.randrange(1, 60))
        bitmap = b"".join(kind * mixed.randrange(1, 6) for kind in kinds)
        count = mixed.randrange(1, len(bitmap) * 8 + 1)
        bits = bits_of(bitmap, count)
        found = list(joined(of_bitmap(bitmap, count=count, unit=UNIT, at=0, least=least)))
        for start, end in found:
            assert set(bits[start // UNIT : end // UNIT]) == {"0"}
            assert end <= count * UNIT
        for run in re.finditer("0+", bits):
            if (run.end() - run.start()) * UNIT >= least:
                assert any(start <= run.start() * UNIT and run.end() * UNIT <= end for start, end in found)


def test_a_map_is_the_set_of_its_granules() -> None:
    mixed = random.Random(2)
    for _ in range(100):
        size = mixed.randrange(1, 300_000)
        one, wanted = FreeMap(size), set[int]()
        for _ in range(12):
            start = mixed.randrange(size)
            end = mixed.randrange(start, size + 5000)
            if mixed.random() < 0.6:
                one.add(start, end)
                wanted |= set(range(-(-start // 1024), min(end, size) // 1024))
            else:
                one.remove(start, end)
                wanted -= set(range(start // 1024, -(-min(end, size) // 1024)))
        free = one.done()
        assert {at // 1024 for start, end in free.ranges() for at in range(start, end, 1024)} == wanted
        assert free.size == len(wanted) * 1024
        start, end = sorted((mixed.randrange(size), mixed.randrange(size)))
        inside = [at for begin, stop in free.within(start, end) for at in range(begin, stop)]
        assert inside == [at for at in range(start, end) if at // 1024 in wanted]
        assert free.covers(start, end) == (start < end and len(inside) == end - start)
