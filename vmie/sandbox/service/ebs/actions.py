"""The six actions of the EBS direct API.

Sources: botocore's ebs model; https://docs.aws.amazon.com/ebs/latest/userguide/ebs-accessing-snapshot.html
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

from vmie.sandbox.block_pool import BLOCK, BlockPool
from vmie.sandbox.block_store import BlockSource, WrittenBlocks, merged
from vmie.sandbox.clock import SandboxClock
from vmie.sandbox.moto_fixes import compute
from vmie.sandbox.moto_fixes.compute import GIB, SnapshotContents
from vmie.sandbox.service.ebs import errors, given, start
from vmie.sandbox.service.ebs.given import Params
from vmie.sandbox.service.ebs.snapshots import OpenSnapshot, OpenSnapshots, require_pending
from vmie.sandbox.service.ebs.throttle import EbsLimits, Throttle
from vmie.sandbox.service.ebs.tokens import BLOCK_LIFE, Tokens

#: blocks that one page of ListChangedBlocks compares at most: it may then be short, or empty, and there is more
_COMPARED = 20_000
#: client tokens kept
_REMEMBERED = 5_000


class EbsActions:
    """Each action takes moto's EC2 of an account and Region and the request's parameters; raises ApiError."""

    def __init__(
        self, contents: SnapshotContents, *, clock: SandboxClock, suffix: Callable[[], str], secret: bytes
    ) -> None:
        self.limits = EbsLimits()
        self._contents = contents
        self._clock = clock
        self._suffix = suffix
        self._tokens = Tokens(secret)
        self._pool = BlockPool()
        self._throttle = Throttle(clock.measured)
        self._open = OpenSnapshots(clock, contents.forget)
        self._started: dict[tuple[str, str, str], tuple[str, dict[str, Any], Any]] = {}
        self._lock = threading.Lock()

    def restart(self) -> None:
        """Begin anew."""
        vars(self.limits).update(vars(EbsLimits()))
        self._throttle.restart()
        self._pool = BlockPool()
        self._open.restart()
        with self._lock:
            self._started.clear()

    def settle(self) -> None:
        """Bring all snapshots to where the clock says they are."""
        self._open.settle()

    def start_snapshot(self, backend: Any, params: Params) -> dict[str, Any]:
        """StartSnapshot."""
        self._throttle.require((*_place(backend), "start"), self.limits.starts)
        start.check(params)
        token = (*_place(backend), params.get("ClientToken") or "")
        print_ = json.dumps({**params, "ClientToken": ""}, sort_keys=True)
        with self._lock:
            before, answer, snapshot = self._started.get(token, ("", {}, None))
            if token[-1] and snapshot is not None:
                if before != print_:
                    raise errors.conflict("The client token was used for a request with other parameters.")
                return {**answer, "Status": snapshot.status}
            snapshot, answer = self._start(backend, params)
            if token[-1]:
                self._started[token] = print_, answer, snapshot
                if len(self._started) > _REMEMBERED:
                    del self._started[next(iter(self._started))]
        return answer

    def put_snapshot_block(self, backend: Any, params: Params, data: Callable[[], bytes]) -> dict[str, Any]:
        """PutSnapshotBlock; `data` reads the request's body."""
        snapshot_id, index = params["SnapshotId"], given.index(params["BlockIndex"])
        limits = self.limits
        self._throttle.require(
            (*_place(backend), "put"), limits.account_puts, snapshot=snapshot_id, snapshot_rate=limits.snapshot_puts
        )
        snapshot = self._writable(backend, snapshot_id)
        if params.get("DataLength") != str(BLOCK):
            raise errors.invalid(f"DataLength must be {BLOCK}.")
        if params.get("ChecksumAlgorithm") != "SHA256":
            raise errors.invalid("ChecksumAlgorithm must be SHA256.")
        progress = given.number(params, "Progress", 0)
        if progress > 100:
            raise errors.invalid("Progress must be from 0 to 100.")
        if index >= snapshot.ec2.volume_size * GIB // BLOCK:
            raise errors.invalid("The block lies beyond the end of the volume.", "INVALID_BLOCK")
        with snapshot.writing(index):
            block = data()
            if len(block) != BLOCK:
                raise errors.invalid("Failed to read block data")
            digest = hashlib.sha256(block).digest()
            checksum = base64.b64encode(digest).decode()
            if params.get("Checksum") != checksum:
                raise errors.invalid("The checksum does not match the data of the block.")
            snapshot.blocks.put(index, block, digest)
            snapshot.touched = self._clock.elapsed()
        if "Progress" in params:
            snapshot.ec2.vmie_progress = f"{progress}%"
        return {"Checksum": checksum, "ChecksumAlgorithm": "SHA256"}

    def complete_snapshot(self, backend: Any, params: Params) -> dict[str, Any]:
        """CompleteSnapshot."""
        self._throttle.require((*_place(backend), "complete"), self.limits.completes)
        snapshot_id = params["SnapshotId"]
        if params.get("ChangedBlocksCount") is None:
            raise errors.invalid("ChangedBlocksCount is required.")
        count = given.number(params, "ChangedBlocksCount", 0)
        if self._found(backend, snapshot_id).status == "completed":
            raise errors.conflict(f"The snapshot '{snapshot_id}' is completed already.")
        snapshot = self._writable(backend, snapshot_id, sealed=True)
        with snapshot.sealing():
            if count != snapshot.blocks.own:
                raise errors.invalid("ChangedBlocksCount does not match the blocks that were written.")
            given.require_aggregate(params, snapshot.blocks)
            snapshot.ec2.full_snapshot_size_in_bytes = snapshot.blocks.count() * BLOCK
            snapshot.ready = self._clock.worked() + self.limits.completing
        return {"Status": "pending"}

    def list_snapshot_blocks(self, backend: Any, params: Params) -> dict[str, Any]:
        """ListSnapshotBlocks."""
        self._throttle.require((*_place(backend), "list"), self.limits.lists)
        snapshot_id, most = params["SnapshotId"], given.page_size(params)
        snapshot, blocks = self._readable(backend, snapshot_id)
        now = self._now()
        first = self._first(params, f"blocks/{snapshot_id}", now)
        found = list(itertools.islice(blocks.written(first), most + 1)) if blocks else []
        expires = now + BLOCK_LIFE
        answer = {
            "Blocks": [
                {"BlockIndex": index, "BlockToken": self._tokens.block(snapshot_id, index, expires=expires)}
                for index in found[:most]
            ],
            **_listing(snapshot, expires),
        }
        if len(found) > most:
            answer["NextToken"] = self._tokens.page(f"blocks/{snapshot_id}", found[most], now=now)
        return answer

    def list_changed_blocks(self, backend: Any, params: Params) -> dict[str, Any]:
        """ListChangedBlocks; without a first snapshot all blocks of the second have changed."""
        self._throttle.require((*_place(backend), "changed"), self.limits.lists)
        second_id, first_id, most = (
            params["SecondSnapshotId"],
            params.get("FirstSnapshotId") or "",
            given.page_size(params),
        )
        snapshot, second = self._readable(backend, second_id)
        first = self._readable(backend, first_id)[1] if first_id else None
        if first and second and first.lineage is not second.lineage:
            raise errors.invalid(
                f"The snapshots '{first_id}' and '{second_id}' are not of one volume.", "UNRELATED_SNAPSHOTS"
            )
        now = self._now()
        expires, listing = now + BLOCK_LIFE, f"changed/{first_id}/{second_id}"
        shown: list[dict[str, Any]] = []
        answer = {"ChangedBlocks": shown, **_listing(snapshot, expires)}
        for number, index in enumerate(_either(first, second, self._first(params, listing, now))):
            if len(shown) == most or number == _COMPARED:
                return {**answer, "NextToken": self._tokens.page(listing, index, now=now)}
            if changed(first, second, index):
                one: dict[str, Any] = {"BlockIndex": index}
                for name, blocks, which in (("First", first, first_id), ("Second", second, second_id)):
                    if blocks and blocks.has(index):
                        one[f"{name}BlockToken"] = self._tokens.block(which, index, expires=expires)
                shown.append(one)
        return answer

    def get_snapshot_block(self, backend: Any, params: Params) -> tuple[bytes, dict[str, Any]]:
        """GetSnapshotBlock: the bytes, and the members that are headers."""
        snapshot_id, index = params["SnapshotId"], given.index(params["BlockIndex"])
        limits = self.limits
        self._throttle.require(
            (*_place(backend), "get"), limits.account_gets, snapshot=snapshot_id, snapshot_rate=limits.snapshot_gets
        )
        _, blocks = self._readable(backend, snapshot_id)
        self._tokens.require_block(params.get("BlockToken") or "", snapshot_id, index, now=self._now())
        if blocks is None or not blocks.has(index):
            raise errors.invalid("The snapshot has no such block.", "INVALID_BLOCK")
        checksum = base64.b64encode(blocks.digest(index)).decode()
        return blocks.read(index), {"DataLength": str(BLOCK), "Checksum": checksum, "ChecksumAlgorithm": "SHA256"}

    def _start(self, backend: Any, params: Params) -> tuple[Any, dict[str, Any]]:
        if self._open.pending(backend) >= self.limits.pending_snapshots:
            raise errors.too_many_pending(self.limits.pending_snapshots)
        size, parent_id = params["VolumeSize"], params.get("ParentSnapshotId") or ""
        parent = self._readable(backend, parent_id)[0] if parent_id else None
        if parent is not None and size < parent.volume_size:
            raise errors.invalid("VolumeSize is smaller than the parent snapshot's.", "INVALID_VOLUME_SIZE")
        key = start.key_of(params, backend, parent)
        snapshot = compute.make_snapshot(
            backend,
            f"snap-{self._suffix()}",
            size=size * GIB,
            description=params.get("Description") or "",
            encrypted=key is not None,
            kms_key=key.arn if key else None,
        )
        snapshot.status, snapshot.vmie_progress = "pending", "0%"
        snapshot.start_time = self._clock.now()
        snapshot.add_tags(start.tags_of(params))
        garbage = snapshot.id if key and parent is None else ""
        blocks = WrittenBlocks(self._pool, parent=self._contents.blocks(parent_id), garbage=garbage)
        self._contents.keep(snapshot.id, blocks, size=size * GIB)
        minutes = params.get("Timeout") or 60
        self._open.add(OpenSnapshot(snapshot, blocks, minutes * 60.0, self._clock.elapsed()))
        answer = {
            "Description": params.get("Description"),
            "SnapshotId": snapshot.id,
            "OwnerId": backend.account_id,
            "Status": "pending",
            "StartTime": self._clock.now().timestamp(),
            "VolumeSize": size,
            "BlockSize": BLOCK,
            "Tags": params.get("Tags"),
            "ParentSnapshotId": parent_id,
            "KmsKeyArn": key.arn if key else None,
            "SseType": "sse-kms" if key else "none",
        }
        return snapshot, {name: value for name, value in answer.items() if value}

    def _found(self, backend: Any, snapshot_id: str) -> Any:
        start.require_id(snapshot_id)
        snapshot = backend.snapshots.get(snapshot_id)
        if snapshot is None:
            raise errors.absent(snapshot_id)
        shared = {snapshot.owner_id, *snapshot.create_volume_permission_userids}
        if backend.account_id not in shared:
            raise errors.foreign(snapshot_id)
        return snapshot

    def _writable(self, backend: Any, snapshot_id: str, *, sealed: bool = False) -> OpenSnapshot:
        snapshot, found = self._found(backend, snapshot_id), self._open.find(snapshot_id)
        require_pending(snapshot)
        if found is None:
            raise errors.invalid(f"The snapshot '{snapshot_id}' was not started here.", "INVALID_SNAPSHOT_ID")
        if not sealed:
            found.require_writable()
        return found

    def _readable(self, backend: Any, snapshot_id: str) -> tuple[Any, BlockSource | None]:
        snapshot = self._found(backend, snapshot_id)
        if snapshot.status != "completed":
            raise errors.invalid(f"The snapshot '{snapshot_id}' is not completed.", "INVALID_SNAPSHOT_ID")
        return snapshot, self._contents.blocks(snapshot_id)

    def _first(self, params: Params, listing: str, now: int) -> int:
        """A token goes before a block to start from."""
        if params.get("NextToken"):
            return self._tokens.next_index(params["NextToken"], listing, now=now)
        return given.number(params, "StartingBlockIndex", 0)

    def _now(self) -> int:
        return int(self._clock.now().timestamp())


def changed(first: BlockSource | None, second: BlockSource | None, index: int) -> bool:
    """Does a block differ, or is it in one of the two only?"""
    if first is None or second is None:
        return True
    if first.has(index) != second.has(index):
        return True
    return first.place(index) != second.place(index) and first.digest(index) != second.digest(index)


def _either(first: BlockSource | None, second: BlockSource | None, start_at: int) -> Iterator[int]:
    both = [blocks.written(start_at) for blocks in (first, second) if blocks is not None]
    return merged(*both) if len(both) == 2 else iter(both[0] if both else ())


def _place(backend: Any) -> tuple[str, str]:
    return backend.account_id, backend.region_name


def _listing(snapshot: Any, expires: int) -> dict[str, Any]:
    return {"ExpiryTime": expires, "VolumeSize": snapshot.volume_size, "BlockSize": BLOCK}
