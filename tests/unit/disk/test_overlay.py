"""Changed ranges over a disk."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.disk.memory import MemoryDisk
from vmie.disk.overlay import Overlay
from vmie.model import ExtentKind

SIZE = 200
WRITES = st.lists(st.tuples(st.integers(0, SIZE - 1), st.binary(min_size=1, max_size=60)), max_size=12)


def below() -> MemoryDisk:
    return MemoryDisk(SIZE, {10: b"a" * 30, 90: b"b" * 20})


@given(WRITES)
def test_it_reads_what_was_written_last_and_leaves_the_disk_below(writes: list[tuple[int, bytes]]) -> None:
    disk = Overlay(below())
    expected = bytearray(below().read(0, SIZE))
    for offset, text in writes:
        data = text[: SIZE - offset]
        disk.write(offset, data)
        expected[offset : offset + len(data)] = data
    assert disk.read(0, SIZE) == bytes(expected)
    assert all(disk.read(at, 7) == bytes(expected[at : at + 7]) for at in range(0, SIZE, 5))
    changes = disk.changes()
    assert all(one[0] + len(one[1]) < two[0] for one, two in itertools.pairwise(changes))
    assert disk.base.read(0, SIZE) == below().read(0, SIZE)
    extents = list(disk.extents())
    assert sum(one.length for one in extents) == SIZE
    assert all(not any(expected[one.offset : one.end]) for one in extents if one.kind is ExtentKind.HOLE)
    disk.clear()
    assert (disk.read(0, SIZE), list(disk.extents())) == (below().read(0, SIZE), list(below().extents()))


def test_nothing_is_written_beyond_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Overlay(below())
    for offset, data in ((-1, b"x"), (SIZE, b"x"), (SIZE - 1, b"xy")):
        with pytest.raises(ValueError, match="has none at"):
            disk.write(offset, data)
    monkeypatch.setattr("vmie.disk.overlay.LIMIT", 8)
    with pytest.raises(MemoryError):
        disk.write(0, b"123456789")
    assert disk.changes() == []
