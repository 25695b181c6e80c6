"""moto's EBS direct API as AWS has it: blocks of 512 KiB, one snapshot per ClientToken (aws-facts 7.1)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from typing import Any

from moto.core.responses import ActionResult
from moto.ebs import models, responses

from vmie.disk.base import Disk
from vmie.model import Extent, ExtentKind
from vmie.sandbox.api_errors import ApiError
from vmie.sandbox.moto_fixes.compute import GIB, SnapshotContents
from vmie.sandbox.patching import Patcher
from vmie.sandbox.storage import Blob, BlobFile

BLOCK = 512 << 10


class BlocksDisk(Disk):
    """What was put into a snapshot block by block."""

    format, variant = "raw", "blocks"

    def __init__(self, snapshot: Any) -> None:
        super().__init__(Blob([]))
        self._blocks = snapshot.blocks
        self.size = snapshot.volume_size * GIB
        self.allocated_size = len(self._blocks) * BLOCK

    def read(self, offset: int, length: int) -> bytes:
        """See `Disk.read`."""
        end, out = min(offset + length, self.size), []
        while offset < end:
            index, within = divmod(offset, BLOCK)
            take = min(BLOCK - within, end - offset)
            block = self._blocks.get(index)
            out.append(block.block_data[within : within + take] if block else bytes(take))
            offset += take
        return b"".join(out)

    def extents(self) -> Iterator[Extent]:
        """See `Disk.extents`."""
        at = 0
        for index in sorted(self._blocks):
            if index * BLOCK > at:
                yield Extent(at, index * BLOCK - at, ExtentKind.HOLE)
            yield Extent(index * BLOCK, BLOCK, ExtentKind.ALLOCATED)
            at = (index + 1) * BLOCK
        if at < self.size:
            yield Extent(at, self.size - at, ExtentKind.HOLE)


class _Block(models.Block):
    """A block whose bytes lie in its snapshot's file: a gigabyte of them would not fit in memory."""

    def __init__(self, file: BlobFile, data: bytes, *rest: Any) -> None:
        super().__init__(b"", *rest)
        self._stored = Blob.of(data, file=file)

    @property
    def block_data(self) -> bytes:
        """The bytes."""
        return self._stored.pread(0, self._stored.size)

    @block_data.setter
    def block_data(self, data: bytes) -> None:
        """Set by moto's constructor, to nothing."""


def install(patcher: Patcher, contents: SnapshotContents) -> None:
    """Patch StartSnapshot, PutSnapshotBlock and CompleteSnapshot."""
    patcher.attribute(models.EBSSnapshot, "__init__", _init(models.EBSSnapshot.__init__, contents))
    patcher.attribute(models.EBSSnapshot, "put_block", _put_block)
    response = responses.EBSResponse
    patcher.attribute(response, "start_snapshot", _refusing(_start(response.start_snapshot, {})))
    patcher.attribute(response, "put_snapshot_block", _refusing(_put(response.put_snapshot_block)))
    patcher.attribute(response, "complete_snapshot", _refusing(_complete(response.complete_snapshot)))


def _refusing(action: Any) -> Any:
    def method(self: Any) -> Any:
        try:
            return action(self)
        except ApiError as error:
            return error.document("ebs")

    return method


def _init(original: Any, contents: SnapshotContents) -> Any:
    def init(self: Any, account_id: str, snapshot: Any) -> None:
        original(self, account_id, snapshot)
        self.block_size = BLOCK
        self.vmie_ec2, self.vmie_file = snapshot, BlobFile()
        snapshot.status = "pending"
        contents.remember(snapshot.id, lambda: BlocksDisk(self))

    return init


def _put_block(self: Any, index: int, data: bytes, *rest: Any) -> None:
    self.blocks[index] = _Block(self.vmie_file, data, *rest)


def _start(original: Any, tokens: dict[tuple[str, str, str], tuple[dict[str, Any], dict[str, Any]]]) -> Any:
    def start_snapshot(self: Any) -> Any:
        wanted = {
            name: self._get_param(name) for name in ("VolumeSize", "ParentSnapshotId", "Description", "Encrypted")
        }
        if wanted["ParentSnapshotId"] and wanted["Encrypted"]:
            raise ApiError("ValidationException", "ParentSnapshotId and Encrypted are mutually exclusive")
        token = self._get_param("ClientToken")
        key = (self.current_account, self.region, token or "")
        if token and key in tokens:
            before, answer = tokens[key]
            if before != wanted:
                raise ApiError("ConflictException", "The client token was used with other parameters", status=409)
            return ActionResult(answer)
        answer = original(self).result
        if token:
            tokens[key] = (wanted, answer)
        return ActionResult(answer)

    return start_snapshot


def _put(original: Any) -> Any:
    def put_snapshot_block(self: Any) -> Any:
        data, checksum = self._get_param("BlockData"), self._get_param("Checksum")
        data = data.read() if hasattr(data, "read") else data
        if int(self._get_param("DataLength") or 0) != BLOCK or len(data) != BLOCK:
            raise ApiError("ValidationException", f"DataLength must be {BLOCK}")
        if checksum != base64.b64encode(hashlib.sha256(data).digest()).decode():
            raise ApiError("ValidationException", "The checksum does not match the block")
        if self._get_param("SnapshotId") not in self.ebs_backend.snapshots:
            raise ApiError("ResourceNotFoundException", "The snapshot does not exist", status=404)
        return original(self)

    return put_snapshot_block


def _complete(original: Any) -> Any:
    def complete_snapshot(self: Any) -> Any:
        snapshot = self.ebs_backend.snapshots.get(self._get_param("SnapshotId"))
        if snapshot is None:
            raise ApiError("ResourceNotFoundException", "The snapshot does not exist", status=404)
        if int(self._get_param("ChangedBlocksCount") or 0) != len(snapshot.blocks):
            raise ApiError("ValidationException", "ChangedBlocksCount does not match the blocks written")
        answer = original(self)
        snapshot.vmie_ec2.status = "completed"
        return answer

    return complete_snapshot
