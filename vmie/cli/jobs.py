"""``vmie jobs``, ``vmie resume`` and ``vmie cancel``: one id for single jobs and batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmie.cli import batch, batch_options, boot, completion, context, export, import_, render, upload
from vmie.errors import UsageError

if TYPE_CHECKING:
    from vmie.model import JobSummary


def jobs(ctx: typer.Context, state: batch_options.Shared = "") -> None:
    """List the jobs and batches of this machine, newest first.

    vmie jobs

    vmie jobs --output json

    vmie jobs --state postgresql://vmie@db/vmie
    """
    from vmie.cli import job_index
    from vmie.poll import SystemClock

    run = context.of(ctx)
    found = job_index.everything(run.state, clock=SystemClock(), shared=state)
    columns = ["job", "status", "kind", "task", "held in S3", "updated (UTC)", "source"]
    text = render.table(columns, [_row(job) for job in found]) if found else "no jobs"
    render.finish(run, "jobs", {"jobs": [job.as_json() for job in found]}, text=text)


def _row(job: JobSummary) -> list[str]:
    held = render.size(job.bytes_held) if job.bytes_held is not None else ""
    status = f"{job.status} {job.progress}" if job.progress else job.status
    return [job.job, status, job.kind, job.task_id or "", held, render.moment(job.updated), job.source]


def resume(
    ctx: typer.Context,
    job: Annotated[
        str, typer.Argument(metavar="JOB|BATCH", help="As `vmie jobs` shows it.", autocompletion=completion.jobs)
    ],
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Return once AWS has the task (not of a batch).")] = False,
    retry_failed: batch_options.RetryFailed = False,
    state: batch_options.Shared = "",
) -> None:
    """Resume a job or batch that was interrupted or failed; nothing is sent or created twice.

    vmie resume job-20260102-030405-a1b2c3

    vmie resume job-20260102-030405-a1b2c3 --no-wait

    vmie resume batch-20260102-030405-a1b2c3 --retry-failed
    """
    run = context.of(ctx)
    known = _find(run, job, state)
    if known.kind == "batch":
        if no_wait:
            raise UsageError(f"--no-wait: {job} is a batch", cause="a batch needs a process that schedules it")
        batch.continue_batch(run, "resume", known, retry_failed=retry_failed, state=state)
        return
    if run.dry_run:
        batch.planned(run, "resume", known, over=("done", "cancelled"))
        return
    from vmie.jobs import runner

    outcome = runner.resume(run.work(), job, wait=not no_wait)
    shows: dict[str, Any] = {
        "upload": upload.show,
        "export": export.show,
        "import": import_.show,
        "boot": boot.show,
    }
    shows[known.kind](run, outcome, command="resume")


def _find(run: context.Invocation, name: str, state: str) -> JobSummary:
    from vmie.cli import job_index
    from vmie.poll import SystemClock

    return job_index.find(name, run.state, clock=SystemClock(), shared=state)


def cancel(
    ctx: typer.Context,
    what: Annotated[
        str,
        typer.Argument(
            metavar="JOB|BATCH|TASK",
            help="As `vmie jobs` shows it, or the id of any task.",
            autocompletion=completion.jobs_and_tasks,
        ),
    ],
    reason: Annotated[str, typer.Option(help="Sent to AWS (not for a batch, which sends its own id).")] = "",
    state: batch_options.Shared = "",
) -> None:
    """Cancel a job or batch: stop its tasks, abort its uploads, remove its objects. Or stop a task by its id.

    vmie cancel job-20260102-030405-a1b2c3

    vmie cancel batch-20260102-030405-a1b2c3

    vmie cancel import-ami-0123456789abcdef0
    """
    from vmie.model import TaskKind

    try:
        TaskKind.of(what)
    except ValueError:
        _cancel(context.of(ctx), what, reason=reason, state=state)
        return
    from vmie.cli import tasks

    tasks.cancel(ctx, task=what, reason=reason)


def _cancel(run: context.Invocation, name: str, *, reason: str, state: str) -> None:
    known = _find(run, name, state)
    if known.kind == "batch":
        batch.cancel_batch(run, "cancel", known, state=state)
        return
    if run.dry_run:
        batch.planned(run, "cancel", known, over=("done",))
        return
    from vmie.jobs import runner

    done = runner.cancel(run.work(), name, reason=reason)
    render.finish(run, "cancel", done, text=f"{name} cancelled")
