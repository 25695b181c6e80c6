"""What a container's tables say that cannot be so: found without reading any data, however large the disk.

    table ──► many entries at a time ──► all plainly within the file: nothing to look at
                                    └──► else one by one ──► TableFault(table, entry, byte of the file, why)

Each format says what its entries mean (`Disk.table_faults`); the arithmetic that formats share is here.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from operator import sub
from typing import NamedTuple

from vmie.model import Verdict

#: Tables are looked at up to this many bytes: those of a full VMDK or qcow2 of 8 TiB, read in seconds.
MOST_BYTES = 1 << 30

#: ``_BELOW[n]``: the bytes that are less than n.
_BELOW = tuple(bytes(range(top)) for top in range(256))


@dataclass(frozen=True, slots=True)
class TableFault:
    """An entry that cannot be so: number `entry` of `table`, which lies at byte `place` of the file.

    `verdict` is fail where the disk cannot be read as it was written, warn where readers get by without what is
    damaged, unknown where there was too much to look at; `as_is` is another verdict, where there is one, on the file
    that goes to AWS as it is. `source` is the format's specification.
    """

    table: str
    entry: int
    place: int
    why: str
    source: str
    verdict: Verdict = Verdict.FAIL
    as_is: Verdict | None = None

    @property
    def text(self) -> str:
        """In words, without the file's name."""
        return f"entry {self.entry:,} of its {self.table}, at byte {self.place:,}, {self.why}"


class Taken(NamedTuple):
    """A range of the file that no block may lie in: bytes ``[start, end)``, and what they are."""

    start: int
    end: int
    what: str


def plainly_below(data: bytes, width: int, limit: int, *, big_endian: bool, flags: bytes = b"\0") -> bool:
    """Whether all entries of `width` bytes in `data` are at most `limit`, as far as that is seen at a glance.

    False says that some need a closer look. `flags` are the values that the highest byte of an entry may have; they
    do not count. A column of bytes is judged at once, which costs a tenth of turning entries into numbers.
    """
    for rank in range(width):
        column = data[rank if big_endian else width - 1 - rank :: width]
        top = limit >> 8 * (width - 1 - rank) & 0xFF
        if rank == 0 and flags != b"\0":
            if column.translate(None, flags):
                return False
        elif top:
            return not column.translate(None, _BELOW[top])
        elif column.strip(b"\0"):
            return False
    return True


def misplaced(hosts: Sequence[int], length: int, *, end: int, taken: Sequence[Taken] = ()) -> Iterator[tuple[int, str]]:
    """Blocks of `length` bytes at `hosts` that do not all lie below `end`, apart from each other and from `taken`.

    (host, what is wrong with it): the first of each kind.
    """
    placed = sorted(hosts)
    if not placed:
        return
    if placed[-1] + length > end:
        beyond = placed[bisect_left(placed, end - length + 1)]
        yield beyond, f"places a block of {length:,} bytes at byte {beyond:,}, beyond the end ({end:,})"
    if len(placed) > 1 and min(map(sub, islice(placed, 1, None), placed)) < length:
        here = next(at for at, following in pairwise(placed) if following - at < length)
        yield here, f"places a block at byte {here:,}, where another one lies"
    for start, stop, what in taken:
        first = bisect_left(placed, start - length + 1)
        if first < len(placed) and placed[first] < stop:
            yield placed[first], f"places a block at byte {placed[first]:,}, upon {what}"


def unread(table: str, entry: int, place: int, source: str) -> TableFault:
    """The fault of a disk whose tables are larger than `MOST_BYTES`."""
    why = f"and those behind it were not looked at: there are more than {MOST_BYTES >> 30} GiB of tables"
    return TableFault(table, entry, place, why, source, Verdict.UNKNOWN)
