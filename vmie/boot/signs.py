"""The table of signs, ``signs.toml``: which lines of a console say something about a start."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources

from vmie.boot.model import BootStage


class SignKind(StrEnum):
    """What a sign says of the start."""

    #: it came so far
    STEP = "step"
    #: a reason, should it fail
    TROUBLE = "trouble"
    #: it fails, if nothing comes after
    STOPS = "stops"
    #: it has failed
    ENDS = "ends"
    #: it has started
    UP = "up"


@dataclass(frozen=True, slots=True)
class Sign:
    """What one line means. `rules` are the ids of those of `vmie.checks` that should have foretold it."""

    pattern: re.Pattern[str]
    stage: BootStage
    kind: SignKind
    meaning: str
    source: str
    rules: tuple[str, ...] = ()


@cache
def signs() -> tuple[Sign, ...]:
    """The table, in its order."""
    data = tomllib.loads(resources.files(__package__).joinpath("signs.toml").read_text("utf-8"))
    return tuple(
        Sign(
            pattern=re.compile(_joined(one["pattern"])),
            stage=BootStage(one["stage"]),
            kind=SignKind(one["kind"]),
            meaning=one["meaning"],
            source=one["source"],
            rules=tuple(one.get("rules", ())),
        )
        for one in data["sign"]
    )


def sign_of(line: str) -> Sign | None:
    """The first sign that `line` shows; None when it shows none."""
    if not _any().search(line):
        return None
    return next(sign for sign in signs() if sign.pattern.search(line))


@cache
def _any() -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{sign.pattern.pattern})" for sign in signs()))


def _joined(pattern: str | list[str]) -> str:
    return pattern if isinstance(pattern, str) else "|".join(pattern)
