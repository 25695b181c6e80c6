"""`vmie setup-role`: the service role, its buckets and their grants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmie.cli import context, render
from vmie.cli.options import takes
from vmie.options import RoleRequest

if TYPE_CHECKING:
    from pathlib import Path

    from vmie.cli.context import Invocation
    from vmie.model import Change
    from vmie.ops.role_plan import RolePlan


@takes(RoleRequest)
def setup_role(
    ctx: typer.Context,
    given: dict[str, Any],
    save_settings: Annotated[
        bool | None,
        typer.Option(
            "--save-settings/--no-save-settings",
            help="Make the first bucket the default of `vmie import` and `vmie export`. Asked for on a terminal.",
        ),
    ] = None,
) -> None:
    """Make the service role that VM Import/Export works as, or bring it up to date.

    vmie setup-role --bucket my-images --create-bucket

    vmie setup-role --bucket more-images --export-bucket my-exports --allow-kms-key alias/ebs

    vmie setup-role --bucket my-images --dry-run

    May be repeated: what is right stays, what was granted before is kept, a document that somebody
    else edited is shown and left alone unless --force.
    """
    from vmie.ops import setup_role as op

    run = context.of(ctx)
    usual: dict[str, Any] = {"role_name": run.settings.role_name}
    if run.settings.bucket and not {"buckets", "export_buckets"} & given.keys():
        # Without any bucket the configured one is taken; with some, only what they say.
        usual["buckets"] = run.settings.bucket
    request = RoleRequest(**{**usual, **given})
    aws = run.aws()
    plan = op.plan(aws, request)
    if run.dry_run:
        plan.check()
        render.finish(run, "setup-role", plan.as_json(), text=_planned(plan))
        return
    done = op.apply(aws, plan, reporter=run.reporter)
    saved = _save(run, request, wanted=save_settings)
    result = {**done.as_json(), "settings_file": str(saved) if saved else None}
    lines = [_line(change, done=True) for change in (*_worth_saying(done.kept), *done.changes)]
    if not done.changes:
        lines.append("nothing to change")
    lines.append(done.role_arn)
    if saved:
        lines.append(f"saved as the default in {saved}")
    render.finish(run, "setup-role", result, text="\n".join(lines))


def _planned(plan: RolePlan) -> str:
    from vmie.ops.role_plan import diff

    parts = []
    for change in (*_worth_saying(plan.kept), *plan.changes):
        parts.append(_line(change, done=False))
        if change.action != "keep" and (shown := diff(change)):
            parts.append(shown)
    parts += [f"warning: {warning}" for warning in plan.warnings]
    if not plan.changes:
        parts.append("nothing to change")
    return "\n".join(parts)


def _worth_saying(kept: tuple[Change, ...]) -> list[Change]:
    """What stays although it is not as vmie would write it."""
    return [change for change in kept if change.detail and "exists" not in change.detail]


_DONE = {"create": "created", "update": "updated", "keep": "kept"}


def _line(change: Change, *, done: bool) -> str:
    action = _DONE.get(change.action, change.action) if done else change.action
    return f"{action:<8} {change.resource}{': ' if change.detail else ''}{change.detail}"


def _save(run: Invocation, request: RoleRequest, *, wanted: bool | None) -> Path | None:
    """Write the defaults if asked to; the file's path, None when nothing was written.

    The Region is not among them: it comes with the credentials' profile or the environment.
    """
    from vmie import policy, settings

    new: dict[str, str] = {}
    if request.buckets:
        new["bucket"] = policy.bucket_name(request.buckets[0])
    if request.export_buckets:
        new["export_bucket"] = policy.bucket_name(request.export_buckets[0])
    if request.role_name != settings.Settings().role_name:
        new["role_name"] = request.role_name
    changed = {
        name: value
        for name, value in new.items()
        if getattr(run.settings, name) != value or not run.settings.origin(name).startswith("settings file")
    }
    if not changed or wanted is False:
        return None
    if wanted is None:
        listed = ", ".join(f"{name} = {value}" for name, value in changed.items())
        if run.sandbox or not run.confirm(f"Save {listed} in {settings.config_path()} as the default?"):
            return None
    return settings.save(changed)
