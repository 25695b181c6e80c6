"""The pieces of the page as they stand, each with the version that it changed in: a browser asks for what is newer."""

from __future__ import annotations

import threading
from collections.abc import Mapping


class Board:
    """Shared by the thread that looks at the batch and by one for each browser."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._pieces: dict[str, tuple[int, str]] = {}
        self._version = 0
        self._watchers = 0
        self._over = False

    @property
    def version(self) -> int:
        """The newest one."""
        return self._version

    @property
    def watched(self) -> bool:
        """Whether a browser waits for news."""
        return self._watchers > 0

    def put(self, pieces: Mapping[str, str]) -> None:
        """Set pieces; those that are as they were keep their version."""
        with self._changed:
            new = {name: text for name, text in pieces.items() if self._pieces.get(name, (0, ""))[1] != text}
            if new:
                self._version += 1
                self._pieces |= {name: (self._version, text) for name, text in new.items()}
                self._changed.notify_all()

    def newer(self, version: int, *, wait: float) -> tuple[int, dict[str, str]] | None:
        """What has changed since `version`, once there is something, and its version.

        Nothing after `wait` seconds; None when it is over.
        """
        with self._changed:
            self._watchers += 1
            try:
                self._changed.wait_for(lambda: self._over or self._version > version, timeout=wait)
                if self._over:
                    return None
                return self._version, {name: text for name, (at, text) in self._pieces.items() if at > version}
            finally:
                self._watchers -= 1

    def close(self) -> None:
        """Let everybody who waits go."""
        with self._changed:
            self._over = True
            self._changed.notify_all()
