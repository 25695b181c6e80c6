"""An upload as a job."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from vmie import events
from vmie.aws.session import Aws
from vmie.engine.jobs import CANCELLED, DONE, Job
from vmie.engine.running import carry_out, reopened, store
from vmie.errors import UsageError
from vmie.model import S3Object
from vmie.ops import ingest, sent, upload
from vmie.ops.sending import Sending
from vmie.ops.upload import STEP, UploadPlan, UploadResult
from vmie.poll import Clock, SystemClock
from vmie.settings import Settings


@dataclass(frozen=True, slots=True)
class UploadRequest:
    """An upload as the user meant it; `path` is absolute."""

    path: str
    target: str
    as_is: bool = False
    wanted: str | None = None
    index: int | None = None
    sending: Sending = field(default_factory=Sending)

    def as_json(self) -> dict[str, Any]:
        """For the journal."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> UploadRequest:
        """Read back what `as_json` wrote, also by another version of vmie."""
        known = {f.name: data[f.name] for f in fields(cls) if f.name in data}
        return cls(**{**known, "sending": Sending.from_json(data.get("sending") or {})})


def run(
    aws: Aws,
    request: UploadRequest,
    *,
    state: Path,
    settings: Settings | None = None,
    dry_run: bool = False,
    reporter: events.Reporter = events.silent,
    clock: Clock | None = None,
) -> tuple[UploadPlan, UploadResult | None]:
    """Upload as a job; the same command after an interruption goes on. Raises what `ops.upload` raises."""
    clock = clock or SystemClock()
    request.sending.validate()
    if dry_run:
        return _plan(aws, request), None
    meant = [
        aws.bucket_owner,
        aws.region,
        aws.endpoint_url,
        {**request.as_json(), "sending": request.sending.lasting()},
        ingest.Identity.of(Path(request.path)).as_json(),
    ]
    fingerprint = hashlib.sha256(json.dumps(meant, sort_keys=True).encode()).hexdigest()
    held, again = store(state, clock).begin(
        "upload", source=request.path, fingerprint=fingerprint, request=request.as_json(), ended_too=True
    )
    with held:
        if again:
            reporter(events.Note(f"going on with {held.job}"))
        return _run(aws, held, request, settings=settings, reporter=reporter, clock=clock)


def resume(
    aws: Aws,
    job: str,
    *,
    state: Path,
    settings: Settings | None = None,
    reporter: events.Reporter = events.silent,
    clock: Clock | None = None,
) -> UploadResult:
    """Go on with an upload job. Raises UsageError when it is done, cancelled, or in another process's hands."""
    clock = clock or SystemClock()
    with store(state, clock).open(job) as held:
        request = UploadRequest.from_json(held.request)
        return _run(aws, reopened(held), request, settings=settings, reporter=reporter, clock=clock)[1]


def cancel(
    aws: Aws, job: str, *, state: Path, reporter: events.Reporter = events.silent, clock: Clock | None = None
) -> dict[str, Any]:
    """Give an upload up: what S3 holds of it goes. Raises UsageError when it is done, AwsRefused."""
    with store(state, clock or SystemClock()).open(job) as held:
        if held.status == DONE:
            raise UsageError(f"{job} is done", cause="its object exists", cure="delete that with `aws s3 rm`")
        step = held.get(STEP)
        url = sent.remove(aws, step) if step else None
        if url:
            reporter(events.Note(f"{url} removed"))
        held.finish(CANCELLED)
    return {"job": job, "status": CANCELLED, "task_id": None, "removed": [url] if url else []}


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
    aws: Aws,
    held: Job,
    request: UploadRequest,
    *,
    settings: Settings | None,
    reporter: events.Reporter,
    clock: Clock,
) -> tuple[UploadPlan, UploadResult]:
    options = request.sending.options(aws, settings)
    return carry_out(
        held,
        lambda: _plan(aws, request),
        lambda plan: upload.apply(aws, plan, journal=held, clock=clock, options=options, reporter=reporter),
    )
