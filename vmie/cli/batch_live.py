"""What a batch shows while it runs: on a terminal the table of `batch status`, elsewhere a line per finished item."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from vmie import events
from vmie.cli import batch_text, context, render, wrapping
from vmie.errors import VmieError

if TYPE_CHECKING:
    from vmie.batch.context import BatchContext
    from vmie.batch.report.status import Status
    from vmie.batch.run.api import BatchResult

#: seconds between two looks at the batch
_PAUSE = 1.0
_ENDED = ("completed", "failed", "cancelled")
_KEY = "d"


def finished_only(report: events.Reporter) -> events.Reporter:
    """What passes on of a batch's events a line for each item that ended, and what is not about items or tasks."""

    def passing(event: events.Event, /) -> None:
        if isinstance(event, events.ItemSeen) and event.state not in _ENDED:
            return
        if not isinstance(event, events.TaskSeen):
            report(event)

    return passing


def carry_out(
    run: context.Invocation, used: BatchContext, batch: str, *, retry_failed: bool = False, requeue: bool = False
) -> BatchResult:
    """Carry a batch on to its end, shown as the terminal allows. Raises what `vmie.batch.run.api.run` does."""
    from vmie.batch.report import status
    from vmie.batch.run import api

    if not _wanted(run):
        return api.run(used, batch, retry_failed=retry_failed, requeue=requeue)
    with _table(lambda: status.status(used.locations, batch, clock=used.clock), used.reporter) as report:
        return api.run(replace(used, reporter=report), batch, retry_failed=retry_failed, requeue=requeue)


def _wanted(run: context.Invocation) -> bool:
    """Whether there is a terminal for a table, and nobody asked for lines."""
    lines = run.quiet or run.verbose or not run.progress or run.output != "text" or run.log_format != "text"
    return not lines and wrapping.drawable(sys.stderr)


@contextmanager
def _table(look: Callable[[], Status], plain: events.Reporter) -> Iterator[events.Reporter]:
    """Keep the table of a batch on stderr while the block runs, with notes above it; its reporter.

    The key `d` puts the table away: from then on events go to `plain`, as lines. The work goes on.
    """
    from rich.live import Live

    from vmie.catalogue import redact

    console = render.console(stderr=True)
    over = threading.Event()

    def report(event: events.Event, /) -> None:
        if over.is_set():
            plain(event)
        elif isinstance(event, events.Note) and event.level != "debug":
            console.print(redact(event.text), style="warning" if event.level == "warning" else "")

    def paint() -> None:
        with Live(console=console, auto_refresh=False, transient=True) as live, _keys() as pressed:
            while not over.is_set():
                try:
                    hint = f"{_KEY}: detach this table, the work goes on · Ctrl-C: stop, to be resumed"
                    live.update(batch_text.status(look(), hint=hint if pressed else "", live=True), refresh=True)
                except VmieError:
                    pass  # the run itself says what is wrong with the state
                if pressed and pressed(_PAUSE) == _KEY:
                    over.set()
                elif not pressed:
                    over.wait(_PAUSE)

    painter = threading.Thread(target=paint, name="batch-table", daemon=True)
    painter.start()
    try:
        yield report
    finally:
        over.set()
        painter.join(timeout=5 * _PAUSE)


@contextmanager
def _keys() -> Iterator[Callable[[float], str] | None]:
    """A function that waits so many seconds for a key and returns it, or ""; None where no keyboard is ours to read."""
    import os

    try:
        import select
        import termios
        import tty
    except ImportError:  # no such keyboards on Windows
        yield None
        return
    try:
        keyboard = sys.stdin.fileno()
        before = termios.tcgetattr(keyboard)
        # In the background, setting the terminal would stop us.
        ours = os.tcgetpgrp(keyboard) == os.getpgrp()
        if ours:
            tty.setcbreak(keyboard)
    except (OSError, ValueError, AttributeError, termios.error):
        ours = False
    if not ours:
        yield None
        return

    def pressed(seconds: float) -> str:
        ready, _, _ = select.select([keyboard], [], [], seconds)
        return os.read(keyboard, 1).decode("ascii", "replace") if ready else ""

    try:
        yield pressed
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
