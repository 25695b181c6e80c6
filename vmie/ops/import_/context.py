"""One import under way: what its steps share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vmie import events, poll
from vmie.aws.session import Aws
from vmie.ops.import_.planning import ImportPlan
from vmie.ops.journal import Journal
from vmie.poll import Clock
from vmie.settings import Settings


@dataclass
class Work:
    """One import under way: what every step needs."""

    aws: Aws
    plan: ImportPlan
    journal: Journal
    settings: Settings
    clock: Clock
    reporter: events.Reporter
    #: shared by all imports of a batch; None for a gate of its own
    gate: poll.Gate | None = None

    def attempt(self) -> int:
        """1 for the first task of the job; a failed task is followed by another, with another token."""
        return _attempt(self.journal)

    def submitted(self) -> dict[str, Any] | None:
        """The task of this attempt, None before AWS has it."""
        return submitted(self.journal)

    def sent(self) -> int:
        """Bytes that crossed the wire, over all runs of the job."""
        steps = (self.journal.get(f"upload {number}") for number in range(len(self.plan.disks)))
        return sum(int((step or {}).get("sent", 0)) for step in steps)


def submitted(journal: Journal) -> dict[str, Any] | None:
    """The task of an import's present attempt, None before AWS has it."""
    found = journal.get("submit")
    return found if found is not None and found.get("attempt") == _attempt(journal) else None


def _attempt(journal: Journal) -> int:
    return int((journal.get("attempt") or {}).get("number", 1))
