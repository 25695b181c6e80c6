"""An object in S3 as a `vmie.disk.base.Source`: read by range, a little at a time, always of the same version."""

from __future__ import annotations

import threading
from pathlib import Path

from vmie.aws.errors import refusals
from vmie.aws.objects import ObjectFacts
from vmie.aws.session import Aws
from vmie.errors import ImageError
from vmie.model import S3Object

#: what is asked for at once: a header, a descriptor and the first tables
_BLOCK = 64 << 10
#: the most that is fetched to see what an object is; a container's tables may be long
MOST_FETCHED = 64 << 20


class S3ObjectSource:
    """An object's bytes: ranges are fetched when they are read, and kept. See `vmie.disk.base.Source`.

    With `own` its bucket must be the account's. Raises AwsRefused when it may not be read or is another meanwhile,
    ImageError when more than `MOST_FETCHED` bytes are wanted.
    """

    def __init__(
        self, aws: Aws, target: S3Object, found: ObjectFacts, *, own: bool = True, region: str | None = None
    ) -> None:
        self.name = target.url
        self.path: Path | None = None
        self.size = found.size
        self._client = aws.client("s3", region=region)
        self._asked = {
            "Bucket": target.bucket,
            "Key": target.key,
            "IfMatch": found.etag,
            **(aws.owned() if own else {}),
        }
        self._blocks: dict[int, bytes] = {}
        self._fetched = 0
        self._lock = threading.Lock()

    def pread(self, offset: int, length: int) -> bytes:
        """See `Source.pread`."""
        length = min(length, self.size - offset)
        if length <= 0:
            return b""
        first, last = offset // _BLOCK, (offset + length - 1) // _BLOCK
        with self._lock:
            self._fetch(first, last)
            data = b"".join(self._blocks[number] for number in range(first, last + 1))
        start = offset - first * _BLOCK
        return data[start : start + length]

    def _fetch(self, first: int, last: int) -> None:
        """Fetch the blocks `first` to `last` by one call, unless all are there."""
        missing = [number for number in range(first, last + 1) if number not in self._blocks]
        if not missing:
            return
        start, end = missing[0] * _BLOCK, min((missing[-1] + 1) * _BLOCK, self.size)
        self._fetched += end - start
        if self._fetched > MOST_FETCHED:
            raise ImageError(
                f"{self.name}: its tables are too long to be read from here",
                cause=f"more than {MOST_FETCHED >> 20} MiB of it would be fetched to see what it is",
                cure="import the local file",
            )
        with refusals("GetObject", operand=self.name):
            answer = self._client.get_object(**self._asked, Range=f"bytes={start}-{end - 1}")
            data = answer["Body"].read(end - start)
        if len(data) != end - start:
            raise ImageError(f"{self.name} is shorter than S3 said", cure="run the command again")
        for number in range(missing[0], missing[-1] + 1):
            at = (number - missing[0]) * _BLOCK
            self._blocks[number] = data[at : at + _BLOCK]

    def close(self) -> None:
        """See `Source.close`."""
        self._blocks.clear()
