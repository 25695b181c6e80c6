"""``vmie jobs``, ``vmie resume`` and ``vmie cancel``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vmie.cli import context, export, import_, render, upload
from vmie.errors import UsageError

if TYPE_CHECKING:
    from vmie.engine.jobs import JobSummary


def jobs(ctx: typer.Context) -> None:
    """List what was begun on this machine, newest first.

    vmie jobs
    """
    from vmie.engine.running import store
    from vmie.poll import SystemClock

    run = context.of(ctx)
    found = store(run.state, SystemClock()).list()
    text = (
        render.table(
            ["job", "status", "kind", "task", "held in S3", "updated", "source"],
            [[job.job, job.status, job.kind, job.task_id or "", _held(job), job.updated, job.source] for job in found],
        )
        if found
        else "no jobs"
    )
    render.finish(run, "jobs", {"jobs": [job.as_json() for job in found]}, text=text)


def _held(job: JobSummary) -> str:
    return render.size(job.bytes_held) if job.bytes_held is not None else ""


def resume(
    ctx: typer.Context,
    job: Annotated[str, typer.Argument(help="As `vmie jobs` shows it.")],
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Return once AWS has the task.")] = False,
) -> None:
    """Go on with a job that was interrupted or failed; nothing is sent or created twice.

    vmie resume job-20260102-030405-a1b2c3
    """
    from vmie.engine import exports, imports, uploads

    run = context.of(ctx)
    kind = _kind(run, job)
    if run.dry_run:
        _planned(run, "resume", job, over=("done", "cancelled"))
        return
    aws, state, reporter, wait = run.aws(), run.state, run.reporter, not no_wait
    settings, command = run.settings, "resume"
    if kind == "upload":
        sent = uploads.resume(aws, job, state=state, settings=settings, reporter=reporter)
        upload.show(run, sent, command=command)
    elif kind == "export":
        gone = exports.resume(aws, job, state=state, settings=settings, wait=wait, reporter=reporter)
        export.show(run, gone, command=command)
    else:
        come = imports.resume(aws, job, state=state, settings=settings, wait=wait, reporter=reporter)
        import_.show(run, come, command=command)


def _planned(run: context.Run, verb: str, name: str, *, over: tuple[str, ...]) -> None:
    """What `verb` would be done to (--dry-run). Raises UsageError for no such job, or one whose status is `over`."""
    from vmie.engine.running import store
    from vmie.poll import SystemClock

    jobs = store(run.state, SystemClock())
    job = next((one for one in jobs.list() if one.job == name), None)
    if job is None:
        raise UsageError(f"there is no job {name!r}", cure="`vmie jobs` lists them")
    if job.status in over:
        raise UsageError(f"{name} is {job.status}", cure="`vmie jobs` lists what can go on")
    task = f", its task is {job.task_id}" if job.task_id else ", nothing was submitted yet"
    text = f"would {verb} {name}: the {job.kind} of {job.source}, {job.status}{task}"
    render.finish(run, verb, {"plan": {"verb": verb, **job.as_json()}}, text=text)


def _kind(run: context.Run, job: str) -> str:
    from vmie.engine.running import store
    from vmie.poll import SystemClock

    return next((one.kind for one in store(run.state, SystemClock()).list() if one.job == job), "")


def cancel(
    ctx: typer.Context,
    what: Annotated[str, typer.Argument(metavar="JOB|TASK", help="A job of this machine, or the id of any task.")],
    reason: Annotated[str, typer.Option(help="Told to AWS.")] = "",
) -> None:
    """Give a job up: stop its task, drop its upload, remove its object. Or stop a task by its id.

    vmie cancel job-20260102-030405-a1b2c3

    vmie cancel import-ami-0123456789abcdef0
    """
    run = context.of(ctx)
    if what.startswith("job-") and run.dry_run:
        _planned(run, "cancel", what, over=("done",))
        return
    if what.startswith("job-"):
        from vmie.engine import exports, imports, uploads

        if _kind(run, what) == "upload":
            gone = uploads.cancel(run.aws(), what, state=run.state, reporter=run.reporter)
            render.finish(run, "cancel", gone, text=f"{what} cancelled")
            return
        engine = exports if _kind(run, what) == "export" else imports
        done = engine.cancel(
            run.aws(), what, state=run.state, settings=run.settings, reason=reason, reporter=run.reporter
        )
        render.finish(run, "cancel", done, text=f"{what} cancelled")
        return
    from vmie.cli import tasks
    from vmie.model import TaskKind

    try:
        TaskKind.of(what)
    except ValueError as error:
        raise UsageError(str(error), cure="give a job (`vmie jobs`) or a task (`vmie tasks list`)") from error
    tasks.cancel(ctx, task=what, reason=reason)
