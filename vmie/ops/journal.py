"""What a piece of work remembers, so that it can continue after a crash.

The library needs only this protocol; `vmie.jobs` and `vmie.batch` keep journals in files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Journal(Protocol):
    """Named steps of one job, each a JSON-able dict, durable once `put` returns."""

    @property
    def job(self) -> str:
        """The job's id: what tokens and object keys are derived from."""

    def get(self, step: str) -> dict[str, Any] | None:
        """What `put` last recorded for `step`, None when nothing was."""

    def put(self, step: str, value: dict[str, Any]) -> None:
        """Record `value` (never a secret) before returning."""


class MemoryJournal:
    """A journal for callers who need no resumption: it is gone with the process."""

    def __init__(self, job: str = "JOB") -> None:
        self.job = job
        self._steps: dict[str, dict[str, Any]] = {}

    def get(self, step: str) -> dict[str, Any] | None:
        """See `Journal.get`."""
        return self._steps.get(step)

    def put(self, step: str, value: dict[str, Any]) -> None:
        """See `Journal.put`."""
        self._steps[step] = dict(value)


def bytes_held(step: Mapping[str, Any]) -> int | None:
    """Bytes that S3 holds for an upload that was begun and not completed, about; None when there is no such upload."""
    return int(step.get("held", 0)) if step.get("upload_id") and "done" not in step else None
