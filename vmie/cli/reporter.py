"""Progress on stderr: a live bar on a terminal, plain lines elsewhere, JSON lines for log collectors."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from vmie import event_log, events
from vmie.catalogue import redacted
from vmie.cli import render, wrapping
from vmie.cli.progress import ProgressMeter, done_of
from vmie.escaping import json_text, visible

#: a plain (non-terminal) log gets a progress line at most this often
_PLAIN_SECONDS = 10.0


@contextmanager
def make(
    *, log_format: str = "text", quiet: bool = False, verbose: bool = False, progress: bool = True
) -> Iterator[events.Reporter]:
    """The reporter that the global options ask for."""
    if log_format == "json":
        yield _Lines()
    elif quiet:
        yield events.silent
    elif progress and wrapping.drawable(sys.stderr):
        live = _Live(verbose=verbose)
        try:
            yield live
        finally:
            live.close()
    else:
        yield _Plain(verbose=verbose, progress=progress)


class _Lines:
    """Every event as one JSON object on a line. Events hold no secrets (law 10)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __call__(self, event: events.Event, /) -> None:
        held = {"task": event.task.as_json()} if isinstance(event, events.TaskSeen) else asdict(event)
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json_text({"at": at, "event": type(event).__name__, **redacted(held)})
        with self._lock:
            print(line, file=sys.stderr, flush=True)  # noqa: T201


class _Plain:
    """Lines, each once; progress now and then."""

    def __init__(self, *, verbose: bool, progress: bool) -> None:
        self._verbose = verbose
        self._progress = progress
        self._lock = threading.Lock()
        self._last = ""
        self._next_progress = 0.0
        self._meter = ProgressMeter()

    def __call__(self, event: events.Event, /) -> None:
        line = self._line(event)
        if not line:
            return
        with self._lock:
            if line != self._last:
                self._last = line
                print(visible(redacted(line)), file=sys.stderr, flush=True)  # noqa: T201

    def _line(self, event: events.Event) -> str:  # noqa: PLR0911 - one per event
        match event:
            case events.Stage():
                self._next_progress = time.monotonic() + _PLAIN_SECONDS
                return event_log.text(event)
            case events.Note(text, level):
                return self._note(text, level)
            case events.TaskSeen() | events.ItemSeen():
                return event_log.text(event)
            case events.Progress() if self._progress:
                # The meter needs every one: it measures from the first.
                line = self._meter.line(event, time.monotonic())
                if time.monotonic() < self._next_progress:
                    return ""
                self._next_progress = time.monotonic() + _PLAIN_SECONDS
                return line
            case events.AwsCall() if self._verbose:
                return event_log.text(event)
            case _:
                return ""

    def _note(self, text: str, level: str) -> str:
        if level == "debug" and not self._verbose:
            return ""
        return f"warning: {text}" if level == "warning" else text


class _Live:
    """A bar for bytes (amount, rate, ETA) and one for the task's stage."""

    def __init__(self, *, verbose: bool) -> None:
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        self._verbose = verbose
        self._lock = threading.Lock()
        console = render.console(stderr=True)
        self._console = console
        self._bytes = Progress(
            TextColumn("{task.description:<10}", markup=False),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=console,
            transient=True,
        )
        self._tasks = Progress(
            TextColumn("{task.description:<32}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[stage]}", markup=False),
            console=console,
            transient=True,
        )
        self._bars: dict[str, Any] = {}
        self._current: Any = None

    def _show(self, display: Any) -> None:
        if self._current is not display:
            if self._current is not None:
                self._current.stop()
            self._current = display
            display.start()

    def __call__(self, event: events.Event, /) -> None:
        from rich.text import Text

        with self._lock:
            match event:
                case events.Stage(name, detail):
                    told = redacted(f"{name}: {detail}" if detail else name)
                    line = Text("\n".join(wrapping.wrapped(told, wrapping.columns(sys.stderr), indent=2)))
                    line.stylize("bold", 0, len(name))
                    self._console.print(line)
                case events.Note(text, level):
                    if level != "debug" or self._verbose:
                        style = "warning" if level == "warning" else "quiet" if level == "debug" else ""
                        self._console.print(redacted(text), style=style)
                case events.Progress():
                    self._bar(event)
                case events.TaskSeen(task):
                    self._task(task)
                case events.ItemSeen():
                    self._console.print(redacted(event_log.text(event)))
                case events.AwsCall() if self._verbose:
                    self._console.print(redacted(event_log.text(event)), style="quiet")

    def _bar(self, event: events.Progress) -> None:
        self._show(self._bytes)
        bar = self._bars.get(event.stage)
        if bar is None:
            # What an earlier run did is where this one begins, and no part of its rate.
            begun = done_of(event)
            bar = self._bytes.add_task(event.stage, completed=begun, total=event.total, note="")
            self._bars[event.stage] = bar
        note = ""
        if event.sent is not None:
            note = f"{render.size(event.sent)} sent"
        self._bytes.update(bar, completed=done_of(event), total=event.total, note=note)

    def _task(self, task: Any) -> None:
        self._show(self._tasks)
        bar = self._bars.get(task.id)
        if bar is None:
            bar = self._bars[task.id] = self._tasks.add_task(task.id, total=100, stage="")
        done = 100 if task.state.value == "completed" else task.progress
        stage = task.stage or task.state.value
        self._tasks.update(bar, completed=done, stage=stage)

    def close(self) -> None:
        """Take the bars away."""
        with self._lock:
            if self._current is not None:
                self._current.stop()
                self._current = None
