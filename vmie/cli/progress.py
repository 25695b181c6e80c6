"""Progress as text: how much, how fast, how long still."""

from __future__ import annotations

from vmie import events
from vmie.cli import render


class ProgressMeter:
    """Rates and estimates of the stages of one command; times are seconds of one clock."""

    def __init__(self) -> None:
        #: stage -> when it first reported, and how far it was then
        self._begun: dict[str, tuple[float, int]] = {}

    def line(self, event: events.Progress, now: float) -> str:
        """``upload: 1.2 GiB of 8.0 GiB, 380.1 MiB sent, 210.4 MiB/s, 33 s left``."""
        since, before = self._begun.setdefault(event.stage, (now, event.done))
        whole = f" of {render.size(event.total)}" if event.total else ""
        parts = [f"{event.stage}: {render.size(done_of(event))}{whole}"]
        if event.sent is not None:
            parts.append(f"{render.size(event.sent)} sent")
        speed = (event.done - before) / (now - since) if now > since else 0.0
        if speed > 0:
            parts.append(f"{render.size(int(speed))}/s")
            if event.total and event.total > event.done:
                parts.append(f"{_duration((event.total - event.done) / speed)} left")
        return ", ".join(parts)


def done_of(event: events.Progress) -> int:
    """What is done, never more than there is: the end of the data may lie behind its estimated amount."""
    return event.done if event.total is None else min(event.done, event.total)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
