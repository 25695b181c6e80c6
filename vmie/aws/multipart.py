"""A multipart upload, whoever fills it: begun or resumed, its parts in parallel, completed and looked at.

It is resumed by what the server says it holds (ListParts), never by what we remember (aws-facts 3.2 for the numbers).
"""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

from vmie.aws import abandoned_uploads, objects
from vmie.aws.attempts import OCCUPIED, TransferConnection
from vmie.aws.parts import b64
from vmie.errors import AwsRefused, VmieError

Item = TypeVar("Item")

#: what CompleteMultipartUpload wants to know of one part
Done = dict[str, Any]


class UploadState(Protocol):
    """Where the upload id is kept between runs (a slice of a job's journal)."""

    def get(self) -> str | None:
        """The upload id of an earlier run."""

    @property
    def unsure(self) -> bool:
        """Whether an earlier run may have begun an upload that it could not `put` any more."""

    def put(self, upload_id: str) -> None:
        """Remember it, before the first part is sent."""

    @property
    def reached(self) -> int:
        """How far an earlier run came in the source, in bytes; 0 where it is not known."""

    def holds(self, bytes_held: int, *, reached: int = 0, final: bool = False) -> None:
        """How much S3 holds of it now: to be remembered, now and then and when `final`, for whoever asks.

        `reached` is how far that is in the source.
        """


def begin(wire: TransferConnection, state: UploadState) -> tuple[str, dict[int, Mapping[str, Any]]]:
    """The upload to go on with and the parts that the server holds of it, or a new upload."""
    known = state.get()
    if known is not None and (held := held_parts(wire, known)) is not None:
        return known, held
    failures = wire.failures
    answer = wire.call(
        "CreateMultipartUpload",
        "create_multipart_upload",
        wants=("UploadId",),
        ChecksumAlgorithm="SHA256",
        **wire.options.create(),
    )
    upload_id = str(answer["UploadId"])
    if state.unsure or wire.failures > failures:
        # An earlier call may have been carried out too. Before `put`: whoever dies here is unsure again.
        abandoned_uploads.sweep(wire.aws, wire.target, keep=upload_id, region=wire.options.region)
    state.put(upload_id)
    return upload_id, {}


def held_parts(wire: TransferConnection, upload_id: str) -> dict[int, Mapping[str, Any]] | None:
    """Part number to ListParts entry; None when the upload is gone."""
    held: dict[int, Mapping[str, Any]] = {}
    marker: dict[str, Any] = {}
    while True:
        try:
            page = wire.call(
                "ListParts",
                "list_parts",
                wants=("UploadId", "IsTruncated"),
                UploadId=upload_id,
                **marker,
                **wire.options.every(),
            )
        except AwsRefused as error:
            if error.code == "NoSuchUpload":
                return None
            raise
        held |= {int(part["PartNumber"]): part for part in page.get("Parts", ())}
        following = int(page.get("NextPartNumberMarker") or 0)
        if not page["IsTruncated"] or following <= int(marker.get("PartNumberMarker", 0)):
            return held
        marker = {"PartNumberMarker": following}


def in_parallel(wire: TransferConnection, items: Iterable[Item], work: Callable[[Item], None], *, most: int) -> None:
    """`work` on every item, `most` at once; items are drawn only as they can be worked on.

    The first failure (also Ctrl-C) stops everything, in the middle of a body if need be, and is raised.
    """
    room = threading.BoundedSemaphore(most)
    failures: list[BaseException] = []

    def one(item: Item) -> None:
        try:
            if not wire.stop.is_set():
                work(item)
        except BaseException as error:
            failures.append(error)
            wire.stop.set()
        finally:
            room.release()

    futures: list[Future[None]] = []
    with ThreadPoolExecutor(most, thread_name_prefix="vmie-upload") as pool:
        try:
            for item in items:
                room.acquire()
                if wire.stop.is_set():
                    break
                futures.append(pool.submit(one, item))
                # Else this frame would hold the part for as long as the next one is made.
                del item
            for future in futures:
                future.result()
        except BaseException:
            wire.stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    if failures:
        raise failures[0]


def complete(wire: TransferConnection, upload_id: str, done: Mapping[int, Done], *, total: int) -> str:
    """Join the parts and see that the object is what was sent; its ETag.

    Raises VmieError (UploadMismatch) when it is not.
    """
    parts = [done[number] for number in sorted(done)]
    joined: dict[str, Any] = {}
    occupied: AwsRefused | None = None
    try:
        joined = wire.finishing(
            "CompleteMultipartUpload",
            "complete_multipart_upload",
            UploadId=upload_id,
            MultipartUpload={"Parts": parts},
            **wire.options.every(),
        )
    except AwsRefused as error:
        # A lost answer to a call that was carried out: the object then stands, and is compared below.
        if error.code not in ("NoSuchUpload", OCCUPIED):
            raise
        occupied = error if error.code == OCCUPIED else None
    try:
        head = wire.call(
            "HeadObject", "head_object", wants=("ContentLength",), ChecksumMode="ENABLED", **wire.options.every()
        )
    except AwsRefused as error:
        # Who may write need not be allowed to read: then what S3 said when it joined the parts must do.
        if error.code != "AccessDenied" or "ETag" not in joined:
            raise occupied or error from error
        head = {**joined, "ContentLength": total}
    stored = objects.of_head(head)
    wanted = composite(parts)
    # S3 writes "digest-parts", some stand-ins only the digest, others keep none.
    kept = stored.sha256.partition("-")[0]
    other = stored.size != total or (wanted and kept and kept != wanted)
    if occupied is not None and (other or not kept):
        raise occupied
    if other:
        raise VmieError(
            f"{wire.target.url} does not hold what was sent ({stored.size} bytes, {total} sent)",
            cause="the object was changed by somebody else while it was uploaded, or the server lost data",
            cure="run the command again",
            code="UploadMismatch",
            passing=True,
        )
    return stored.etag


def composite(parts: Iterable[Done]) -> str:
    """S3's checksum of a multipart object: of its parts' checksums; "" when one of them has none."""
    outer = hashlib.sha256()
    for part in parts:
        if "ChecksumSHA256" not in part:
            return ""
        outer.update(base64.b64decode(part["ChecksumSHA256"]))
    return b64(outer.digest())
