"""The one wait loop: `Poller` and `wait_for`, the `Gate` in front of AWS's quotas, `retrying`.

Knows no boto: what describes, cancels and classifies is handed in, and so are time, sleep and jitter.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from vmie.poll.clock import Clock, SystemClock

if TYPE_CHECKING:
    from vmie.poll.gate import Gate, GateSettings, Pool
    from vmie.poll.retry import ROLE, TRANSIENT, VISIBILITY, Patience, retrying
    from vmie.poll.wait import Poller, run, wait_for
    from vmie.poll.watch import WaitSettings, Watch

__all__ = [
    "ROLE",
    "TRANSIENT",
    "VISIBILITY",
    "Clock",
    "Gate",
    "GateSettings",
    "Patience",
    "Poller",
    "Pool",
    "SystemClock",
    "WaitSettings",
    "Watch",
    "retrying",
    "run",
    "wait_for",
]

_PLACES = {
    **dict.fromkeys(("Gate", "GateSettings", "Pool"), "gate"),
    **dict.fromkeys(("ROLE", "TRANSIENT", "VISIBILITY", "Patience", "retrying"), "retry"),
    **dict.fromkeys(("Poller", "run", "wait_for"), "wait"),
    **dict.fromkeys(("WaitSettings", "Watch"), "watch"),
}


def __getattr__(name: str) -> Any:
    """What waits and tries again, imported when first asked for: who only wants the time pays for no tenacity."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
