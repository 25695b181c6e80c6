"""An image as many small objects: each part goes up once, and a part that is there already is not sent again.

ImportInstance and ImportVolume read an image in parts that a manifest lists (`vmie.aws.manifest`). A part is the
same when S3 holds the same checksum for it; what is remembered elsewhere does not count.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from vmie import events
from vmie.aws import objects
from vmie.aws.attempts import TransferConnection, UploadOptions
from vmie.aws.errors import refusals
from vmie.aws.manifest import PART_BYTES, ranges
from vmie.aws.multipart import in_parallel
from vmie.aws.parts import Part, Payload, b64
from vmie.aws.session import Aws
from vmie.errors import AwsRefused
from vmie.model import S3Object

#: keys of one DeleteObjects
_BATCH = 1000
#: what S3 says of an absent object to who may not list the bucket, as AWS's own user policy has it (aws-facts 4.3)
_UNTOLD = "AccessDenied"


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


def present(aws: Aws, parts: Parts) -> bool:
    """Whether every part is there, by its length. Raises AwsRefused."""
    spans = parts.ranges()

    def there(index: int) -> bool:
        start, end = spans[index]
        try:
            found = objects.facts(aws, parts.object(index))
        except AwsRefused as error:
            if error.code == _UNTOLD:
                return False
            raise
        return found is not None and found.size == end - start + 1

    with ThreadPoolExecutor(8, thread_name_prefix="parts") as pool:
        return all(pool.map(there, range(len(spans))))


def remove(aws: Aws, items: Iterable[S3Object]) -> None:
    """Delete objects of one bucket, a thousand a call; those that are gone are no error. Raises AwsRefused."""
    client: Any = aws.client("s3")
    left: Sequence[S3Object] = list(items)
    while left:
        batch, left = left[:_BATCH], left[_BATCH:]
        with refusals("DeleteObjects", operand=f"{batch[0].url} and {len(batch) - 1} more"):
            answer = client.delete_objects(
                Bucket=batch[0].bucket,
                Delete={"Objects": [{"Key": item.key} for item in batch], "Quiet": True},
                **aws.owned(),
            )
        for failed in answer.get("Errors") or ():
            raise AwsRefused(
                f"s3://{batch[0].bucket}/{failed.get('Key')} cannot be deleted: {failed.get('Message')}",
                cure="allow s3:DeleteObject on the bucket, or delete the objects by hand",
                code=str(failed.get("Code") or "AccessDenied"),
            )


class _Sender:
    """One image on its way; counts under one lock."""

    def __init__(
        self, aws: Aws, parts: Parts, *, options: UploadOptions, resumed: bool, reporter: events.Reporter
    ) -> None:
        self._aws = aws
        self._parts = parts
        self._options = options
        self._resumed = resumed
        self._reporter = reporter
        #: its pace and its end are those of all parts
        self._wire = TransferConnection(aws, parts.manifest, options=options, reporter=reporter)
        self._lock = threading.Lock()
        self._sent = self._total = self._source = 0

    def run(self, payload: Payload) -> tuple[Parts, int]:
        """Send all of it."""
        in_parallel(
            self._wire,
            payload.parts(PART_BYTES),
            lambda part: self._part(part, payload.source_size),
            most=self._options.workers,
        )
        return Parts(self._parts.bucket, self._parts.stem, self._total), self._sent

    def _part(self, part: Part, source_size: int) -> None:
        wire = self._one(self._parts.object(part.number - 1))
        checksum = b64(part.digest("sha256"))
        sent = not (self._resumed and self._same(wire, part, checksum))
        if sent:
            wire.call("PutObject", "put_object", part=part, ChecksumSHA256=checksum, **self._options.create())
        with self._lock:
            self._total += part.size
            self._sent += part.size if sent else 0
            self._source = max(self._source, part.source_end)
            event = events.Progress("upload", self._source, source_size, self._sent)
        self._reporter(event)

    def _one(self, item: S3Object) -> TransferConnection:
        """A wire for one object, at the pace of all."""
        wire = TransferConnection(self._aws, item, options=self._options, reporter=self._reporter)
        wire.stop, wire.pace = self._wire.stop, self._wire.pace
        return wire

    def _same(self, wire: TransferConnection, part: Part, checksum: str) -> bool:
        """Whether S3's object is this part: by SHA-256, by MD5 (the ETag) where it keeps no other."""
        try:
            head = wire.call("HeadObject", "head_object", ChecksumMode="ENABLED", **self._options.every())
        except AwsRefused as error:
            if error.code in ("NotFound", "NoSuchKey", _UNTOLD):
                return False
            raise
        held = objects.of_head(head)
        if held.size != part.size:
            return False
        if held.sha256:
            return held.sha256 == checksum
        return held.etag.strip('"') == part.digest("md5").hex()
