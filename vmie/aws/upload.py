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
from itertools import chain
from typing import Any, Protocol

import tenacity

from vmie import events
from vmie.aws.errors import refusals
from vmie.aws.pace import Pace, PacedBody, Rate
from vmie.aws.session import Aws
from vmie.errors import AwsRefused, UsageError, VmieError
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
    """How to store, and how to send.

    `owner` is the account that must own the bucket. `sse` is "" (the bucket's own encryption), "AES256" or
    "aws:kms", the last with `kms_key` or the account's default key. `max_rate` is bytes per second. `patience`
    is for how many seconds one part is tried again.
    """

    owner: str | None = None
    sse: str = ""
    kms_key: str = ""
    storage_class: str = ""
    workers: int = 8
    part_size: int | None = None
    max_rate: float | None = None
    patience: float = 300.0
    longest_pause: float = 20.0
    metadata: Mapping[str, str] = field(default_factory=dict)

    def create(self) -> dict[str, Any]:
        """Parameters that CreateMultipartUpload and PutObject share."""
        out: dict[str, Any] = dict(self.every())
        if self.sse or self.kms_key:
            out["ServerSideEncryption"] = self.sse or "aws:kms"
        if self.kms_key:
            out["SSEKMSKeyId"] = self.kms_key
        if self.storage_class:
            out["StorageClass"] = self.storage_class
        if self.metadata:
            out["Metadata"] = dict(self.metadata)
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
    etag: str = ""


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
        # One attempt per call: what is tried again, when and at which pace is decided here, part by part.
        self._client: Any = aws.once("s3")
        self._target = target
        self._where = {"Bucket": target.bucket, "Key": target.key}
        self._state = state
        self._options = options
        self._reporter = reporter
        self._source_size = source_size
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._pace = Pace(options.workers)
        self._rate = Rate(options.max_rate, sleep=self._stop.wait) if options.max_rate else None
        self._sent = 0
        self._total = 0
        self._source = 0

    def whole(self, part: Part) -> Uploaded:
        """A payload that fits in one part goes by PutObject."""
        data = part.load()
        checksum = _b64(hashlib.sha256(data).digest())
        answer = self._call(
            "PutObject",
            "put_object",
            body=data,
            ChecksumSHA256=checksum,
            **self._options.create(),
        )
        self._count(part, len(data), sent=True)
        return self._result(str(answer.get("ETag", "")))

    def multipart(self, first: Part, second: Part, rest: Iterator[Part]) -> Uploaded:
        """Everything larger."""
        upload_id, held = self._begin()
        done: dict[int, dict[str, Any]] = {}
        # A few parts wait for a worker while the others are on the wire: the memory stays flat.
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

        with ThreadPoolExecutor(self._options.workers, thread_name_prefix="upload") as pool:
            try:
                for part in chain((first, second), rest):
                    room.acquire()
                    if self._stop.is_set():
                        break
                    futures.append(pool.submit(work, part))
                    del part
                for future in futures:
                    future.result()
            except BaseException:
                self._stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        return self._complete(upload_id, done)

    def _begin(self) -> tuple[str, dict[int, dict[str, Any]]]:
        """The upload to go on with and the parts the server holds of it, or a new upload."""
        known = self._state.get()
        if known is not None and (held := self._held(known)) is not None:
            return known, held
        answer = self._call(
            "CreateMultipartUpload", "create_multipart_upload", ChecksumAlgorithm="SHA256", **self._options.create()
        )
        upload_id = str(answer["UploadId"])
        self._state.put(upload_id)
        return upload_id, {}

    def _held(self, upload_id: str) -> dict[int, dict[str, Any]] | None:
        """Part number to ListParts entry; None when the upload is gone."""
        held: dict[int, dict[str, Any]] = {}
        marker: dict[str, Any] = {}
        while True:
            try:
                page = self._call("ListParts", "list_parts", UploadId=upload_id, **marker, **self._options.every())
            except AwsRefused as error:
                if error.code == "NoSuchUpload":
                    return None
                raise
            held |= {int(part["PartNumber"]): dict(part) for part in page.get("Parts", ())}
            if not page.get("IsTruncated"):
                return held
            marker = {"PartNumberMarker": page["NextPartNumberMarker"]}

    def _part(self, upload_id: str, part: Part, held: dict[str, Any] | None) -> dict[str, Any]:
        data = part.load()
        checksum = _b64(hashlib.sha256(data).digest())
        if held is not None and _same(held, data, checksum):
            self._count(part, len(data), sent=False)
            return {"PartNumber": part.number, "ETag": held["ETag"], "ChecksumSHA256": checksum}
        answer = self._call(
            "UploadPart",
            "upload_part",
            body=data,
            operand=f"{self._target.url} part {part.number}",
            UploadId=upload_id,
            PartNumber=part.number,
            ChecksumSHA256=checksum,
            **self._options.every(),
        )
        self._count(part, len(data), sent=True)
        return {"PartNumber": part.number, "ETag": answer["ETag"], "ChecksumSHA256": checksum}

    def _complete(self, upload_id: str, done: Mapping[int, dict[str, Any]]) -> Uploaded:
        parts = [done[number] for number in sorted(done)]
        try:
            self._call(
                "CompleteMultipartUpload",
                "complete_multipart_upload",
                UploadId=upload_id,
                MultipartUpload={"Parts": parts},
                **self._options.every(),
            )
        except AwsRefused as error:
            # A lost answer to a call that was carried out: the object then stands, and is compared below.
            if error.code != "NoSuchUpload":
                raise
        stored = self._call("HeadObject", "head_object", ChecksumMode="ENABLED", **self._options.every())
        digests = b"".join(base64.b64decode(part["ChecksumSHA256"]) for part in parts)
        # S3 writes "digest-parts", some stand-ins only the digest, others keep none.
        composite = _b64(hashlib.sha256(digests).digest())
        kept = str(stored.get("ChecksumSHA256", composite)).partition("-")[0]
        if stored["ContentLength"] != self._total or kept != composite:
            raise VmieError(
                f"{self._target.url} does not hold what was sent ({stored['ContentLength']} bytes, {self._total} sent)",
                cause="the object was changed by somebody else while it was uploaded, or the server lost data",
                cure="run the command again",
                code="UploadMismatch",
            )
        return self._result(str(stored.get("ETag", "")))

    def _call(
        self, operation: str, method: str, *, body: bytes | None = None, operand: str = "", **parameters: Any
    ) -> dict[str, Any]:
        """One S3 call, tried again with jitter while its failure is in passing."""

        def attempt() -> dict[str, Any]:
            # A fresh body each time: the last attempt may have read half of it.
            given = {} if body is None else {"Body": body if self._rate is None else PacedBody(body, self._rate)}
            with self._pace.slot(), refusals(operation, operand=operand or self._target.url):
                answer: dict[str, Any] = getattr(self._client, method)(**self._where, **given, **parameters)
            if body is not None:
                self._pace.went_well()
            return answer

        def failed(state: tenacity.RetryCallState) -> None:
            self._pace.slow_down()
            error = state.outcome.exception() if state.outcome else None
            self._reporter(events.Note(f"{error}; trying again in {state.upcoming_sleep:.0f} s", "debug"))

        again = tenacity.Retrying(
            retry=tenacity.retry_if_exception(in_passing),
            wait=tenacity.wait_random_exponential(multiplier=0.5, max=self._options.longest_pause),
            stop=tenacity.stop_after_delay(self._options.patience) | tenacity.stop_when_event_set(self._stop),
            sleep=tenacity.sleep_using_event(self._stop),
            before_sleep=failed,
            reraise=True,
        )
        return again(attempt)

    def _count(self, part: Part, length: int, *, sent: bool) -> None:
        with self._lock:
            self._total += length
            self._sent += length if sent else 0
            self._source = max(self._source, part.source_end)
            event = events.Progress("upload", self._source, self._source_size, self._sent)
        self._reporter(event)

    def _result(self, etag: str) -> Uploaded:
        target = S3Object(self._target.bucket, self._target.key, self._total)
        return Uploaded(target, self._total, self._sent, etag)


def in_passing(error: BaseException) -> bool:
    """Whether the same call may do better later: S3 is busy, or the network failed; not a refusal."""
    if isinstance(error, AwsRefused):
        return error.code in _PASSING
    return isinstance(error, VmieError) and not isinstance(error, UsageError)


#: 4xx answers that a second attempt may not meet: a slow or damaged transfer
_PASSING = frozenset(
    ("BadDigest", "IncompleteBody", "RequestTimeout", "SlowDown", "Throttling", "XAmzContentSHA256Mismatch")
)


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
