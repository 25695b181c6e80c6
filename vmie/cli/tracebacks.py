"""Tracebacks without secrets: what a fault of ours, or of a library, prints of where it was.

A message in one may hold a URL with a password, a signed URL or a key, and bytes that drive a terminal.
"""

from __future__ import annotations

import sys
import threading
import traceback
from types import TracebackType


def show(error: BaseException) -> None:
    """Print the traceback of an error, and of what led to it, on stderr."""
    from vmie.catalogue import redact
    from vmie.escaping import visible

    text = "".join(traceback.format_exception(error))
    # What Python prints at its end, nobody may be there to read.
    if sys.stderr is not None:
        sys.stderr.write(visible(redact(text)))
        sys.stderr.flush()


def install() -> None:
    """Let no traceback of this process, of whatever thread, be printed otherwise."""

    def uncaught(_: type[BaseException], error: BaseException, __: TracebackType | None) -> None:
        show(error)

    def in_thread(found: threading.ExceptHookArgs) -> None:
        if found.exc_value is not None and not isinstance(found.exc_value, SystemExit):
            show(found.exc_value)

    def unraisable(found: sys.UnraisableHookArgs) -> None:
        if found.exc_value is not None:
            show(found.exc_value)

    sys.excepthook, threading.excepthook, sys.unraisablehook = uncaught, in_thread, unraisable
