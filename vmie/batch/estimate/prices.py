"""What a plan will cost, from the figures of ``prices.toml``: estimates, each with its date and source."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping
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
    blocks: int = 0
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


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of the bill: `amount` is in the figure's unit, `how` says the sum of `shown`."""

    what: str
    figure: str
    amount: Callable[[Use], float]
    shown: Callable[[Use], float]
    how: str


_LINES = (
    _Line(
        "S3 requests",
        "s3_1000_puts",
        lambda use: use.puts / 1000,
        lambda use: use.puts,
        "{:.0f} uploads of parts and the like",
    ),
    _Line(
        "EBS direct requests",
        "ebs_1000_puts",
        lambda use: use.blocks / 1000,
        lambda use: use.blocks,
        "at most {:.0f} blocks",
    ),
    _Line(
        "S3 storage until AWS is done",
        "s3_gb_month",
        lambda use: use.stored / _GB * use.hours / _HOURS_PER_MONTH,
        lambda use: use.stored / _GB,
        "at most {:.1f} GB",
    ),
    _Line("snapshots, each month", "snapshot_gb_month", *2 * (lambda use: use.snapshots / _GB,), "at most {:.1f} GB"),
    _Line("volumes, each month", "volume_gb_month", *2 * (lambda use: use.volumes_gib,), "{:.0f} GiB"),
)


def bill(uses: Iterable[Use]) -> Bill:
    """The bill of a plan: what is used in each Region at that Region's prices."""
    known, asked = table(), list(uses)
    figures: dict[tuple[str, str], Figure] = {}
    borrowed: dict[str, None] = {}
    lines: list[Cost] = []
    for line in _LINES:
        rows = []
        for use in asked:
            if not line.shown(use):
                continue
            figure = known.get(use.region, {}).get(line.figure)
            if figure is None:
                borrowed[use.region] = None
                figure = known[_HOME][line.figure]
            figures[figure.region, line.figure] = figure
            rows.append((use, figure))
        if rows:
            usd = sum(line.amount(use) * figure.usd for use, figure in rows)
            lines.append(Cost(line.what, usd, line.how.format(sum(line.shown(use) for use, _ in rows))))
    return Bill((*lines, Cost("transfer into AWS", 0.0, "free")), tuple(figures.values()), tuple(borrowed))
