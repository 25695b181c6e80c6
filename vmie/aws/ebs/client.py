"""The six calls of the EBS direct API, each tried again while its failure may pass.

Sources: botocore's ebs model; https://docs.aws.amazon.com/ebs/latest/userguide/ebs-accessing-snapshot.html
"""

from __future__ import annotations

import base64
import copy
import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from vmie import events
from vmie.aws.ebs import retry
from vmie.aws.errors import refusals
from vmie.aws.session import Aws
from vmie.errors import VmieError
from vmie.poll import Clock, SystemClock

T = TypeVar("T")

#: bytes of a block: AWS takes no other size
BLOCK = 524288
#: blocks of one page of a listing: the most that AWS gives
_PAGE = 10_000


@dataclass(frozen=True, slots=True)
class Block:
    """A block that a snapshot holds; `token` is what it is read with, good for seven days."""

    index: int
    token: str


@dataclass(frozen=True, slots=True)
class ChangedBlock:
    """A block in which two snapshots differ; a token is "" for the snapshot that does not hold the block."""

    index: int
    old_token: str
    new_token: str


@dataclass(frozen=True, slots=True)
class Started:
    """A snapshot that was begun: pending until it is completed. `volume_size` in GiB; `kms_key_arn` "" for none."""

    snapshot_id: str
    volume_size: int
    encrypted: bool
    kms_key_arn: str
    parent: str
    owner: str


class EbsDirect:
    """The EBS direct API of one account and Region. Threads may share it.

    Every method raises AwsRefused for what AWS will not do, VmieError (`passing`) when AWS could not be reached or
    failed for longer than the patience.
    """

    def __init__(self, aws: Aws, *, clock: Clock | None = None, reporter: events.Reporter = events.silent) -> None:
        self._aws = aws
        self._clock: Clock = clock or SystemClock()
        self._reporter = reporter

    def until(self, stop: threading.Event) -> EbsDirect:
        """The same API for calls that end with TransferStopped, where they would wait, once `stop` is set."""
        other = copy.copy(self)
        other._clock = retry.Stoppable(self._clock, stop)  # noqa: SLF001 - of this very class
        return other

    def start(
        self,
        *,
        volume_size: int,
        description: str = "",
        tags: Mapping[str, str] | None = None,
        token: str = "",
        parent: str = "",
        encrypted: bool | None = None,
        kms_key: str = "",
        timeout: int = 60,
    ) -> Started:
        """StartSnapshot: `volume_size` in GiB, `timeout` in minutes without a block after which AWS gives it up.

        The same `token` (ClientToken) with the same parameters is the same snapshot. `encrypted` None leaves it to
        the account and the parent.
        """
        asked: dict[str, Any] = {
            "Description": description,
            "Tags": [{"Key": key, "Value": value} for key, value in (tags or {}).items()],
            "ClientToken": token,
            "ParentSnapshotId": parent,
            "KmsKeyArn": kms_key,
        }
        given = {name: value for name, value in asked.items() if value}
        if encrypted is not None:
            given["Encrypted"] = encrypted
        answer = self._call(
            "StartSnapshot", "start_snapshot", VolumeSize=volume_size, Timeout=timeout, wants=("SnapshotId",), **given
        )
        key = str(answer.get("KmsKeyArn") or "")
        return Started(
            snapshot_id=str(answer["SnapshotId"]),
            volume_size=int(answer.get("VolumeSize") or volume_size),
            encrypted=bool(key) or str(answer.get("SseType") or "none") != "none",
            kms_key_arn=key,
            parent=str(answer.get("ParentSnapshotId") or parent),
            owner=str(answer.get("OwnerId") or ""),
        )

    def put(
        self, snapshot_id: str, index: int, data: bytes | memoryview, digest: bytes, *, progress: int | None = None
    ) -> None:
        """PutSnapshotBlock: 512 KiB and their SHA-256 (32 bytes). A block may be written again.

        `progress` is what DescribeSnapshots shows of it, in percent.
        """
        more: dict[str, Any] = {} if progress is None else {"Progress": progress}
        self._call(
            "PutSnapshotBlock",
            "put_snapshot_block",
            operand=f"block {index} of {snapshot_id}",
            SnapshotId=snapshot_id,
            BlockIndex=index,
            BlockData=bytes(data),
            DataLength=len(data),
            Checksum=base64.b64encode(digest).decode(),
            ChecksumAlgorithm="SHA256",
            **more,
        )

    def get(self, snapshot_id: str, index: int, token: str) -> bytes:
        """GetSnapshotBlock: 512 KiB that AWS's checksum confirms."""
        what = f"block {index} of {snapshot_id}"

        def read() -> bytes:
            with refusals("GetSnapshotBlock", operand=what):
                answer = self._client().get_snapshot_block(SnapshotId=snapshot_id, BlockIndex=index, BlockToken=token)
                data: bytes = answer["BlockData"].read()
            return _confirmed(data, str(answer.get("Checksum") or ""), what)

        return self._again(read)

    def blocks(self, snapshot_id: str, *, start: int = 0) -> Iterator[Block]:
        """ListSnapshotBlocks: the blocks that were written, from index `start` on, in order."""
        for page in self._pages("ListSnapshotBlocks", "list_snapshot_blocks", "Blocks", start, SnapshotId=snapshot_id):
            for one in page:
                yield Block(int(one["BlockIndex"]), str(one["BlockToken"]))

    def page(self, snapshot_id: str, *, start: int) -> tuple[list[Block], int | None]:
        """One page of `blocks`, and the index from which on the next one tells; None when there is none."""
        found: list[Block] = []
        given: dict[str, Any] = {"SnapshotId": snapshot_id, "MaxResults": _PAGE, "StartingBlockIndex": start}
        while not found:
            answer = self._call("ListSnapshotBlocks", "list_snapshot_blocks", operand=snapshot_id, **given)
            listed = sorted(answer.get("Blocks", ()), key=_index)
            found = [Block(int(one["BlockIndex"]), str(one["BlockToken"])) for one in listed]
            if not answer.get("NextToken"):
                return found, None
            given.pop("StartingBlockIndex", None)
            given["NextToken"] = answer["NextToken"]
        return found, found[-1].index + 1

    def changed(self, snapshot_id: str, *, since: str, start: int = 0) -> Iterator[ChangedBlock]:
        """ListChangedBlocks: where `snapshot_id` differs from the older snapshot `since`, in order."""
        for page in self._pages(
            "ListChangedBlocks",
            "list_changed_blocks",
            "ChangedBlocks",
            start,
            FirstSnapshotId=since,
            SecondSnapshotId=snapshot_id,
        ):
            for one in page:
                yield ChangedBlock(
                    int(one["BlockIndex"]),
                    str(one.get("FirstBlockToken") or ""),
                    str(one.get("SecondBlockToken") or ""),
                )

    def complete(self, snapshot_id: str, *, blocks: int, checksum: bytes) -> str:
        """CompleteSnapshot: its status then ("pending", "completed").

        `blocks` counts the blocks that were written, each once; `checksum` is the SHA-256 of their SHA-256 digests,
        in the order of their indices (LINEAR).
        """
        answer = self._call(
            "CompleteSnapshot",
            "complete_snapshot",
            operand=snapshot_id,
            wants=("Status",),
            SnapshotId=snapshot_id,
            ChangedBlocksCount=blocks,
            Checksum=base64.b64encode(checksum).decode(),
            ChecksumAlgorithm="SHA256",
            ChecksumAggregationMethod="LINEAR",
        )
        return str(answer["Status"])

    def _pages(
        self, operation: str, method: str, field: str, start: int, **where: str
    ) -> Iterator[list[Mapping[str, Any]]]:
        """The pages of a listing; an expired token is replaced by the index to go on from."""
        given: dict[str, Any] = {"StartingBlockIndex": start, "MaxResults": _PAGE, **where}
        first, fruitless, operand = start, 0, " and ".join(where.values())
        while True:
            try:
                answer = self._call(operation, method, operand=operand, **given)
            except VmieError as error:
                if error.reason != "INVALID_PAGE_TOKEN" or "NextToken" not in given or fruitless > 2:
                    raise
                del given["NextToken"]
                given["StartingBlockIndex"], fruitless = first, fruitless + 1
                continue
            # nothing twice and nothing backwards, whatever is answered: callers rely on the order
            page = sorted((one for one in answer.get(field, ()) if one["BlockIndex"] >= first), key=_index)
            if page:
                first, fruitless = int(page[-1]["BlockIndex"]) + 1, 0
                yield page
            following = answer.get("NextToken")
            if not following:
                return
            if following == given.get("NextToken") and not page:
                raise VmieError(
                    f"{operation} of {operand} comes to no end",
                    cause="the same page was answered twice",
                    code="BrokenAnswer",
                    passing=True,
                )
            given.pop("StartingBlockIndex", None)
            given["NextToken"] = following

    def _call(
        self, operation: str, method: str, *, operand: str = "", wants: tuple[str, ...] = (), **parameters: Any
    ) -> dict[str, Any]:
        def attempt() -> dict[str, Any]:
            with refusals(operation, operand=operand):
                answer: dict[str, Any] = getattr(self._client(), method)(**parameters)
            if missing := [name for name in wants if not answer.get(name)]:
                raise VmieError(
                    f"the answer to {operation} was cut off: no {', '.join(missing)}", code="BrokenAnswer", passing=True
                )
            return answer

        return self._again(attempt)

    def _again(self, attempt: Callable[[], T]) -> T:
        return retry.retried(attempt, clock=self._clock, reporter=self._reporter)

    def _client(self) -> Any:
        return self._aws.once("ebs")


def _index(one: Mapping[str, Any]) -> int:
    return int(one["BlockIndex"])


def _confirmed(data: bytes, checksum: str, what: str) -> bytes:
    """`data` where it is what AWS says it is; raises VmieError, `passing`."""
    if len(data) == BLOCK and base64.b64encode(hashlib.sha256(data).digest()).decode() == checksum:
        return data
    raise VmieError(
        f"{what} arrived damaged",
        cause=f"{len(data)} bytes came" if len(data) != BLOCK else "its SHA-256 is not the one that AWS gave",
        cure="run the command again; look at the proxy and the network when it happens often",
        code="ChecksumMismatch",
        passing=True,
    )
