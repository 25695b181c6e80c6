"""stdout and stderr as they may be: closed, a pipe that nobody reads, a full disk.

What cannot be shown on stderr is talk, and let go. What cannot be written to stdout is the result: an error.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Any, TextIO


class OutputLostError(OSError):
    """stdout did not take what was written: its disk is full, or it failed."""


class _Stream:
    """A stream whose failures are of one kind; else it is what it stands for."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """See `TextIO.write`."""
        try:
            return self._stream.write(text)
        except OSError as error:
            self._failed(error)
            return len(text)

    def flush(self) -> None:
        """See `TextIO.flush`."""
        try:
            self._stream.flush()
        except OSError as error:
            self._failed(error)

    def _failed(self, error: OSError) -> None:
        raise NotImplementedError

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Talk(_Stream):
    """stderr: nothing fails for want of a reader."""

    def _failed(self, error: OSError) -> None:
        discard(self._stream)


class ResultStream(_Stream):
    """stdout. Raises BrokenPipeError when its reader left, OutputLostError when it cannot be written."""

    def _failed(self, error: OSError) -> None:
        if isinstance(error, BrokenPipeError):
            raise error
        raise OutputLostError(error.errno, error.strerror) from error


def install() -> None:
    """Put them in the place of the process's own; a descriptor that is closed is opened on nothing.

    Else the next file that is opened would be stdout, and be written into.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
    for name, number, kind in (("stdout", 1, ResultStream), ("stderr", 2, Talk)):
        stream = getattr(sys, name)
        if stream is None:
            stream = os.fdopen(number, "w", encoding="utf-8", closefd=False)
        if isinstance(stream, io.TextIOWrapper):
            # A locale without a character must not end a command that has done its work.
            stream.reconfigure(errors="backslashreplace")
        setattr(sys, name, kind(stream))


def discard(stream: Any) -> None:
    """Discard what is still buffered: Python would try again, and report it, when it exits."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, stream.fileno())
    os.close(nothing)
