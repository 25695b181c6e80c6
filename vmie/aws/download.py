"""Objects from S3: parallel ranged GETs into a temporary name, verified, then renamed. Never over another file.

An interrupted download goes on: beside the temporary file lies a small record of the parts that are in it, good only
for the very same object (its ETag).
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from vmie import events, poll
from vmie.aws import checksums
from vmie.aws.errors import refusals
from vmie.aws.listing import Head, file_name, head
from vmie.aws.session import Aws
from vmie.errors import UsageError, VmieError
from vmie.model import S3Object
from vmie.poll import Clock

PART = 16 << 20
WORKERS = 8
#: a body that breaks off is not the SDK's to retry
_PATIENCE = {"broken": poll.Patience(within=300, first=1.0, most=20.0)}

_ZEROS = bytes(1 << 18)


def download(
    aws: Aws,
    item: S3Object,
    folder: Path,
    *,
    clock: Clock,
    reporter: events.Reporter = events.silent,
    workers: int = WORKERS,
    part: int = PART,
) -> Path:
    """Fetch `item` into `folder` (made if need be) and return the file's path.

    Raises UsageError when the file exists or does not fit, AwsRefused, and VmieError (ChecksumMismatch) when what
    arrived is not what S3 holds. A download that was interrupted goes on where it stopped.
    """
    target = folder / file_name(item.key)
    refuse_existing(target)
    known = head(aws, item)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fetch = _Fetch(aws, item, known, target, part=part, clock=clock, reporter=reporter)
        fetch.run(workers)
        reporter(events.Stage("verify", target.name))
        _verify(fetch, known, target.name, reporter)
        _publish(fetch.temporary, target)
        fetch.record.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(
            f"{item.url} cannot be written to {folder}: {error.strerror}",
            cure="choose another folder, or mend this one; what arrived is kept",
        ) from error
    return target


def _verify(fetch: _Fetch, known: Head, name: str, reporter: events.Reporter) -> None:
    try:
        proof = checksums.verify(fetch.temporary, known)
    except VmieError:
        fetch.forget()
        raise
    if not proof:
        why = "S3 keeps no checksum that can be verified here"
        reporter(events.Note(f"of {name} only the size was verified: {why}", "warning"))


def refuse_existing(target: Path) -> None:
    """Raise UsageError when `target` exists: a download never writes over anything."""
    if target.exists() or target.is_symlink():
        raise UsageError(
            f"{target} exists",
            cause="a download never overwrites a file",
            cure="move it away, or choose another folder",
        )


class _Fetch:
    """One object on its way: which parts are in the temporary file, and the ones that are not."""

    def __init__(
        self,
        aws: Aws,
        item: S3Object,
        known: Head,
        target: Path,
        *,
        part: int,
        clock: Clock,
        reporter: events.Reporter,
    ) -> None:
        self._aws, self._item, self._known = aws, item, known
        self._clock, self._reporter = clock, reporter
        self.temporary = target.with_name(f".{target.name}.part")
        self.record = target.with_name(f".{target.name}.part.json")
        self._lock = threading.Lock()
        self._part = part
        self._done = self._resume()
        self._moved = sum(min(part, known.size - index * part) for index in self._done)

    def forget(self) -> None:
        """Remove what was fetched: it is not what S3 holds."""
        self.record.unlink(missing_ok=True)
        self.temporary.unlink(missing_ok=True)

    def _resume(self) -> set[int]:
        """The parts that an earlier run left, if it fetched this very object into this very file."""
        try:
            found = json.loads(self.record.read_text(encoding="utf-8"))
            same = (found["etag"], found["size"], found["part"]) == (self._known.etag, self._known.size, self._part)
            if same and self.temporary.stat().st_size == self._known.size:
                return {int(index) for index in found["done"] if 0 <= int(index) < self._count()}
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return set()

    def _count(self) -> int:
        return -(-self._known.size // self._part)

    def run(self, workers: int) -> None:
        """Fetch what is missing; all bytes are on the disk when this returns."""
        missing = [index for index in range(self._count()) if index not in self._done]
        self._expect_room(len(missing) * self._part)
        if self._done:
            self._reporter(events.Note(f"going on with {self.temporary.name}: {self._moved} bytes are here already"))
        # O_NOFOLLOW: the folder may be shared, and a link laid under our temporary name is not ours to follow.
        file = os.open(self.temporary, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            if not self._done:
                os.ftruncate(file, 0)
            os.ftruncate(file, self._known.size)
            self._tell()
            self._fetch_all(file, missing, workers)
            os.fsync(file)
        finally:
            os.close(file)

    def _fetch_all(self, file: int, missing: list[int], workers: int) -> None:
        with ThreadPoolExecutor(max_workers=max(1, workers), thread_name_prefix="download") as pool:
            waiting: Iterator[int] = iter(missing)
            running: set[Future[None]] = set()
            try:
                while True:
                    for index in waiting:
                        running.add(pool.submit(self._fetch, file, index))
                        if len(running) >= 2 * workers:
                            break
                    if not running:
                        return
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        future.result()
                    self._remember(file)
            except BaseException:
                for future in running:
                    future.cancel()
                raise

    def _fetch(self, file: int, index: int) -> None:
        start = index * self._part
        length = min(self._part, self._known.size - start)

        def attempt() -> None:
            with refusals("GetObject", operand=self._item.url):
                answer = self._aws.client("s3").get_object(
                    Bucket=self._item.bucket,
                    Key=self._item.key,
                    Range=f"bytes={start}-{start + length - 1}",
                    IfMatch=self._known.etag,
                    ExpectedBucketOwner=self._aws.account,
                )
                data = answer["Body"].read(length + 1)
            if len(data) != length:
                raise VmieError(
                    f"{self._item.url}: {len(data)} of {length} bytes came at {start}", code="ShortRead", passing=True
                )
            _write(file, data, start)

        poll.retrying(attempt, clock=self._clock, classify=_broken, patience=_PATIENCE)
        with self._lock:
            self._done.add(index)
            self._moved += length
        self._tell()

    def _remember(self, file: int) -> None:
        """Record the parts that are safely on the disk, and only those."""
        with self._lock:
            done = sorted(self._done)
        os.fdatasync(file)
        state = {"etag": self._known.etag, "size": self._known.size, "part": self._part, "done": done}
        temporary = self.record.with_name(f"{self.record.name}.new")
        temporary.write_text(json.dumps(state), encoding="utf-8")
        temporary.replace(self.record)

    def _expect_room(self, needed: int) -> None:
        free = shutil.disk_usage(self.temporary.parent).free
        if needed > free + self._part:
            raise UsageError(
                f"{self._item.url} does not fit in {self.temporary.parent}",
                cause=f"{needed} bytes are missing, {free} are free",
                cure="make room, or choose another folder",
            )

    def _tell(self) -> None:
        self._reporter(events.Progress("download", self._moved, self._known.size))


def _broken(error: BaseException) -> str:
    """A body that broke off, or AWS out of reach or in trouble: not a refusal, which is final."""
    return "broken" if isinstance(error, VmieError) and error.passing else ""


def _write(file: int, data: bytes, offset: int) -> None:
    """Write what is not zero: the file was made as one hole, and a raw disk is mostly zeros."""
    for start in range(0, len(data), len(_ZEROS)):
        piece = data[start : start + len(_ZEROS)]
        if piece == _ZEROS[: len(piece)]:
            continue
        view, place = memoryview(piece), offset + start
        while view:
            written = os.pwrite(file, view, place)
            view, place = view[written:], place + written


def _publish(temporary: Path, target: Path) -> None:
    """Give the file its name, unless somebody took it meanwhile; durable when this returns."""
    try:
        os.link(temporary, target, follow_symlinks=False)
    except FileExistsError:
        refuse_existing(target)
        raise
    except OSError:
        # No hard links here (FAT, some network shares): the check and the rename are two steps then.
        refuse_existing(target)
        temporary.replace(target)
    temporary.unlink(missing_ok=True)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
