"""An import as a job: begun once, gone on with after a crash, known to `vmie jobs`."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmie import events
from vmie.aws.session import Aws
from vmie.engine.jobs import CANCELLED, DONE, Job
from vmie.engine.running import carry_out, reopened, store
from vmie.errors import UsageError
from vmie.model import S3Object
from vmie.ops import doctor, import_, ingest
from vmie.ops.doctor import diagnosis
from vmie.ops.import_ import ImportPlan, ImportRequest, ImportResult
from vmie.poll import Clock, SystemClock
from vmie.settings import Settings


@dataclass(frozen=True, slots=True)
class Outcome:
    """The plan, and what came of it (None after a dry run)."""

    plan: ImportPlan
    result: ImportResult | None


def run(
    aws: Aws,
    request: ImportRequest,
    *,
    state: Path,
    settings: Settings,
    wait: bool = True,
    dry_run: bool = False,
    reporter: events.Reporter = events.silent,
    clock: Clock | None = None,
) -> Outcome:
    """Carry an import out as a job; the same command after an interruption or a failure goes on with its job.

    Raises what `ops.import_` raises.
    """
    clock = clock or SystemClock()
    with diagnosis.explained(lambda: _case(aws, request, settings, clock)):
        return _begin(
            aws, request, state=state, settings=settings, wait=wait, dry_run=dry_run, reporter=reporter, clock=clock
        )


def _begin(
    aws: Aws,
    request: ImportRequest,
    *,
    state: Path,
    settings: Settings,
    wait: bool,
    dry_run: bool,
    reporter: events.Reporter,
    clock: Clock,
) -> Outcome:
    if dry_run:
        shown = import_.plan(aws, request, settings=settings, job="JOB", clock=clock, reporter=reporter)
        return Outcome(shown, None)
    request.validate()
    held, again = store(state, clock).begin(
        "import",
        source=request.sources[0],
        fingerprint=_fingerprint(aws, request),
        request=request.as_json(),
        ended_too=bool(request.client_token),  # the same token is the same task, also when that is over
    )
    with held:
        if again:
            reporter(events.Note(f"going on with {held.job}"))
        return _run(aws, held, request, settings=settings, wait=wait, reporter=reporter, clock=clock)


def resume(
    aws: Aws,
    job: str,
    *,
    state: Path,
    settings: Settings,
    wait: bool = True,
    reporter: events.Reporter = events.silent,
    clock: Clock | None = None,
) -> Outcome:
    """Go on with `job`. Raises UsageError when it is done, cancelled, or in another process's hands."""
    clock = clock or SystemClock()
    with store(state, clock).open(job) as held:
        request = ImportRequest.from_json(held.request)
        with diagnosis.explained(lambda: _case(aws, request, settings, clock)):
            return _run(aws, reopened(held), request, settings=settings, wait=wait, reporter=reporter, clock=clock)


def _run(
    aws: Aws,
    held: Job,
    request: ImportRequest,
    *,
    settings: Settings,
    wait: bool,
    reporter: events.Reporter,
    clock: Clock,
) -> Outcome:
    plan, result = carry_out(
        held,
        lambda: import_.plan(
            aws, request, settings=settings, job=held.job, clock=clock, begun=_begun(held), reporter=reporter
        ),
        lambda plan: import_.apply(
            aws, plan, journal=held, settings=settings, clock=clock, wait=wait, reporter=reporter
        ),
        ends=wait,
    )
    return Outcome(plan, result)


def _begun(held: Job) -> bool:
    """Whether AWS has this attempt's task already: then nothing of the account may stop the wait for it."""
    submitted = held.get("submit")
    attempt = int((held.get("attempt") or {}).get("number", 1))
    return submitted is not None and submitted.get("attempt") == attempt


def _case(aws: Aws, request: ImportRequest, settings: Settings, clock: Clock) -> doctor.Case:
    """The account as this import meets it: looked at when AWS refuses, to tell which of its reasons it is."""
    stored = [S3Object.parse(source) for source in request.sources if source.startswith("s3://")]
    return doctor.case_of(
        aws,
        settings=settings,
        clock=clock,
        bucket=request.bucket or (stored[0].bucket if stored else ""),
        key=request.kms_key,
        role_name=request.role_name or "",
        keys=[one.key for one in stored],
    )


def _fingerprint(aws: Aws, request: ImportRequest) -> str:
    """The same for the same command on the same content in the same account and Region."""
    content = [
        source if source.startswith("s3://") else ingest.Identity.of(Path(source)).as_json()
        for source in request.sources
    ]
    asked = {**request.as_json(), "sending": request.sending.lasting()}
    meant = [aws.account, aws.region, aws.endpoint_url, asked, content]
    return hashlib.sha256(json.dumps(meant, sort_keys=True).encode()).hexdigest()


def cancel(
    aws: Aws,
    job: str,
    *,
    state: Path,
    settings: Settings,
    reason: str = "",
    reporter: events.Reporter = events.silent,
    clock: Clock | None = None,
) -> dict[str, Any]:
    """Give `job` (import or upload) up: its task is cancelled and waited out, then its uploads and objects go.

    Raises UsageError when the job is done, VmieError when AWS does not let go of the task.
    """
    clock = clock or SystemClock()
    with store(state, clock).open(job) as held:
        if held.status == DONE:
            raise UsageError(f"{job} is done", cause="what it made exists", cure="deregister or delete that")
        removed = import_.undo(aws, held, settings=settings, reason=reason, clock=clock, reporter=reporter)
        held.finish(CANCELLED)
    return {"job": job, "status": CANCELLED, **removed}
