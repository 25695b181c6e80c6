"""How long AWS takes, and the line to it: the figures of ``pace.toml``, reports and guesses."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

GIB, MIB = 1 << 30, 1 << 20


@cache
def table() -> Mapping[str, Mapping[str, Any]]:
    """All figures, by route; ``ebs`` is what EBS does with a snapshot after its last block, ``upload`` the line."""
    return tomllib.loads(resources.files(__package__).joinpath("pace.toml").read_text(encoding="utf-8"))


def task_minutes(route: str, size: int) -> float:
    """What AWS takes for a disk of `size` bytes, once it has it."""
    return float(table()[route]["fixed"] + table()[route]["each_gib"] * size / GIB)


def sending_minutes(size: int, *, rate: float | None = None) -> float:
    """What `size` bytes take on their way, at `rate` bytes per second where that is known."""
    return size / (rate or table()["upload"]["mib_per_second"] * MIB) / 60
