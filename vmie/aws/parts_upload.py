"""An image as many small objects: each part goes up once, and a part that is there already is not sent again.

ImportInstance and ImportVolume read an image in parts that a manifest lists (`vmie.aws.manifest`). A part is the
same when S3 holds the same checksum for it; what is remembered elsewhere does not count.
"""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import tenacity

from vmie import events
from vmie.aws import upload
from vmie.aws.errors import refusals
from vmie.aws.manifest import PART_BYTES, ranges
from vmie.aws.pace import Pace
from vmie.aws.session import Aws
from vmie.aws.upload import Payload, UploadOptions
from vmie.errors import AwsRefused
from vmie.model import S3Object

#: keys of one DeleteObjects
_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of one image: objects ``stem.part0`` and on in `bucket`, of `size` bytes together."""

    bucket: str
    stem: str
    size: int

    def object(self, index: int) -> S3Object:
        """Where part `index` lies."""
        return S3Object(self.bucket, f"{self.stem}.part{index}")

    def ranges(self) -> list[tuple[int, int]]:
        """The byte range of each part, both ends included."""
        return list(ranges(self.size))

    @property
    def manifest(self) -> S3Object:
        """Where their manifest lies."""
        return S3Object(self.bucket, f"{self.stem}.manifest.xml")


def send(
    aws: Aws,
    bucket: str,
    stem: str,
    payload: Payload,
    *,
    options: UploadOptions,
    resumed: bool = False,
    reporter: events.Reporter = events.silent,
) -> tuple[Parts, int]:
    """Send `payload` in parts of 10 MiB; the parts, and the bytes that crossed the wire now.

    With `resumed` each part is looked for first (HEAD). Raises VmieError subclasses; KeyboardInterrupt passes through
    and what was sent stays.
    """
    sender = _Sender(aws, Parts(bucket, stem, 0), options=options, resumed=resumed, reporter=reporter)
    return sender.run(payload)


def present(aws: Aws, parts: Parts, *, owner: str | None = None) -> bool:
    """Whether every part is there, by its length. Raises AwsRefused."""
    client: Any = aws.client("s3")
    spans = parts.ranges()

    def there(index: int) -> bool:
        start, end = spans[index]
        found = _head(client, parts.object(index), owner)
        return found is not None and int(found["ContentLength"]) == end - start + 1

    with ThreadPoolExecutor(8, thread_name_prefix="parts") as pool:
        return all(pool.map(there, range(len(spans))))


def remove(aws: Aws, items: Iterable[S3Object], *, owner: str | None = None) -> None:
    """Delete objects of one bucket, a thousand a call; those that are gone are no error. Raises AwsRefused."""
    client: Any = aws.client("s3")
    left: Sequence[S3Object] = list(items)
    expected = {"ExpectedBucketOwner": owner} if owner else {}
    while left:
        batch, left = left[:_BATCH], left[_BATCH:]
        with refusals("DeleteObjects", operand=f"{batch[0].url} and {len(batch) - 1} more"):
            answer = client.delete_objects(
                Bucket=batch[0].bucket,
                Delete={"Objects": [{"Key": item.key} for item in batch], "Quiet": True},
                **expected,
            )
        for failed in answer.get("Errors") or ():
            raise AwsRefused(
                f"s3://{batch[0].bucket}/{failed.get('Key')} cannot be deleted: {failed.get('Message')}",
                cure="allow s3:DeleteObject on the bucket, or delete the objects by hand",
                code=str(failed.get("Code") or "AccessDenied"),
            )


def _head(client: Any, item: S3Object, owner: str | None) -> dict[str, Any] | None:
    expected = {"ExpectedBucketOwner": owner} if owner else {}
    try:
        with refusals("HeadObject", operand=item.url):
            found: dict[str, Any] = client.head_object(
                Bucket=item.bucket, Key=item.key, ChecksumMode="ENABLED", **expected
            )
    except AwsRefused as error:
        if error.code in ("NotFound", "NoSuchKey"):
            return None
        raise
    return found


class _Sender:
    """One image on its way; counts under one lock."""

    def __init__(
        self, aws: Aws, parts: Parts, *, options: UploadOptions, resumed: bool, reporter: events.Reporter
    ) -> None:
        # One attempt per call: what is tried again, and at which pace, is decided here.
        self._client: Any = aws.once("s3")
        self._parts = parts
        self._options = options
        self._resumed = resumed
        self._reporter = reporter
        self._pace = Pace(options.workers)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._sent = self._total = self._source = 0

    def run(self, payload: Payload) -> tuple[Parts, int]:
        """Send all of it."""
        # A few parts wait for a worker while the others are on the wire: the memory stays flat.
        room = threading.BoundedSemaphore(self._options.workers + 1)
        futures: list[Future[None]] = []

        def work(part: upload.Part) -> None:
            try:
                if not self._stop.is_set():
                    self._part(part, payload.source_size)
            except BaseException:
                self._stop.set()
                raise
            finally:
                room.release()

        with ThreadPoolExecutor(self._options.workers, thread_name_prefix="parts") as pool:
            try:
                for part in payload.parts(PART_BYTES):
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
        return Parts(self._parts.bucket, self._parts.stem, self._total), self._sent

    def _part(self, part: upload.Part, source_size: int) -> None:
        data = part.load()
        item = self._parts.object(part.number - 1)
        checksum = base64.b64encode(hashlib.sha256(data).digest()).decode("ascii")
        held = self._retried(lambda: _head(self._client, item, self._options.owner)) if self._resumed else None
        sent = held is None or not _same(held, data, checksum)
        if sent:
            self._retried(lambda: self._put(item, data, checksum))
        with self._lock:
            self._total += len(data)
            self._sent += len(data) if sent else 0
            self._source = max(self._source, part.source_end)
            event = events.Progress("upload", self._source, source_size, self._sent)
        self._reporter(event)

    def _put(self, item: S3Object, data: bytes, checksum: str) -> dict[str, Any]:
        with self._pace.slot(), refusals("PutObject", operand=item.url):
            answer: dict[str, Any] = self._client.put_object(
                Bucket=item.bucket, Key=item.key, Body=data, ChecksumSHA256=checksum, **self._options.create()
            )
        self._pace.went_well()
        return answer

    def _retried(self, call: Any) -> Any:
        """One S3 call, tried again with jitter while its failure is in passing."""

        def failed(state: tenacity.RetryCallState) -> None:
            self._pace.slow_down()
            error = state.outcome.exception() if state.outcome else None
            self._reporter(events.Note(f"{error}; trying again in {state.upcoming_sleep:.0f} s", "debug"))

        again = tenacity.Retrying(
            retry=tenacity.retry_if_exception(upload.in_passing),
            wait=tenacity.wait_random_exponential(multiplier=0.5, max=self._options.longest_pause),
            stop=tenacity.stop_after_delay(self._options.patience) | tenacity.stop_when_event_set(self._stop),
            sleep=tenacity.sleep_using_event(self._stop),
            before_sleep=failed,
            reraise=True,
        )
        return again(call)


def _same(held: dict[str, Any], data: bytes, checksum: str) -> bool:
    """Whether S3's object is this part: by SHA-256, by MD5 (the ETag) where it keeps no other."""
    if held.get("ContentLength") != len(data):
        return False
    if stored := held.get("ChecksumSHA256"):
        return bool(stored == checksum)
    return str(held.get("ETag", "")).strip('"') == hashlib.md5(data, usedforsecurity=False).hexdigest()
