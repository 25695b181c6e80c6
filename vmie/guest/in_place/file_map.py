"""The noun of this room: a file as ranges of its volume."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from vmie.guest.stream import Blocks

#: bytes of the largest file that is written: an initramfs is the largest there is a reason for
MOST = 512 << 20
#: pieces of one file
MOST_PIECES = 1 << 16

_HOLES = "it has holes, or blocks that were set aside and never written"

#: ``(offset in the volume, bytes)`` to be written there
Patch = tuple[int, bytes]
#: ``(offset in the file, offset in the volume, length)``
Piece = tuple[int, int, int]


class NotWritable(Exception):  # noqa: N818 - a state of the file, no fault of anyone
    """The file cannot be changed where it lies; `str` says why."""


@dataclass(frozen=True, slots=True)
class FileMap:
    """A file of `size` bytes that may be given from `least` to `room` of them, where it lies.

    `pieces` cover ``[0, room)`` in order. `resized` makes the patches that note another size; None where it is kept.
    `around` makes all patches itself, for data that lies inside a record (NTFS): `held` is that data.
    """

    size: int
    least: int
    room: int
    pieces: tuple[Piece, ...]
    resized: Callable[[int], list[Patch]]
    around: Callable[[bytes], list[Patch]] | None = None
    held: bytes = b""

    def read(self, blocks: Blocks) -> bytes:
        """The bytes of the file, as `pieces` have them."""
        if self.around is not None:
            return self.held
        return b"".join(blocks.read(at, length) for _, at, length in self.pieces)[: self.size]

    def patches(self, data: bytes) -> list[Patch]:
        """What makes `data` the content, what is behind it zeros; raises NotWritable when it does not fit."""
        if not self.least <= len(data) <= self.room:
            raise NotWritable(f"{len(data)} bytes do not fit where it lies: {self.least} to {self.room} do")
        if self.around is not None:
            return self.around(data)
        covered = self.pieces[-1][0] + self.pieces[-1][2] if self.pieces else 0
        padded = data.ljust(covered, b"\0")
        found = [(at, padded[start : start + length]) for start, at, length in self.pieces]
        return found if len(data) == self.size else [*found, *self.resized(len(data))]


def contiguous(runs: Iterable[Piece], size: int, unit: int) -> tuple[Piece, ...]:
    """`runs` in order, joined, up to the end of the unit that holds the last of `size` bytes.

    Raises NotWritable where bytes of the file have no place (a hole).
    """
    wanted = -(-size // unit) * unit
    found: list[Piece] = []
    end = 0
    for start, at, whole in sorted(runs):
        if start >= wanted:
            break
        if start != end:
            raise NotWritable(_HOLES)
        length = min(whole, wanted - start)
        if found and found[-1][1] + found[-1][2] == at:
            found[-1] = found[-1][0], found[-1][1], found[-1][2] + length
        else:
            found.append((start, at, length))
        end = start + length
    if end < wanted:
        raise NotWritable(_HOLES)
    return tuple(found)


def least_of(room: int, unit: int) -> int:
    """The fewest bytes that still need the last unit: a check would call a shorter file's last block left over."""
    return room - unit + 1 if room else 0
