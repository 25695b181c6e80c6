"""What a plan would do, without doing it: verdicts, bytes, calls, time under the quotas, cost. All of it estimates."""

from __future__ import annotations

import heapq
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib import resources
from typing import Any

from vmie.aws.session import Aws
from vmie.engine.batch import codec
from vmie.engine.batch.model import Kind, Plan, PlanItem
from vmie.engine.batch.running import Company
from vmie.errors import AwsRefused, VmieError
from vmie.model import Verdict
from vmie.ops import export, import_
from vmie.ops.import_ import ImportRequest

_GIB = 1 << 30
_GB = 1e9
#: the size of an upload's parts, for counting calls (aws.upload grows them for the largest)
_PART = 16 << 20
#: items looked at together
_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class ItemEstimate:
    """One item. `verdict` is pass, warn or fail; `bytes_at_most` will be sent, `bytes_source` is the disk's size."""

    key: str
    verdict: str
    says: str
    call: str
    region: str
    wave: int
    bytes_source: int
    bytes_at_most: int
    calls: int
    hours: float


@dataclass(frozen=True, slots=True)
class Cost:
    """One line of the bill; `amount` in USD."""

    what: str
    amount: float
    how: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """The whole plan."""

    items: tuple[ItemEstimate, ...]
    hours: float
    basis: str
    costs: tuple[Cost, ...]
    prices_date: str
    prices_source: str

    @property
    def blocked(self) -> int:
        """Items that would be refused."""
        return sum(item.verdict == Verdict.FAIL for item in self.items)

    @property
    def bytes_at_most(self) -> int:
        """Bytes that would be sent."""
        return sum(item.bytes_at_most for item in self.items)

    @property
    def calls(self) -> int:
        """Calls that change something in AWS; looks are not counted."""
        return sum(item.calls for item in self.items)

    def as_json(self) -> dict[str, Any]:
        """For --dry-run."""
        return {
            "estimate": True,
            "total": len(self.items),
            "blocked": self.blocked,
            "bytes_at_most": self.bytes_at_most,
            "calls": self.calls,
            "hours": round(self.hours, 2),
            "basis": self.basis,
            "costs": [asdict(cost) for cost in self.costs],
            "prices": {"date": self.prices_date, "source": self.prices_source, "currency": "USD"},
            "items": [asdict(item) for item in self.items],
        }


def estimate(company: Company, plan: Plan) -> Estimate:
    """Look at every item as its import or export would; nothing is sent. What is refused is a verdict, not an error."""
    facts = tomllib.loads(resources.files(__package__).joinpath("prices.toml").read_text(encoding="utf-8"))
    pace = facts["pace"]
    places = {(item.region, item.profile) for item in plan.items}
    doors = {where: company.doors(*where) for where in places}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        items = tuple(pool.map(lambda item: _item(company, doors[item.region, item.profile], item, pace), plan.items))
    going = [item for item in items if item.verdict != Verdict.FAIL]
    return Estimate(
        items,
        _hours(going, plan, pace),
        f"{pace['fixed_minutes']:g} min and {pace['minutes_per_gib']:g} min per GiB for an import, "
        f"{pace['upload_mib_per_second']:g} MiB/s of upload",
        tuple(_costs(going, facts["usd"])),
        facts["date"],
        facts["source"],
    )


def _item(company: Company, aws: Aws, item: PlanItem, pace: dict[str, float]) -> ItemEstimate:
    try:
        if item.kind is Kind.EXPORT:
            request, skip = codec.export_request(item.request)
            exported = export.plan(aws, request, settings=company.settings, skip=skip)
            exported.refuse()
            call, source, bound, calls = exported.as_json()["call"], 0, 0, 1
            verdict, says = "pass", "AWS does not tell the size beforehand"
        else:
            thought = import_.plan(
                aws,
                ImportRequest.from_json(item.request),
                settings=company.settings,
                job=item.key,
                clock=company.clock,
                reporter=company.reporter,
            )
            call = str(thought.as_json()["call"])
            source = sum(disk.source_size for disk in thought.disks)
            bound = sum(disk.bound for disk in thought.disks if disk.path is not None)
            calls = 2 + sum(_puts(disk.bound) + 1 for disk in thought.disks if disk.path is not None)
            warned = [one for one in thought.report.findings if one.verdict is Verdict.WARN] if thought.report else []
            verdict, says = ("warn", warned[0].message) if warned else ("pass", "; ".join(thought.notes))
    except VmieError as error:
        if isinstance(error, AwsRefused) and error.code in ("NoCredentials", "ExpiredToken"):
            raise
        return ItemEstimate(item.key, "fail", error.message, "", aws.region, item.wave, item.size, 0, 0, 0.0)
    each = pace["minutes_per_gib"] if item.kind is Kind.IMPORT else pace["export_minutes_per_gib"]
    hours = (pace["fixed_minutes"] + each * (source or item.size) / _GIB) / 60
    return ItemEstimate(item.key, verdict, says, call, aws.region, item.wave, source, bound, calls, hours)


def _puts(size: int) -> int:
    """PutObject for what fits in a part, else the parts, the beginning and the end."""
    parts = -(-size // _PART)
    return 1 if parts <= 1 else parts + 2


def _hours(items: Sequence[ItemEstimate], plan: Plan, pace: dict[str, float]) -> float:
    """The longest Region's time: wave by wave, the largest first into the slots that are free; or the uploads'."""
    regions = {item.region for item in items}
    pools = ((region, exported) for region in regions for exported in (False, True))
    converting = max((_makespan(items, plan, region, exported=exported) for region, exported in pools), default=0.0)
    uploading = sum(item.bytes_at_most for item in items) / (pace["upload_mib_per_second"] * (1 << 20)) / 3600
    return max(converting, uploading)


def _makespan(items: Sequence[ItemEstimate], plan: Plan, region: str, *, exported: bool) -> float:
    limit = plan.limits.exports if exported else plan.limits.imports
    begin = 0.0
    wanted = [item for item in items if item.region == region and item.call.startswith("Import") is not exported]
    for wave in sorted({item.wave for item in wanted}):
        slots = [begin] * limit
        for hours in sorted((item.hours for item in wanted if item.wave == wave), reverse=True):
            heapq.heapreplace(slots, slots[0] + hours)
        begin = max(slots)
    return begin


def _costs(items: Sequence[ItemEstimate], usd: dict[str, float]) -> list[Cost]:
    sent = sum(item.bytes_at_most for item in items) / _GB
    stored = sum(item.bytes_source for item in items) / _GB
    hours = max((item.hours for item in items), default=0.0)
    puts = sum(item.calls for item in items)
    return [
        Cost("S3 requests", puts / 1000 * usd["s3_1000_puts"], f"{puts} at {usd['s3_1000_puts']} per 1000"),
        Cost(
            "S3 storage while AWS converts",
            sent * usd["s3_gb_month"] * hours / 730,
            f"{sent:.1f} GB for {hours:.1f} h at {usd['s3_gb_month']} per GB and month",
        ),
        Cost(
            "snapshots, a month",
            stored * usd["snapshot_gb_month"],
            f"at most {stored:.1f} GB at {usd['snapshot_gb_month']} per GB and month; empty blocks cost nothing",
        ),
        Cost("transfer to AWS", sent * usd["transfer_in_gb"], f"{sent:.1f} GB, free"),
    ]
