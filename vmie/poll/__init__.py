"""The one wait loop: `Poller` and `wait_for`, the `Gate` in front of AWS's quotas, `retrying`.

Knows no boto: what describes, cancels and classifies is handed in, and so are time, sleep and jitter.
"""

from __future__ import annotations

from vmie.poll.clock import Clock, SystemClock

__all__ = ["Clock", "SystemClock"]
