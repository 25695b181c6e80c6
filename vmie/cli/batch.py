"""``vmie batch run|status|resume|cancel|report``: options, one call, render."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmie import events
from vmie.cli import context, render
from vmie.errors import PartialFailure, PreflightError, UsageError

if TYPE_CHECKING:
    from vmie.batch.run.api import Outcome
    from vmie.batch.run.context import Company
    from vmie.model import JobSummary

Shared = Annotated[
    str,
    typer.Option(
        "--state",
        envvar="VMIE_BATCH_STATE",
        metavar="URL",
        help="postgresql://USER@HOST/DATABASE, to share batches with `vmie worker`. Default: files on this machine.",
    ),
]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Begin failed items of a batch anew as well.")]
Named = Annotated[str, typer.Argument(metavar="BATCH", help="As `vmie batch status` shows it.")]


class Form(StrEnum):
    """The forms of a report."""

    HTML = "html"
    CSV = "csv"
    JSON = "json"


def build() -> typer.Typer:
    """The group of verbs."""
    app = typer.Typer(help="Many VMs from one plan file: resumable, under AWS's quotas.", no_args_is_help=True)
    app.command("run")(run)
    app.command("status")(status)
    app.command("resume")(resume)
    app.command("cancel")(cancel)
    app.command("report")(report)
    return app


def company(run: context.Run, state: str, *, uploads: int | None = None) -> Company:
    """What the engine needs of this invocation; `vmie worker` shares it."""
    from vmie.batch.run.context import Company
    from vmie.batch.store.locations import Places

    return Company(Places(run.state, state), run.door, run.settings, reporter=_teller(run), uploads=uploads)


def _teller(run: context.Run) -> events.Reporter:
    """What items come to is told line by line; the looks at hundreds of tasks only to logs and with --verbose."""
    told = run.reporter
    if run.verbose or run.log_format == "json":
        return told

    def tell(event: events.Event, /) -> None:
        if not isinstance(event, events.TaskSeen):
            told(event)

    return tell


def run(
    ctx: typer.Context,
    plan: Annotated[Path, typer.Argument(help="YAML or CSV; docs/reference/plan-file.md says what may be in it.")],
    state: Shared = "",
    env: Annotated[
        bool, typer.Option("--env", help="Replace ${NAME} in the plan by environment variables (no AWS_*, no secrets).")
    ] = False,
    report_to: Annotated[
        Path | None, typer.Option("--report", help="When it has ended, write its report: .html, .csv or .json.")
    ] = None,
) -> None:
    """Carry out a plan; after an interruption the same command goes on with it.

    vmie batch run plan.yaml --dry-run

    vmie batch run plan.yaml --report result.html

    vmie batch run plan.csv --state postgresql://vmie@db/vmie

    Exit 3 when some items failed; `vmie batch resume BATCH --retry-failed` tries those again. Exit 4 when --dry-run
    finds items that would be refused.
    """
    from vmie.batch.plan import validate
    from vmie.batch.plan.yaml_loader import environment
    from vmie.batch.run import api

    this = context.of(ctx)
    judged = validate.load(plan, settings=this.settings, variables=environment() if env else None)
    if this.dry_run:
        from vmie.batch.estimate import estimate
        from vmie.cli import batch_estimate

        shown = estimate.estimate(company(this, state), judged)
        blocked = bool(shown.blocked)
        status = "partial" if blocked else "success"
        render.finish(this, "batch run", {"plan": shown.as_json()}, text=batch_estimate.text(shown), status=status)
        if blocked:
            raise typer.Exit(PreflightError.exit_code)
        return
    if report_to is not None and not report_to.absolute().parent.is_dir():
        raise UsageError(f"there is no folder for {report_to}", cure="choose another file with --report")
    crew = company(this, state)
    outcome = api.run(crew, api.begin(crew, judged))
    if report_to is not None:
        _write(crew, outcome.batch, report_to, _form(report_to, None))
    _show(this, "batch run", crew, outcome)


def resume(ctx: typer.Context, batch: Named, retry_failed: RetryFailed = False, state: Shared = "") -> None:
    """Go on with a batch that was interrupted, or try its failed items again. `vmie resume` does the same.

    vmie batch resume batch-20260102-030405-a1b2c3 --retry-failed
    """
    this = context.of(ctx)
    go_on(this, "batch resume", _find(this, batch, state), retry_failed=retry_failed, state=state)


def cancel(ctx: typer.Context, batch: Named, state: Shared = "") -> None:
    """Give a batch up: nothing new begins, its tasks are cancelled, its uploads removed. `vmie cancel` does the same.

    vmie batch cancel batch-20260102-030405-a1b2c3
    """
    this = context.of(ctx)
    give_up(this, "batch cancel", _find(this, batch, state), state=state)


def _find(this: context.Run, name: str, state: str) -> JobSummary:
    from vmie.cli import job_index
    from vmie.poll import SystemClock

    known = job_index.find(name, this.state, clock=SystemClock(), shared=state)
    if known.kind != "batch":
        raise UsageError(
            f"{name} is no batch", cure=f"`vmie resume` and `vmie cancel` take any job: vmie resume {name}"
        )
    return known


def go_on(this: context.Run, verb: str, known: JobSummary, *, retry_failed: bool, state: str) -> None:
    """Carry a batch on to its end (--dry-run: say so); `vmie resume` shares it."""
    if this.dry_run:
        planned(this, verb, known)
        return
    from vmie.batch.run import api

    crew = _at_home(this, known, state)
    _show(this, verb, crew, api.run(crew, known.job, retry_failed=retry_failed))


def give_up(this: context.Run, verb: str, known: JobSummary, *, state: str) -> None:
    """Cancel a batch (--dry-run: say so); `vmie cancel` shares it."""
    if this.dry_run:
        planned(this, verb, known)
        return
    from vmie.batch.run import api
    from vmie.cli import batch_text

    crew = _at_home(this, known, state)
    outcome = api.cancel(crew, known.job)
    render.finish(this, verb, outcome.as_json(), text=batch_text.outcome(outcome))
    _told(crew, outcome)


def _at_home(this: context.Run, known: JobSummary, state: str) -> Company:
    from vmie.cli import job_index

    return company(this, job_index.home(known.job, this.state, shared=state))


def planned(this: context.Run, verb: str, known: JobSummary, *, over: tuple[str, ...] = ()) -> None:
    """What `verb` would be done to (--dry-run). Raises UsageError for a job whose status is `over`."""
    if known.status in over:
        raise UsageError(f"{known.job} is {known.status}", cure="`vmie jobs` lists what can go on")
    task = f", its task is {known.task_id}" if known.task_id else ", nothing was submitted yet"
    standing = f", {known.progress} completed" if known.progress else task
    done = verb.removeprefix("batch ")
    text = f"would {done} {known.job}: the {known.kind} of {known.source}, {known.status}{standing}"
    render.finish(this, verb, {"plan": {"verb": done, **known.as_json()}}, text=text)


def status(
    ctx: typer.Context,
    batch: Annotated[str, typer.Argument(metavar="[BATCH]", help="Without it: all batches.")] = "",
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it until it has ended.")] = False,
    state: Shared = "",
) -> None:
    """Where a batch stands: waves, stages, slots in use, failures with their causes.

    vmie batch status

    vmie batch status batch-20260102-030405-a1b2c3 --watch
    """
    from vmie.batch.report import status as standing
    from vmie.cli import batch_text

    this = context.of(ctx)
    crew = company(this, state)
    if not batch:
        found = standing.batches(crew)
        render.finish(this, "batch status", {"batches": found}, text=batch_text.batches(found))
        return
    if watch and this.output == "text":
        batch_text.watch(lambda: standing.status(crew, batch), clock=crew.clock)
    shown = standing.status(crew, batch)
    render.finish(this, "batch status", shown.as_json(), text=batch_text.status(shown))


def report(
    ctx: typer.Context,
    batch: Named,
    to: Annotated[Path | None, typer.Option(help="File to write. Default: BATCH.html, .csv or .json here.")] = None,
    form: Annotated[
        Form | None, typer.Option("--format", help="By default what the file's name says, else html.")
    ] = None,
    state: Shared = "",
) -> None:
    """Write what became of a batch: one HTML file that opens offline, or CSV or JSON.

    vmie batch report batch-20260102-030405-a1b2c3

    vmie batch report batch-20260102-030405-a1b2c3 --to result.csv
    """
    this = context.of(ctx)
    chosen = _form(to, form)
    target = to or Path(f"{batch}.{chosen.value}")
    written = _write(company(this, state), batch, target, chosen)
    shown = {"batch": batch, "path": str(target), "format": chosen.value, "bytes": written}
    render.finish(this, "batch report", shown, text=f"{target} written")


def _write(crew: Company, batch: str, target: Path, form: Form) -> int:
    """Write a report; its size in bytes. Raises UsageError when the file cannot be written."""
    from vmie.batch.report import html as reporting

    written = reporting.render(crew, batch, form.value).encode()
    try:
        target.write_bytes(written)
    except OSError as error:
        raise UsageError(f"cannot write {target}: {error.strerror}", cure="choose another file") from error
    return len(written)


def _form(to: Path | None, form: Form | None) -> Form:
    if form is not None:
        return form
    suffix = to.suffix.lower().removeprefix(".") if to else ""
    return Form(suffix) if suffix in list(Form) else Form.HTML


def _show(this: context.Run, verb: str, crew: Company, outcome: Outcome) -> None:
    """Print what it came to; some failures are exit 3 with the result in full."""
    from vmie.cli import batch_text

    shown: dict[str, Any] = outcome.as_json()
    text = batch_text.outcome(outcome, kept=not this.sandbox)
    render.finish(this, verb, shown, text=text, status="partial" if shown["failed"] else "success")
    _told(crew, outcome)
    if shown["failed"]:
        raise typer.Exit(PartialFailure.exit_code)


def _told(crew: Company, outcome: Outcome) -> None:
    """Remember that the end was told, once it was: until then the same plan is this batch, and tells it."""
    from vmie.batch.run import api

    sys.stdout.flush()
    if crew.places.address or crew.places.state.is_dir():
        # The sandbox's world ends with what was printed, and its state with it.
        api.told(crew, outcome.batch)
