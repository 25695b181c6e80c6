"""``vmie batch run|status|pause|resume|cancel|report``: options, one call, render."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmie.cli import batch_report, batch_watch, commands, completion, context, render
from vmie.cli.batch_options import Named, RetryFailed, Shared, batch_context, context_of, find
from vmie.errors import PartialFailure, PreflightError, Set, UsageError

if TYPE_CHECKING:
    from vmie.batch.context import BatchContext
    from vmie.batch.model import BatchPlan
    from vmie.batch.run.api import BatchResult
    from vmie.model import JobSummary


def build() -> typer.Typer:
    """The group of verbs."""
    app = commands.group("Many VMs from one plan file: resumable, under AWS's quotas.")
    app.command("run")(run)
    app.command("status")(status)
    app.command("watch")(batch_watch.watch)
    app.command("pause")(pause)
    app.command("resume")(resume)
    app.command("cancel")(cancel)
    app.command("report")(report)
    return app


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
    sync: Annotated[
        bool,
        typer.Option("--sync", help="Only snapshots of the disks, by EBS direct: what changed since the last ones."),
    ] = False,
    cut_over: Annotated[
        bool, typer.Option("--cut-over", help="What changed since the last --sync, then all that the plan says.")
    ] = False,
) -> None:
    """Carry out a plan; after an interruption the same command continues it.

    vmie batch run plan.yaml --dry-run

    vmie batch run plan.yaml --report result.html

    vmie batch run plan.csv --state postgresql://vmie@db/vmie

    Exit 3 when some items failed; `vmie batch resume BATCH --retry-failed` tries those again. Exit 4 when --dry-run
    finds items that would be refused.
    """
    from vmie.batch.plan import validate
    from vmie.batch.plan.yaml_loader import environment

    this = context.of(ctx)
    loaded = validate.load(plan, settings=this.settings, variables=environment() if env else None)
    if sync or cut_over:
        loaded = _deltas(loaded, sync=sync, cut_over=cut_over)
    if this.dry_run:
        from vmie.batch.estimate import estimate
        from vmie.cli import batch_estimate

        shown = estimate.estimate(batch_context(this, state), loaded)
        blocked = bool(shown.blocked)
        status = "partial" if blocked else "success"
        render.finish(this, "batch run", {"plan": shown.as_json()}, text=batch_estimate.text(shown), status=status)
        if blocked:
            raise typer.Exit(PreflightError.exit_code)
        return
    if report_to is not None and not report_to.absolute().parent.is_dir():
        raise UsageError(f"there is no folder for {report_to}", cure=Set("report", note="another file"))
    from vmie.batch.run import api
    from vmie.cli import batch_live

    used = batch_context(this, state)
    done = batch_live.carry_out(this, used, api.begin(used, loaded))
    if report_to is not None:
        batch_report.write(this, state, done.batch, report_to, batch_report.form_of(report_to, None))
    _show(this, "batch run", used, done, report_to=report_to)


def _deltas(loaded: BatchPlan, *, sync: bool, cut_over: bool) -> BatchPlan:
    from vmie.batch.plan import deltas

    if sync and cut_over:
        raise UsageError("--sync and --cut-over cannot both be given", cure="leave one out")
    return deltas.synced(loaded) if sync else deltas.cut_over(loaded)


def resume(
    ctx: typer.Context,
    batch: Named,
    retry_failed: RetryFailed = False,
    requeue: Annotated[
        bool, typer.Option("--requeue", help="Delete queued work that another program wrote; queue those items anew.")
    ] = False,
    state: Shared = "",
) -> None:
    """Continue a batch that was paused or interrupted, or try its failed items again. `vmie resume` does the same.

    vmie batch resume batch-20260102-030405-a1b2c3

    vmie batch resume batch-20260102-030405-a1b2c3 --retry-failed

    vmie batch resume batch-20260102-030405-a1b2c3 --state postgresql://vmie@db/vmie
    """
    this = context.of(ctx)
    known = find(this, batch, state)
    continue_batch(this, "batch resume", known, retry_failed=retry_failed, requeue=requeue, state=state)


def pause(ctx: typer.Context, batch: Named, state: Shared = "") -> None:
    """Pause a batch: no further item begins until `vmie batch resume`; what is under way goes to its end.

    vmie batch pause batch-20260102-030405-a1b2c3

    vmie batch pause batch-20260102-030405-a1b2c3 --dry-run

    vmie batch pause batch-20260102-030405-a1b2c3 --state postgresql://vmie@db/vmie
    """
    from vmie.batch.run import api

    this = context.of(ctx)
    known = find(this, batch, state)
    if this.dry_run:
        planned(this, "batch pause", known, over=("completed", "partial", "cancelled"))
        return
    done = api.pause(context_of(this, known, state), known.job)
    text = f"{known.job} is paused; `vmie batch resume {known.job}` lets it go on"
    render.finish(this, "batch pause", done.as_json(), text=text)


def cancel(ctx: typer.Context, batch: Named, state: Shared = "") -> None:
    """Cancel a batch: nothing new begins, its tasks are cancelled, its uploads removed. `vmie cancel` does the same.

    vmie batch cancel batch-20260102-030405-a1b2c3

    vmie batch cancel batch-20260102-030405-a1b2c3 --dry-run

    vmie batch cancel batch-20260102-030405-a1b2c3 --state postgresql://vmie@db/vmie
    """
    this = context.of(ctx)
    cancel_batch(this, "batch cancel", find(this, batch, state), state=state)


def continue_batch(
    this: context.Invocation, verb: str, known: JobSummary, *, retry_failed: bool, state: str, requeue: bool = False
) -> None:
    """Carry a batch on to its end (--dry-run: say so); `vmie resume` shares it."""
    if this.dry_run:
        planned(this, verb, known)
        return
    from vmie.batch.run import api
    from vmie.cli import batch_live

    used = context_of(this, known, state)
    if not requeue and (done := api.resume_elsewhere(used, known.job, retry_failed=retry_failed)) is not None:
        render.finish(this, verb, done.as_json(), text=f"{known.job} goes on, in the process that works on it")
        return
    _show(this, verb, used, batch_live.carry_out(this, used, known.job, retry_failed=retry_failed, requeue=requeue))


def cancel_batch(this: context.Invocation, verb: str, known: JobSummary, *, state: str) -> None:
    """Cancel a batch (--dry-run: say so); `vmie cancel` shares it."""
    if this.dry_run:
        planned(this, verb, known)
        return
    from vmie.batch.run import api
    from vmie.cli import batch_text

    used = context_of(this, known, state)
    done = api.cancel(used, known.job)
    render.finish(this, verb, done.as_json(), text=batch_text.result(done))
    _mark_reported(used, done)


def planned(this: context.Invocation, verb: str, known: JobSummary, *, over: tuple[str, ...] = ()) -> None:
    """What `verb` would be done to (--dry-run). Raises UsageError for a job whose status is `over`."""
    if known.status in over:
        raise UsageError(f"{known.job} is {known.status}", cure="`vmie jobs` lists what can be resumed")
    task = f", its task is {known.task_id}" if known.task_id else ", nothing was submitted yet"
    standing = f", {known.progress} completed" if known.progress else task
    done = verb.removeprefix("batch ")
    text = f"would {done} {known.job}: the {known.kind} of {known.source}, {known.status}{standing}"
    render.finish(this, verb, {"plan": {"verb": done, **known.as_json()}}, text=text)


def status(
    ctx: typer.Context,
    batch: Annotated[
        str, typer.Argument(metavar="[BATCH]", help="Without it: all batches.", autocompletion=completion.batches)
    ] = "",
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it until it has ended.")] = False,
    state: Shared = "",
) -> None:
    """Where a batch stands: waves, stages, slots in use, failures with their causes.

    vmie batch status

    vmie batch status batch-20260102-030405-a1b2c3 --watch

    vmie batch status batch-20260102-030405-a1b2c3 --output json
    """
    from vmie.batch.report import status as standing
    from vmie.batch.store.locations import Locations
    from vmie.cli import batch_text
    from vmie.poll import SystemClock

    this = context.of(ctx)
    locations, clock = Locations(this.state, state), SystemClock()
    if not batch:
        found = standing.batches(locations, clock=clock)
        render.finish(this, "batch status", {"batches": found}, text=batch_text.batches(found))
        return
    if watch and this.output == "text":
        batch_text.watch(lambda: standing.status(locations, batch, clock=clock), clock=clock)
    shown = standing.status(locations, batch, clock=clock)
    render.finish(this, "batch status", shown.as_json(), text=batch_text.status(shown))


def report(
    ctx: typer.Context,
    batch: Named,
    to: Annotated[Path | None, typer.Option(help="File to write. Default: BATCH.html, .csv or .json here.")] = None,
    form: Annotated[
        batch_report.ReportForm | None,
        typer.Option("--format", help="By default what the file's name says, else html."),
    ] = None,
    state: Shared = "",
) -> None:
    """Write what became of a batch: one HTML file that opens offline, or CSV or JSON.

    vmie batch report batch-20260102-030405-a1b2c3

    vmie batch report batch-20260102-030405-a1b2c3 --to result.csv

    vmie batch report batch-20260102-030405-a1b2c3 --format json
    """
    this = context.of(ctx)
    chosen = batch_report.form_of(to, form)
    target = to or Path(f"{batch}.{chosen.value}")
    written = batch_report.write(this, state, batch, target, chosen)
    shown = {"batch": batch, "path": str(target), "format": chosen.value, "bytes": written}
    render.finish(this, "batch report", shown, text=f"{target} written")


def _show(
    this: context.Invocation, verb: str, used: BatchContext, done: BatchResult, *, report_to: Path | None = None
) -> None:
    """Print what it came to; some failures are exit 3 with the result in full."""
    from vmie.cli import batch_text

    shown: dict[str, Any] = done.as_json()
    text = batch_text.result(done, kept=not this.sandbox, report_to=report_to)
    render.finish(this, verb, shown, text=text, status="partial" if shown["failed"] else "success")
    _mark_reported(used, done)
    if shown["failed"]:
        raise typer.Exit(PartialFailure.exit_code)


def _mark_reported(used: BatchContext, done: BatchResult) -> None:
    """Record that the end was printed, once it was: until then the same plan is this batch, and prints it."""
    from vmie.batch.run import api

    sys.stdout.flush()
    if used.locations.address or used.locations.state.is_dir():
        # The sandbox ends with what was printed, and its state with it.
        api.mark_reported(used, done.batch)
