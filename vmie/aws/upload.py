"""Bytes to S3: parallel parts, each with its checksum; what arrived earlier is not sent again.

A multipart upload is resumed by what the server says it holds (ListParts), never by what we remember:
a part is left out only when its checksum is the same (aws-facts 3.2 for the numbers).
"""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

from vmie import events
from vmie.aws.errors import refusals
from vmie.aws.session import Aws
from vmie.errors import UsageError, VmieError
from vmie.model import S3Object

MIB = 1 << 20
MIN_PART = 5 * MIB
MAX_PART = 5 << 30
MAX_PARTS = 10_000
#: small enough that the parts in flight stay well under 300 MB, large enough to be few requests
DEFAULT_PART = 16 * MIB


@dataclass(frozen=True, slots=True)
class Part:
    """One part: `load` gives its bytes (called in a worker), `source_end` how far the source was read."""

    number: int
    load: Callable[[], bytes]
    source_end: int


class Payload(Protocol):
    """Something to upload. `bound` is the most bytes it can come to, `source_size` the bytes it is made from."""

    bound: int
    source_size: int

    def parts(self, part_size: int) -> Iterator[Part]:
        """All parts in order; every one but the last is exactly `part_size` long."""


@dataclass(frozen=True, slots=True)
class UploadOptions:
    """How to store: `owner` is the account that must own the bucket, `kms_key` asks for SSE-KMS."""

    owner: str | None = None
    kms_key: str | None = None
    storage_class: str | None = None
    workers: int = 6
    part_size: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    def create(self) -> dict[str, Any]:
        """Parameters that CreateMultipartUpload and PutObject share."""
        out: dict[str, Any] = dict(self.every())
        if self.kms_key:
            out |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.kms_key}
        if self.storage_class:
            out["StorageClass"] = self.storage_class
        if self.tags:
            from urllib.parse import urlencode  # noqa: PLC0415

            out["Tagging"] = urlencode(self.tags)
        return out

    def every(self) -> dict[str, Any]:
        """Parameters of every call."""
        return {"ExpectedBucketOwner": self.owner} if self.owner else {}


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What an upload came to, in bytes: `bytes_sent` counts only what crossed the wire this time."""

    object: S3Object
    bytes_total: int
    bytes_sent: int
    bytes_source: int


class UploadState(Protocol):
    """Where the upload id is kept between runs (a slice of a job's journal)."""

    def get(self) -> str | None:
        """The upload id of an earlier run."""

    def put(self, upload_id: str) -> None:
        """Remember it, before the first part is sent."""


def part_size_for(bound: int, wanted: int | None = None) -> int:
    """The part size for a payload of at most `bound` bytes: 10,000 parts of 5 MiB to 5 GiB.

    Raises UsageError beyond 48.8 TiB (S3's limit).
    """
    need = -(-bound // MAX_PARTS)
    if need > MAX_PART:
        raise UsageError(f"{bound} bytes are more than S3 takes in one object (48.8 TiB)", cure="split the image")
    size = max(need, wanted or DEFAULT_PART, MIN_PART)
    return -(-size // MIB) * MIB


def upload(
    aws: Aws,
    target: S3Object,
    payload: Payload,
    *,
    state: UploadState,
    options: UploadOptions,
    reporter: events.Reporter = events.silent,
) -> Uploaded:
    """Send `payload` to `target`, going on with the earlier upload that `state` knows.

    Raises VmieError subclasses: AwsRefused for what S3 refuses; KeyboardInterrupt passes through with the
    upload left in place, so that the next run goes on.
    """
    size = part_size_for(payload.bound, options.part_size)
    parts = payload.parts(size)
    sender = _Sender(aws, target, state=state, options=options, reporter=reporter, source_size=payload.source_size)
    first = next(parts)
    second = next(parts, None)
    if second is None:
        return sender.whole(first)
    return sender.multipart(first, second, parts)


def abort(aws: Aws, target: S3Object, upload_id: str, *, owner: str | None = None) -> None:
    """Drop a multipart upload and the parts it holds; none there is fine."""
    with refusals("AbortMultipartUpload", operand=target.url):
        client: Any = aws.client("s3")
        try:
            client.abort_multipart_upload(
                Bucket=target.bucket, Key=target.key, UploadId=upload_id, **UploadOptions(owner=owner).every()
            )
        except client.exceptions.NoSuchUpload:
            return


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
        self._client: Any = aws.client("s3")
        self._target = target
        self._where = {"Bucket": target.bucket, "Key": target.key}
        self._state = state
        self._options = options
        self._reporter = reporter
        self._source_size = source_size
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._sent = 0
        self._total = 0
        self._source = 0

    def whole(self, part: Part) -> Uploaded:
        """A payload that fits in one part goes by PutObject."""
        data = part.load()
        with refusals("PutObject", operand=self._target.url):
            self._client.put_object(
                **self._where, Body=data, ChecksumSHA256=_b64(hashlib.sha256(data).digest()), **self._options.create()
            )
        self._count(part, len(data), sent=True)
        return self._result()

    def multipart(self, first: Part, second: Part, rest: Iterator[Part]) -> Uploaded:
        """Everything larger."""
        upload_id, held = self._begin()
        done: dict[int, dict[str, Any]] = {}
        # One part waits for a worker while the others are on the wire: the memory stays flat.
        room = threading.BoundedSemaphore(self._options.workers + 1)
        futures: list[Future[None]] = []

        def work(part: Part) -> None:
            try:
                if not self._stop.is_set():
                    done[part.number] = self._part(upload_id, part, held.get(part.number))
            except BaseException:
                self._stop.set()
                raise
            finally:
                room.release()

        def submit(part: Part) -> bool:
            room.acquire()
            if self._stop.is_set():
                room.release()
                return False
            futures.append(pool.submit(work, part))
            return True

        with ThreadPoolExecutor(self._options.workers, thread_name_prefix="upload") as pool:
            try:
                if submit(first) and submit(second):
                    for part in rest:
                        if not submit(part):
                            break
                for future in futures:
                    future.result()
            except BaseException:
                self._stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        self._complete(upload_id, done)
        return self._result()

    def _begin(self) -> tuple[str, dict[int, dict[str, Any]]]:
        """The upload to go on with and the parts the server holds of it, or a new upload."""
        known = self._state.get()
        if known is not None and (held := self._held(known)) is not None:
            return known, held
        with refusals("CreateMultipartUpload", operand=self._target.url):
            upload_id: str = self._client.create_multipart_upload(
                **self._where, ChecksumAlgorithm="SHA256", **self._options.create()
            )["UploadId"]
        self._state.put(upload_id)
        return upload_id, {}

    def _held(self, upload_id: str) -> dict[int, dict[str, Any]] | None:
        """Part number to ListParts entry; None when the upload is gone."""
        with refusals("ListParts", operand=self._target.url):
            try:
                pages = self._client.get_paginator("list_parts").paginate(
                    **self._where, UploadId=upload_id, **self._options.every()
                )
                return {int(part["PartNumber"]): dict(part) for page in pages for part in page.get("Parts", ())}
            except self._client.exceptions.NoSuchUpload:
                return None

    def _part(self, upload_id: str, part: Part, held: dict[str, Any] | None) -> dict[str, Any]:
        data = part.load()
        checksum = _b64(hashlib.sha256(data).digest())
        if held is not None and _same(held, data, checksum):
            self._count(part, len(data), sent=False)
            return {"PartNumber": part.number, "ETag": held["ETag"], "ChecksumSHA256": checksum}
        with refusals("UploadPart", operand=f"{self._target.url} part {part.number}"):
            answer = self._client.upload_part(
                **self._where,
                UploadId=upload_id,
                PartNumber=part.number,
                Body=data,
                ChecksumSHA256=checksum,
                **self._options.every(),
            )
        self._count(part, len(data), sent=True)
        return {"PartNumber": part.number, "ETag": answer["ETag"], "ChecksumSHA256": checksum}

    def _complete(self, upload_id: str, done: Mapping[int, dict[str, Any]]) -> None:
        parts = [done[number] for number in sorted(done)]
        with refusals("CompleteMultipartUpload", operand=self._target.url):
            self._client.complete_multipart_upload(
                **self._where,
                UploadId=upload_id,
                MultipartUpload={"Parts": parts},
                **self._options.every(),
            )
        with refusals("HeadObject", operand=self._target.url):
            stored = self._client.head_object(**self._where, **self._options.every())["ContentLength"]
        if stored != self._total:
            raise VmieError(
                f"{self._target.url} holds {stored} bytes, {self._total} were sent",
                cause="the object was changed by somebody else while it was uploaded, or the server lost data",
                cure="run the command again",
                code="UploadMismatch",
            )

    def _count(self, part: Part, length: int, *, sent: bool) -> None:
        with self._lock:
            self._total += length
            self._sent += length if sent else 0
            self._source = max(self._source, part.source_end)
            event = events.Progress("upload", self._source, self._source_size, self._sent)
        self._reporter(event)

    def _result(self) -> Uploaded:
        target = S3Object(self._target.bucket, self._target.key, self._total)
        return Uploaded(target, self._total, self._sent, self._source_size)


def _same(held: Mapping[str, Any], data: bytes, checksum: str) -> bool:
    """Whether the server's part is this one: by SHA-256, by MD5 (the ETag) where it keeps no other."""
    if held.get("Size") != len(data):
        return False
    if stored := held.get("ChecksumSHA256"):
        return bool(stored == checksum)
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return str(held.get("ETag", "")).strip('"') == digest


def _b64(digest: bytes) -> str:
    return base64.b64encode(digest).decode("ascii")
