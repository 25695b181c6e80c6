"""What a plan will cost, from the figures of ``prices.toml``: estimates, each with its date and source."""

from __future__ import annotations

import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from typing import Any

_GB = 1e9
_HOME = "us-east-1"
_HOURS_PER_MONTH = 730


@dataclass(frozen=True, slots=True)
class Figure:
    """One price in USD. `date` is when it held ("undated"), `source` where it was found."""

    region: str
    name: str
    usd: float
    date: str
    source: str


@dataclass(frozen=True, slots=True)
class Use:
    """What is used of AWS in a Region. Bytes at most; `hours` that objects lie in S3; volumes in whole GiB."""

    region: str
    puts: int = 0
    stored: int = 0
    hours: float = 0.0
    snapshots: int = 0
    volumes_gib: int = 0


@dataclass(frozen=True, slots=True)
class Cost:
    """One line of the bill; `amount` in USD."""

    what: str
    amount: float
    how: str


@dataclass(frozen=True, slots=True)
class Bill:
    """All lines, and the figures they were made from. `borrowed`: Regions that lacked one."""

    lines: tuple[Cost, ...]
    figures: tuple[Figure, ...]
    borrowed: tuple[str, ...]

    @property
    def total(self) -> float:
        """USD, for the first month."""
        return sum(line.amount for line in self.lines)

    def as_json(self) -> dict[str, Any]:
        """For --dry-run."""
        return {
            "currency": "USD",
            "total": round(self.total, 2),
            "lines": [{**asdict(line), "amount": round(line.amount, 4)} for line in self.lines],
            "figures": [asdict(figure) for figure in self.figures],
            "borrowed_from_us_east_1": list(self.borrowed),
        }


def table() -> Mapping[str, Mapping[str, Figure]]:
    """All figures: Region → name → figure."""
    data = tomllib.loads(resources.files(__package__).joinpath("prices.toml").read_text(encoding="utf-8"))
    return {
        region: {name: Figure(region, name, one["usd"], one["date"], one["source"]) for name, one in figures.items()}
        for region, figures in data.items()
    }


def bill(uses: Iterable[Use]) -> Bill:
    """The bill of a plan: what is used in each Region at that Region's prices."""
    known = table()
    used: dict[tuple[str, str], Figure] = {}
    borrowed: dict[str, None] = {}
    rows: defaultdict[str, list[tuple[Use, Figure]]] = defaultdict(list)
    for use in uses:
        for name, amount in (
            ("s3_1000_puts", use.puts),
            ("s3_gb_month", use.stored),
            ("snapshot_gb_month", use.snapshots),
            ("volume_gb_month", use.volumes_gib),
        ):
            if not amount:
                continue
            figure = known.get(use.region, {}).get(name)
            if figure is None:
                borrowed[use.region] = None
                figure = known[_HOME][name]
            used[figure.region, name] = figure
            rows[name].append((use, figure))
    lines = tuple(_LINES[name](rows[name]) for name in _LINES if rows[name])
    return Bill((*lines, Cost("transfer into AWS", 0.0, "free")), tuple(used.values()), tuple(borrowed))


_Rows = Sequence[tuple[Use, Figure]]


def _puts(rows: _Rows) -> Cost:
    amount = sum(use.puts / 1000 * figure.usd for use, figure in rows)
    return Cost("S3 requests", amount, f"{sum(use.puts for use, _ in rows)} uploads of parts and the like")


def _stored(rows: _Rows) -> Cost:
    amount = sum(use.stored / _GB * figure.usd * use.hours / _HOURS_PER_MONTH for use, figure in rows)
    return Cost("S3 storage until AWS is done", amount, f"at most {sum(use.stored for use, _ in rows) / _GB:.1f} GB")


def _snapshots(rows: _Rows) -> Cost:
    amount = sum(use.snapshots / _GB * figure.usd for use, figure in rows)
    return Cost("snapshots, each month", amount, f"at most {sum(use.snapshots for use, _ in rows) / _GB:.1f} GB")


def _volumes(rows: _Rows) -> Cost:
    amount = sum(use.volumes_gib * figure.usd for use, figure in rows)
    return Cost("volumes, each month", amount, f"{sum(use.volumes_gib for use, _ in rows)} GiB")


_LINES = {
    "s3_1000_puts": _puts,
    "s3_gb_month": _stored,
    "snapshot_gb_month": _snapshots,
    "volume_gb_month": _volumes,
}
