"""`vmie doctor`: everything in the account that an import or export depends on, checked beforehand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vmie.cli import context, render
from vmie.policy.permissions import JobKind

if TYPE_CHECKING:
    from vmie.model import Change
    from vmie.ops.doctor import Line, Report
    from vmie.ops.doctor.fixes import Mending


def doctor(
    ctx: typer.Context,
    bucket: Annotated[
        str, typer.Option(metavar="B", help="Default: VMIE_BUCKET, the settings file, the role's policy.")
    ] = "",
    kms_key: Annotated[str, typer.Option(metavar="KEY", help="The key that results will be encrypted with.")] = "",
    job: Annotated[JobKind, typer.Option("--for", help="What to check for.")] = JobKind.IMPORT,
    role_name: Annotated[str, typer.Option(help="The service role (default vmimport).")] = "",
    fix: Annotated[bool, typer.Option("--fix", help="Fix what `vmie setup-role` can, then check again.")] = False,
) -> None:
    """Find what would stop an import or export, before it starts.

    vmie doctor --bucket my-images

    vmie doctor --for export --bucket my-exports --fix

    vmie doctor --kms-key alias/ebs --dry-run --fix

    Reads only, unless --fix is given. Exit 5 when something would stop the job; the first such line is the error that
    `vmie import` would end with.
    """
    from vmie.ops import doctor as op
    from vmie.ops.doctor import fixes
    from vmie.poll import SystemClock

    run = context.of(ctx)

    def examined() -> Report:
        case = op.case_of(
            run.aws(),
            settings=run.settings,
            clock=SystemClock(),
            job=job,
            bucket=bucket.removeprefix("s3://").rstrip("/"),
            key=kms_key,
            role_name=role_name,
        )
        return op.examine(case, reporter=run.reporter)

    report = examined()
    changes: tuple[Change, ...] = ()
    if fix and report.fixable:
        planned = fixes.plan(report.case, report.lines)
        if run.dry_run:
            render.finish(run, "doctor", {**report.as_json(), "plan": _json(planned.changes)}, text=_planned(planned))
            return
        changes = fixes.apply(report.case, planned, reporter=run.reporter)
        report = examined()
    result = {**report.as_json(), "fixed": _json(changes)}
    error = report.refusal()
    text = "\n".join([*(f"fixed {change.resource}" for change in changes), *map(shown, report.lines)])
    if error is None:
        render.finish(run, "doctor", result, text=text)
        return
    if run.output == "text":
        render.finish(run, "doctor", {}, text=text)
    error.result = result
    raise error


def shown(line: Line) -> str:
    """One line of the report, and below it the cause and the cure unless it passes."""
    parts = [f"{line.verdict.value:<8}{line.check}: {line.what}"]
    if line.verdict.value != "pass":
        for name, text in (("why: ", line.why), ("cure:", line.cure)):
            if text:
                parts.append(f"        {name} {text}".replace("\n", "\n" + " " * 14))
    return "\n".join(parts)


def _json(changes: tuple[Change, ...]) -> list[dict[str, object]]:
    return [change.as_json() for change in changes]


def _planned(planned: Mending) -> str:
    from vmie.ops.role_plan import diff

    parts = []
    for change in planned.changes:
        detail = f": {change.detail}" if change.detail else ""
        parts += [f"{change.action:<8}{change.resource}{detail}", *filter(None, [diff(change)])]
    return "\n".join(parts) or "nothing to fix"
