"""Where a batch stands, counted: waves by stage, slots, rate, the end."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from vmie.batch.model import ENDED, HOLDING, Item, State
from vmie.batch.report.summary import word
from vmie.batch.report.workers import LiveWorker, live_workers, unserved
from vmie.batch.store.locations import Location, Locations
from vmie.batch.store.quota import Quota
from vmie.batch.store.rows import Batch
from vmie.batch.store.store import Store
from vmie.errors import VmieError
from vmie.model import DAMAGED
from vmie.poll import Clock

#: the rate is what was completed within this time, in seconds
_RATE_OVER = 3600.0


@dataclass(frozen=True, slots=True)
class QuotaUse:
    """AWS's slots in use in one account and Region: `used` of `limit` for a pool (import, conversion, export)."""

    pool: str
    account: str
    region: str
    used: int
    limit: int


@dataclass(frozen=True, slots=True)
class Wave:
    """One wave's items by state."""

    number: int
    states: dict[str, int]

    @property
    def total(self) -> int:
        """Items in the wave."""
        return sum(self.states.values())


@dataclass(frozen=True, slots=True)
class Status:
    """A batch at one moment. `rate` is items an hour; `ends` an ISO time, "" while nothing can be said of it."""

    batch: str
    name: str
    status: str
    waves: tuple[Wave, ...]
    slots: tuple[QuotaUse, ...]
    items: tuple[Item, ...]
    rate: float
    ends: str
    workers: tuple[LiveWorker, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ended(self) -> bool:
        """Nothing is left to do."""
        return all(item.state.ended for item in self.items)

    @property
    def columns(self) -> list[str]:
        """The states that some item is in."""
        return [state.value for state in State if any(wave.states.get(state.value) for wave in self.waves)]

    @property
    def failures(self) -> list[dict[str, Any]]:
        """What failed, as `items[]` has it."""
        return [item.as_json() for item in self.items if item.state is State.FAILED]

    def as_json(self) -> dict[str, Any]:
        """The contracted shape of `batch`, and more."""
        count = Counter(item.state for item in self.items)
        return {
            "batch": self.batch,
            "name": self.name,
            "status": self.status,
            "total": len(self.items),
            "completed": count[State.COMPLETED],
            "failed": count[State.FAILED],
            "cancelled": count[State.CANCELLED],
            "waves": [{"wave": wave.number, "states": wave.states} for wave in self.waves],
            "slots": [asdict(one) for one in self.slots],
            "rate_per_hour": round(self.rate, 2),
            "ends": self.ends or None,
            "workers": [one.as_json() for one in self.workers],
            "notes": list(self.notes),
            "items": [item.as_json() for item in self.items],
        }


def status(locations: Locations, batch: str, *, clock: Clock) -> Status:
    """A batch at this moment. Raises UsageError when there is none of that name."""
    location = locations.of(batch)
    with location.open(clock.now) as store:
        items = store.items(batch)
        workers = live_workers(store, location, items)
        shown = of(store.batch(batch), items, now=clock.now(), at_work=bool(workers))
        labels = {label for one in workers for label in one.queues}
        notes = unserved(items, labels).values() if location.shared and not shown.ended else ()
        everyone = _shared(store, items) if location.shared else {}
        slots = tuple(everyone.get((one.pool, one.account, one.region), one) for one in shown.slots)
        return replace(shown, workers=tuple(workers), notes=tuple(notes), slots=slots)


def batches(locations: Locations, *, clock: Clock) -> list[dict[str, Any]]:
    """All batches in short, newest first. Raises VmieError when a shared database cannot be read."""
    found = []
    for location in locations.all():
        try:
            found += _of_location(location, clock)
        except VmieError:
            # One bad file must not hide the others.
            if location.folder is None:
                raise
            found.append(_damaged(location.folder.name))
    return sorted(found, key=lambda one: str(one["created"]), reverse=True)


def _of_location(location: Location, clock: Clock) -> list[dict[str, Any]]:
    with location.open(clock.now) as store:
        at_work = location.shared or location.in_use()
        return [
            _damaged(one.name) if one.known is None else _in_short(one.known, one.counts, at_work=at_work)
            for one in store.overview()
        ]


def _damaged(name: str) -> dict[str, Any]:
    counts = dict.fromkeys(("total", *(state.value for state in ENDED)), 0)
    return {"batch": name, "name": "", "status": DAMAGED, **counts, "created": ""}


def _in_short(batch: Batch, counts: Mapping[State, int], *, at_work: bool) -> dict[str, Any]:
    return {
        "batch": batch.batch,
        "name": batch.name,
        "status": word(counts, batch, at_work=at_work),
        "total": sum(counts.values()),
        **{state.value: counts.get(state, 0) for state in ENDED},
        "created": batch.created,
    }


def of(batch: Batch, items: Sequence[Item], *, now: dt.datetime, at_work: bool) -> Status:
    """Count. `at_work`: whether somebody is, or may be, working on it."""
    waves: dict[int, Counter[str]] = {}
    for item in items:
        waves.setdefault(item.wave, Counter())[item.state.value] += 1
    rate = _rate(items, now)
    left = sum(not item.state.ended for item in items)
    ends = (now + dt.timedelta(hours=left / rate)).isoformat(timespec="minutes") if rate and left else ""
    return Status(
        batch.batch,
        batch.name,
        word(Counter(item.state for item in items), batch, at_work=at_work),
        tuple(Wave(number, dict(states)) for number, states in sorted(waves.items())),
        tuple(_slots(batch, items)),
        tuple(items),
        rate,
        ends,
    )


def _rate(items: Sequence[Item], now: dt.datetime) -> float:
    """Items completed an hour: over the last hour, or over less when the batch is younger."""
    ended = [dt.datetime.fromisoformat(item.updated) for item in items if item.state is State.COMPLETED]
    recent = [at for at in ended if 0 <= (now - at).total_seconds() <= _RATE_OVER]
    if len(recent) < 2:
        return 0.0
    span = max((now - min(recent)).total_seconds(), 1.0)
    return len(recent) / span * 3600


def _slots(batch: Batch, items: Sequence[Item]) -> list[QuotaUse]:
    pools = sorted({(item.kind, item.account, item.region) for item in items})
    used = Counter((item.kind, item.account, item.region) for item in items if item.state in HOLDING)
    return [
        QuotaUse(kind.value, account, region, used[kind, account, region], batch.limits.of(kind))
        for kind, account, region in pools
    ]


def _shared(store: Store, items: Sequence[Item]) -> dict[tuple[str, str, str], QuotaUse]:
    """The slots of pools that other batches of the store may be in, too: what all hold, and the smallest limit."""
    left = {(item.kind.value, item.account, item.region): item for item in items if not item.state.ended}
    quota = Quota(store)
    return {pool: QuotaUse(*pool, *quota.usage(item)) for pool, item in left.items()}
