"""``vmie batch watch``: options, one call, render."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from vmie.cli import context, render
from vmie.cli.batch_options import Named, Shared, context_of, find
from vmie.errors import UsageError

if TYPE_CHECKING:
    from vmie.batch.context import BatchContext
    from vmie.batch.web.server import WatchServer


def watch(
    ctx: typer.Context,
    batch: Named,
    web: Annotated[bool, typer.Option("--web", help="Serve it as a live page on this machine, until Ctrl-C.")] = False,
    port: Annotated[
        int, typer.Option(help="Port of the page; 0 takes a free one.", min=0, max=65535, show_default=False)
    ] = 0,
    no_open: Annotated[bool, typer.Option("--no-open", help="Print the page's address, open no browser.")] = False,
    state: Shared = "",
) -> None:
    """Watch a batch, whichever process works on it: in the terminal until it has ended, or as a page that steers it.

    vmie batch watch batch-20260102-030405-a1b2c3

    vmie batch watch batch-20260102-030405-a1b2c3 --web

    vmie batch watch batch-20260102-030405-a1b2c3 --web --port 8080 --no-open

    The page pauses the batch, tries failed items again and cancels it, as the verbs of those names do. Its address
    holds a token: whoever has it, on this machine, can do the same.
    """
    this = context.of(ctx)
    if not web and (port or no_open):
        raise UsageError("--port and --no-open are about the page", cure="give --web too")
    used = context_of(this, find(this, batch, state), state)
    if web:
        _serve(this, used, batch, port=port, no_open=no_open)
        return
    from vmie.batch.report import status as standing
    from vmie.cli import batch_text

    def look() -> standing.Status:
        return standing.status(used.locations, batch, clock=used.clock)

    if this.output == "text":
        batch_text.watch(look, clock=used.clock)
    shown = look()
    render.finish(this, "batch watch", shown.as_json(), text=batch_text.status(shown))


def _serve(this: context.Invocation, used: BatchContext, batch: str, *, port: int, no_open: bool) -> None:
    if this.dry_run:
        plan = {"batch": batch, "port": port}
        render.finish(this, "batch watch", plan, text=f"would serve the page of {batch} on 127.0.0.1 port {port}")
        return
    from vmie.batch.web.watch import serving

    # A server that is stopped has succeeded, whenever it happens.
    with suppress(KeyboardInterrupt), serving(used, batch, port=port) as running:
        url = running.server.url
        render.finish(this, "batch watch", {"batch": batch, "url": url}, text=f"{batch}: {url} (Ctrl-C ends the page)")
        sys.stdout.flush()
        if not no_open:
            _open(running.server)
        running.follow()


def _open(server: WatchServer) -> None:
    """Open the page where a person has a screen; its address is on the command line of the browser, for all to read."""
    screen = sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if screen and sys.stdout.isatty():
        import webbrowser

        webbrowser.open(server.one_time_url())
