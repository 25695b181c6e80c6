"""An upload as a job."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmie import events
from vmie.aws.session import Aws
from vmie.aws.upload import UploadOptions
from vmie.engine.jobs import Job
from vmie.engine.running import carry_out, reopened, store
from vmie.model import S3Object
from vmie.ops import ingest, upload
from vmie.ops.upload import UploadPlan, UploadResult
from vmie.poll import Clock, SystemClock


@dataclass(frozen=True, slots=True)
class UploadRequest:
    """An upload as the user meant it; `path` is absolute."""

    path: str
    target: str
    as_is: bool = False
    wanted: str | None = None
    index: int | None = None
    sse: str = ""
    kms_key: str = ""
    storage_class: str = ""
    max_rate: float | None = None

    def as_json(self) -> dict[str, Any]:
        """For the journal."""
        return {name: getattr(self, name) for name in self.__slots__}


def run(
    aws: Aws,
    request: UploadRequest,
    *,
    state: Path,
    dry_run: bool = False,
    reporter: events.Reporter = events.silent,
    clock: Clock | None = None,
) -> tuple[UploadPlan, UploadResult | None]:
    """Upload as a job; the same command after an interruption goes on. Raises what `ops.upload` raises."""
    clock = clock or SystemClock()
    if dry_run:
        return _plan(aws, request), None
    meant = [
        aws.bucket_owner,
        aws.region,
        aws.endpoint_url,
        request.as_json(),
        ingest.Identity.of(Path(request.path)).as_json(),
    ]
    fingerprint = hashlib.sha256(json.dumps(meant, sort_keys=True).encode()).hexdigest()
    held, again = store(state, clock).begin(
        "upload", source=request.path, fingerprint=fingerprint, request=request.as_json(), ended_too=True
    )
    with held:
        if again:
            reporter(events.Note(f"going on with {held.job}"))
        return _run(aws, held, request, reporter=reporter, clock=clock)


def resume(
    aws: Aws, job: str, *, state: Path, reporter: events.Reporter = events.silent, clock: Clock | None = None
) -> UploadResult:
    """Go on with an upload job. Raises UsageError when it is done, cancelled, or in another process's hands."""
    clock = clock or SystemClock()
    with store(state, clock).open(job) as held:
        request = UploadRequest(**held.request)
        return _run(aws, reopened(held), request, reporter=reporter, clock=clock)[1]


def _plan(aws: Aws, request: UploadRequest) -> UploadPlan:
    return upload.plan(
        aws,
        Path(request.path),
        S3Object.parse(request.target),
        as_is=request.as_is,
        wanted=request.wanted,
        index=request.index,
    )


def _run(
    aws: Aws, held: Job, request: UploadRequest, *, reporter: events.Reporter, clock: Clock
) -> tuple[UploadPlan, UploadResult]:
    options = UploadOptions(
        owner=aws.bucket_owner or None,
        sse=request.sse,
        kms_key=request.kms_key,
        storage_class=request.storage_class,
        max_rate=request.max_rate,
    )
    return carry_out(
        held,
        lambda: _plan(aws, request),
        lambda plan: upload.apply(aws, plan, journal=held, clock=clock, options=options, reporter=reporter),
    )
