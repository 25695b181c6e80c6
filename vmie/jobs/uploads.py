"""An upload as a job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vmie import events
from vmie.jobs import runner
from vmie.jobs.runner import Desk, Outcome
from vmie.jobs.store import Job
from vmie.ops import ingest, transfer_options, upload, upload_state
from vmie.ops.upload import STEP, UploadPlan, UploadResult
from vmie.options import UploadRequest

UploadOutcome = Outcome[UploadPlan, UploadResult]


def run(desk: Desk, request: UploadRequest, *, dry_run: bool = False) -> UploadOutcome:
    """Upload as a job; the same command after an interruption goes on. Raises what `ops.upload` raises."""
    if dry_run:
        return Outcome(_plan(desk, request), None)
    content = ingest.Identity.of(Path(request.path)).as_json()
    with runner.begun(
        desk,
        "upload",
        source=request.path,
        request=request.as_json(),
        meant=[request.lasting(), content],
        ended_too=True,
    ) as held:
        return _run(desk, held, request)


def resume(desk: Desk, job: str) -> UploadOutcome:
    """Go on with an upload job. Raises UsageError when it is done, cancelled, or in another process's hands."""
    with runner.reopened(desk, job) as held:
        return _run(desk, held, UploadRequest.from_json(held.request))


def cancel(desk: Desk, job: str) -> dict[str, Any]:
    """Give an upload up: what S3 holds of it goes. Raises UsageError when it is done, AwsRefused."""

    def undo(held: Job) -> dict[str, Any]:
        step = held.get(STEP)
        url = upload_state.remove(desk.aws, step) if step else None
        if url:
            desk.reporter(events.Note(f"{url} removed"))
        return {"task_id": None, "removed": [url] if url else []}

    return runner.give_up(desk, job, undo, made="its object exists", cure="delete that with `aws s3 rm`")


def _run(desk: Desk, held: Job, request: UploadRequest) -> UploadOutcome:
    options = transfer_options.upload_options(request, desk.aws, desk.settings)
    return runner.carry_out(
        held,
        lambda: _plan(desk, request),
        lambda plan: upload.apply(
            desk.aws, plan, journal=held, clock=desk.clock, options=options, reporter=desk.reporter
        ),
    )


def _plan(desk: Desk, request: UploadRequest) -> UploadPlan:
    return upload.plan(
        desk.aws,
        Path(request.path),
        request.object,
        as_is=request.as_is,
        wanted=request.format,
        index=request.disk,
    )
