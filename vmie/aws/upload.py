"""Bytes to S3: parallel parts, each with its checksum; what arrived earlier is not sent again.

A part is left out only when the server's copy of it has the same checksum: another machine may deflate the same disk
to other bytes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from vmie import events
from vmie.aws import multipart, objects
from vmie.aws.attempts import OCCUPIED, TransferConnection, UploadOptions, in_passing
from vmie.aws.multipart import Done, UploadState
from vmie.aws.parts import MIB, Part, Payload, b64, part_size_for
from vmie.aws.session import Aws
from vmie.errors import AwsRefused, VmieError
from vmie.model import S3Object

__all__ = [
    "Part",
    "Payload",
    "UploadOptions",
    "UploadState",
    "Uploaded",
    "in_passing",
    "part_size_for",
    "upload",
]

#: the most memory that generated parts may take while they wait and are sent
_MEMORY = 96 * MIB
#: between two reports of progress
_REPORT_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What an upload came to, in bytes: `bytes_sent` counts only what crossed the wire this time."""

    object: S3Object
    bytes_total: int
    bytes_sent: int
    etag: str = ""


def _settled() -> None:
    """By default nothing more is to be seen to before the object comes into being."""


def upload(
    aws: Aws,
    target: S3Object,
    payload: Payload,
    *,
    state: UploadState,
    options: UploadOptions,
    settled: Callable[[], None] = _settled,
    reporter: events.Reporter = events.silent,
) -> Uploaded:
    """Send `payload` to `target`, going on with the earlier upload that `state` knows.

    `settled` is called when all parts are there and the object is about to come into being: what it raises
    prevents that. Raises VmieError subclasses: AwsRefused for what S3 refuses; KeyboardInterrupt passes through with
    the upload left in place, so that the next run goes on.
    """
    size = part_size_for(payload.bound, options.part_size)
    sender = _Sender(aws, target, state=state, options=options, reporter=reporter, source_size=payload.source_size)
    parts = payload.parts(size)
    # A list that is emptied: a name for a part here would hold its memory to the end.
    opening = list(islice(parts, 2))
    if len(opening) == 1:
        return sender.whole(opening.pop(), settled)
    return sender.multipart(opening, parts, settled)


class _Sender:
    """One upload; counts under one lock."""

    def __init__(
        self,
        aws: Aws,
        target: S3Object,
        *,
        state: UploadState,
        options: UploadOptions,
        reporter: events.Reporter,
        source_size: int,
    ) -> None:
        self._wire = TransferConnection(aws, target, options=options, reporter=reporter, moved=self._moved)
        self._target = target
        self._state = state
        self._options = options
        self._reporter = reporter
        self._source_size = source_size
        self._lock = threading.Lock()
        self._sent = self._total = self._source = 0
        self._on_the_wire = 0
        self._reported = 0.0

    def whole(self, part: Part, settled: Callable[[], None]) -> Uploaded:
        """A payload that fits in one part goes by PutObject."""
        checksum = b64(part.digest("sha256"))
        settled()
        failures = self._wire.failures
        try:
            answer = self._wire.finishing(
                "PutObject", "put_object", part=part, wants=("ETag",), ChecksumSHA256=checksum, **self._options.create()
            )
        except AwsRefused as error:
            # The answer to an earlier attempt may have been lost: then the object that is in the way is this very one.
            if error.code != OCCUPIED or self._wire.failures == failures:
                raise
            found = objects.facts(self._wire.aws, self._target, region=self._options.region)
            # Not every stand-in keeps checksums; what the metadata says is of this very content.
            ours = found is not None and (
                found.sha256 == checksum or (self._options.metadata and dict(found.metadata) == self._options.metadata)
            )
            if found is None or found.size != part.size or not ours:
                raise
            answer = {"ETag": found.etag}
        self._count(part, sent=True)
        return self._result(str(answer["ETag"]))

    def multipart(self, opening: list[Part], rest: Iterator[Part], settled: Callable[[], None]) -> Uploaded:
        """Everything larger."""
        upload_id, held = multipart.begin(self._wire, self._state)
        if held:
            self._source = min(self._state.reached, self._source_size)
        done: dict[int, Done] = {}

        def work(part: Part) -> None:
            done[part.number] = self._part(upload_id, part, held.get(part.number))

        most = self._options.workers
        if opening[0].held:
            most = max(1, min(most, _MEMORY // opening[0].held))
        try:
            multipart.in_parallel(self._wire, _emptying(opening, rest), work, most=most)
        finally:
            self._state.holds(self._total, reached=self._source, final=True)
        settled()
        return self._result(multipart.complete(self._wire, upload_id, done, total=self._total))

    def _part(self, upload_id: str, part: Part, held: Mapping[str, Any] | None) -> Done:
        checksum = b64(part.digest("sha256"))
        if held is not None and _same(held, part, checksum):
            self._count(part, sent=False)
            return {"PartNumber": part.number, "ETag": held["ETag"], "ChecksumSHA256": checksum}
        answer = self._wire.call(
            "UploadPart",
            "upload_part",
            part=part,
            operand=f"{self._target.url} part {part.number}",
            wants=("ETag",),
            UploadId=upload_id,
            PartNumber=part.number,
            ChecksumSHA256=checksum,
            **self._options.every(),
        )
        if answer.get("ChecksumSHA256", checksum) != checksum:
            raise VmieError(
                f"{self._target.url} part {part.number} arrived as something else",
                cause=f"SHA-256 {answer['ChecksumSHA256']} instead of {checksum}",
                cure="look for what changes bytes on the way: a proxy, a defective network card or memory",
                code="UploadMismatch",
                passing=True,
            )
        self._count(part, sent=True)
        return {"PartNumber": part.number, "ETag": answer["ETag"], "ChecksumSHA256": checksum}

    def _moved(self, length: int) -> None:
        """Bytes left for S3, perhaps in vain."""
        with self._lock:
            self._on_the_wire += length
            now = time.monotonic()
            if now - self._reported < _REPORT_SECONDS:
                return
            self._reported = now
            event = self._progress()
        self._reporter(event)

    def _count(self, part: Part, *, sent: bool) -> None:
        with self._lock:
            self._total += part.size
            self._sent += part.size if sent else 0
            self._source = max(self._source, part.source_end)
            event = self._progress()
            total, reached = self._total, self._source
        self._state.holds(total, reached=reached)
        self._reporter(event)

    def _progress(self) -> events.Progress:
        return events.Progress("upload", self._source, self._source_size, max(self._sent, self._on_the_wire))

    def _result(self, etag: str) -> Uploaded:
        target = S3Object(self._target.bucket, self._target.key, self._total)
        return Uploaded(target, self._total, self._sent, etag)


def _emptying(opening: list[Part], rest: Iterator[Part]) -> Iterator[Part]:
    while opening:
        yield opening.pop(0)
    yield from rest


def _same(held: Mapping[str, Any], part: Part, checksum: str) -> bool:
    """Whether the server's part is this one: by SHA-256, by MD5 (the ETag) where it keeps no other."""
    if held.get("Size") != part.size:
        return False
    if stored := held.get("ChecksumSHA256"):
        return bool(stored == checksum)
    # An ETag that is no MD5 (SSE-KMS) equals none: the part is sent again.
    return str(held.get("ETag", "")).strip('"') == part.digest("md5").hex()
