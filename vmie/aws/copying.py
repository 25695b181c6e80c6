"""Object to object inside S3, also from another Region or bucket: no byte comes here.

Parts are copied in parallel; a copy that broke off goes on, for as long as the source is the same (its ETag).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from vmie import events
from vmie.aws import multipart
from vmie.aws.attempts import TransferConnection, UploadOptions
from vmie.aws.multipart import Done, UploadState
from vmie.aws.objects import ObjectFacts
from vmie.aws.parts import MIB, part_size_for
from vmie.aws.session import Aws
from vmie.aws.upload import Uploaded
from vmie.errors import AwsRefused, VmieError
from vmie.model import S3Object

#: S3 copies a part at some 100 MB/s, whatever its size: many small ones are as fast as S3 allows
PART = 64 * MIB
#: S3 answers a copy only when it is made
_STALL = 180.0


@dataclass(frozen=True, slots=True)
class _Range:
    number: int
    start: int
    size: int


def copy(
    aws: Aws,
    source: S3Object,
    target: S3Object,
    found: ObjectFacts,
    *,
    state: UploadState,
    options: UploadOptions,
    reporter: events.Reporter = events.silent,
) -> Uploaded:
    """Copy `source`, of which S3 said `found`, to `target`; `bytes_sent` is what S3 copied this time.

    Raises AwsRefused, and VmieError (SourceChanged) when the source is not that object any more.
    """
    wire = TransferConnection(
        aws, target, options=replace(options, stall=max(_STALL, options.stall)), reporter=reporter
    )
    given = {"CopySource": {"Bucket": source.bucket, "Key": source.key}, "CopySourceIfMatch": found.etag}
    try:
        if found.size <= PART:
            return _whole(wire, given, found)
        return _Copier(wire, given, found, state=state, reporter=reporter).run()
    except AwsRefused as error:
        if error.code != "PreconditionFailed":
            raise
        raise VmieError(
            f"{source.url} was changed while it was copied",
            cause="a copy of two contents would mix them",
            cure="run the command again when nothing writes to it",
            code="SourceChanged",
        ) from error


def _whole(wire: TransferConnection, given: Mapping[str, Any], found: ObjectFacts) -> Uploaded:
    # Tags stay behind, as with a copy in parts: to take them along needs rights to them, on both sides.
    directives = {"MetadataDirective": "REPLACE", "TaggingDirective": "REPLACE"}
    parameters = {**directives, "ChecksumAlgorithm": "SHA256", **wire.options.create()}
    answer = wire.call("CopyObject", "copy_object", wants=("CopyObjectResult",), **given, **parameters)
    etag = str(answer["CopyObjectResult"].get("ETag", ""))
    return Uploaded(replace(wire.target, size=found.size), found.size, found.size, etag)


class _Copier:
    """One copy in parts; counts under one lock."""

    def __init__(
        self,
        wire: TransferConnection,
        given: Mapping[str, Any],
        found: ObjectFacts,
        *,
        state: UploadState,
        reporter: events.Reporter,
    ) -> None:
        self._wire = wire
        self._given = given
        self._size = found.size
        self._state = state
        self._reporter = reporter
        self._lock = threading.Lock()
        self._copied = self._total = 0
        self._done: dict[int, Done] = {}

    def run(self) -> Uploaded:
        upload_id, held = multipart.begin(self._wire, self._state)

        def work(part: _Range) -> None:
            entry = held.get(part.number)
            there = entry is not None and entry.get("Size") == part.size
            self._done[part.number] = _kept(entry) if entry and there else self._copy(upload_id, part)
            self._count(part.size, copied=not there)

        try:
            multipart.in_parallel(self._wire, self._ranges(), work, most=self._wire.options.workers)
        finally:
            self._state.holds(self._total, final=True)
        etag = multipart.complete(self._wire, upload_id, self._done, total=self._size)
        return Uploaded(replace(self._wire.target, size=self._size), self._size, self._copied, etag)

    def _ranges(self) -> Iterator[_Range]:
        step = part_size_for(self._size, PART)
        for number, start in enumerate(range(0, self._size, step), start=1):
            yield _Range(number, start, min(step, self._size - start))

    def _copy(self, upload_id: str, part: _Range) -> Done:
        answer = self._wire.call(
            "UploadPartCopy",
            "upload_part_copy",
            operand=f"{self._wire.target.url} part {part.number}",
            wants=("CopyPartResult",),
            UploadId=upload_id,
            PartNumber=part.number,
            CopySourceRange=f"bytes={part.start}-{part.start + part.size - 1}",
            **self._given,
            **self._wire.options.every(),
        )
        return _kept({"PartNumber": part.number, **answer["CopyPartResult"]})

    def _count(self, length: int, *, copied: bool) -> None:
        with self._lock:
            self._total += length
            self._copied += length if copied else 0
            event = events.Progress("copy", self._total, self._size, self._copied)
        self._state.holds(event.done)
        self._reporter(event)


def _kept(entry: Mapping[str, Any]) -> Done:
    names = ("PartNumber", "ETag", "ChecksumSHA256")
    return {name: entry[name] for name in names if name in entry}
