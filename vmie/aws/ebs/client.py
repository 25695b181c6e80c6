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

from botocore.exceptions import BotoCoreError, ClientError

from vmie import events
from vmie.aws.ebs import retry
from vmie.aws.ebs.connections import Answer
from vmie.aws.ebs.listing import pages
from vmie.aws.ebs.pace import CallPace
from vmie.aws.ebs.transport import Transport
from vmie.aws.errors import refusals, translated
from vmie.aws.session import Aws
from vmie.errors import AwsRefused, VmieError
from vmie.poll import Clock, SystemClock

T = TypeVar("T")

#: bytes of a block: AWS takes no other size
BLOCK = 524288


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
        self._transport: Transport | None = None
        self._lock = threading.Lock()
        self._closed = False
        #: of PutSnapshotBlock and GetSnapshotBlock: AWS counts them apart
        self.puts, self.gets = CallPace(), CallPace()

    def until(self, stop: threading.Event) -> EbsDirect:
        """The same API for one transfer, with connections of its own: `close` it in the end.

        Once `stop` is set a call that would wait ends with TransferStopped.
        """
        other = copy.copy(self)
        other._clock = retry.Stoppable(self._clock, stop)  # noqa: SLF001 - of this very class
        other._transport, other._lock = None, threading.Lock()  # noqa: SLF001
        return other

    def close(self) -> None:
        """Break off the transfer of blocks that are under way, and take no more."""
        with self._lock:
            self._closed = True
            if self._transport is not None:
                self._transport.close()

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
        checksum = base64.b64encode(digest).decode()
        self._paced(
            self.puts,
            f"PutSnapshotBlock of block {index} of {snapshot_id}",
            lambda: self._blocks().put(snapshot_id, index, data, checksum, progress),
        )

    def get(self, snapshot_id: str, index: int, token: str) -> bytes:
        """GetSnapshotBlock: 512 KiB that AWS's checksum confirms."""

        def read() -> bytes:
            answer = self._blocks().get(snapshot_id, index, token)
            return _confirmed(answer, f"block {index} of {snapshot_id}")

        return self._paced(self.gets, f"GetSnapshotBlock of block {index} of {snapshot_id}", read)

    def blocks(self, snapshot_id: str, *, start: int = 0) -> Iterator[Block]:
        """ListSnapshotBlocks: the blocks that were written, from index `start` on, in order."""
        for page, _ in pages(
            self._call, "ListSnapshotBlocks", "list_snapshot_blocks", "Blocks", start, SnapshotId=snapshot_id
        ):
            for one in page:
                yield Block(int(one["BlockIndex"]), str(one["BlockToken"]))

    def page(self, snapshot_id: str, *, start: int) -> tuple[list[Block], int | None]:
        """One page of `blocks`, and the index from which on the next one tells; None when there is none."""
        listing = pages(
            self._call, "ListSnapshotBlocks", "list_snapshot_blocks", "Blocks", start, SnapshotId=snapshot_id
        )
        listed, more = next(listing, ([], False))
        found = [Block(int(one["BlockIndex"]), str(one["BlockToken"])) for one in listed]
        return found, found[-1].index + 1 if more else None

    def changed(self, snapshot_id: str, *, since: str, start: int = 0) -> Iterator[ChangedBlock]:
        """ListChangedBlocks: where `snapshot_id` differs from the older snapshot `since`, in order."""
        for page, _ in pages(
            self._call,
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

        return retry.retried(attempt, clock=self._clock, reporter=self._reporter, single=True)

    def _paced(self, pace: CallPace, action: str, call: Callable[[], T]) -> T:
        """A call that carries a block, at the pace of all of them."""

        def attempt() -> T:
            ticket = pace.wait(self._clock.sleep)
            try:
                done = call()
            except (ClientError, BotoCoreError) as failure:
                error = self._said(action, failure)
                if error.code in retry.THROTTLED:
                    pace.refused(ticket, shared=error.code != retry.SNAPSHOT_THROTTLED)
                elif not isinstance(error, AwsRefused) and error.passing:
                    pace.broke()
                raise error from failure
            pace.taken(ticket)
            return done

        return retry.retried(attempt, clock=self._clock, reporter=self._reporter)

    def _said(self, action: str, failure: Exception) -> VmieError:
        # one at a time: the catalogue is read at the first failure, and a hundred threads may fail together
        with self._lock:
            return translated(failure, action=action)

    def _client(self) -> Any:
        return self._aws.once("ebs")

    def _blocks(self) -> Transport:
        with self._lock:
            if self._transport is None:
                self._transport = Transport(self._client())
                if self._closed:
                    self._transport.close()
            return self._transport


def _confirmed(answer: Answer, what: str) -> bytes:
    """The block where it is what AWS says it is; raises VmieError, `passing`."""
    data, checksum = answer.body, answer.headers.get("x-amz-checksum", "")
    if len(data) == BLOCK and base64.b64encode(hashlib.sha256(data).digest()).decode() == checksum:
        return bytes(data)
    raise VmieError(
        f"{what} arrived damaged",
        cause=f"{len(data)} bytes came" if len(data) != BLOCK else "its SHA-256 is not the one that AWS gave",
        cure="run the command again; look at the proxy and the network when it happens often",
        code="ChecksumMismatch",
        passing=True,
    )
