"""Service messages: cause and cure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why AWS said something: `causes` most likely first, `cure` as commands, `retry` a retry class."""

    id: str
    message: str
    causes: tuple[str, ...]
    cure: tuple[str, ...]
    retry: str = "permanent"
    known: bool = True


def explain(message: str, code: str = "") -> Explanation:
    """Explain what the service said; never raises."""
    return Explanation("unknown", message, (), (), known=False)
