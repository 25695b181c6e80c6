"""Whether a file is whole, found out while its bytes go by for another reason: hashing, sending, converting.

    tables (at once) ─┐
    grains (a part)  ─┼─► the first damage, as an ImageError with its place
    manifest (in the order of the file) ─┘

Nothing is read a second time from the medium: a part's grains are unpacked from the bytes that are hashed, and a
manifest's digests follow close behind the reader.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from urllib.parse import unquote

from vmie.disk.base import Disk, place_in_file
from vmie.disk.foreign import NOT_A_DISK
from vmie.disk.grains import GrainCheck, GrainIndex
from vmie.disk.manifest import Mismatch, RunningDigests
from vmie.disk.ovf import Appliance, open_appliance
from vmie.disk.ovf_system import SEVERAL_MACHINES
from vmie.disk.reading import DAMAGED, damaged
from vmie.disk.registry import open as open_disk
from vmie.disk.stream.parallel import ordered
from vmie.disk.vmdk import VmdkDisk
from vmie.disk.vmdk_sparse import SparseExtent
from vmie.disk.wrapper import WrappedDisk
from vmie.errors import ImageError
from vmie.events import Progress, Reporter, silent
from vmie.model import ExtentKind, Verdict

#: bytes of a disk read at once
_PIECE = 4 << 20


class ManifestCheck:
    """An appliance's manifest against its files, or `only` some of them; `notes` are what it leaves open.

    Closing it closes the appliance.
    """

    def __init__(self, appliance: Appliance, *, only: Collection[str] | None = None) -> None:
        self._appliance = appliance
        self._name = appliance.package.source.name
        self._running: RunningDigests | None = None
        self.notes: list[str] = []
        if appliance.manifest.problem:
            self.notes.append(f"{self._name}: the manifest cannot be read: {appliance.manifest.problem}")
        elif appliance.digests is not None:
            self._running = RunningDigests(appliance.package, appliance.digests, files=appliance.files, only=only)
            self.notes += (f"{self._name}: {one.text}" for one in self._running.wrong if not one.damage)

    def follow(self, done: int, total: int) -> None:
        """Read on as far as another reader has come: `done` of `total`. Raises ImageError where a file differs."""
        if self._running is None:
            return
        end = self._running.total if done >= total else self._running.total * done // max(1, total)
        self._refuse(self._running.advance(end))

    def settle(self) -> None:
        """Read what is left, and judge. Raises ImageError."""
        self._refuse(self.compare())

    def compare(self, *, reporter: Reporter = silent) -> list[Mismatch]:
        """Read what is left; all that was found. Reports `Progress("verify")` in bytes."""
        if self._running is None:
            return []
        self._running.advance(self._running.total, reporter=reporter)
        return self._running.wrong

    def close(self) -> None:
        """Close the files."""
        if self._running is not None:
            self._running.close()
        self._appliance.close()

    def _refuse(self, found: Sequence[Mismatch]) -> None:
        if wrong := [one.text for one in found if one.damage]:
            raise ImageError(
                f"{self._name} is not what its manifest says",
                cause="\n".join(wrong[:10]),
                cure=(
                    "copy or export the appliance again",
                    "where it was changed on purpose, make its manifest (.mf) anew, or leave that out",
                ),
                code=DAMAGED,
            )


class PartCheck:
    """What is to be seen to in one part of a file, once; a part may be read again afterwards."""

    def __init__(self, grains: Sequence[GrainCheck]) -> None:
        self._grains = grains
        self.done = False

    def __call__(self, at: int, piece: memoryview) -> None:
        """See to `piece`, which lies at byte `at` of the file. Raises ImageError."""
        for check in self._grains:
            check(at, piece)


class FileCheck:
    """A file that is sent as it is. Making it reads all tables; `notes` are what is odd and no damage. Close it."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Raises ImageError where the tables show damage; what is no disk, or no one machine, is not judged."""
        self.notes: list[str] = []
        self._indexes: list[GrainIndex] = []
        self._manifest: ManifestCheck | None = None
        self._closing = ExitStack()
        with ExitStack() as undo:
            try:
                first = undo.enter_context(open_disk(path))
            except ImageError as error:
                if error.code in (NOT_A_DISK, SEVERAL_MACHINES):
                    return
                raise
            if first.facts.get("appliance"):
                appliance = open_appliance(path)
                undo.callback(appliance.close)
                for number, named in enumerate(appliance.disks):
                    if named.file:
                        self._add(undo.enter_context(appliance.open_disk(number)))
                self._manifest = ManifestCheck(appliance)
                undo.callback(self._manifest.close)
                self.notes += self._manifest.notes
            else:
                self._add(first)
            self._closing = undo.pop_all()

    def part(self, start: int, end: int, *, total: int) -> PartCheck:
        """What to see to in bytes ``[start, end)`` of `total`; asked for in the file's order. Raises ImageError."""
        if self._manifest is not None:
            self._manifest.follow(start, total)
        return PartCheck([index.part(start, end) for index in self._indexes])

    def settle(self) -> None:
        """Judge what only the whole shows. Raises ImageError."""
        if self._manifest is not None:
            self._manifest.settle()

    def close(self) -> None:
        """Close the file."""
        self._closing.close()

    def _add(self, disk: Disk) -> None:
        refuse_faults(disk, self.notes, as_is=True)
        for part in disk.parts if isinstance(disk, VmdkDisk) else ():
            if isinstance(part, SparseExtent) and part.header.compressed and part.header.markers:
                base = place_in_file(part.source)
                if base is not None:
                    self._indexes.append(GrainIndex(part, base=base))


def refuse_faults(disk: Disk, notes: list[str], *, as_is: bool) -> None:
    """Raise ImageError for the first fault of a disk's tables that is damage; the others become notes.

    `as_is`: what a conversion would read around is damage too.
    """
    name = disk.source.name
    if named := disk.facts.get("named_as"):
        notes.append(f"{name}: the name says {named}, but there is no {named} header in it: it goes as a raw disk")
    for fault in disk.table_faults():
        if fault.verdict is Verdict.FAIL or (as_is and fault.as_is is Verdict.FAIL):
            raise damaged(disk.source, fault.text)
        notes.append(f"{name}: {fault.text}")


def manifest_of(
    path: str | os.PathLike[str], *, index: int, machine: str = "", empty_disks: bool = False
) -> ManifestCheck:
    """The check of what is read of an appliance when its disk `index` is converted: that file and the descriptor."""
    appliance = open_appliance(path, machine=machine, empty_disks=empty_disks)
    try:
        href = appliance.disks[index].file
        names = {appliance.package.descriptor.rpartition("/")[2], *(filter(None, (href, unquote(href))))}
        listed = {one.file for one in appliance.digests or ()}
        chunks = {name for name in listed if href and name.startswith(f"{href}.") and name[-9:].isdigit()}
        return ManifestCheck(appliance, only=names | chunks)
    except BaseException:
        appliance.close()
        raise


def read_through(disk: Disk, *, reporter: Reporter = silent, workers: int | None = None) -> None:
    """Read all that a disk holds, unpacking what is packed, on `workers` threads (None: all cores).

    Reports `Progress("verify")` in bytes. Raises ImageError for the first damage met.
    """
    done, total = 0, None if disk.facts.get("wrapper") == "gzip" else disk.allocated_size
    pieces = disk.forward() if isinstance(disk, WrappedDisk) else _pieces(disk, workers)
    for length in map(len, pieces):
        done += length
        reporter(Progress("verify", done, total))


def _pieces(disk: Disk, workers: int | None) -> Iterator[bytes]:
    def read(piece: tuple[int, int]) -> bytes:
        return disk.read(*piece)

    held = (extent for extent in disk.extents() if extent.kind is ExtentKind.ALLOCATED)
    places = ((at, min(_PIECE, one.end - at)) for one in held for at in range(one.offset, one.end, _PIECE))
    return ordered(read, places, workers=workers)
