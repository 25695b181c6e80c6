"""Requests go on side by side; a change of the whole world waits for them and keeps new ones out meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

#: seconds that a change waits: a client that stopped in the middle of an upload is not waited for without end
PATIENCE = 10.0


class WorldLock:
    """Many inside, or one alone."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._alone = False

    @contextmanager
    def inside(self) -> Iterator[None]:
        """One of many; waits while somebody is alone."""
        with self._changed:
            self._changed.wait_for(lambda: not self._alone)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else comes in; who is in has `PATIENCE` seconds to leave. May not be asked for from inside."""
        with self._changed:
            self._changed.wait_for(lambda: not self._alone)
            self._alone = True
            self._changed.wait_for(lambda: self._inside == 0, timeout=PATIENCE)
        try:
            yield
        finally:
            with self._changed:
                self._alone = False
                self._changed.notify_all()
