"""What an operation is asked, plans and comes to, whichever it is."""

from __future__ import annotations

from typing import Any, Protocol

from vmie.model import Finding


class Request(Protocol):
    """What a user asked for."""

    def as_json(self) -> dict[str, Any]:
        """For the journal: everything, no secret among it."""

    def lasting(self) -> dict[str, Any]:
        """What makes two requests different ones."""


class Plan(Protocol):
    """What an operation will do."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found on the way to it."""

    def as_json(self) -> dict[str, Any]:
        """For --dry-run."""


class Result(Protocol):
    """What an operation came to."""

    def as_json(self) -> dict[str, Any]:
        """The contracted shape."""
