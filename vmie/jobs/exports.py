"""An export as a job: begun once, gone on with after a crash, known to `vmie jobs`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from vmie.jobs import runner
from vmie.jobs.runner import Desk, Outcome
from vmie.jobs.store import Job
from vmie.ops import export
from vmie.ops.doctor import diagnosis
from vmie.ops.doctor import subject as cases
from vmie.ops.export import ExportPlan, ExportRequest, ExportResult

ExportOutcome = Outcome[ExportPlan, ExportResult]


def run(desk: Desk, request: ExportRequest, *, wait: bool = True, dry_run: bool = False) -> ExportOutcome:
    """Carry an export out as a job; the same command after an interruption or a failure goes on with its job.

    Raises what `ops.export` raises.
    """
    if dry_run:
        return Outcome(_plan(desk, request), None)
    with runner.begun(
        desk,
        "export",
        source=request.source,
        request=request.as_json(),
        meant=[request.lasting()],
        ended_too=bool(request.client_token),  # the same token is the same task, also when that is over
    ) as held:
        return _run(desk, held, request, wait=wait)


def resume(desk: Desk, job: str, *, wait: bool = True) -> ExportOutcome:
    """Go on with `job`. Raises UsageError when it is done, cancelled, or in another process's hands."""
    with runner.reopened(desk, job) as held:
        return _run(desk, held, ExportRequest.from_json(held.request), wait=wait)


def cancel(desk: Desk, job: str, *, reason: str = "") -> dict[str, Any]:
    """Give `job` up: its task is cancelled and waited out. Raises UsageError when the job is done."""

    def undo(held: Job) -> dict[str, Any]:
        return export.undo(
            desk.aws, held, settings=desk.settings, reason=reason, clock=desk.clock, reporter=desk.reporter
        )

    return runner.give_up(desk, job, undo, made="its objects are in S3", cure="delete those")


def _run(desk: Desk, held: Job, request: ExportRequest, *, wait: bool) -> ExportOutcome:
    with _explained(desk, request):
        return runner.carry_out(
            held,
            lambda: _plan(desk, request, job=held.job, begun=held.get("submit")),
            lambda plan: export.apply(
                desk.aws,
                plan,
                journal=held,
                settings=desk.settings,
                clock=desk.clock,
                wait=wait,
                reporter=desk.reporter,
            ),
            ends=wait,
        )


def _plan(
    desk: Desk,
    request: ExportRequest,
    *,
    job: str = "",
    begun: Mapping[str, Any] | None = None,
) -> ExportPlan:
    return export.plan(desk.aws, request, settings=desk.settings, job=job, begun=begun, reporter=desk.reporter)


def _explained(desk: Desk, request: ExportRequest) -> AbstractContextManager[None]:
    return diagnosis.explained(lambda: cases.of_export(desk.aws, request, settings=desk.settings, clock=desk.clock))
