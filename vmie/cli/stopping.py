"""Ctrl-C, SIGTERM and a closed terminal, from the first moment on: one sentence, and JSON where that was asked for.

Loaded before anything else, so that it can speak while the rest is loaded: with the lightest of modules.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

EXIT = 130
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


def install() -> None:
    """Let each of the signals end the run as Ctrl-C does: cleaned up, resumable. What is ignored stays so (nohup)."""
    for number in _SIGNALS:
        if number == signal.SIGTERM or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)


def _stop(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _pass_over(signum: int, frame: FrameType | None) -> None:
    """Half a JSON object helps nobody."""


def hold() -> None:
    """Pass over further signals while the last words are written, where `install` took them."""
    for number in _SIGNALS:
        if signal.getsignal(number) is _stop:
            signal.signal(number, _pass_over)


def over(code: int) -> None:
    """All is said: whatever stops the process from here on ends it at once, with the code that it has earned."""

    def leave(signum: int, frame: FrameType | None) -> None:
        os._exit(code)

    for number in _SIGNALS:
        if signal.getsignal(number) in (_stop, _pass_over):
            signal.signal(number, leave)


def say(*, as_json: bool) -> int:
    """The interruption of a run that had not begun, or was being cleaned up: nothing knows of a job. The exit code."""
    hold()
    cure = "run the same command again"
    if as_json:
        import json

        error = {"code": "Interrupted", "message": "interrupted", "cause": "", "cure": cure, "request_id": ""}
        shown = {"vmie": 1, "command": "", "status": "error", "result": {}, "findings": [], "error": error}
        sys.stdout.write(json.dumps(shown, indent=2) + "\n")
        sys.stdout.flush()
    else:
        sys.stderr.write(f"error: interrupted\n  cure: {cure}\n")
        sys.stderr.flush()
    return EXIT
