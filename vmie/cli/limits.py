"""`vmie limits`: AWS's limits, vmie's own, and what is in use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vmie.cli import context, render

if TYPE_CHECKING:
    from rich.console import RenderableType

    from vmie.ops.limits_now import LimitsNow


def limits(
    ctx: typer.Context,
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask AWS what is in use.")] = False,
) -> None:
    """Show every limit of AWS: in 2016, today, vmie's own, and what is in use now.

    vmie limits

    vmie limits --offline --output json

    vmie limits --region eu-central-1

    vmie's own are set by VMIE_IMPORT_LIMIT and the like, or in the settings file.
    """
    from vmie.errors import VmieError
    from vmie.ops import limits_now as op

    run = context.of(ctx)
    aws, unasked = None, "--offline" if offline else ""
    if not offline:
        try:
            aws = run.aws()
        except VmieError as error:
            unasked = error.message
    found = op.show(aws, run.settings, unasked=unasked)
    if found.unasked and not offline:
        from vmie import events

        run.reporter(events.Note(f"what is in use is not known: {found.unasked}", "warning"))
    render.finish(run, "limits", found.as_json(), text=_table(found))


def _table(found: LimitsNow) -> RenderableType:
    rows = []
    for one in found.limits:
        limit = one.limit
        rows.append(
            (
                limit.title,
                _number(limit.seed, limit.unit),
                _number(limit.current, limit.unit),
                "" if one.setting is None else _number(one.setting, limit.unit),
                "" if one.in_use is None else str(one.in_use),
                limit.source,
            )
        )
    rows += [(f"Service Quotas: {name}", "", f"{value:g}", "", "", "service-quotas") for name, value in found.quotas]
    return render.table(("LIMIT", "2016", "TODAY", "VMIE", "IN USE", "SOURCE"), rows)


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    if unit == "bytes":
        return render.size(value)
    if unit == "seconds" and value >= 86_400:
        return f"{value / 86_400:g} days"
    return f"{value:g} {unit}"
