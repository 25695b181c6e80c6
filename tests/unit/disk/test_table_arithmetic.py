"""The arithmetic of tables: what is seen at a glance against what each entry says, and blocks that lie apart."""

from __future__ import annotations

import struct
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from vmie.disk.tables import Taken, misplaced, plainly_below

_ENTRIES = st.lists(st.one_of(st.integers(0, 600), st.integers(0, 2**32 - 1)), min_size=1, max_size=40)


@given(_ENTRIES, st.one_of(st.integers(0, 700), st.integers(0, 2**32 - 1)), st.booleans())
def test_what_is_plain_at_a_glance_is_below(entries: list[int], limit: int, big_endian: bool) -> None:
    data = struct.pack(f"{'>' if big_endian else '<'}{len(entries)}I", *entries)
    if plainly_below(data, 4, limit, big_endian=big_endian):
        assert max(entries) <= limit


@given(_ENTRIES)
def test_entries_far_below_are_plain(entries: list[int]) -> None:
    small = [entry & 0xFF for entry in entries]
    assert plainly_below(struct.pack(f"<{len(small)}Q", *small), 8, 0x1FF, big_endian=False)


def test_flags_do_not_count_and_others_do() -> None:
    copied = struct.pack(">2Q", 1 << 63 | 0x10000, 0x20000)
    assert plainly_below(copied, 8, 0x1FFFFFF, big_endian=True, flags=b"\0\x80")
    assert not plainly_below(struct.pack(">Q", 1 << 62), 8, 0x1FFFFFF, big_endian=True, flags=b"\0\x80")


@given(st.lists(st.integers(0, 300), max_size=12), st.integers(1, 40), st.integers(0, 320), st.integers(0, 60))
def test_blocks_are_judged_as_one_by_one(hosts: list[int], length: int, end: int, start: int) -> None:
    taken = Taken(start, start + 30, "the table")
    beyond = any(host + length > end for host in hosts)
    upon = any(host < taken.end and host + length > taken.start for host in hosts)
    together = any(second - first < length for first, second in pairwise(sorted(hosts)))
    found = list(misplaced(hosts, length, end=end, taken=(taken,)))
    assert len(found) == beyond + upon + together
    assert all(host in hosts for host, _ in found)
    assert not upon or found[-1][1].endswith("upon the table")
