"""Events for the standard `logging`: logger "vmie", the level by event, the event itself in the record's ``event``.

No handler is installed. Events hold no secrets, and neither do these lines.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from vmie import events

LOGGER = logging.getLogger("vmie")
_NOTES = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}


def text(event: events.Event) -> str:
    """The event as one line."""
    match event:
        case events.Stage(name, detail):
            return f"{name}: {detail}" if detail else name
        case events.Note(words):
            return words
        case events.Progress(stage, done, total, sent):
            line = f"{stage}: {done} of {total} bytes" if total is not None else f"{stage}: {done} bytes"
            return line if sent is None else f"{line}, {sent} sent"
        case events.TaskSeen(task):
            percent = f" {task.progress}%" if task.progress is not None else ""
            return f"{task.id}: {task.state.value}{percent}{f' {task.stage}' if task.stage else ''}"
        case events.ItemSeen():
            return f"{event.item}: {event.state}{f': {event.detail}' if event.detail else ''}"
        case events.AwsCall():
            outcome = event.error or str(event.status)
            call = f"aws {event.service} {event.operation}"
            return f"{call}: {outcome} in {event.seconds:.2f} s, request id {event.request_id}"


def level(event: events.Event) -> int:
    """INFO for stages, tasks and items, the note's own for notes, DEBUG for progress and calls."""
    match event:
        case events.Note(_, named):
            return _NOTES.get(named, logging.INFO)
        case events.Progress() | events.AwsCall():
            return logging.DEBUG
        case _:
            return logging.INFO


def log(event: events.Event, /) -> None:
    """Log `event`; without any handler nothing happens, also not the stderr of Python's last resort."""
    importance = level(event)
    if LOGGER.isEnabledFor(importance) and LOGGER.hasHandlers():
        LOGGER.log(importance, "%s", text(event), extra={"event": event})


def reporter(on_event: Callable[[events.Event], None] | None = None) -> events.Reporter:
    """A reporter that logs every event, and then calls `on_event` with it."""
    if on_event is None:
        return log

    def report(event: events.Event, /) -> None:
        log(event)
        on_event(event)

    return report
