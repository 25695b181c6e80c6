"""The file of a batch's report: its form, and where it is written."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from vmie.cli import context
from vmie.errors import UsageError


class ReportForm(StrEnum):
    """The forms of a report."""

    HTML = "html"
    CSV = "csv"
    JSON = "json"


def write(this: context.Invocation, state: str, batch: str, target: Path, form: ReportForm) -> int:
    """Write a report; its size in bytes. Raises UsageError when the file cannot be written."""
    from vmie.batch.report import html
    from vmie.batch.store.locations import Locations
    from vmie.poll import SystemClock

    written = html.render(Locations(this.state, state), batch, form.value, clock=SystemClock()).encode()
    try:
        target.write_bytes(written)
    except OSError as error:
        raise UsageError(f"cannot write {target}: {error.strerror}", cure="choose another file") from error
    return len(written)


def form_of(to: Path | None, form: ReportForm | None) -> ReportForm:
    """The form asked for, else what the file's name says, else HTML."""
    if form is not None:
        return form
    suffix = to.suffix.lower().removeprefix(".") if to else ""
    return ReportForm(suffix) if suffix in list(ReportForm) else ReportForm.HTML
