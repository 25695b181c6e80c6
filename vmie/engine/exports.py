"""An export as a job: begun once, gone on with after a crash, known to `vmie jobs`."""

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
from vmie.ops import doctor, export
from vmie.ops.doctor import diagnosis
from vmie.ops.export import ExportPlan, ExportRequest, ExportResult
from vmie.poll import Clock, SystemClock
from vmie.settings import Settings


@dataclass(frozen=True, slots=True)
class Outcome:
    """The plan, and what came of it (None after a dry run)."""

    plan: ExportPlan
    result: ExportResult | None


def run(
    aws: Aws,
    request: ExportRequest,
    *,
    state: Path,
    settings: Settings,
    skip: tuple[str, ...] = (),
    wait: bool = True,
    dry_run: bool = False,
    reporter: events.Reporter = events.silent,
    clock: Clock | None = None,
) -> Outcome:
    """Carry an export out as a job; the same command after an interruption or a failure goes on with its job.

    Raises what `ops.export` raises.
    """
    clock = clock or SystemClock()
    request.validate()
    if dry_run:
        return Outcome(export.plan(aws, request, settings=settings, skip=skip, reporter=reporter), None)
    held, again = store(state, clock).begin(
        "export",
        source=request.source,
        fingerprint=_fingerprint(aws, request),
        request=request.as_json(),
        ended_too=bool(request.client_token),  # the same token is the same task, also when that is over
    )
    with held:
        if again:
            reporter(events.Note(f"going on with {held.job}"))
        with diagnosis.explained(lambda: _case(aws, request, settings, clock)):
            return _run(aws, held, request, settings=settings, skip=skip, wait=wait, reporter=reporter, clock=clock)


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
        request = ExportRequest.from_json(held.request)
        again = reopened(held)
        with diagnosis.explained(lambda: _case(aws, request, settings, clock)):
            return _run(aws, again, request, settings=settings, skip=(), wait=wait, reporter=reporter, clock=clock)


def _case(aws: Aws, request: ExportRequest, settings: Settings, clock: Clock) -> doctor.Case:
    """The account as this export meets it: looked at when AWS refuses, to tell which of its reasons it is."""
    bucket, role = request.bucket or "", request.role_name or ""
    return doctor.case_of(aws, settings=settings, clock=clock, job="export", bucket=bucket, role_name=role)


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
    """Give `job` up: its task is cancelled and waited out. Raises UsageError when the job is done."""
    clock = clock or SystemClock()
    with store(state, clock).open(job) as held:
        if held.status == DONE:
            raise UsageError(f"{job} is done", cause="its objects are in S3", cure="delete those")
        ended = export.undo(aws, held, settings=settings, reason=reason, clock=clock, reporter=reporter)
        held.finish(CANCELLED)
    return {"job": job, "status": CANCELLED, **ended}


def _run(
    aws: Aws,
    held: Job,
    request: ExportRequest,
    *,
    settings: Settings,
    skip: tuple[str, ...],
    wait: bool,
    reporter: events.Reporter,
    clock: Clock,
) -> Outcome:
    begun = held.get("submit")
    plan, result = carry_out(
        held,
        lambda: export.plan(aws, request, settings=settings, job=held.job, begun=begun, skip=skip, reporter=reporter),
        lambda plan: export.apply(
            aws, plan, journal=held, settings=settings, clock=clock, wait=wait, reporter=reporter
        ),
        ends=wait,
    )
    return Outcome(plan, result)


def _fingerprint(aws: Aws, request: ExportRequest) -> str:
    """The same for the same command in the same account and Region."""
    meant = [aws.account, aws.region, aws.endpoint_url, request.as_json()]
    return hashlib.sha256(json.dumps(meant, sort_keys=True).encode()).hexdigest()
