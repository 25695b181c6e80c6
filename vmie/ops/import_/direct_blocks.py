"""The blocks of a local disk that go into its snapshot, read one by one; the file must stay as it was."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from vmie.aws.ebs.client import BLOCK
from vmie.disk.base import Disk
from vmie.disk.integrity import ManifestCheck, manifest_of, refuse_faults
from vmie.guest.free import BlockPlan, block_plan
from vmie.limits import GIB
from vmie.ops import ingest
from vmie.ops.block_hashes import BlockHashes
from vmie.ops.file_identity import FileIdentity
from vmie.ops.upload_plan import source_changed

_ZEROS = bytes(BLOCK)
_ZERO_DIGEST = hashlib.sha256(_ZEROS).digest()


@dataclass(frozen=True, slots=True)
class DirectDisk:
    """One local disk that becomes a snapshot: `index` of an appliance's, `size` in bytes, `gib` of its volume."""

    path: Path
    index: int | None
    identity: FileIdentity
    format: str
    size: int
    #: blocks that are written, and those of them that are if they are not zeros
    blocks: int
    doubtful: int = 0
    #: the snapshot that this one is based on, "" for none
    parent: str = ""
    #: bytes: a snapshot has all data of its disk
    left_out: ClassVar[int] = 0

    @property
    def gib(self) -> int:
        """The size of the volume: whole GiB."""
        return max(1, -(-self.size // GIB))

    @property
    def source_size(self) -> int:
        """The bytes of the disk, as every planned disk says them."""
        return self.size

    @property
    def label(self) -> str:
        """Which disk it is, for messages."""
        return str(self.path) if self.index is None else f"disk {self.index + 1} of {self.path}"

    def as_json(self) -> dict[str, Any]:
        """For --dry-run."""
        return {
            "source": str(self.path),
            "disk": self.index,
            "format": self.format,
            "volume_gib": self.gib,
            "bytes_source": self.size,
            "parent": self.parent or None,
            "blocks_at_most": self.blocks,
            "bytes_at_most": self.blocks * BLOCK,
        }


class DiskBlocks:
    """The blocks of one disk; a context manager. With `verify` damage is looked for on the way.

    `read` is the bytes of the disk that are behind.
    """

    def __init__(self, planned: DirectDisk, selected: ingest.Selection, *, zeros: str, verify: bool) -> None:
        """Raises ImageError for a file that is damaged, or another one than was planned with."""
        self._planned = planned
        self.read = 0
        self.notes: list[str] = []
        self._manifest: ManifestCheck | None = None
        self._disk = ingest.opened(planned.path, selected, index=planned.index, layer=planned.identity.layer)
        try:
            self._plan = plan_of(self._disk, zeros=zeros)
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

    def wanted(
        self,
        have: BlockHashes,
        behind: Callable[[int], None],
        *,
        parent: BlockHashes | None = None,
        due: Callable[[], bool] = lambda: False,
    ) -> Iterator[tuple[int, bytes]]:
        """Each block that is to be written and is not among those that AWS has; `behind` hears how far it came.

        Of a snapshot with a `parent` only those that differ from the parent's, with zeros in place of what is there no
        more; and one that does not differ where one is `due`. Raises ImageError (SourceChanged) when the file changes
        meanwhile.
        """
        planned = self._planned
        for index, needed in self._plan if parent is None else _with_inherited(self._plan, parent):
            if index not in have:
                data = _ZEROS if needed is None else self._read(index)
                if planned.identity.touched(planned.path):
                    raise source_changed(planned.path, "while it was uploaded", "")
                if _differs(data, parent.digest(index) if parent else None, needed=bool(needed)) or due():
                    yield index, data
            self.read = min(self._disk.size, (index + 1) * BLOCK)
            behind(self.read)
            if self._manifest is not None:
                self._manifest.follow(self.read, self._disk.size)

    def _read(self, index: int) -> bytes:
        data = self._disk.read(index * BLOCK, min(BLOCK, self._disk.size - index * BLOCK))
        return data.ljust(BLOCK, b"\0")

    def settle(self) -> None:
        """See that all of it was the file that was planned with, whole. Raises ImageError."""
        if self._manifest is not None:
            self._manifest.settle()
        planned = self._planned
        if FileIdentity.of(planned.path) != planned.identity:
            raise source_changed(planned.path, "while it was uploaded", "")


def plan_of(opened: Disk, *, zeros: str) -> BlockPlan:
    """Which blocks of a disk are written; all of a packed one, whose file systems cannot be asked beforehand."""
    if zeros == "used" and opened.facts.get("forward_only"):
        zeros = "all"
    return block_plan(opened, zeros=zeros)


def _with_inherited(planned: BlockPlan, parent: BlockHashes) -> Iterator[tuple[int, bool | None]]:
    """The blocks of `planned` and, with None, those that only the parent has; in order."""
    mine, others = iter(planned), (index for index, _ in parent.digests())
    own, other = next(mine, None), next(others, None)
    while own is not None or other is not None:
        if own is not None and (other is None or own[0] <= other):
            if own[0] == other:
                other = next(others, None)
            yield own
            own = next(mine, None)
        elif other is not None:
            yield other, None
            other = next(others, None)


def _differs(data: bytes, inherited: bytes | None, *, needed: bool) -> bool:
    """Whether a block is to be written over what was inherited: a digest, None for nothing."""
    if inherited is None:
        return needed or data != _ZEROS
    return inherited != (_ZERO_DIGEST if data == _ZEROS else hashlib.sha256(data).digest())
