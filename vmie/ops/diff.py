"""Where two disks differ: ranges of bytes, and the files that lie there.

    extents of both ──► what either holds is compared ──► ranges ──► file systems that they touch ──► files, by name

A hole is zeros, and so is what lies past the end of the shorter disk: a snapshot is of whole GiB.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vmie import events
from vmie.disk import Disk, Extent
from vmie.disk.extents import zeros
from vmie.model import ExtentKind
from vmie.ops.diff_files import FileDifference, changed_files
from vmie.ops.opening import Counted, Opening, Snapshots

#: read at once of each disk: eight blocks of a snapshot
_PIECE = 4 << 20
#: what is called different as a whole: a page of a file system
_GRAIN = 4096
#: ranges that are kept, and shown; all of them count
_MOST_RANGES = 100_000
_SHOWN = 1000


@dataclass
class Difference:
    """What two disks do not share. `ranges` are (offset, length) in bytes, in order; `differing` counts their bytes.

    `unread` are places whose files could not be compared, with the reason. `blocks_read` is None without a snapshot.
    """

    sizes: tuple[int, int]
    ranges: list[tuple[int, int]] = field(default_factory=list)
    more_ranges: int = 0
    differing: int = 0
    more_files: int = 0
    files: list[FileDifference] = field(default_factory=list)
    unread: list[tuple[str, str]] = field(default_factory=list)
    blocks_read: int | None = None
    _end: int = -1

    @property
    def equal(self) -> bool:
        """Whether every byte is the same."""
        return not self.differing

    def as_json(self) -> dict[str, Any]:
        """The contracted shape of ``result``."""
        return {
            "equal": self.equal,
            "sizes": list(self.sizes),
            "bytes_different": self.differing,
            "ranges": [{"offset": offset, "length": length} for offset, length in self.ranges[:_SHOWN]],
            "more_ranges": self.more_ranges + max(0, len(self.ranges) - _SHOWN),
            "files": [one.as_json() for one in self.files],
            "more_files": self.more_files,
            "unread": [{"where": where, "why": why} for where, why in self.unread],
            **({} if self.blocks_read is None else {"blocks_read": self.blocks_read}),
        }

    def add(self, offset: int, length: int) -> None:
        """One more range, after all others."""
        self.differing += length
        follows, self._end = offset == self._end, offset + length
        if follows and not self.more_ranges:
            self.ranges[-1] = (self.ranges[-1][0], self.ranges[-1][1] + length)
        elif not follows and len(self.ranges) < _MOST_RANGES:
            self.ranges.append((offset, length))
        elif not follows:
            self.more_ranges += 1


def diff(
    one: Path,
    other: Path,
    *,
    machine: str = "",
    snapshots: Snapshots | None = None,
    reporter: events.Reporter = events.silent,
) -> Difference:
    """Compare two disks: files in any format, or snapshots, which `snapshots` opens.

    Raises ImageError for what cannot be read, and for a snapshot what `aws.ebs.snapshots.open_snapshot` raises.
    """
    opening = Opening(machine, snapshots=snapshots)
    with ExitStack() as stack:
        first = stack.enter_context(opening.disk(one))
        # the name of a machine chooses among those of the first appliance
        second = stack.enter_context(Opening(snapshots=snapshots).disk(other))
        found = Difference((first.size, second.size))
        reporter(events.Stage("compare", f"{one} with {other}"))
        for offset, length in _ranges(first, second):
            found.add(offset, length)
        name_files(first, second, found)
        counted = [disk.blocks_read for disk in (first, second) if isinstance(disk, Counted)]
        found.blocks_read = sum(counted) if counted else None
    return found


def name_files(first: Disk, second: Disk, found: Difference) -> None:
    """Add to `found` the files that lie in its ranges."""
    if found.ranges:
        found.more_files = changed_files(
            first, second, found.ranges, whole=not found.more_ranges, files=found.files, unread=found.unread
        )


def _ranges(one: Disk, other: Disk) -> Iterator[tuple[int, int]]:
    for start, end in _held(one.extents(), other.extents()):
        for at in range(start, end, _PIECE):
            length = min(_PIECE, end - at)
            left, right = _read(one, at, length), _read(other, at, length)
            if left != right:
                yield from _within(left, right, at)


def _read(disk: Disk, offset: int, length: int) -> bytes:
    data = disk.read(offset, min(length, disk.size - offset)) if offset < disk.size else b""
    return data if len(data) == length else data + zeros(length - len(data))


def _within(left: bytes, right: bytes, at: int) -> Iterator[tuple[int, int]]:
    """The grains that differ, in order."""
    for offset in range(0, len(left), _GRAIN):
        if left[offset : offset + _GRAIN] != right[offset : offset + _GRAIN]:
            yield at + offset, min(_GRAIN, len(left) - offset)


def _held(one: Iterator[Extent], other: Iterator[Extent]) -> Iterator[tuple[int, int]]:
    """(start, end) of what either disk holds, in order, joined where it touches."""
    start = end = 0
    for first, last in _in_order(one, other):
        if first > end:
            if end > start:
                yield start, end
            start, end = first, last
        else:
            end = max(end, last)
    if end > start:
        yield start, end


def _in_order(*extents: Iterator[Extent]) -> Iterator[tuple[int, int]]:
    sources = [((one.offset, one.end) for one in some if one.kind is ExtentKind.ALLOCATED) for some in extents]
    heads: list[tuple[int, int] | None] = [next(source, None) for source in sources]
    while waiting := [(head, index) for index, head in enumerate(heads) if head is not None]:
        head, index = min(waiting)
        heads[index] = next(sources[index], None)
        yield head


def shown(found: Difference, names: Sequence[str]) -> str:
    """One line that says it."""
    if found.equal:
        return f"{names[0]} and {names[1]} are equal"
    count = len(found.ranges) + found.more_ranges
    return f"{names[0]} and {names[1]} differ: {found.differing:,} bytes in {count:,} ranges"
