"""``vmie tasks list|show|watch|cancel``: options, one call, render."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmie import events
from vmie.cli import commands, completion, context, render, wrapping
from vmie.errors import Run, VmieError
from vmie.model import Task, TaskKind, TaskState

if TYPE_CHECKING:
    from rich.console import RenderableType


def build() -> typer.Typer:
    """The group of verbs."""
    app = commands.group("The import and export tasks of a Region, whoever started them.")
    app.command("list")(list_)
    app.command()(show)
    app.command()(watch)
    app.command()(cancel)
    return app


def list_(
    ctx: typer.Context,
    kind: Annotated[list[TaskKind] | None, typer.Option(help="Only this kind; repeatable.")] = None,
    state: Annotated[list[TaskState] | None, typer.Option(help="Only this state; repeatable.")] = None,
) -> None:
    """List the tasks that AWS shows: active ones, and those that ended within seven days.

    vmie tasks list

    vmie tasks list --state active --kind import-image --kind import-snapshot

    vmie tasks list --region eu-central-1 --output json
    """
    from vmie.ops import tasks as op

    run = context.of(ctx)
    found = op.listing(
        run.aws(),
        kinds=kind or (),
        states=state or (),
        reporter=run.reporter,
    )
    render.finish(run, "tasks list", _json(found), text=_table(found) if found else "no tasks")


def show(
    ctx: typer.Context,
    task: Annotated[str, typer.Argument(help="import-ami-…, export-i-…, …", autocompletion=completion.tasks)],
) -> None:
    """Show one task.

    vmie tasks show import-ami-0123456789abcdef0

    vmie tasks show export-i-fggu8ihs --region eu-central-1

    vmie tasks show import-snap-0123456789abcdef0 --output json
    """
    from vmie.ops import tasks as op

    run = context.of(ctx)
    found = op.show(run.aws(), task)
    render.finish(run, "tasks show", _json([found]), text=_lines(found))


def watch(
    ctx: typer.Context,
    tasks: Annotated[
        list[str] | None,
        typer.Argument(help="Default: every active task.", metavar="[TASK]...", autocompletion=completion.tasks),
    ] = None,
) -> None:
    """Follow tasks until all have ended; exit 1 if one failed.

    vmie tasks watch

    vmie tasks watch import-ami-0123456789abcdef0 export-i-fggu8ihs

    vmie tasks watch --no-progress

    A live table on a terminal, a line per change elsewhere. Ctrl-C ends the watch, not the tasks.
    """
    from vmie.ops import tasks as op

    run = context.of(ctx)
    with _live(run) as report:
        seen = op.watch(replace(run.work(), reporter=report), tasks or ())
    if not seen.failures:
        render.finish(run, "tasks watch", _json(seen.tasks), text=_table(seen.tasks) if seen.tasks else "no tasks")
        return
    if run.output == "text":
        render.finish(run, "tasks watch", {}, text=_table(seen.tasks))
    raise _failed(seen.tasks, seen.failures)


def cancel(
    ctx: typer.Context,
    task: Annotated[str, typer.Argument(help="import-ami-…, export-i-…, …", autocompletion=completion.tasks)],
    reason: Annotated[str, typer.Option(help="Kept by AWS where it accepts one.")] = "",
    wait: Annotated[bool, typer.Option("--wait", help="Return once the task has ended.")] = False,
) -> None:
    """Cancel a task.

    vmie tasks cancel import-ami-0123456789abcdef0

    vmie tasks cancel import-ami-0123456789abcdef0 --reason "wrong disk" --wait

    vmie tasks cancel export-i-fggu8ihs --dry-run
    """
    from vmie.ops import tasks as op

    run = context.of(ctx)
    if run.dry_run:
        found = op.show(run.aws(), task)
        plan = {"plan": {"cancel": found.id, "status": found.state.value}}
        render.finish(run, "tasks cancel", plan, text=f"would cancel {found.id}, which is {found.state.value}")
        return
    found = op.cancel(run.work(), task, reason=reason, wait=wait)
    render.finish(run, "tasks cancel", _json([found]), text=_lines(found))


def _json(tasks: Sequence[Task]) -> dict[str, Any]:
    return {"tasks": [task.as_json() for task in tasks]}


def _failed(tasks: Sequence[Task], failures: Sequence[VmieError]) -> VmieError:
    """The one failure as it is; several as one that counts and names them."""
    error = failures[0]
    if len(failures) > 1:
        error = VmieError(
            f"{len(failures)} of {len(tasks)} tasks failed",
            cause="\n".join(f"{one.message}: {one.cause}" if one.cause else one.message for one in failures),
            cure=Run(("vmie", "explain", "TASK"), "explains each"),
            code="TaskFailed",
        )
    error.result = _json(tasks)
    return error


def _result(task: Task) -> str:
    """What the task makes: for an export the place in S3, since its ids are those of the source."""
    if task.kind in (TaskKind.EXPORT_IMAGE, TaskKind.EXPORT_INSTANCE):
        return f"s3://{task.bucket}/{task.prefix_or_key or ''}" if task.bucket else ""
    ids = [task.image_id, task.instance_id, *task.volume_ids, *task.snapshot_ids]
    return " ".join(dict.fromkeys(one for one in ids if one))


def _source(task: Task) -> str:
    if task.kind is TaskKind.EXPORT_IMAGE:
        return task.image_id or ""
    if task.kind is TaskKind.EXPORT_INSTANCE:
        return task.instance_id or ""
    return f"s3://{task.bucket}/{task.prefix_or_key or ''}" if task.bucket else ""


def _table(tasks: Sequence[Task]) -> RenderableType:
    rows = (
        (
            task.id,
            task.state.value,
            "" if task.progress is None else f"{task.progress}%",
            task.message or task.stage,
            _result(task),
            task.tags.get("Name") or task.description,
        )
        for task in tasks
    )
    return render.table(("TASK", "STATE", "PROGRESS", "STAGE", "RESULT", "NAME"), rows)


def _lines(task: Task) -> str:
    rows = [
        ("kind", task.kind.value),
        ("state", task.state.value),
        ("stage", task.stage),
        ("message", task.message),
        ("progress", "" if task.progress is None else f"{task.progress}%"),
        ("result", _result(task)),
        ("source", _source(task)),
        ("expires", task.expires.isoformat() if task.expires else ""),
        ("description", task.description),
        ("tags", ", ".join(f"{key}={value}" for key, value in task.tags.items())),
    ]
    return "\n".join([task.id, *(f"  {name:<12} {value}" for name, value in rows if value)])


@contextmanager
def _live(run: context.Invocation) -> Iterator[events.Reporter]:
    """On a terminal a table that is kept current; elsewhere the run's own reporter with its lines."""
    if run.quiet or not run.progress or run.output != "text" or not wrapping.drawable(sys.stderr):
        yield run.reporter
        return
    from rich.live import Live

    from vmie.catalogue import redact

    seen: dict[str, Task] = {}
    lock = threading.Lock()
    with Live(console=render.console(stderr=True), transient=True, refresh_per_second=4) as live:

        def report(event: events.Event, /) -> None:
            with lock:
                if isinstance(event, events.TaskSeen):
                    seen[event.task.id] = event.task
                    live.update(_table(list(seen.values())))
                elif isinstance(event, events.Note) and (event.level != "debug" or run.verbose):
                    live.console.print(redact(event.text))

        yield report
