"""What every run of batches needs, and the way to its store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import sqlalchemy as sa

from vmie import events
from vmie.batch.run.resources import Doors
from vmie.batch.run.retry_policy import no_state
from vmie.batch.run.stages import Stages
from vmie.batch.run.workflows import StagesOf
from vmie.batch.store.locations import Place, Places
from vmie.batch.store.store import Store
from vmie.poll import Clock, SystemClock
from vmie.settings import Settings

#: seconds between two looks of the leader, and of DBOS at its queues
_PAUSE = 1.0


@dataclass(frozen=True, slots=True)
class Company:
    """What every run needs: where batches are kept, the doors to AWS, settings, who is told, the time."""

    places: Places
    doors: Doors
    settings: Settings
    reporter: events.Reporter = events.silent
    clock: Clock = field(default_factory=SystemClock)
    stages: StagesOf = Stages
    looks_every: float = _PAUSE
    #: uploads at once on this machine, instead of as many as each batch says
    uploads: int | None = None
    #: for how many seconds a shared state that is lost is looked for
    regain: float = 600.0

    @property
    def pause(self) -> float:
        """Seconds between two looks; shorter where time runs faster."""
        return min(self.looks_every, self.settings.poll_seconds or self.looks_every)


@contextmanager
def opened(company: Company, place: Place, *, worker: str = "") -> Iterator[Store]:
    """The store of a place, closed afterwards. Raises VmieError when it cannot be read or written."""
    with recorded():
        engine = place.engine()
        try:
            store = Store(engine, now=company.clock.now, worker=worker)
            store.prepare()
            yield store
        finally:
            engine.dispose()


@contextmanager
def recorded() -> Iterator[None]:
    """Raises VmieError (NoState) when the state cannot be read or written in here."""
    try:
        yield
    except (sa.exc.SQLAlchemyError, OSError) as error:
        raise no_state(error) from error
