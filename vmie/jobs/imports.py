"""An import as a job: begun once, gone on with after a crash, known to `vmie jobs`."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from vmie.jobs import runner
from vmie.jobs.runner import Desk, Outcome
from vmie.jobs.store import Job
from vmie.ops import import_, ingest
from vmie.ops.doctor import diagnosis
from vmie.ops.doctor import subject as cases
from vmie.ops.import_ import ImportPlan, ImportRequest, ImportResult

ImportOutcome = Outcome[ImportPlan, ImportResult]


def run(desk: Desk, request: ImportRequest, *, wait: bool = True, dry_run: bool = False) -> ImportOutcome:
    """Carry an import out as a job; the same command after an interruption or a failure goes on with its job.

    Raises what `ops.import_` raises.
    """
    with _explained(desk, request):
        if dry_run:
            return Outcome(_plan(desk, request, job="JOB"), None)
        with runner.begun(
            desk,
            "import",
            source=request.sources[0],
            request=request.as_json(),
            meant=_meant(request),
            ended_too=bool(request.client_token),  # the same token is the same task, also when that is over
        ) as held:
            return _run(desk, held, request, wait=wait)


def resume(desk: Desk, job: str, *, wait: bool = True) -> ImportOutcome:
    """Go on with `job`. Raises UsageError when it is done, cancelled, or in another process's hands."""
    with runner.reopened(desk, job) as held:
        request = ImportRequest.from_json(held.request)
        with _explained(desk, request):
            return _run(desk, held, request, wait=wait)


def cancel(desk: Desk, job: str, *, reason: str = "") -> dict[str, Any]:
    """Give `job` up: its task is cancelled and waited out, then its uploads and objects go.

    Raises UsageError when the job is done, VmieError when AWS does not let go of the task.
    """

    def undo(held: Job) -> dict[str, Any]:
        return import_.undo(
            desk.aws, held, settings=desk.settings, reason=reason, clock=desk.clock, reporter=desk.reporter
        )

    return runner.give_up(desk, job, undo, made="what it made exists", cure="deregister or delete that")


def _run(desk: Desk, held: Job, request: ImportRequest, *, wait: bool) -> ImportOutcome:
    return runner.carry_out(
        held,
        lambda: _plan(desk, request, job=held.job, begun=import_.submitted(held) is not None),
        lambda plan: import_.apply(
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


def _plan(desk: Desk, request: ImportRequest, *, job: str, begun: bool = False) -> ImportPlan:
    return import_.plan(
        desk.aws,
        request,
        settings=desk.settings,
        job=job,
        clock=desk.clock,
        begun=begun,
        reporter=desk.reporter,
    )


def _explained(desk: Desk, request: ImportRequest) -> AbstractContextManager[None]:
    return diagnosis.explained(lambda: cases.of_import(desk.aws, request, settings=desk.settings, clock=desk.clock))


def _meant(request: ImportRequest) -> list[Any]:
    content = [
        source if source.startswith("s3://") else ingest.Identity.of(Path(source)).as_json()
        for source in request.sources
    ]
    return [request.lasting(), content]
