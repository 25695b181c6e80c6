"""The blocks of a local disk that go into its snapshot, read one by one; the file must stay as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from vmie.aws.ebs.client import BLOCK
from vmie.disk.base import Disk
from vmie.disk.integrity import ManifestCheck, manifest_of, refuse_faults
from vmie.model import ExtentKind
from vmie.ops import ingest
from vmie.ops.block_hashes import BlockHashes
from vmie.ops.file_identity import FileIdentity
from vmie.ops.import_.direct_plan import DirectDisk
from vmie.ops.upload_plan import source_changed

_ZEROS = bytes(BLOCK)


class DiskBlocks:
    """The blocks of one disk; a context manager. With `verify` damage is looked for on the way.

    `read` is the bytes of the disk that are behind.
    """

    def __init__(self, planned: DirectDisk, selected: ingest.Selection, *, zeros: str, verify: bool) -> None:
        """Raises ImageError for a file that is damaged, or another one than was planned with."""
        self._planned = planned
        self._zeros = zeros
        self.read = 0
        self.notes: list[str] = []
        self._manifest: ManifestCheck | None = None
        self._disk = ingest.opened(planned.path, selected, index=planned.index)
        try:
            if verify:
                refuse_faults(self._disk, self.notes, as_is=False)
                if (self._disk.facts.get("appliance") or {}).get("manifest", {}).get("present"):
                    machine, empty = selected.machine, selected.empty_disks
                    self._manifest = manifest_of(
                        planned.path, index=planned.index or 0, machine=machine, empty_disks=empty
                    )
                    self.notes += self._manifest.notes
        except BaseException:
            self._disk.close()
            raise

    def __enter__(self) -> DiskBlocks:
        return self

    def __exit__(self, *_: object) -> None:
        self._disk.close()
        if self._manifest is not None:
            self._manifest.close()

    def wanted(self, have: BlockHashes, behind: Callable[[int], None]) -> Iterator[tuple[int, bytes]]:
        """Each block that is to be written and is not among those that AWS has; `behind` hears how far it came.

        Raises ImageError (SourceChanged) when the file changes meanwhile.
        """
        planned = self._planned
        for index, needed in _places(self._disk, zeros=self._zeros):
            if index not in have:
                data = self._disk.read(index * BLOCK, min(BLOCK, self._disk.size - index * BLOCK))
                if planned.identity.touched(planned.path):
                    raise source_changed(planned.path, "while it was uploaded", "")
                data = data.ljust(BLOCK, b"\0")
                if needed or data != _ZEROS:
                    yield index, data
            self.read = min(self._disk.size, (index + 1) * BLOCK)
            behind(self.read)
            if self._manifest is not None:
                self._manifest.follow(self.read, self._disk.size)

    def settle(self) -> None:
        """See that all of it was the file that was planned with, whole. Raises ImageError."""
        if self._manifest is not None:
            self._manifest.settle()
        planned = self._planned
        if FileIdentity.of(planned.path) != planned.identity:
            raise source_changed(planned.path, "while it was uploaded", "")


def count(size: int) -> int:
    """The blocks of a disk of `size` bytes."""
    return -(-size // BLOCK)


def _places(opened: Disk, *, zeros: str) -> Iterator[tuple[int, bool]]:
    """Each block that may have to be written, in order, and whether it is written though it be zeros."""
    if zeros != "none":
        yield from ((index, True) for index in range(count(opened.size)))
        return
    last = -1
    for extent in opened.extents():
        if extent.kind is ExtentKind.ALLOCATED:
            for index in range(max(last + 1, extent.offset // BLOCK), count(extent.end)):
                last = index
                yield index, False
