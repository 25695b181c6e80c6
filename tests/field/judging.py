"""A case and what came of it."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from pathlib import Path

from vmie.errors import VmieError

_LEAST = "least-right"
_KNOWN = Path(__file__).with_name("known.toml")


class Said(Enum):
    """Answers that are no value: the file is refused, or what is asked is not in what vmie reads (unknown)."""

    REFUSED = "refused"
    UNKNOWN = "unknown"


class Word(StrEnum):
    """What came of a case. `REFUSED`: the project reads it, and vmie says clearly that it does not."""

    RIGHT = "right"
    WRONG = "wrong"
    REFUSED = "refused"


@dataclass(frozen=True)
class Case:
    """`expected` is what the project's own test says, `ours` asks vmie the same of the same bytes."""

    name: str
    expected: object
    ours: Callable[[], object]


@dataclass(frozen=True)
class Outcome:
    """A judged case; `got` is what vmie said where that is not what was expected."""

    name: str
    word: Word
    expected: object
    got: object = None

    def __str__(self) -> str:
        return f"{self.word} {self.name}: expected {_short(self.expected)}, got {_short(self.got)}"


def judge(case: Case) -> Outcome:
    """Ask vmie. An error that is not one of ours is wrong, whatever was expected."""
    why = ""
    try:
        got = case.ours()
    except VmieError as error:
        got, why = Said.REFUSED, str(error)
    except Exception as error:
        got = f"{type(error).__name__}: {error}"
    if got == case.expected:
        return Outcome(case.name, Word.RIGHT, case.expected)
    if isinstance(got, Said):
        return Outcome(case.name, Word.REFUSED, case.expected, why or got.value)
    return Outcome(case.name, Word.WRONG, case.expected, got)


@dataclass
class Tally:
    """A family's outcomes beside what is known to be wrong with it: names and reasons."""

    family: str
    outcomes: list[Outcome] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def count(self, word: Word) -> int:
        """How many ended so."""
        return sum(one.word is word for one in self.outcomes)

    def few(self) -> str:
        """What is missing to the least share of right answers, "" where nothing is."""
        least = known_wrong(_LEAST)[self.family]
        share = 100 * self.count(Word.RIGHT) / max(1, len(self.outcomes))
        return "" if share >= float(least) else f"{share:.0f} % are right, {least} % were"

    def news(self) -> list[Outcome]:
        """What is wrong and not known to be."""
        known = known_wrong(self.family)
        return [one for one in self.outcomes if one.word is Word.WRONG and one.name not in known]

    def mended(self) -> list[str]:
        """Names that known.toml still lists and that are wrong no more."""
        known = known_wrong(self.family)
        return [one.name for one in self.outcomes if one.word is not Word.WRONG and one.name in known]


def known_wrong(family: str) -> dict[str, str]:
    """The reasons of what is known to be wrong, by the name of the case (of `_LEAST`: percents, by family)."""
    return dict(tomllib.loads(_KNOWN.read_text()).get(family, {}))


def tally(family: str, cases: Iterable[Case]) -> Tally:
    """Judge all; two cases of one name are a fault of the family."""
    done = Tally(family, [judge(case) for case in cases])
    names = [one.name for one in done.outcomes]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise AssertionError(f"{family}: cases of the same name: {', '.join(sorted(twice)[:5])}")
    return done


def _short(value: object) -> str:
    text = value.value if isinstance(value, Said) else str(value)
    return text if len(text) <= 300 else text[:297] + "..."
