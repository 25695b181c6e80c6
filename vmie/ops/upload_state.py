"""What a journal remembers of one object on its way: where to, of which content, by which multipart upload."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from vmie.aws import objects
from vmie.aws.abandoned_uploads import abort, sweep
from vmie.aws.session import Aws
from vmie.aws.upload import Uploaded, UploadState
from vmie.errors import VmieError
from vmie.model import S3Object
from vmie.ops.journal import Journal

#: of an object's metadata: which content it was made from
SOURCE = "vmie-source"
#: a journal is synced to the medium each time, so not for every part
_SECONDS = 5.0


class Sent(UploadState):
    """One step of a journal; called from many threads.

    `token` stands for the content and the form, as the object's metadata does; `more` is whatever else to remember.
    """

    def __init__(
        self,
        journal: Journal,
        step: str,
        target: S3Object,
        *,
        token: str,
        region: str | None = None,
        more: Mapping[str, Any] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal = journal
        self._step = step
        self._target = target
        self._region = region
        self._base = {"bucket": target.bucket, "key": target.key, "region": region, "token": token, **(more or {})}
        self._sent_before = int(self._now().get("sent", 0))
        self._monotonic = monotonic
        self._noted = float("-inf")
        self._unsure = False
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Remember where it goes, before anything is sent; an upload of other content is not continued."""
        known = self._now()
        fresh = known.get("token") != self._base["token"]
        self._unsure = not fresh and not ({"upload_id", "done"} & known.keys())
        self._update(**self._base, done=None, **({"upload_id": None, "held": None, "reached": None} if fresh else {}))

    def get(self) -> str | None:
        """See `UploadState.get`."""
        found = self._now().get("upload_id")
        return str(found) if found else None

    @property
    def unsure(self) -> bool:
        """See `UploadState.unsure`."""
        return self._unsure

    def put(self, upload_id: str) -> None:
        """See `UploadState.put`."""
        self._update(upload_id=upload_id, held=0, reached=None)

    @property
    def reached(self) -> int:
        """See `UploadState.reached`."""
        return int(self._now().get("reached", 0))

    def holds(self, bytes_held: int, *, reached: int = 0, final: bool = False) -> None:
        """See `UploadState.holds`."""
        with self._lock:
            if not final and self._monotonic() - self._noted < _SECONDS:
                return
            self._noted = self._monotonic()
        self._update(held=bytes_held, reached=reached or None)

    def done(self, made: Uploaded) -> Uploaded:
        """Remember that the object stands."""
        sent = self._sent_before + made.bytes_sent
        self._update(
            **self._base, done=made.bytes_total, etag=made.etag, sent=sent, upload_id=None, held=None, reached=None
        )
        return made

    def give_up(self, aws: Aws) -> None:
        """Keep nothing of an upload that can never be completed."""
        if upload_id := self.get():
            # The first failure is the one to report; what stays behind is found by `vmie cancel`.
            with suppress(VmieError):
                abort(aws, self._target, upload_id, region=self._region)
                self._update(upload_id=None, held=None, reached=None)

    def _now(self) -> dict[str, Any]:
        return self._journal.get(self._step) or {}

    def _update(self, **values: Any) -> None:
        with self._lock:
            merged = {**self._now(), **values}
            self._journal.put(self._step, {name: value for name, value in merged.items() if value is not None})


def remove(aws: Aws, step: Mapping[str, Any]) -> str | None:
    """Abort the upload, or delete the object, that a journal's step names; its URL, None when nothing was there.

    An object that is not the job's own - it was at that key before, or came there since - is left alone.
    """
    target = S3Object(step["bucket"], step["key"])
    region = step.get("region")
    if step.get("upload_id"):
        removed = abort(aws, target, step["upload_id"], region=region)
    else:
        # S3 may have begun one that was never noted.
        removed = "done" not in step and sweep(aws, target, region=region) > 0
    found = objects.facts(aws, target, region=region)
    ours = found is not None and (
        found.metadata.get(SOURCE) == step.get("token") if step.get("token") else found.etag == step.get("etag")
    )
    if ours:
        objects.delete(aws, target, region=region)
    return target.url if removed or ours else None
