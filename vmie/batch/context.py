"""What an invocation gives to every verb of batches; which verb runs, and where the batch is, comes with the call."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from vmie import events
from vmie.batch.store.locations import Locations
from vmie.poll import Clock, SystemClock
from vmie.settings import Settings

if TYPE_CHECKING:
    from vmie.aws.session import Aws


class Connect(Protocol):
    """Opens a Region with the credentials of a profile; "" for the session's own Region and credentials."""

    def __call__(self, region: str, profile: str = "", /) -> Aws:
        """Raises UsageError for a profile that is not configured, AwsRefused when it has no credentials."""


@dataclass(frozen=True, slots=True)
class BatchContext:
    """Where batches are kept, the way to AWS, settings, reporter and clock: one per invocation.

    A process that carries a batch out has a second one, `vmie.batch.run.context.RunContext`: it lives as long as one
    lease on one store, and an invocation that lost a shared database and found it again goes through several.
    """

    locations: Locations
    connect: Connect
    settings: Settings
    reporter: events.Reporter = events.silent
    clock: Clock = field(default_factory=SystemClock)
    #: seconds between two rounds of the scheduler, and of DBOS's polling of its queues
    poll_every: float = 1.0
    #: uploads at once on this machine, instead of as many as each batch says
    uploads: int | None = None
    #: for how many seconds a lost connection to a shared state is tried again
    reconnect_within: float = 600.0

    @property
    def pause(self) -> float:
        """Seconds between two rounds; shorter where time runs faster."""
        return min(self.poll_every, self.settings.poll_seconds or self.poll_every)
