"""What a plan would do, without doing it: verdicts, bytes, calls, waves, time under the quotas, cost. All estimates."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from vmie import events
from vmie.aws.cache import ReadCache
from vmie.aws.session import Aws
from vmie.batch.context import BatchContext
from vmie.batch.estimate import prices
from vmie.batch.estimate.preview import Preview, preview
from vmie.batch.estimate.prices import Bill, Use
from vmie.batch.estimate.simulate import SimulatedItem, Timing, forecast
from vmie.batch.model import BatchPlan, ItemKind, ItemPool, PlanItem
from vmie.model import Verdict
from vmie.ops import pace

#: items checked together: each reads a few MiB of its image and asks AWS a few things
_AT_ONCE = 8
#: what S3 charges for as for a PUT
_PUTS = ("PutObject", "UploadPart", "CreateMultipartUpload", "CompleteMultipartUpload", "CopyObject")


@dataclass(frozen=True, slots=True)
class ItemEstimate:
    """One item: its preview, and when it would begin and end. `held_by` names what blocks it, "" for itself."""

    preview: Preview
    span: Timing | None
    held_by: str = ""

    @property
    def blocked(self) -> bool:
        """Whether it, or what it comes after, would be refused."""
        return self.preview.verdict == Verdict.FAIL or bool(self.held_by)

    def as_json(self, now: dt.datetime) -> dict[str, Any]:
        """One element of ``items[]``."""
        seen, item = self.preview, self.preview.item
        return {
            "key": item.key,
            "source": item.source,
            "kind": item.kind.value,
            "route": seen.route,
            "account": seen.account,
            "region": seen.region,
            "queue": item.queue,
            "wave": item.wave,
            "after": list(item.after),
            "verdict": seen.verdict,
            "blocked": self.blocked,
            "held_by": self.held_by or None,
            "says": seen.says,
            "cause": seen.cause,
            "cure": seen.cure,
            "rule": seen.rule or None,
            "guest": seen.guest or None,
            "call": seen.call,
            "calls": dict(seen.calls),
            "bytes_source": seen.bytes_source,
            "bytes_at_most": seen.bytes_at_most,
            "begins": _at(now, self.span.begin) if self.span else None,
            "ends": _at(now, self.span.end) if self.span else None,
            "hours": round(self.span.end - self.span.begin, 2) if self.span else None,
        }


@dataclass(frozen=True, slots=True)
class WaveEstimate:
    """One wave: hours from the batch's beginning, None when nothing of it can go."""

    number: int
    items: tuple[ItemEstimate, ...]

    @property
    def blocked(self) -> int:
        """Items that would not be carried out."""
        return sum(item.blocked for item in self.items)

    @property
    def bytes_at_most(self) -> int:
        """Bytes to send."""
        return sum(item.preview.bytes_at_most for item in self.items if not item.blocked)

    @property
    def begin(self) -> float | None:
        """When its first item begins."""
        return min((item.span.begin for item in self.items if item.span), default=None)

    @property
    def end(self) -> float | None:
        """When its last item ends."""
        return max((item.span.end for item in self.items if item.span), default=None)


@dataclass(frozen=True, slots=True)
class Estimate:
    """The whole plan. `basis`: what the times are made from, with where that was found."""

    plan: BatchPlan
    now: dt.datetime
    items: tuple[ItemEstimate, ...]
    bill: Bill
    basis: Mapping[str, Mapping[str, Any]]

    @property
    def waves(self) -> tuple[WaveEstimate, ...]:
        """In the order in which they go."""
        numbers = sorted({item.preview.item.wave for item in self.items})
        return tuple(
            WaveEstimate(number, tuple(item for item in self.items if item.preview.item.wave == number))
            for number in numbers
        )

    @property
    def blocked(self) -> tuple[ItemEstimate, ...]:
        """Items that would be refused, or come after one that would."""
        return tuple(item for item in self.items if item.blocked)

    @property
    def bytes_at_most(self) -> int:
        """Bytes that would be sent."""
        return sum(item.preview.bytes_at_most for item in self.items if not item.blocked)

    @property
    def calls(self) -> Counter[str]:
        """Calls that change something in AWS, by operation."""
        return sum((Counter(item.preview.calls) for item in self.items if not item.blocked), Counter())

    @property
    def hours(self) -> float:
        """Until the last item's end."""
        return max((item.span.end for item in self.items if item.span), default=0.0)

    @property
    def ends(self) -> dt.datetime:
        """The wall-clock time of that, if the batch began now."""
        return self.now + dt.timedelta(hours=self.hours)

    def as_json(self) -> dict[str, Any]:
        """For --dry-run."""
        return {
            "estimate": True,
            "name": self.plan.name,
            "source": self.plan.source,
            "total": len(self.items),
            "blocked": len(self.blocked),
            "bytes_at_most": self.bytes_at_most,
            "calls": sum(self.calls.values()),
            "calls_by_operation": dict(sorted(self.calls.items())),
            "hours": round(self.hours, 2),
            "begins": _at(self.now, 0),
            "ends": _at(self.now, self.hours),
            "limits": {
                name: getattr(self.plan.limits, name)
                for name in ("imports", "conversions", "snapshots", "exports", "uploads")
            },
            "waves": [
                {
                    "wave": wave.number,
                    "items": len(wave.items),
                    "blocked": wave.blocked,
                    "bytes_at_most": wave.bytes_at_most,
                    "begins": None if wave.begin is None else _at(self.now, wave.begin),
                    "ends": None if wave.end is None else _at(self.now, wave.end),
                }
                for wave in self.waves
            ],
            "cost": self.bill.as_json(),
            "basis": {name: dict(one) for name, one in self.basis.items()},
            "items": [item.as_json(self.now) for item in self.items],
        }


def estimate(context: BatchContext, plan: BatchPlan) -> Estimate:
    """Check every item as its import or export would; nothing is sent.

    What is refused is a verdict. Raises only what concerns all of them: no credentials, no such profile.
    """
    connections = _connections(context, plan)
    context.reporter(events.Stage("check", f"{len(plan.items)} items"))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        seen = list(pool.map(lambda item: preview(context, connections[item.region, item.profile], item), plan.items))
    held = _held(seen)
    lost = {one.item.key for one in seen if one.verdict == Verdict.FAIL} | held.keys()
    spans = forecast([_simulated(one, lost=one.item.key in lost) for one in seen], plan.limits)
    items = tuple(ItemEstimate(one, spans.get(one.item.key), held.get(one.item.key, "")) for one in seen)
    return Estimate(plan, context.clock.now(), items, _bill(items), pace.table())


def _connections(context: BatchContext, plan: BatchPlan) -> dict[tuple[str, str], Aws]:
    """One door for each Region and profile; what it reads of the account is read once."""
    connections = {}
    for region, profile in {(item.region, item.profile) for item in plan.items}:
        aws = context.connect(region, profile) if profile else context.connect(region)
        connections[region, profile] = aws.with_cache(ReadCache(context.clock.now))
    return connections


def _held(seen: Sequence[Preview]) -> dict[str, str]:
    """Items that would not begin, since something that they come after would fail: key → the first such."""
    failed = {one.item.key for one in seen if one.verdict == Verdict.FAIL}
    followers: dict[str, list[PlanItem]] = {}
    for one in seen:
        for key in one.item.after:
            followers.setdefault(key, []).append(one.item)
    held: dict[str, str] = {}
    left = list(failed)
    while left:
        key = left.pop()
        for item in followers.get(key, ()):
            if item.key not in failed and item.key not in held:
                held[item.key] = key
                left.append(item.key)
    return held


def _simulated(one: Preview, *, lost: bool) -> SimulatedItem:
    item = one.item
    size = one.bytes_source or item.size
    direct = "PutSnapshotBlock" in one.calls and "ImportImage" not in one.calls
    task = pace.task_minutes("ebs" if direct else one.route, size) / 60
    upload = pace.sending_minutes(one.bytes_at_most) / 60
    pool = ItemPool(one.account, one.region, item.queue, item.kind)
    return SimulatedItem(item.key, pool, item.wave, item.after, item.size, upload, task, lost)


def _bill(items: Sequence[ItemEstimate]) -> Bill:
    """What every Region is used for, by the items that would be carried out."""
    uses = [
        Use(
            item.preview.region,
            puts=sum(count for name, count in item.preview.calls.items() if name in _PUTS),
            blocks=item.preview.calls.get("PutSnapshotBlock", 0),
            stored=0 if "PutSnapshotBlock" in item.preview.calls else item.preview.bytes_at_most,
            hours=item.span.end - item.span.begin,
            snapshots=item.preview.snapshots,
            volumes_gib=item.preview.volumes_gib,
        )
        for item in items
        if item.span is not None and item.preview.item.kind is not ItemKind.EXPORT
    ]
    return prices.bill(uses)


def _at(now: dt.datetime, hours: float) -> str:
    return (now + dt.timedelta(hours=hours)).isoformat(timespec="minutes")
