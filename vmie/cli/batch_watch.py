"""``vmie batch watch``: options, one call, render."""

from __future__ import annotations

import typer

from vmie.cli import context, render
from vmie.cli.batch_options import Named, Shared, find


def watch(ctx: typer.Context, batch: Named, state: Shared = "") -> None:
    """Watch a batch, whichever process works on it, until it has ended.

    vmie batch watch batch-20260102-030405-a1b2c3

    vmie batch watch batch-20260102-030405-a1b2c3 --state postgresql://vmie@db/vmie

    vmie batch watch batch-20260102-030405-a1b2c3 --output json
    """
    from vmie.batch.report import status as standing
    from vmie.batch.store.locations import Locations
    from vmie.cli import batch_text, job_index
    from vmie.poll import SystemClock

    this, clock = context.of(ctx), SystemClock()
    known = find(this, batch, state)
    locations = Locations(this.state, job_index.home(known.job, this.state, shared=state))
    batch_text.watch(lambda: standing.status(locations, batch, clock=clock), clock=clock)
    shown = standing.status(locations, batch, clock=clock)
    render.finish(this, "batch watch", shown.as_json(), text=batch_text.status(shown))
