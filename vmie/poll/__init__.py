"""The one wait loop: `Poller` and `wait_for`, the `Gate` in front of AWS's quotas, `retrying`.

Knows no boto: what describes, cancels and classifies is handed in, and so are time, sleep and jitter.
"""

from __future__ import annotations

from vmie.poll.clock import Clock, SystemClock
from vmie.poll.gate import FULL_CODES, Gate, GateSettings, Pool
from vmie.poll.retry import ROLE, TRANSIENT, VISIBILITY, Patience, retrying
from vmie.poll.wait import Poller, run, wait_for
from vmie.poll.watch import WaitSettings, Watch

__all__ = [
    "FULL_CODES",
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
